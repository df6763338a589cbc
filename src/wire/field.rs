//! PURE. The names of fields that are known here: one table, which says of each what it is for. Whoever asks "is this one of
//! those?" asks it, so that no list of names stands twice.

mod name;

use super::link;
use http::header::{self, HeaderName};
use name::{KnownName, NameEnds, SLOT_BITS};

/// What a field is for, as a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u32);

impl Traits {
    pub const NONE: Traits = Traits(0);
    /// For this hop only, whatever `Connection` says (RFC 9110 section 7.6.1).
    pub const HOP: Traits = Traits(1);
    /// For all recipients: it stays although a `Connection` line names it (see [`super::hop`]).
    pub const EVERYONE: Traits = Traits(1 << 1);
    /// Between front and node only (`docs/link.md`).
    pub const LINK: Traits = Traits(1 << 2);
    /// Tells where the content ends (RFC 9112 section 6).
    pub const ENDS: Traits = Traits(1 << 3);
    /// Bears on whether a fresh response that varies by nothing may answer a GET (RFC 9111 sections 4 and 5.2.1).
    pub const BEARS: Traits = Traits(1 << 4);
    /// Bears on whether a stored response that was selected may be reused.
    pub const REUSE: Traits = Traits(1 << 5);
    /// A condition, or a range: what makes the answer to a request its own (RFC 9110 sections 13 and 14).
    pub const CONDITION: Traits = Traits(1 << 6);
    /// Describes the stored bytes: a 304 does not change it (RFC 9111 section 3.2).
    pub const CONTENT: Traits = Traits(1 << 7);
    /// A 304 does not repeat it (RFC 9110 section 15.4.5).
    pub const NOT_IN_304: Traits = Traits(1 << 8);
    /// Has no place in trailers, besides those of the hop and the link (RFC 9110 section 6.5.1).
    pub const NOT_IN_TRAILERS: Traits = Traits(1 << 9);
    /// About the connection, the content or the target of the request that it is in.
    pub const CONNECTION: Traits = Traits(1 << 10);
    /// Has the same value in many responses.
    pub const REPEATS: Traits = Traits(1 << 11);
    /// Written anew for each answer from the store.
    pub const ANEW: Traits = Traits(1 << 12);
    /// On the link as the front writes it, whatever the client says (`docs/link.md`).
    pub const OURS: Traits = Traits(1 << 13);
    /// The cache itself reads it, so `no-cache` and `private` cannot withhold it (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
    pub const ESSENTIAL: Traits = Traits(1 << 14);
    /// That it is there, or what it says, is for the origin to judge: conditions to change something, and content (RFC 9110
    /// sections 13.2.2 and 8.6).
    pub const FOR_ORIGIN: Traits = Traits(1 << 16);
    /// Has one value: a comma in it separates nothing (RFC 9110 section 5.5).
    pub const SINGLE: Traits = Traits(1 << 15);

    /// Says on the link who asks, or for whom alone: more than whether its client is on this machine.
    pub const ASIDE: Traits = Traits(1 << 17);

    pub const fn and(self, other: Traits) -> Traits {
        Traits(self.0 | other.0)
    }
    /// Whether it has any of these.
    pub const fn any(self, of: Traits) -> bool {
        self.0 & of.0 != 0
    }

    /// With which letters the names begin that have any of these.
    fn letters(self) -> u32 {
        let (mut bits, mut letters) = (self.0, 0);
        while bits != 0 {
            letters |= LETTERS[bits.trailing_zeros() as usize];
            bits &= bits - 1;
        }
        letters
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $id:ident $text:literal $($trait:ident)*;)*) => {
        /// A name that is known. [`FieldId::Other`] is any other.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FieldId { Other, $($(#[$doc])* $id,)* }

        static NAMES: [KnownName; IDS.len()] = [KnownName::new(""), $(KnownName::new($text),)*];
        const TRAITS: &[Traits] = &[Traits::NONE, $(Traits::NONE $(.and(Traits::$trait))*,)*];
        const IDS: &[FieldId] = &[FieldId::Other, $(FieldId::$id,)*];
        static HEADER_NAMES: [HeaderName; IDS.len()] = [header::HOST, $(HeaderName::from_static($text),)*];
    };
}

