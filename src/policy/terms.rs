//! [`Terms`]: what is kept of the policy for each stored response. Numbers and bits, so that a hit is decided from them.

use crate::wire::date::Timestamp;
use crate::wire::tenure::Tenure;
use crate::wire::view::FieldView;
use http::StatusCode;

/// Of the rules by which terms are made, and of the numbers by which they are written down: another one whenever those mean
/// something else. What was judged by others is validated before it is reused.
pub const VERSION: u32 = 2;

/// What is computed once, when a response is stored (or freshened), so that a fresh hit is decided from numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When the response was generated, as far as known: received minus its corrected initial age (section 4.2.3).
    pub born: Timestamp,
    /// When it arrived here.
    pub received: Timestamp,
    /// How long it had been asked for by then, in milliseconds. Of what was read from a disk: 0.
    pub waited: u32,
    /// Freshness lifetime in milliseconds (section 4.2.1).
    pub lifetime: u64,
    /// Until when a request that asks for nothing special is answered without further questions: the end
    /// of freshness, or zero where every reuse needs a validation first.
    pub fresh_until: Timestamp,
    /// Seconds (RFC 5861 section 3); 0: not allowed.
    pub stale_while_revalidate: u32,
    /// Seconds (RFC 5861 section 4); 0: not said.
    pub stale_if_error: u32,
    pub source: LifetimeSource,
    pub marks: Marks,
}

/// A stored response, as the policy sees it.
pub struct Stored<'a, F: FieldView + ?Sized> {
    pub terms: &'a Terms,
    pub status: StatusCode,
    pub fields: &'a F,
}

/// Where a freshness lifetime came from (section 4.2.1), for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeSource {
    SMaxage,
    MaxAge,
    Expires,
    /// A tenth of the time since `Last-Modified` (section 4.2.2).
    Heuristic,
    /// Nothing said how long: stale from the start.
    Nothing,
}

impl LifetimeSource {
    const ALL: [LifetimeSource; 5] = [
        LifetimeSource::SMaxage,
        LifetimeSource::MaxAge,
        LifetimeSource::Expires,
        LifetimeSource::Heuristic,
        LifetimeSource::Nothing,
    ];

    /// For where terms are written down; see [`VERSION`].
    pub fn code(self) -> u8 {
        LifetimeSource::ALL.iter().position(|source| *source == self).unwrap_or_default() as u8
    }

    pub fn of_code(code: u8) -> Option<LifetimeSource> {
        LifetimeSource::ALL.get(usize::from(code)).copied()
    }

    /// The origin said it, with a number of seconds or a date.
    pub fn is_explicit(self) -> bool {
        matches!(self, LifetimeSource::SMaxage | LifetimeSource::MaxAge | LifetimeSource::Expires)
    }

    /// With its section, after "fresh for … by".
    pub fn name(self) -> &'static str {
        match self {
            LifetimeSource::SMaxage => "s-maxage (RFC 9111 section 5.2.2.10)",
            LifetimeSource::MaxAge => "max-age (RFC 9111 section 5.2.2.1)",
            LifetimeSource::Expires => "Expires (RFC 9111 section 5.3)",
            LifetimeSource::Heuristic => "a tenth of the time since Last-Modified (RFC 9111 section 4.2.2)",
            LifetimeSource::Nothing => "nothing: the response does not say (RFC 9111 section 4.2.1)",
        }
    }
}

/// What else the response said, as a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u16);

impl Marks {
    pub const NONE: Marks = Marks(0);
    /// `no-cache`: never reused without validation (section 5.2.2.4).
    pub const NO_CACHE: Marks = Marks(1);
    /// Invalidated (section 4.4): the same until it is validated.
    pub const INVALIDATED: Marks = Marks(1 << 1);
    /// `must-revalidate` (section 5.2.2.2).
    pub const MUST_REVALIDATE: Marks = Marks(1 << 2);
    /// `proxy-revalidate` (section 5.2.2.8).
    pub const PROXY_REVALIDATE: Marks = Marks(1 << 3);
    /// `s-maxage`, which has the meaning of `proxy-revalidate` (section 5.2.2.10).
    pub const S_MAXAGE: Marks = Marks(1 << 4);
    /// `immutable` (RFC 8246).
    pub const IMMUTABLE: Marks = Marks(1 << 5);
    /// It has an `ETag` or a `Last-Modified`.
    pub const VALIDATOR: Marks = Marks(1 << 6);
    /// A targeted field, not `Cache-Control`, decided (RFC 9213).
    pub const TARGETED: Marks = Marks(1 << 7);
    /// It names its groups (RFC 9875).
    pub const GROUPED: Marks = Marks(1 << 8);

    /// `public`: also where the request had `Authorization` (section 3.5).
    pub const PUBLIC: Marks = Marks(1 << 9);

    /// It was lent by the node that owns its URL, which answers with it for as long as it is fresh (docs/link.md, One owner).
    pub const LENT: Marks = Marks(1 << 10);

    /// Of a content-addressed store, which is asked each time whether this client may have it
    /// ([`crate::wire::https::preset::Keep::Addressed`]).
    pub const ADDRESSED: Marks = Marks(1 << 11);

