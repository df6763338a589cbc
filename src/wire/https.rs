//! Which hosts' https is intercepted, and so cached: `[https] hosts` and `pass` as one decision.

pub mod content;
pub mod name;
pub mod preset;
pub mod rules;

use super::authority::{Host, read_written, without_root};
use name::{HTTPS, Name};
use preset::Preset;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::net::IpAddr;

/// One entry of `hosts` or `pass`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEntry {
    /// `preset:python`
    Preset(&'static Preset),
    /// `files.example`, `*.corp.example:8443`, `192.0.2.1`
    Pattern(Pattern),
}

/// Hosts at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub name: Name,
    pub port: u16,
}

impl HostEntry {
    /// Errors are a sentence that names the cure, to be read after the key's name.
    pub fn parse(text: &str) -> Result<HostEntry, String> {
        if let Some(name) = text.strip_prefix("preset:") {
            let unknown = || format!("there is no preset `{name}`; write one of {}", preset::known());
            return preset::find(name).map(HostEntry::Preset).ok_or_else(unknown);
        }
        Pattern::parse(text).map(HostEntry::Pattern)
    }

    fn covers(&self, host: Host<'_>, port: u16) -> bool {
        match self {
            HostEntry::Preset(preset) => port == HTTPS && preset.has(host),
            HostEntry::Pattern(pattern) => pattern.port == port && pattern.name.covers(host),
        }
    }

    /// The names that a CA needs to be allowed to sign for this entry.
    pub fn names(&self) -> Vec<Name> {
        match self {
            HostEntry::Preset(preset) => preset.names().collect(),
            HostEntry::Pattern(pattern) => vec![pattern.name.clone()],
        }
    }
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostEntry::Preset(preset) => write!(f, "preset:{}", preset.name),
            HostEntry::Pattern(Pattern { name, port: HTTPS }) => name.fmt(f),
            HostEntry::Pattern(Pattern { name: Name::Ip(IpAddr::V6(ip)), port }) => write!(f, "[{ip}]:{port}"),
            HostEntry::Pattern(Pattern { name, port }) => write!(f, "{name}:{port}"),
        }
    }
}

impl Serialize for HostEntry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<HostEntry, D::Error> {
        HostEntry::parse(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

const WANTED: &str =
    "write for example \"files.example\", \"*.corp.example\", \"files.example:8443\" or \"preset:python\"";

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        let shown = || text.chars().take(60).collect::<String>();
        if text.split_once(':').map_or(text, |(name, _)| name) == "*" {
            return Err(format!("\"{}\" is every host there is: name the hosts that are meant; {WANTED}", shown()));
        }
        let (name, port) = parts(text).ok_or_else(|| format!("\"{}\" is no host; {WANTED}", shown()))?;
        let name = Name::parse(name).ok_or_else(|| format!("\"{}\" is no host; {}", shown(), cure(name)))?;
        Ok(Pattern { name, port })
    }
}

/// The cure for what people write in place of a host.
fn cure(name: &str) -> &'static str {
    match name {
        _ if !name.is_ascii() => "write the ASCII form of the name, which begins with xn--",
        _ if name.contains('/') => "write the host alone, without https:// and without a path",
        _ if name.ends_with('.') => "leave out the dot at the end",
        _ if name.contains('*') => "a * stands at the front alone, for example \"*.corp.example\"",
        _ => WANTED,
    }
}

/// Host and port of what was written; an IPv6 address may stand without brackets where it has no port.
fn parts(text: &str) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        return Some((ip, if port.is_empty() { HTTPS } else { number(port.strip_prefix(':')?)? }));
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Some((text, HTTPS)),
        Some((_, rest)) if rest.starts_with("//") => Some((text, HTTPS)),
        Some((name, port)) => Some((name, number(port)?)),
        None => Some((text, HTTPS)),
    }
}

fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?.filter(|port| *port > 0)
}

/// An entry and where it was written: `FILE:LINE`, or an option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub entry: HostEntry,
    pub place: String,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" ({})", self.entry, self.place)
    }
}

