//! PURE. The head of a request on the link, written into one buffer.

use super::tie::Tie;
use crate::cluster::views::Node;
use crate::net::serve::Interim;
use crate::net::shares::ClientId;
use crate::wire::field::{FieldId, Traits};
use crate::wire::length::BodyLength;
use crate::wire::link;
use crate::wire::target::Key;
use crate::wire::tenure::Tenure;
use crate::wire::written::{field, put};
use http::{HeaderMap, HeaderValue, Method, Version};
use std::net::IpAddr;
use std::rc::Rc;

/// The client's fields, without those of its hop.
#[derive(Clone, Copy)]
pub enum Said<'a> {
    Map(&'a HeaderMap),
    /// By [`Said::line`].
    Lines(&'a [u8]),
}

impl Said<'_> {
    /// As lines that go to a node.
    pub fn lines(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Said::Lines(lines) => out.extend_from_slice(lines),
            Said::Map(headers) => {
                headers.iter().for_each(|(name, value)| Said::line(name.as_str(), value.as_bytes(), out));
            }
        }
    }

    /// Appends a client's field to lines that go to a node as they are.
    pub fn line(name: &str, value: &[u8], out: &mut Vec<u8>) {
        if !FieldId::has(name.as_bytes(), OURS.and(Traits::HOP)) {
            field(out, name.as_bytes(), value);
        }
    }
}

/// Fields that have to be as we write them.
const OURS: Traits = Traits::OURS.and(Traits::LINK);

/// A request as it is sent to a node.
pub struct Request<'a> {
    /// Where interim responses go.
    pub interim: Option<&'a Interim>,
    pub method: &'a Method,
    pub key: &'a Key,
    pub said: Said<'a>,
    /// Of the client's message, for `Via`.
    pub version: Version,
    /// Whose share of the connections to the node it takes from.
    pub from: ClientId,
    /// What the node is told of the client, as a line.
    pub client: &'a [u8],
    pub te_trailers: bool,
    pub upgrade: Option<&'a HeaderValue>,
    pub framing: BodyLength,
    /// `Expect: 100-continue`
    pub expect: bool,
    /// Written as `X-Forwarded-For`.
    pub forwarded_for: Option<IpAddr>,
    /// To be asked before the origin.
    pub peer: Option<&'a Node>,
    /// Since when the node has answered for it, where that is not long.
    pub tenure: Option<Tenure>,
    /// Only what the node holds will do (`only-if-cached`, RFC 9111 section 5.2.1.7).
    pub held: bool,
    /// The node may hold what has been purged: it is to use nothing of that unasked.
    pub doubtful: bool,
    /// Whose connections it goes over.
    pub tie: Option<&'a Rc<Tie>>,
    /// `OPTIONS` for the server itself (RFC 9112 section 3.2.4).
    pub pathless: bool,
}

impl<'a> Request<'a> {
    /// Without a body, and with nothing else to be told.
    pub fn new(
        method: &'a Method,
        key: &'a Key,
        said: Said<'a>,
        version: Version,
        from: ClientId,
        client: &'a [u8],
    ) -> Self {
        Request {
            interim: None,
            method,
            key,
            said,
            version,
            from,
            client,
            te_trailers: false,
            upgrade: None,
            framing: BodyLength::None,
            expect: false,
            forwarded_for: None,
            peer: None,
            tenure: None,
            held: false,
            doubtful: false,
            tie: None,
            pathless: false,
        }
    }

    /// Appends the head to `out`.
    pub fn encode(&self, via: &HeaderValue, out: &mut Vec<u8>) {
        let path = if self.pathless { self.key.target().len() } else { 0 };
        let target = &self.key.url()[..self.key.url().len() - path];
        put(out, &[self.method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
        field(out, b"host", self.key.authority().as_bytes());
        self.said.write(out);
        field(out, b"via", via.as_bytes());
        out.extend_from_slice(self.client);
        if let Some(introduction) = self.peer.and_then(|peer| peer.introduction.as_deref()) {
            field(out, link::PEER.as_str().as_bytes(), introduction.as_bytes());
        }
        if let Some(tenure) = self.tenure {
            put(out, &[link::OWNER.as_str().as_bytes(), b": "]);
            tenure.write(out);
            out.extend_from_slice(b"\r\n");
        }
        if self.tie.is_some() {
            field(out, link::PINNED.as_str().as_bytes(), b"yes");
        }
        if self.held {
            out.extend_from_slice(b"cache-control: only-if-cached\r\n");
        }
        // A list field: what the client said of it stands as well.
        if self.doubtful {
            field(out, b"cache-control", b"no-cache");
        }
        self.encode_hop(out);
        out.extend_from_slice(b"\r\n");
    }

    /// What holds for this hop only.
    fn encode_hop(&self, out: &mut Vec<u8>) {
        match self.framing {
            BodyLength::None | BodyLength::UntilClose => {}
            BodyLength::Sized(n) => field(out, b"content-length", itoa::Buffer::new().format(n).as_bytes()),
            BodyLength::Chunked => field(out, b"transfer-encoding", b"chunked"),
        }
        if self.expect {
            field(out, b"expect", b"100-continue");
        }
        if let Some(address) = self.forwarded_for {
            field(out, b"x-forwarded-for", address.to_canonical().to_string().as_bytes());
        }
        if let Some(protocol) = self.upgrade {
            field(out, b"upgrade", protocol.as_bytes());
        }
        // RFC 9110 section 10.1.4: who sends TE names it in Connection.
        match (self.te_trailers, self.upgrade.is_some()) {
            (false, false) => {}
            (false, true) => field(out, b"connection", b"upgrade"),
            (true, false) => out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n"),
            (true, true) => out.extend_from_slice(b"te: trailers\r\nconnection: upgrade, te\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_our_host_and_no_fields_of_others_links() {
        let key = Key::parse("http://example.com/a?b").unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "evil"),
            ("ringhold-client", "local"),
            ("ringhold-peer", "x h:1"),
            ("accept", "*/*"),
            ("content-length", "9"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let request = Request {
            interim: None,
            method: &Method::POST,
            key: &key,
            said: Said::Map(&headers),
            version: Version::HTTP_11,
            from: ClientId::OURS,
            client: b"ringhold-client: remote\r\n",
            te_trailers: true,
            upgrade: None,
            framing: BodyLength::Chunked,
            expect: true,
            forwarded_for: None,
            peer: Some(&Node::new("n1".to_owned(), "unix:/run/n1.sock".parse().unwrap(), 1, true)),
            tenure: None,
            held: true,
            doubtful: true,
            tie: None,
            pathless: false,
        };
        let mut out = Vec::new();
        request.encode(&HeaderValue::from_static("1.1 r"), &mut out);
        let expected = "POST http://example.com/a?b HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\nvia: 1.1 r\r\n\
                        ringhold-client: remote\r\nringhold-peer: n1 unix:/run/n1.sock\r\ncache-control: only-if-cached\r\n\
                        cache-control: no-cache\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\
                        te: trailers\r\nconnection: te\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
