//! PURE. What a TLS client says first (RFC 8446 section 4.1.2), as far as it decides whether we may answer in a host's name.

use super::authority::without_root;
use xxhash_rust::xxh3::Xxh3;

/// No client says more before it hears something.
pub const LONGEST: usize = 64 * 1024;

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum HelloRead {
    /// A hello so far; of the rest, so many bytes at least are to come. There is nothing to see before.
    Partial(usize),
    Hello(ClientHello),
    /// Something else.
    Other,
}

/// A whole one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host that it wants, in lower case and without a dot at its end; none is said for an address (RFC 6066 section 3).
    pub host: Option<Box<str>>,
    /// The protocols that it speaks, where it says so (RFC 7301).
    pub protocols: Option<Vec<Box<[u8]>>>,
    /// It speaks TLS 1.2 or 1.3.
    pub is_current: bool,
    /// The same for all connections of one client program: ciphers, groups and extensions, without their order and without
    /// what is random in them (RFC 8701) or depends on what was said before.
    pub program: u64,
}

/// What is spoken in TLS to clients and to origins, by its name there (RFC 7301 section 6).
pub const HTTP: &[u8] = b"http/1.1";
/// HTTP/2 over TLS (RFC 9113 section 3.2), to clients alone.
pub const HTTP2: &[u8] = b"h2";

const RECORD: usize = 5;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const PROTOCOLS: u16 = 16;
const VERSIONS: u16 = 43;
/// Padding, early data, a session that is gone on with, a cookie: of one connection, not of a program.
const OF_CONNECTION: [u16; 4] = [21, 42, 41, 44];
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;

impl ClientHello {
    /// Whether it can be answered in HTTP/2 or HTTP/1.1. Who names no protocol speaks the latter.
    pub fn speaks_http(&self) -> bool {
        let is_ours = |protocol: &[u8]| protocol == HTTP || protocol == HTTP2;
        self.protocols.as_ref().is_none_or(|all| all.iter().any(|protocol| is_ours(protocol)))
    }
}

/// Reads what a client has sent.
pub fn read(sent: &[u8]) -> HelloRead {
    let (mut message, mut rest) = (Vec::new(), sent);
    loop {
        if let Some(whole) = whole(&message) {
            return whole;
        }
        // A record of a handshake, of TLS 1.0 to 1.2 by its number (RFC 8446 section 5.1), which has something in it.
        match rest {
            [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, _] | [HANDSHAKE, 3, _, _] => {
                return HelloRead::Partial(RECORD - rest.len() + missing(&message));
            }
            [HANDSHAKE, 3, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > 1 << 14 {
                    return HelloRead::Other;
                }
                let content = &rest[RECORD..];
                message.extend_from_slice(&content[..length.min(content.len())]);
                if content.len() < length {
                    return whole(&message).unwrap_or_else(|| HelloRead::Partial(missing(&message)));
                }
                rest = &content[length..];
            }
            _ => return HelloRead::Other,
        }
    }
}

/// Of a message that is not whole.
fn missing(message: &[u8]) -> usize {
    let whole = match message {
        [_, a, b, c, ..] => 4 + u32::from_be_bytes([0, *a, *b, *c]) as usize,
        _ => 4,
    };
    whole.saturating_sub(message.len()).max(1)
}

/// What has come of the message, where that is enough to tell.
fn whole(message: &[u8]) -> Option<HelloRead> {
    match message {
        [] => None,
        [CLIENT_HELLO, length @ ..] => {
            let [a, b, c, body @ ..] = length else { return None };
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            match body.get(..length) {
                _ if length > LONGEST => Some(HelloRead::Other),
                None => None,
                Some(body) => Some(hello(Bytes(body)).map_or(HelloRead::Other, HelloRead::Hello)),
            }
        }
        _ => Some(HelloRead::Other),
    }
}

