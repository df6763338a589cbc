//! PURE. The names of fields that are known here: one table, which says of each what it is for. Whoever asks "is this one of
//! those?" asks it, so that no list of names stands twice.

use http::header::{self, HeaderName};

/// What a field is for, as a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u16);

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
    /// About the connection or the content of the request that it is in.
    pub const CONNECTION: Traits = Traits(1 << 10);
    /// Has the same value in many responses.
    pub const REPEATS: Traits = Traits(1 << 11);
    /// Written anew for each answer from the store.
    pub const ANEW: Traits = Traits(1 << 12);

    pub const fn and(self, other: Traits) -> Traits {
        Traits(self.0 | other.0)
    }
    /// Whether it has any of these.
    pub const fn any(self, of: Traits) -> bool {
        self.0 & of.0 != 0
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $id:ident $text:literal $($trait:ident)*;)*) => {
        /// A name that is known. [`FieldId::Other`] is any other.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FieldId { Other, $($(#[$doc])* $id,)* }

        const NAMES: &[&str] = &["", $($text,)*];
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
    AltSvc "alt-svc" REPEATS;
    Authorization "authorization" BEARS;
    CacheControl "cache-control" EVERYONE BEARS REUSE REPEATS;
    CacheGroupInvalidation "cache-group-invalidation";
    CacheGroups "cache-groups";
    CacheStatus "cache-status";
    Connection "connection" HOP CONNECTION;
    ContentDisposition "content-disposition";
    ContentDigest "content-digest" CONTENT;
    ContentEncoding "content-encoding" EVERYONE CONTENT NOT_IN_304 REPEATS;
    ContentLanguage "content-language" NOT_IN_304 REPEATS;
    ContentLength "content-length" EVERYONE ENDS BEARS REUSE CONTENT NOT_IN_304 NOT_IN_TRAILERS CONNECTION ANEW;
    ContentLocation "content-location";
    ContentMd5 "content-md5" CONTENT;
    ContentRange "content-range" EVERYONE CONTENT NOT_IN_304;
    ContentSecurityPolicy "content-security-policy" REPEATS;
    ContentType "content-type" EVERYONE NOT_IN_304 REPEATS;
    Cookie "cookie";
    CrossOriginResourcePolicy "cross-origin-resource-policy" REPEATS;
    Date "date" EVERYONE;
    Digest "digest" CONTENT;
    Etag "etag";
    Expect "expect" CONNECTION;
    Expires "expires" EVERYONE;
    Host "host" EVERYONE NOT_IN_TRAILERS;
    Http2Settings "http2-settings" CONNECTION;
    IfMatch "if-match" BEARS REUSE CONDITION;
    IfModifiedSince "if-modified-since" BEARS CONDITION;
    IfNoneMatch "if-none-match" BEARS CONDITION;
    IfRange "if-range" BEARS CONDITION;
    IfUnmodifiedSince "if-unmodified-since" BEARS REUSE CONDITION;
    KeepAlive "keep-alive" HOP;
    LastModified "last-modified";
    Link "link";
    Location "location";
    MaxForwards "max-forwards" EVERYONE BEARS;
    Pragma "pragma" EVERYONE BEARS REUSE REPEATS;
    ProxyAuthenticate "proxy-authenticate" HOP;
    ProxyAuthenticationInfo "proxy-authentication-info" HOP;
    ProxyAuthorization "proxy-authorization" HOP;
    ProxyConnection "proxy-connection" HOP;
    Range "range" BEARS CONDITION;
    ReferrerPolicy "referrer-policy" REPEATS;
    ReprDigest "repr-digest" CONTENT;
    Server "server" REPEATS;
    SetCookie "set-cookie";
    StrictTransportSecurity "strict-transport-security" REPEATS;
    SurrogateKey "surrogate-key";
    Te "te" HOP CONNECTION;
    TimingAllowOrigin "timing-allow-origin" REPEATS;
    Trailer "trailer" EVERYONE NOT_IN_TRAILERS CONNECTION;
    TransferEncoding "transfer-encoding" HOP ENDS BEARS REUSE CONNECTION;
    Upgrade "upgrade" HOP CONNECTION;
    Vary "vary" EVERYONE REPEATS;
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
    LinkAsker "ringhold-asker" LINK;
    LinkClient "ringhold-client" LINK;
    LinkFault "ringhold-fault" LINK;
    LinkLength "ringhold-length" LINK;
    LinkOwner "ringhold-owner" LINK;
    LinkPeer "ringhold-peer" LINK;
    LinkPinned "ringhold-pinned" LINK;
    LinkReach "ringhold-reach" LINK;
    LinkTeller "ringhold-teller" LINK;
    /// Every other of the link.
    LinkOther "ringhold-" LINK;
    /// Every other condition: one that a later RFC may define (RFC 9110 section 13.1).
    IfOther "if-" BEARS;
}