fields! {
    AcceptEncoding "accept-encoding";
    AcceptLanguage "accept-language";
    AcceptRanges "accept-ranges" REPEATS;
    AllowCredentials "access-control-allow-credentials" REPEATS;
    AllowHeaders "access-control-allow-headers" REPEATS;
    AllowMethods "access-control-allow-methods" REPEATS;
    AllowOrigin "access-control-allow-origin" REPEATS;
    ExposeHeaders "access-control-expose-headers" REPEATS;
    Age "age" EVERYONE ANEW;
    Allow "allow" REPEATS;
    AltSvc "alt-svc" REPEATS NOT_IN_TRAILERS;
    Authorization "authorization" BEARS SINGLE;
    CacheControl "cache-control" EVERYONE BEARS REUSE REPEATS ESSENTIAL;
    CacheGroupInvalidation "cache-group-invalidation";
    CacheGroups "cache-groups";
    CacheStatus "cache-status";
    Connection "connection" HOP CONNECTION;
    ContentDisposition "content-disposition";
    ContentDigest "content-digest" CONTENT;
    ContentEncoding "content-encoding" EVERYONE CONTENT NOT_IN_304 REPEATS ESSENTIAL;
    ContentLanguage "content-language" NOT_IN_304 REPEATS;
    ContentLength "content-length" EVERYONE ENDS BEARS REUSE CONTENT NOT_IN_304 NOT_IN_TRAILERS CONNECTION ANEW OURS ESSENTIAL FOR_ORIGIN;
    ContentLocation "content-location" SINGLE;
    ContentMd5 "content-md5" CONTENT;
    ContentRange "content-range" EVERYONE CONTENT NOT_IN_304 ESSENTIAL;
    ContentSecurityPolicy "content-security-policy" REPEATS;
    ContentType "content-type" EVERYONE NOT_IN_304 REPEATS SINGLE ESSENTIAL;
    Cookie "cookie" SINGLE;
    CrossOriginResourcePolicy "cross-origin-resource-policy" REPEATS;
    Date "date" EVERYONE SINGLE ESSENTIAL;
    Digest "digest" CONTENT;
    Etag "etag" ESSENTIAL;
    Expect "expect" CONNECTION OURS;
    Expires "expires" EVERYONE ESSENTIAL;
    From "from" SINGLE;
    Host "host" EVERYONE NOT_IN_TRAILERS CONNECTION SINGLE OURS;
    Http2Settings "http2-settings" CONNECTION;
    IfMatch "if-match" BEARS REUSE CONDITION FOR_ORIGIN;
    IfModifiedSince "if-modified-since" BEARS CONDITION SINGLE;
    IfNoneMatch "if-none-match" BEARS CONDITION;
    IfRange "if-range" BEARS CONDITION SINGLE;
    IfUnmodifiedSince "if-unmodified-since" BEARS REUSE CONDITION SINGLE FOR_ORIGIN;
    KeepAlive "keep-alive" HOP;
    LastEventId "last-event-id" SINGLE;
    LastModified "last-modified" ESSENTIAL;
    Link "link";
    Location "location";
    MaxForwards "max-forwards" EVERYONE BEARS;
    Origin "origin" SINGLE;
    Pragma "pragma" EVERYONE BEARS REUSE REPEATS;
    ProxyAuthenticate "proxy-authenticate" HOP;
    ProxyAuthenticationInfo "proxy-authentication-info" HOP;
    ProxyAuthorization "proxy-authorization" HOP SINGLE;
    ProxyConnection "proxy-connection" HOP;
    Range "range" BEARS CONDITION SINGLE;
    Referer "referer" SINGLE;
    ReferrerPolicy "referrer-policy" REPEATS;
    ReprDigest "repr-digest" CONTENT;
    Server "server" REPEATS;
    SetCookie "set-cookie" NOT_IN_TRAILERS;
    StrictTransportSecurity "strict-transport-security" REPEATS;
    SurrogateKey "surrogate-key";
    Te "te" HOP CONNECTION;
    TimingAllowOrigin "timing-allow-origin" REPEATS;
    Trailer "trailer" EVERYONE NOT_IN_TRAILERS CONNECTION;
    TransferEncoding "transfer-encoding" HOP ENDS BEARS REUSE CONNECTION FOR_ORIGIN;
    Upgrade "upgrade" HOP CONNECTION;
    UserAgent "user-agent" SINGLE;
    Vary "vary" EVERYONE REPEATS ESSENTIAL;
    Via "via" EVERYONE BEARS REPEATS;
    Warning "warning";
    WwwAuthenticate "www-authenticate";
    XCache "x-cache";
    XContentTypeOptions "x-content-type-options" REPEATS;
    XPoweredBy "x-powered-by" REPEATS;
    XRequestId "x-request-id";
    XServedBy "x-served-by";
    /// The fields of the link: see [`super::link`].
    LinkAge "ringhold-age" LINK;
    LinkAsker "ringhold-asker" LINK ASIDE;
    LinkClient "ringhold-client" LINK;
    LinkFault "ringhold-fault" LINK;
    LinkLength "ringhold-length" LINK;
    LinkOwner "ringhold-owner" LINK;
    LinkPeer "ringhold-peer" LINK;
    LinkPinned "ringhold-pinned" LINK ASIDE;
    LinkReach "ringhold-reach" LINK;
    LinkTeller "ringhold-teller" LINK;
    /// Every other of the link.
    LinkOther "ringhold-" LINK;
    /// Every other condition: one that a later RFC may define (RFC 9110 section 13.1).
    IfOther "if-" BEARS;
}

