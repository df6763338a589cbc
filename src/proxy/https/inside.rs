//! PURE. What a request inside the TLS of a host is about: that host's URLs, and no other's.

use crate::net::serve::RequestHead;
use crate::wire::fault::{Fault, Kind};
use crate::wire::field::FieldId;
use crate::wire::target::Key;
use http::{Method, StatusCode};

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
        let hosts = request.lines().filter(|(id, ..)| *id == FieldId::Host);
        if !hosts.map(|(.., host)| host).all(|host| self.is_host(host)) {
            return Err(self.misdirected());
        }
        match request.target() {
            path @ [b'/', ..] => Ok([self.root.as_bytes(), path].concat()),
            b"*" if *request.method() == Method::OPTIONS => Ok(self.root.as_bytes().to_vec()),
            target if target.contains(&b'/') && !self.is_root(target) => Err(self.misdirected()),
            target => Ok(target.to_vec()),
        }
    }

    fn is_host(&self, host: &[u8]) -> bool {
        let authority = self.root.strip_prefix("https://").unwrap_or_default();
        let ends_early = || host.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#'));
        authority.as_bytes() == host || (!ends_early() && self.is_root(&[b"https://", host, b"/"].concat()))
    }

    fn is_root(&self, url: &[u8]) -> bool {
        Key::read(url).is_ok_and(|key| *key.root() == *self.root)
    }

    fn misdirected(&self) -> Fault {
        let detail = format!("this connection is to {}: ask for another host on one of its own", self.root);
        Fault::client(StatusCode::MISDIRECTED_REQUEST, Kind::HttpRequestError, detail)
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
        let other = Inside::of("2001:db8::1", 8443).unwrap();
        assert_eq!(
            asked(&other, "GET /", "Host: [2001:DB8::1]:8443\r\n"),
            Ok("https://[2001:db8::1]:8443/".to_owned())
        );
        assert_eq!(asked(&other, "GET /", "Host: [2001:db8::1]\r\n"), Err(421));
    }
}