/// `[https] hosts` and `pass`.
///
/// Interception asks this once for each CONNECT, with the host as [`super::target::Target::Authority`] has it (in any letter
/// case) and the port, before anything is answered. Only [`Listing::Intercepted`] may be intercepted; what else stands in
/// the way (a client that has refused, a node that cannot, a name that the CA may not sign for) is decided elsewhere. The
/// line that decided is for the log, the metrics and `explain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostList {
    /// None: nothing is intercepted.
    pub hosts: Vec<Listed>,
    /// What is never intercepted, whatever `hosts` says.
    pub pass: Vec<Listed>,
}

/// What the list says of a host, and the line that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing<'a> {
    /// By this line of `hosts`.
    Intercepted(&'a Listed),
    /// By this line of `pass`, although `hosts` has it too or would not.
    Passed(&'a Listed),
    NotListed,
}

impl HostList {
    /// Whether anything is intercepted at all.
    pub fn is_on(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// `host`: a name in any letter case, with a dot at its end or without, or an address without brackets. The first line that has
    /// it decides; `pass` wins.
    pub fn decide(&self, host: &str, port: u16) -> Listing<'_> {
        if !self.is_on() {
            return Listing::NotListed;
        }
        let lower = without_root(host).to_ascii_lowercase();
        let host = match lower.parse::<IpAddr>() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => read_written(&lower).0,
        };
        let first = |lines: &'_ [Listed]| lines.iter().position(|line| line.entry.covers(host, port));
        match (first(&self.pass), first(&self.hosts)) {
            (Some(line), _) => Listing::Passed(&self.pass[line]),
            (None, Some(line)) => Listing::Intercepted(&self.hosts[line]),
            (None, None) => Listing::NotListed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listed(entries: &[&str]) -> Vec<Listed> {
        let line = |(at, text): (usize, &&str)| Listed {
            entry: HostEntry::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")),
            place: format!("a.toml:{}", at + 1),
        };
        entries.iter().enumerate().map(line).collect()
    }

    #[test]
    fn the_first_line_that_has_a_host_decides_and_pass_wins() {
        let hosts = listed(&[
            "preset:python",
            "files.example",
            "*.corp.example",
            "files.example:8443",
            "192.0.2.1",
            "[2001:db8::1]:8443",
            "2001:db8::2",
            "Exact.Corp.Example",
        ]);
        let hosts =
            HostList { hosts, pass: listed(&["secret.corp.example", "*.hr.corp.example", "registry.npmjs.org"]) };
        let rows = [
            ("pypi.org", 443, "by 1"),
            ("PyPI.org", 443, "by 1"),
            ("pypi.org", 8443, "not"),
            ("files.pythonhosted.org", 443, "by 1"),
            ("evil-pypi.org", 443, "not"),
            ("pypi.org.evil.example", 443, "not"),
            ("www.pypi.org", 443, "not"),
            ("files.example", 443, "by 2"),
            ("files.example.", 443, "by 2"),
            ("files.example..", 443, "not"),
            ("a.corp.example.", 443, "by 3"),
            ("corp.example.", 443, "not"),
            ("secret.corp.example.", 443, "passed 1"),
            ("Pypi.org.", 443, "by 1"),
            (".", 443, "not"),
            ("a.files.example", 443, "not"),
            ("files.example", 8443, "by 4"),
            ("files.example", 80, "not"),
            ("corp.example", 443, "not"),
            ("a.corp.example", 443, "by 3"),
            ("a.b.corp.example", 443, "by 3"),
            ("exact.corp.example", 443, "by 3"),
            (".corp.example", 443, "not"),
            ("xcorp.example", 443, "not"),
            ("secret.corp.example", 443, "passed 1"),
            ("SECRET.corp.example", 443, "passed 1"),
            ("secret.corp.example", 8443, "not"),
            ("a.hr.corp.example", 443, "passed 2"),
            ("hr.corp.example", 443, "by 3"),
            ("registry.npmjs.org", 443, "passed 3"),
            ("192.0.2.1", 443, "by 5"),
            ("::ffff:192.0.2.1", 443, "by 5"),
            ("192.0.2.10", 443, "not"),
            ("2001:db8::1", 8443, "by 6"),
            ("2001:db8:0::1", 8443, "by 6"),
            ("2001:db8::1", 443, "not"),
            ("2001:db8::2", 443, "by 7"),
            ("", 443, "not"),
        ];
        for (host, port, expected) in rows {
            let line = |listed: &Listed| listed.place.rsplit(':').next().unwrap().to_owned();
            let said = match hosts.decide(host, port) {
                Listing::Intercepted(by) => format!("by {}", line(by)),
                Listing::Passed(by) => format!("passed {}", line(by)),
                Listing::NotListed => "not".to_owned(),
            };
            assert_eq!(said, expected, "{host}:{port}");
        }
    }

    #[test]
    fn nothing_is_intercepted_without_hosts() {
        let hosts = HostList { hosts: Vec::new(), pass: listed(&["files.example"]) };
        assert!(!hosts.is_on());
        assert_eq!(hosts.decide("files.example", 443), Listing::NotListed);
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_cure() {
        let rows = [
            ("*", "every host"),
            ("*:8443", "every host"),
            ("", "no host"),
            ("preset:", "there is no preset ``; write one of preset:python, preset:npm"),
            ("preset:pyhton", "there is no preset `pyhton`; write one of preset:python"),
            ("Preset:python", "no host"),
            ("https://files.example/", "without https://"),
            ("files.example/path", "without https://"),
            ("files.example.", "dot at the end"),
            ("f*.example", "stands at the front alone"),
            ("*.*.example", "stands at the front alone"),
            ("*example", "stands at the front alone"),
            ("*.", "dot at the end"),
            ("b\u{fc}cher.example", "xn--"),
            ("files.example:0", "no host"),
            ("files.example:65536", "no host"),
            ("files.example:+1", "no host"),
            ("files.example:", "no host"),
            ("[::1", "no host"),
            ("[::1]x", "no host"),
            ("0.0.0.0", "no host"),
            ("::", "no host"),
            ("256.1.1.1", "no host"),
            ("10.1", "no host"),
            ("0x7f.0x1", "no host"),
            ("-a.example", "no host"),
            ("a..example", "no host"),
            ("a b.example", "no host"),
            ("user@files.example", "no host"),
        ];
        for (text, why) in rows {
            let said = HostEntry::parse(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
        let long = format!("{}.example", "a".repeat(64));
        assert!(HostEntry::parse(&long).is_err());
    }

    #[test]
    fn an_entry_is_written_in_one_spelling() {
        for (text, spelt) in [
            ("Files.EXAMPLE:443", "files.example"),
            ("*.Corp.example:8443", "*.corp.example:8443"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("my_host", "my_host"),
            ("preset:npm", "preset:npm"),
        ] {
            assert_eq!(HostEntry::parse(text).unwrap().to_string(), spelt);
        }
    }

    proptest! {
        #[test]
        fn no_text_can_panic_it_and_what_is_read_is_read_again_from_its_spelling(text in "\\PC{0,40}|[a-z0-9.*:\\[\\]-]{0,24}") {
            if let Ok(entry) = HostEntry::parse(&text) {
                prop_assert_eq!(HostEntry::parse(&entry.to_string()), Ok(entry));
            }
        }

        #[test]
        fn a_wildcard_has_every_name_below_it_and_nothing_else(
            front in "[a-z0-9]{1,5}(\\.[a-z0-9]{1,5}){0,3}", parent in "[a-z]{1,5}\\.[a-z]{1,5}", glue in "[a-z-]{0,3}",
        ) {
            let hosts = HostList { hosts: listed(&[&format!("*.{parent}")]), pass: Vec::new() };
            let is_in = |host: &str| hosts.decide(host, 443) != Listing::NotListed;
            let below = format!("{front}.{parent}");
            prop_assert!(is_in(&below));
            prop_assert!(!is_in(&parent));
            let glued = format!("{front}{glue}{parent}");
            let after = format!("{parent}.{front}x");
            let dotted = format!(".{parent}");
            prop_assert!(!is_in(&glued) || glued.ends_with(&dotted));
            prop_assert!(!is_in(&after) || after.ends_with(&dotted));
        }

        #[test]
        fn no_host_can_panic_it_and_pass_always_wins(host in "\\PC{0,40}|[a-z.]{0,12}|[0-9a-f:.]{0,20}", port in any::<u16>()) {
            let all = listed(&["preset:python", "*.a", "a.b", "10.0.0.1", "*.hf.co"]);
            let both = HostList { hosts: all.clone(), pass: all };
            prop_assert!(!matches!(both.decide(&host, port), Listing::Intercepted(_)));
        }
    }
}
