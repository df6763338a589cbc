//! What becomes of a tunnel to a host, by the list and the authority, in a sentence for people.

use super::leaf::Leaves;
use super::passed::Passed;
use crate::wire::authority::without_root;
use crate::wire::date::Timestamp;
use crate::wire::https::{HostList, Listing};

/// Whether it is intercepted, and why or why not.
pub struct TunnelSaid {
    pub intercepted: bool,
    /// As the log has it, where it is listed.
    pub passed: Option<Passed>,
    pub why: String,
}

/// See [`TunnelSaid`]. A client that has refused our certificate is passed on all the same.
pub fn said(list: &HostList, leaves: Option<&Leaves>, host: &str, port: u16, now: Timestamp) -> TunnelSaid {
    let host = without_root(host);
    let not = |passed, why| TunnelSaid { intercepted: false, passed, why };
    let line = match list.decide(host, port) {
        Listing::NotListed if !list.is_on() => return not(None, "[https] hosts names no host".to_owned()),
        Listing::NotListed => return not(None, "no line of [https] hosts has its host and port".to_owned()),
        Listing::Passed(line) => return not(Some(Passed::Listed), format!("[https] pass has {line}")),
        Listing::Intercepted(line) => line,
    };
    match leaves.and_then(|leaves| leaves.why_not(host, now)) {
        Some(why) => not(Some(Passed::Unsigned), format!("[https] hosts has {line}, but {why}")),
        None => TunnelSaid { intercepted: true, passed: None, why: format!("[https] hosts has {line}") },
    }
}

#[cfg(test)]
mod tests {
    use super::super::ca::{CertificateAuthority, make};
    use super::*;
    use crate::wire::https::name::Name;
    use crate::wire::https::{HostEntry, Listed};

    const NOW: Timestamp = Timestamp(1_795_956_577_000);

    fn listed(entries: &[&str], key: &str) -> Vec<Listed> {
        let line = |text: &&str| Listed { entry: HostEntry::parse(text).unwrap(), place: format!("a.toml:{key}") };
        entries.iter().map(line).collect()
    }

    #[test]
    fn the_line_that_decides_is_named_or_what_is_in_its_way() {
        let list = HostList {
            hosts: listed(&["a.example", "*.b.example", "preset:nix"], "hosts"),
            pass: listed(&["x.b.example"], "pass"),
        };
        let names = [Name::parse("a.example").unwrap(), Name::parse("*.b.example").unwrap()];
        let leaves =
            Leaves::new(vec![CertificateAuthority::open(make(&names, NOW).unwrap(), "test").unwrap()]).unwrap();
        let narrow = Leaves::new(vec![CertificateAuthority::open(make(&[], NOW).unwrap(), "test").unwrap()]).unwrap();
        let of = |list: &HostList, leaves, host, port| {
            let TunnelSaid { intercepted, passed, why } = said(list, Some(leaves), host, port, NOW);
            assert!(passed.is_none() || !intercepted);
            (intercepted, why)
        };
        assert_eq!(
            of(&list, &leaves, "a.example", 443),
            (true, "[https] hosts has \"a.example\" (a.toml:hosts)".to_owned())
        );
        assert_eq!(
            of(&list, &leaves, "x.b.example", 443),
            (false, "[https] pass has \"x.b.example\" (a.toml:pass)".to_owned())
        );
        assert!(of(&list, &leaves, "cache.nixos.org", 443).0);
        assert_eq!(of(&list, &leaves, "a.example.", 443), of(&list, &leaves, "a.example", 443));
        assert_eq!(of(&list, &leaves, "x.b.example.", 443), of(&list, &leaves, "x.b.example", 443));
        for (host, port) in [("a.example", 8443), ("c.example", 443)] {
            assert_eq!(
                of(&list, &leaves, host, port),
                (false, "no line of [https] hosts has its host and port".to_owned())
            );
        }
        let (is, why) = of(&list, &narrow, "a.example", 443);
        assert!(!is && why.contains("ca init --next"), "{why}");
        assert_eq!(
            of(&HostList::default(), &leaves, "a.example", 443),
            (false, "[https] hosts names no host".to_owned())
        );
    }
}