fn hello(mut body: Bytes<'_>) -> Option<ClientHello> {
    let oldest = body.number()?;
    body.take(32)?;
    body.short()?;
    let ciphers = body.long()?.numbers()?;
    body.short()?;
    let mut hello = ClientHello { is_current: oldest >= TLS_1_2, ..ClientHello::default() };
    let (mut groups, mut extensions) = (Vec::new(), Vec::new());
    if !body.0.is_empty() {
        let mut all = body.long()?;
        while !all.0.is_empty() {
            let (id, mut content) = (all.number()?, all.long()?);
            extensions.push(id);
            match id {
                SERVER_NAME => hello.host = host(content)?,
                GROUPS => groups = content.long()?.numbers()?,
                PROTOCOLS => {
                    let (mut list, mut found) = (content.long()?, Vec::new());
                    while !list.0.is_empty() {
                        found.push(list.short()?.0.into());
                    }
                    hello.protocols = Some(found);
                }
                VERSIONS => {
                    let versions = content.short()?.numbers()?;
                    hello.is_current = versions.iter().any(|version| matches!(*version, TLS_1_2 | TLS_1_3));
                }
                _ => {}
            }
        }
    }
    extensions.retain(|id| !OF_CONNECTION.contains(id));
    hello.program = digest([ciphers, groups, extensions]);
    Some(hello)
}

/// The one name of a server name (RFC 6066 section 3).
fn host(mut content: Bytes<'_>) -> Option<Option<Box<str>>> {
    let mut list = content.long()?;
    while !list.0.is_empty() {
        let (kind, name) = (list.take(1)?[0], list.long()?);
        if kind == 0 {
            // Without a dot at its end (RFC 6066 section 3), which some clients leave there.
            let name = without_root(std::str::from_utf8(name.0).ok()?);
            return Some(Some(name.to_ascii_lowercase().into()));
        }
    }
    Some(None)
}

fn digest(lists: [Vec<u16>; 3]) -> u64 {
    let mut hash = Xxh3::new();
    for mut list in lists {
        list.retain(|number| !is_grease(*number));
        list.sort_unstable();
        hash.update(&list.len().to_be_bytes());
        list.iter().for_each(|number| hash.update(&number.to_be_bytes()));
    }
    hash.digest()
}