/// How the names begin of which not all are known.
const LINK: &[u8] = link::PREFIX.as_bytes();
const IF: &[u8] = b"if-";
/// What the names have that begin so.
const OF_FAMILIES: Traits = Traits::LINK.and(Traits::BEARS);

/// By [`NameEnds::slot`], the known names that may be meant: worked out when the program is compiled, which fails when two share
/// a slot.
static TABLE: [FieldId; 1 << SLOT_BITS] = {
    let mut table = [FieldId::Other; 1 << SLOT_BITS];
    let mut id = 1;
    while id < NAMES.len() {
        let name = NAMES[id].text.as_bytes();
        let at = NameEnds::of(name).slot(name.len());
        assert!(table[at] as u8 == 0, "two names share a slot: change the multipliers");
        table[at] = IDS[id];
        id += 1;
    }
    table
};

/// The only one that may have a name of so many bytes with these ends, if not a name that stands for many.
#[inline(always)]
fn candidate(ends: NameEnds, length: usize) -> FieldId {
    TABLE[ends.slot(length)]
}

/// By the bit of a trait, the first letters of the names that have it; see [`letter`].
static LETTERS: [u32; u32::BITS as usize] = {
    let mut letters = [0; u32::BITS as usize];
    let mut id = 1;
    while id < NAMES.len() {
        let mut bit = 0;
        while bit < letters.len() {
            if TRAITS[id].0 & (1 << bit) != 0 {
                letters[bit] |= letter(NAMES[id].text.as_bytes()[0]);
            }
            bit += 1;
        }
        id += 1;
    }
    letters
};

/// One bit, for both cases of a letter.
const fn letter(byte: u8) -> u32 {
    1 << (byte & 0x1f)
}

/// Of a name that is not known.
#[inline(always)]
fn family(name: &[u8], ends: NameEnds) -> FieldId {
    let begins = |start: &[u8]| name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    match ends.initial() {
        b'r' if begins(LINK) => FieldId::LinkOther,
        b'i' if begins(IF) => FieldId::IfOther,
        _ => FieldId::Other,
    }
}

impl FieldId {
    /// By its name, in any letter case. Inlined: once for each field of each message, a call of its own is half of what it costs.
    #[inline(always)]
    pub fn of(name: &[u8]) -> FieldId {
        let ends = NameEnds::of(name);
        let id = candidate(ends, name.len());
        if NAMES[id as usize].is(name, ends) { id } else { family(name, ends) }
    }

    /// As [`FieldId::of`], but [`FieldId::Other`] for all that have none of these. Most names need no comparison then.
    pub fn among(name: &[u8], any: Traits) -> FieldId {
        let ends = NameEnds::of(name);
        let id = candidate(ends, name.len());
        if id.is(any) && NAMES[id as usize].is(name, ends) {
            return id;
        }
        let family = if any.any(OF_FAMILIES) { family(name, ends) } else { FieldId::Other };
        if family.is(any) { family } else { FieldId::Other }
    }

    /// Whether the field with this name, in any letter case, has one of these.
    pub fn has(name: &[u8], any: Traits) -> bool {
        FieldId::among(name, any) != FieldId::Other
    }