/// How the names begin of which not all are known.
const LINK: &[u8] = b"ringhold-";
const IF: &[u8] = b"if-";
/// What the names have that begin so.
const OF_FAMILIES: Traits = Traits::LINK.and(Traits::BEARS);

const SLOTS: usize = 256;
/// By [`slot`], the known names that may be meant: worked out when the program is compiled, which fails when two share a slot.
static TABLE: [u8; SLOTS] = {
    let mut table = [0; SLOTS];
    let mut id = 1;
    while id < NAMES.len() {
        let at = slot(NAMES[id].as_bytes());
        assert!(table[at] == 0, "two names share a slot: change the multipliers");
        table[at] = id as u8;
        id += 1;
    }
    table
};

/// Of a name in any letter case, by its length, its first and last letters and one between.
const fn slot(name: &[u8]) -> usize {
    let length = name.len();
    let (first, middle, last) =
        ((name[0] | 0x20) as usize, (name[length * 3 / 4] | 0x20) as usize, (name[length - 1] | 0x20) as usize);
    (length * 205 + first * 130 + middle * 20 + last * 231) % SLOTS
}

/// The only one that may have this name, which is not empty, if not a name that stands for many.
fn candidate(name: &[u8]) -> FieldId {
    IDS[usize::from(TABLE[slot(name)])]
}

fn family(name: &[u8]) -> FieldId {
    let begins = |start: &[u8]| name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    match name.first().map(u8::to_ascii_lowercase) {
        Some(b'r') if begins(LINK) => FieldId::LinkOther,
        Some(b'i') if begins(IF) => FieldId::IfOther,
        _ => FieldId::Other,
    }
}

impl FieldId {
    /// By its name, in any letter case.
    pub fn of(name: &[u8]) -> FieldId {
        if name.is_empty() {
            return FieldId::Other;
        }
        let id = candidate(name);
        if id.is_called(name) { id } else { family(name) }
    }

    /// As `of(name).is(any)`. Most names need no comparison then.
    pub fn has(name: &[u8], any: Traits) -> bool {
        if name.is_empty() {
            return false;
        }
        let id = candidate(name);
        (id.is(any) && id.is_called(name)) || (any.any(OF_FAMILIES) && family(name).is(any))
    }

    fn is_called(self, name: &[u8]) -> bool {
        self.name().as_bytes().eq_ignore_ascii_case(name)
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
        NAMES[self as usize]
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
        for (id, name) in IDS.iter().zip(NAMES).skip(1) {
            assert_eq!(FieldId::of(name.as_bytes()), *id);
            assert_eq!(FieldId::of(name.to_uppercase().as_bytes()), *id);
            assert_eq!((id.name(), id.header().as_str()), (*name, *name));
            assert_eq!(FieldId::of(&name.as_bytes()[1..]), FieldId::Other, "{name}");
        }
        for (name, expected) in [
            ("", FieldId::Other),
            ("x", FieldId::Other),
            ("content-lengthy", FieldId::Other),
            ("cache\u{d}control", FieldId::Other),
            ("Ringhold-Anything", FieldId::LinkOther),
            ("ringhold-", FieldId::LinkOther),
            ("ringhold", FieldId::Other),
        ] {
            assert_eq!(FieldId::of(name.as_bytes()), expected, "{name}");
        }
    }
}
