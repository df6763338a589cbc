//! PURE. What a request inside the TLS of a host is about: that host's URLs, and no other's.

use crate::net::serve::RequestHead;
use crate::wire::authority::{Host, read_written, without_root};
use crate::wire::fault::{Fault, Kind};
use crate::wire::field::FieldId;
use crate::wire::target::Key;
use http::{Method, StatusCode};
use std::borrow::Cow;

/// The host that a client has asked a tunnel to.
#[derive(Debug)]
pub struct Inside {
    /// Scheme and authority as keys write them.
    root: Box<str>,
}

impl Inside {
    /// `host` without brackets. `None`: it is in no URL.
    pub fn of(host: &str, port: u16) -> Option<Inside> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let key = Key::parse(&format!("https://{host}:{port}/")).ok()?;
        Some(Inside { root: key.root().into() })
    }

    /// A request's target in absolute form (RFC 9112 section 3.2.2): what it would be without the TLS. A request for another
    /// host is 421 (RFC 9110 section 15.5.20): who wants that one would have to prove it to its client.
    pub fn target(&self, request: &RequestHead<'_>) -> Result<Vec<u8>, Fault> {
        if *request.method() == Method::CONNECT {
            return Err(Fault::bad_request("CONNECT is for the proxy itself, not for a host inside a tunnel to it"));
        }
        let mut root = Cow::Borrowed(&*self.root);
        for (.., host) in request.lines().filter(|(id, ..)| *id == FieldId::Host) {
            root = self.as_said(host).ok_or_else(|| self.misdirected())?;
        }
        match request.target() {
            path @ [b'/', ..] => Ok([root.as_bytes(), path].concat()),
            b"*" if *request.method() == Method::OPTIONS => Ok(root.as_bytes().to_vec()),
            target if target.contains(&b'/') && self.root_of(target).is_none() => Err(self.misdirected()),
            target => Ok(target.to_vec()),
        }
    }

    /// Its scheme and authority, as this `Host` says them. `None`: it says another host.
    fn as_said(&self, host: &[u8]) -> Option<Cow<'_, str>> {
        let authority = self.root.strip_prefix("https://").unwrap_or_default();
        if authority.as_bytes() == host {
            return Some(Cow::Borrowed(&self.root));
        }
        let ends_early = host.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#'));
        let root = if ends_early { None } else { self.root_of(&[b"https://", host, b"/"].concat()) };
        root.map(Cow::Owned)
    }

    /// Scheme and authority of a URL of the host, with a dot at the end of its name or without: it is the same host, and another URL.
    fn root_of(&self, url: &[u8]) -> Option<String> {
        let key = Key::read(url).ok()?;
        let own = self.root.strip_prefix("https://").unwrap_or_default();
        let is_of_name = || name(own).is_some_and(|own| name(key.authority()) == Some(own));
        let is_same = *key.root() == *self.root || (key.scheme() == "https" && is_of_name());
        is_same.then(|| key.root().to_owned())
    }

    fn misdirected(&self) -> Fault {
        let detail = format!("this connection is to {}: ask for another host on one of its own", self.root);
        Fault::client(StatusCode::MISDIRECTED_REQUEST, Kind::HttpRequestError, detail)
    }
}

/// The name of an authority, without a dot at its end, and its port.
fn name(authority: &str) -> Option<(&str, Option<u16>)> {
    match read_written(authority) {
        (Host::Name(name), port) => Some((without_root(name), port)),
        (Host::Ip(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::serve::with_head;

    fn asked(inside: &Inside, line: &str, fields: &str) -> Result<String, u16> {
        with_head(&format!("{line} HTTP/1.1\r\n{fields}\r\n"), |head| {
            inside.target(head).map(|target| String::from_utf8(target).unwrap()).map_err(|fault| fault.status.as_u16())
        })
    }

    #[test]
    fn a_request_is_for_the_host_of_its_tunnel_alone() {
        let inside = Inside::of("Files.example", 443).unwrap();
        for (line, fields, expected) in [
            ("GET /a?b", "Host: files.example\r\n", Ok("https://files.example/a?b")),
            ("GET /a", "Host: FILES.example:443\r\n", Ok("https://files.example/a")),
            ("GET /a", "", Ok("https://files.example/a")),
            ("GET //b/c", "Host: files.example\r\n", Ok("https://files.example//b/c")),
            ("OPTIONS *", "Host: files.example\r\n", Ok("https://files.example")),
            ("GET https://files.example/a", "Host: files.example\r\n", Ok("https://files.example/a")),
            ("GET /a", "Host: other.example\r\n", Err(421)),
            ("GET /a", "Host: files.example.\r\n", Ok("https://files.example./a")),
            ("GET https://files.example./a", "Host: files.example\r\n", Ok("https://files.example./a")),
            ("GET /a", "Host: files.example..\r\n", Err(421)),
            ("GET /a", "Host: files.example.:8443\r\n", Err(421)),
            ("GET http://files.example./a", "Host: files.example\r\n", Err(421)),
            ("GET /a", "Host: files.example:8443\r\n", Err(421)),
            ("GET /a", "Host: files.example@other.example\r\n", Err(421)),
            ("GET /a", "Host: files.example/..\r\n", Err(421)),
            ("GET /a", "Host: \r\n", Err(421)),
            ("GET /a", "Host: files.example\r\nHost: other.example\r\n", Err(421)),
            ("GET https://other.example/a", "Host: files.example\r\n", Err(421)),
            ("GET http://files.example/a", "Host: files.example\r\n", Err(421)),
            ("CONNECT files.example:443", "Host: files.example\r\n", Err(400)),
        ] {
            assert_eq!(asked(&inside, line, fields), expected.map(str::to_owned), "{line} {fields}");
        }
        let dotted = Inside::of("files.example.", 443).unwrap();
        for (fields, expected) in [
            ("Host: files.example.\r\n", Ok("https://files.example./a")),
            ("Host: files.example\r\n", Ok("https://files.example/a")),
            ("", Ok("https://files.example./a")),
            ("Host: other.example.\r\n", Err(421)),
        ] {
            assert_eq!(asked(&dotted, "GET /a", fields), expected.map(str::to_owned), "{fields}");
        }
        let other = Inside::of("2001:db8::1", 8443).unwrap();
        assert_eq!(
            asked(&other, "GET /", "Host: [2001:DB8::1]:8443\r\n"),
            Ok("https://[2001:db8::1]:8443/".to_owned())
        );
        assert_eq!(asked(&other, "GET /", "Host: [2001:db8::1]\r\n"), Err(421));
    }
}