    /// The same of any of several fields: most names are not looked at beyond their first letter.
    pub fn any_has<'a>(names: impl IntoIterator<Item = &'a [u8]>, any: Traits) -> bool {
        let letters = any.letters();
        let may = |name: &&[u8]| name.first().is_some_and(|first| letters & letter(*first) != 0);
        names.into_iter().filter(may).any(|name| FieldId::has(name, any))
    }

    /// Whether fields with several names are meant.
    pub fn stands_for_many(self) -> bool {
        matches!(self, FieldId::Other | FieldId::LinkOther | FieldId::IfOther)
    }

    /// A byte in place of the name. In memory only: it is another after each change of the table.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Of a [`FieldId::code`].
    pub fn of_code(code: u8) -> FieldId {
        IDS.get(usize::from(code)).copied().unwrap_or(FieldId::Other)
    }

    /// Larger than any [`FieldId::code`].
    pub const CODES: usize = IDS.len();

    pub fn traits(self) -> Traits {
        TRAITS[self as usize]
    }

    pub fn is(self, any: Traits) -> bool {
        self.traits().any(any)
    }

    /// In lower case; how they begin where it [stands for many](FieldId::stands_for_many).
    pub fn name(self) -> &'static str {
        NAMES[self as usize].text
    }

    /// The same for a map. Not of one that [stands for many](FieldId::stands_for_many).
    pub fn header(self) -> &'static HeaderName {
        &HEADER_NAMES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_letter_case_and_nothing_else_is() {
        for (id, name) in IDS.iter().zip(NAMES.iter().map(|name| name.text)).skip(1) {
            let bytes = name.as_bytes();
            assert_eq!((FieldId::of(bytes), FieldId::of_code(id.code())), (*id, *id));
            assert_eq!(FieldId::of(name.to_uppercase().as_bytes()), *id);
            assert_eq!((id.name(), id.header().as_str()), (name, name));
            assert_eq!(FieldId::of(&bytes[1..]), FieldId::Other, "{name}");
            for bit in 0..u32::BITS {
                let one = Traits(1 << bit);
                assert_eq!(FieldId::any_has([&b"x"[..], b"", bytes], one), id.is(one), "{name}");
                assert_eq!(FieldId::among(bytes, one), if id.is(one) { *id } else { FieldId::Other }, "{name}");
            }
        }
        for (name, expected) in [
            ("", FieldId::Other),
            ("x", FieldId::Other),
            ("content-lengthy", FieldId::Other),
            ("cache\u{d}control", FieldId::Other),
            ("Ringhold-Anything", FieldId::LinkOther),
            ("ringhold-", FieldId::LinkOther),
            ("ringhold", FieldId::Other),
            ("If-Anything", FieldId::IfOther),
            ("if", FieldId::Other),
        ] {
            assert_eq!(FieldId::of(name.as_bytes()), expected, "{name}");
            assert_eq!(FieldId::has(name.as_bytes(), Traits::LINK), expected == FieldId::LinkOther, "{name}");
            assert_eq!(FieldId::has(name.as_bytes(), Traits::BEARS), expected == FieldId::IfOther, "{name}");
        }
    }

    /// All that have it, in the order of the table.
    fn named(of: Traits) -> String {
        IDS.iter().filter(|id| id.is(of)).map(|id| id.name()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_for_one_hop_is_said_by_rfc_9110_section_7_6_1_and_11_7() {
        let names = "connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization \
                     proxy-connection te transfer-encoding upgrade";
        assert_eq!(named(Traits::HOP), names);
    }

    #[test]
    fn what_is_for_all_recipients_may_not_be_named_in_connection_by_rfc_9110_section_7_6_1() {
        let names = "age cache-control content-encoding content-length content-range content-type date expires host \
                     max-forwards pragma trailer vary via";
        assert_eq!(named(Traits::EVERYONE), names);
    }

    #[test]
    fn all_fields_of_the_link_begin_alike() {
        let names = NAMES.iter().map(|name| name.text).filter(|name| name.starts_with(link::PREFIX));
        assert_eq!(named(Traits::LINK), names.collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn two_fields_tell_where_content_ends_by_rfc_9112_section_6() {
        assert_eq!(named(Traits::ENDS), "content-length transfer-encoding");
    }

    #[test]
    fn credentials_directives_conditions_and_ranges_bear_on_a_fresh_response_by_rfc_9111_sections_4_and_5_2_1() {
        // RFC 9110 sections 7.6.2 (Max-Forwards), 7.6.3 (Via: a loop), 8.6 and 13; RFC 9111 sections 3.5 and 5.4.
        let names = "authorization cache-control content-length if-match if-modified-since if-none-match if-range \
                     if-unmodified-since max-forwards pragma range transfer-encoding via if-";
        assert_eq!(named(Traits::BEARS), names);
    }

    #[test]
    fn directives_content_and_conditions_for_the_origin_bear_on_reuse_by_rfc_9111_section_5_2_1() {
        // RFC 9110 section 13.2.2: If-Match and If-Unmodified-Since are for the origin to judge.
        let names = "cache-control content-length if-match if-unmodified-since pragma transfer-encoding";
        assert_eq!(named(Traits::REUSE), names);
    }

    #[test]
    fn what_is_for_the_origin_to_judge_is_said_by_rfc_9110_sections_8_6_and_13_2_2() {
        let names = "content-length if-match if-unmodified-since transfer-encoding";
        assert_eq!(named(Traits::FOR_ORIGIN), names);
        assert!(IDS.iter().all(|id| !id.is(Traits::FOR_ORIGIN) || id.is(Traits::REUSE)), "each bears on reuse");
    }

    #[test]
    fn conditions_and_ranges_are_those_of_rfc_9110_sections_13_1_and_14_2() {
        let names = "if-match if-modified-since if-none-match if-range if-unmodified-since range";
        assert_eq!(named(Traits::CONDITION), names);
        assert!(IDS.iter().all(|id| !id.is(Traits::CONDITION) || id.is(Traits::BEARS)), "each bears on an answer");
    }

    #[test]
    fn what_describes_the_stored_bytes_is_not_updated_by_rfc_9111_section_3_2() {
        // Digests: RFC 9530 sections 2 and 3, RFC 3230; Content-MD5: RFC 1864.
        let names = "content-digest content-encoding content-length content-md5 content-range digest repr-digest";
        assert_eq!(named(Traits::CONTENT), names);
    }

    #[test]
    fn what_a_304_leaves_out_describes_its_representation_by_rfc_9110_section_15_4_5() {
        let names = "content-encoding content-language content-length content-range content-type";
        assert_eq!(named(Traits::NOT_IN_304), names);
    }

    #[test]
    fn framing_routing_and_cookies_have_no_place_in_trailers_by_rfc_9110_section_6_5_1() {
        assert_eq!(named(Traits::NOT_IN_TRAILERS), "alt-svc content-length host set-cookie trailer");
    }

    #[test]
    fn what_is_about_a_connection_or_its_content_is_said_by_rfc_9110_sections_6_4_7_8_and_10_1() {
        // RFC 7540 section 3.2.1: HTTP2-Settings.
        let names = "connection content-length expect host http2-settings te trailer transfer-encoding upgrade";
        assert_eq!(named(Traits::CONNECTION), names);
    }

    #[test]
    fn an_answer_from_the_store_has_its_own_age_and_length_by_rfc_9111_section_5_1_and_rfc_9110_section_8_6() {
        assert_eq!(named(Traits::ANEW), "age content-length");
    }

    #[test]
    fn the_front_writes_host_length_and_expectation_itself_by_rfc_9110_sections_7_2_8_6_and_10_1_1() {
        assert_eq!(named(Traits::OURS), "content-length expect host");
    }

    #[test]
    fn what_the_cache_reads_cannot_be_withheld_by_rfc_9111_section_5_2_2_4() {
        let names = "cache-control content-encoding content-length content-range content-type date etag expires \
                     last-modified vary";
        assert_eq!(named(Traits::ESSENTIAL), names);
    }

    #[test]
    fn fields_with_one_value_are_no_lists_by_rfc_9110_section_5_5() {
        // Cookie: RFC 6265 section 4.2.1; Origin: RFC 6454 section 7.1; the others: RFC 9110.
        let names = "authorization content-location content-type cookie date from host if-modified-since if-range \
                     if-unmodified-since last-event-id origin proxy-authorization range referer user-agent";
        assert_eq!(named(Traits::SINGLE), names);
    }

    #[test]
    fn what_repeats_is_what_a_response_says_of_its_kind_and_not_of_itself() {
        let ids = [FieldId::Etag, FieldId::Date, FieldId::Expires, FieldId::LastModified, FieldId::SetCookie];
        assert!(ids.iter().all(|id| !id.is(Traits::REPEATS)));
        assert_eq!(named(Traits::REPEATS).split(' ').count(), 23);
    }
}
