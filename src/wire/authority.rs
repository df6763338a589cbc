//! Host and port of a URL (RFC 3986 section 3.2).

use super::fault::Fault;
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    Name(&'a str),
    Ip(IpAddr),
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(ip) => ip.fmt(f),
        }
    }
}

/// An authority that has been checked.
#[derive(Debug)]
pub struct Authority<'a> {
    pub host: HostText<'a>,
    pub port: Option<u16>,
}

/// A host as it was written, except that an IPv6 address has many spellings and is therefore read.
#[derive(Debug)]
pub enum HostText<'a> {
    Plain(&'a str),
    V6(Ipv6Addr),
}

impl<'a> Authority<'a> {
    /// Errors are the client's and name the cure.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        if text.contains('@') {
            return Err(Fault::bad_request(
                "the URL contains a user name or password: leave it out and send an Authorization field instead",
            ));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => v6(rest)?,
            None => plain(text)?,
        };
        Ok(Authority { host, port: port.map(parse_port).transpose()?.flatten() })
    }

    /// Appends it in its one spelling; `default_port` is left out.
    pub fn write(&self, out: &mut String, default_port: u16) {
        match self.host {
            HostText::Plain(name) => {
                let start = out.len();
                out.push_str(name);
                out[start..].make_ascii_lowercase();
            }
            // The standard library writes RFC 5952; a String takes all that is written to it.
            HostText::V6(address) => drop(write!(out, "[{address}]")),
        }
        if let Some(port) = self.port.filter(|port| *port != default_port) {
            out.push(':');
            out.push_str(itoa::Buffer::new().format(port));
        }
    }
}

/// A name without the dot at its end, which says that it is not to be searched for and that it is complete: the same name (RFC 1034
/// section 3.1). To a cache it is another key, since an origin may see the difference.
pub fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Host and port of an authority that [`Authority::write`] has written.
pub fn read_written(authority: &str) -> (Host<'_>, Option<u16>) {
    let (host, port) = split_written(authority);
    (read_host(host), port)
}

/// The port of such an authority: nobody has to look at its host for that.
pub fn port_of_written(authority: &str) -> Option<u16> {
    split_written(authority).1
}

/// From its end, where the port is: an IPv6 address ends with a bracket.
fn split_written(authority: &str) -> (&str, Option<u16>) {
    let (mut port, mut unit) = (0, 1);
    for (at, byte) in authority.bytes().enumerate().rev() {
        match byte {
            b'0'..=b'9' if unit <= 10_000 => {
                port += u32::from(byte - b'0') * unit;
                unit *= 10;
            }
            b':' if unit > 1 => return (&authority[..at], u16::try_from(port).ok()),
            _ => break,
        }
    }
    (authority, None)
}

/// Only dotted decimals are an IPv4 address here. Whatever else a resolver takes for one (`0x7f.1`, `2130706433`) stays
/// a name: what it resolves to is checked when it is connected to.
fn read_host(host: &str) -> Host<'_> {
    let v6 = || host.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let v4 = || host.ends_with(|last: char| last.is_ascii_digit()).then(|| host.parse::<Ipv4Addr>().ok())?;
    match (v6(), v4()) {
        (Some(address), _) => Host::Ip(address.into()),
        (_, Some(address)) => Host::Ip(address.into()),
        _ => Host::Name(host),
    }
}

fn v6(after_bracket: &str) -> Result<(HostText<'_>, Option<&str>), Fault> {
    let (address, rest) = after_bracket.split_once(']').unwrap_or_default();
    let port = rest.strip_prefix(':');
    match address.parse() {
        Ok(address) if port.is_some() || rest.is_empty() => Ok((HostText::V6(address), port)),
        _ => Err(Fault::bad_request("what the URL has in brackets is not an IPv6 address (zones are not supported)")),
    }
}

fn plain(text: &str) -> Result<(HostText<'_>, Option<&str>), Fault> {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(Fault::bad_request("the URL has no host: write it as http://host/path"));
    }
    if !name.bytes().all(is_host_byte) {
        return Err(Fault::bad_request("the host of the URL contains a character that no host name can have"));
    }
    Ok((HostText::Plain(name), port))
}

/// Whether a value of `Host` is one (RFC 9110 section 7.2): an authority without user information, or nothing where the target has none.
pub fn is_host_field(value: &[u8]) -> bool {
    let is_port = |port: &[u8]| port.iter().all(u8::is_ascii_digit);
    if let [b'[', rest @ ..] = value {
        let end = rest.iter().position(|byte| *byte == b']');
        let in_brackets = |byte: &u8| is_host_byte(*byte) || *byte == b':';
        return end.is_some_and(|end| {
            let after = &rest[end + 1..];
            end > 0
                && rest[..end].iter().all(in_brackets)
                && (after.is_empty() || after[0] == b':' && is_port(&after[1..]))
        });
    }
    let is_of_name = |byte: &u8| is_host_byte(*byte) || *byte == b'%';
    match value.iter().position(|byte| !is_of_name(byte)).map(|end| &value[end..]) {
        Some([b':', port @ ..]) => is_port(port),
        after => after.is_none(),
    }
}

/// RFC 3986 section 3.2.2, without percent-encoding, which no resolver understands. A table, because it is asked for each byte
/// of each `Host`.
fn is_host_byte(byte: u8) -> bool {
    const PUNCTUATION: &[u8] = b"-._~!$&'()*+,;=";
    static TABLE: [bool; 256] = {
        let (mut table, mut at) = ([false; 256], 0);
        while at < table.len() {
            table[at] = (at as u8).is_ascii_alphanumeric();
            at += 1;
        }
        let mut at = 0;
        while at < PUNCTUATION.len() {
            table[PUNCTUATION[at] as usize] = true;
            at += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// An empty port is none at all (RFC 3986 section 3.2.3).
fn parse_port(text: &str) -> Result<Option<u16>, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        _ if text.is_empty() => Ok(None),
        Ok(port) if digits && port > 0 => Ok(Some(port)),
        _ => Err(Fault::bad_request("the port of the URL is not a number from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_field_has_an_authority_and_nothing_else() {
        for (value, expected) in [
            ("", true),
            ("a.example", true),
            ("a.example:80", true),
            ("a.example:", true),
            ("a_b~%20!$&'()*+,;=-", true),
            ("192.0.2.1:8080", true),
            ("[::1]", true),
            ("[2001:db8::1]:80", true),
            ("[::1]:", true),
            ("a b", false),
            ("a b/@", false),
            ("a/", false),
            ("me@a", false),
            ("a:b", false),
            ("a:80:80", false),
            ("a:80/", false),
            ("::1", false),
            ("[::1", false),
            ("[]", false),
            ("[::1]80", false),
            ("[::1]:x", false),
            ("[a@b]", false),
            ("a?b", false),
            ("a#b", false),
            ("a\\b", false),
            ("\u{fc}.example", false),
        ] {
            assert_eq!(is_host_field(value.as_bytes()), expected, "{value}");
        }
    }
}