/// Put in at random, so that servers stay used to what they do not know (RFC 8701 section 2).
fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// What is left of a message, or of a list in it.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, many: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(many)?;
        self.0 = left;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A list with one byte for its length.
    fn short(&mut self) -> Option<Bytes<'a>> {
        let length = usize::from(self.take(1)?[0]);
        self.take(length).map(Bytes)
    }

    /// The same with two.
    fn long(&mut self) -> Option<Bytes<'a>> {
        let length = usize::from(self.number()?);
        self.take(length).map(Bytes)
    }

    fn numbers(self) -> Option<Vec<u16>> {
        let (pairs, rest) = self.0.as_chunks::<2>();
        rest.is_empty().then(|| pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    fn numbers(all: &[u16]) -> Vec<u8> {
        all.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn extension(id: u16, content: &[u8]) -> Vec<u8> {
        [&id.to_be_bytes()[..], &list(content)].concat()
    }

    fn server_name(name: &str) -> Vec<u8> {
        extension(SERVER_NAME, &list(&[&[0][..], &list(name.as_bytes())].concat()))
    }

    fn protocols(all: &[&str]) -> Vec<u8> {
        let each = all.iter().flat_map(|name| [&[u8::try_from(name.len()).unwrap()][..], name.as_bytes()].concat());
        extension(PROTOCOLS, &list(&each.collect::<Vec<u8>>()))
    }

    fn versions(all: &[u16]) -> Vec<u8> {
        let all = numbers(all);
        extension(VERSIONS, &[&[u8::try_from(all.len()).unwrap()][..], &all].concat())
    }

    fn groups(all: &[u16]) -> Vec<u8> {
        extension(GROUPS, &list(&numbers(all)))
    }

    /// In records of so many bytes.
    fn hello_in(piece: usize, oldest: u16, ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
        let extensions = if extensions.is_empty() { Vec::new() } else { list(&extensions.concat()) };
        let session = [&[32][..], &[7; 32]].concat();
        let body =
            [&oldest.to_be_bytes()[..], &[9; 32], &session, &list(&numbers(ciphers)), &[1, 0], &extensions].concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[CLIENT_HELLO][..], &length[1..], &body].concat();
        message.chunks(piece).flat_map(|piece| [&[HANDSHAKE, 3, 1][..], &list(piece)].concat()).collect()
    }

    fn hello(ciphers: &[u16], extensions: &[Vec<u8>]) -> ClientHello {
        match read(&hello_in(1 << 14, TLS_1_2, ciphers, extensions)) {
            HelloRead::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hello_is_read_in_whatever_pieces_and_records_it_comes() {
        let extensions = [server_name("Files.Example."), protocols(&["h2", "http/1.1"]), versions(&[0x3a3a, TLS_1_3])];
        for piece in [1, 5, 100, 1 << 14] {
            let sent = hello_in(piece, TLS_1_2, &[0x1301], &extensions);
            for end in 0..sent.len() {
                let HelloRead::Partial(more) = read(&sent[..end]) else { panic!("{end} of {}", sent.len()) };
                assert!((1..=sent.len() - end).contains(&more), "{end} of {}: {more}", sent.len());
            }
            let HelloRead::Hello(hello) = read(&sent) else { panic!("it is whole") };
            assert_eq!(hello.host.as_deref(), Some("files.example"));
            assert!(hello.speaks_http() && hello.is_current);
            let more = [&sent[..], b"early data"].concat();
            assert_eq!(read(&more), HelloRead::Hello(hello));
        }
    }

    #[test]
    fn a_long_hello_is_looked_at_a_few_times_only() {
        for piece in [1, 1 << 14] {
            let sent = hello_in(piece, TLS_1_2, &[0x1301], &[extension(0xfe0d, &[5; 10_000])]);
            let (mut end, mut looks) = (0, 0);
            while let HelloRead::Partial(more) = read(&sent[..end]) {
                (end, looks) = (end + more, looks + 1);
            }
            assert!(end == sent.len() && looks < 70, "{looks} looks, {end} of {}", sent.len());
        }
    }

    #[test]
    fn what_it_speaks_is_what_it_says_and_without_a_word_http_1() {
        for (extensions, http, current) in [
            (vec![], true, true),
            (vec![protocols(&["h2"])], true, true),
            (vec![protocols(&["h3", "h2c"])], false, true),
            (vec![protocols(&["http/1.0", "http/1.1"])], true, true),
            (vec![versions(&[0x0302, 0x0301])], true, false),
            (vec![versions(&[TLS_1_2])], true, true),
            (vec![versions(&[0x0305, 0x7f1c])], true, false),
        ] {
            let hello = hello(&[0x1301], &extensions);
            assert_eq!((hello.speaks_http(), hello.is_current), (http, current), "{extensions:?}");
            assert_eq!(hello.host, None);
        }
        let old = read(&hello_in(1 << 14, 0x0301, &[0x002f], &[]));
        assert!(matches!(old, HelloRead::Hello(ClientHello { is_current: false, .. })));
    }

    #[test]
    fn a_program_is_known_again_whatever_is_random_in_what_it_says() {
        let one = hello(
            &[0x0a0a, 0x1301, 0x1302],
            &[groups(&[0x2a2a, 29, 23]), server_name("a.example"), versions(&[TLS_1_3])],
        );
        let again = hello(
            &[0x1302, 0x1301, 0xfafa],
            &[
                extension(0x1a1a, b""),
                versions(&[TLS_1_3]),
                server_name("b.example"),
                groups(&[23, 29]),
                extension(41, b"x"),
            ],
        );
        assert_eq!(one.program, again.program);
        let others = [
            hello(&[0x1301], &[groups(&[29, 23]), server_name("a.example"), versions(&[TLS_1_3])]),
            hello(&[0x1301, 0x1302], &[groups(&[29]), server_name("a.example"), versions(&[TLS_1_3])]),
            hello(&[0x1301, 0x1302], &[groups(&[29, 23]), server_name("a.example")]),
        ];
        assert!(others.iter().all(|other| other.program != one.program));
    }

    #[test]
    fn what_is_no_hello_is_seen_at_once() {
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"SSH-2.0-x",
            &[0x80, 0x2e, 1, 3, 1],
            &[HANDSHAKE, 2],
            &[HANDSHAKE, 3, 1, 0, 0],
            &[HANDSHAKE, 3, 1, 0xff, 0xff],
            &[HANDSHAKE, 3, 1, 0, 1, 2],
            &[HANDSHAKE, 3, 1, 0, 4, 1, 0xff, 0, 0],
            &[HANDSHAKE, 3, 1, 0, 5, 1, 0, 0, 1, 3],
        ] {
            assert_eq!(read(other), HelloRead::Other, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_can_panic_it(sent in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300, flip in 0_usize..300) {
            read(&sent);
            let mut hello = hello_in(64, TLS_1_2, &[0x1301], &[server_name("a.example"), protocols(&["h2"]), groups(&[29])]);
            hello.truncate(cut);
            if let Some(byte) = hello.get_mut(flip) {
                *byte ^= 0xff;
            }
            read(&hello);
        }
    }
}