    /// Those that bear on reuse, by the name of what said it.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(Marks, &str); 10] = [
            (Marks::NO_CACHE, "no-cache"),
            (Marks::INVALIDATED, "invalidated"),
            (Marks::MUST_REVALIDATE, "must-revalidate"),
            (Marks::PROXY_REVALIDATE, "proxy-revalidate"),
            (Marks::S_MAXAGE, "s-maxage"),
            (Marks::IMMUTABLE, "immutable"),
            (Marks::TARGETED, "targeted"),
            (Marks::GROUPED, "cache-groups"),
            (Marks::LENT, "lent"),
            (Marks::ADDRESSED, "its store is asked each time"),
        ];
        NAMES.into_iter().filter(move |(mark, _)| self.has(*mark)).map(|(_, name)| name)
    }

    /// For where terms are written down; see [`VERSION`].
    pub const fn bits(self) -> u16 {
        self.0
    }

    pub const fn of_bits(bits: u16) -> Marks {
        Marks(bits)
    }

    /// Whether any of these is set.
    pub fn has(self, any: Marks) -> bool {
        self.0 & any.0 != 0
    }
    pub const fn and(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }
    pub fn when(self, condition: bool, other: Marks) -> Marks {
        if condition { self.and(other) } else { self }
    }
}

const ALWAYS_VALIDATE: Marks = FOR_EACH.and(Marks::INVALIDATED);
const FOR_EACH: Marks = Marks::NO_CACHE.and(Marks::ADDRESSED);
const NEVER_STALE: Marks = Marks::MUST_REVALIDATE.and(Marks::PROXY_REVALIDATE).and(Marks::S_MAXAGE);

impl Terms {
    /// Age in whole seconds to be sent with a response from the store (section 4.2.3).
    pub fn age(&self, now: Timestamp) -> u64 {
        now.millis_since(self.born) / 1000
    }

    /// When it stops being fresh.
    pub fn expires(&self) -> Timestamp {
        match self.fresh_until {
            Timestamp(0) => Timestamp(self.born.0.saturating_add(self.lifetime)),
            until => until,
        }
    }

    /// Remaining freshness in whole seconds, rounded down: negative when stale.
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let until = i64::try_from(self.expires().0).unwrap_or(i64::MAX);
        let now = i64::try_from(now.0).unwrap_or(i64::MAX);
        until.saturating_sub(now).div_euclid(1000)
    }

    /// How long it has been stale, in milliseconds; zero when fresh.
    pub fn staleness(&self, now: Timestamp) -> u64 {
        now.millis_since(self.expires())
    }

    /// Whether it may be reused without validation, where the request asks for nothing else (section 4).
    pub fn is_reusable(&self, now: Timestamp) -> bool {
        now < self.fresh_until
    }

    /// Whether it is within its freshness lifetime (section 4.2), whatever else it says.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.expires()
    }

    /// Whether every reuse needs a validation first: `no-cache`, of a content-addressed store, or invalidated.
    pub fn always_validate(&self) -> bool {
        self.marks.has(ALWAYS_VALIDATE)
    }

    /// Whether the origin wants to be asked for each request anew: it has said so, or given no time at all.
    pub fn is_for_each(&self) -> bool {
        self.marks.has(FOR_EACH) || (self.lifetime == 0 && self.stale_while_revalidate == 0)
    }

    /// Whether the origin forbade to reuse it stale (section 4.2.4).
    pub fn never_stale(&self) -> bool {
        self.marks.has(NEVER_STALE.and(ALWAYS_VALIDATE))
    }

    /// The same for a copy of what another cache held: that one told its age and its remaining freshness, `asked` or
    /// later, in whole seconds cut off. The copy is at least as old (section 4.2.3), and fresh for no longer.
    pub fn as_told(self, asked: Timestamp, ttl: u64) -> Terms {
        let until = Timestamp(asked.0.saturating_add(ttl.saturating_mul(1000)));
        Terms { born: Timestamp(self.born.0.saturating_sub(999)), fresh_until: self.fresh_until.min(until), ..self }
    }

    /// The same, generated then, as whoever gave it knows more exactly than `Age` can say.
    pub fn born_at(self, born: Timestamp) -> Terms {
        let until = Timestamp(born.0.saturating_add(self.lifetime));
        Terms { born, fresh_until: self.fresh_until.min(until), ..self }
    }

    /// The same, lent by the owner.
    pub fn lent(self) -> Terms {
        Terms { marks: self.marks.and(Marks::LENT), ..self }
    }

    /// Whether it may be answered where nothing will do but what the owner answers with as well.
    pub fn is_lent(&self, now: Timestamp) -> bool {
        self.marks.has(Marks::LENT) && self.is_reusable(now)
    }

    /// When the question was that it answers.
    pub fn asked(&self) -> Timestamp {
        Timestamp(self.received.0.saturating_sub(u64::from(self.waited)))
    }

    /// The same, asked for then.
    pub(super) fn asked_at(self, sent: Timestamp) -> Terms {
        Terms { waited: u32::try_from(self.received.millis_since(sent)).unwrap_or(u32::MAX), ..self }
    }

    /// Whether whoever was asked at `came` may answer with it unasked. It counts from the question: the answer may be as old as that.
    pub fn is_within(&self, tenure: Tenure, came: Timestamp) -> bool {
        let millis = came.millis_since(self.received).saturating_add(u64::from(self.waited));
        tenure.covers(self.marks.has(Marks::LENT), millis)
    }

    /// The same, to be validated first although it may be fresh: then it still answers where that fails (section 4.2.4).
    pub fn outlived(self) -> Terms {
        Terms { fresh_until: Timestamp(0), stale_while_revalidate: 0, ..self }
    }

    /// The same, not to be reused without validation (section 4.4).
    pub fn invalidated(self) -> Terms {
        Terms { marks: self.marks.and(Marks::INVALIDATED), fresh_until: Timestamp(0), ..self }
    }
}

const _: () = assert!(size_of::<Terms>() <= 48, "one is kept for every stored response");
