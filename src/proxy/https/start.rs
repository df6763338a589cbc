//! The authority as a front starts with it, and what `ringhold check` says of it.

use super::ca::{AuthorityTrouble, CertificateAuthority, make};
use super::folder::{AuthorityFolder, Which};
use super::leaf::Leaves;
use crate::clock;
use crate::config::{Config, HttpsConfig, NodePlace};
use crate::wire::date::Timestamp;
use crate::wire::https::name::Name;
use crate::wire::https::{HostEntry, HostList};

/// The cure for a name that an authority may not sign for.
const NEXT: &str = "make a second one that may with `ringhold ca init --next`, have the clients trust it, and restart";

/// What signs for hosts; `None`: no https is to be cached. It is made where there is none, unless the file names its folder:
/// then it was to be brought there, and another one would be trusted by nobody. `now` is the wall clock.
pub fn open(config: &Config, now: Timestamp) -> Result<Option<Leaves>, AuthorityTrouble> {
    let https = &config.https;
    if !https.list.is_on() {
        return Ok(None);
    }
    can_be_asked(config)?;
    let folder = AuthorityFolder::at(&https.ca);
    let mut authorities = folder.load()?;
    if authorities.is_empty() {
        is_missing(https)?;
        folder.write(Which::First, &make(&names(&https.list), now)?)?;
        authorities = folder.load()?;
        tracing::info!("a certificate authority is made: {}", folder.roots().display());
    }
    for warning in judge(&https.list, &authorities, now)? {
        tracing::warn!("{}: {warning}", https.ca.display());
    }
    if let Err(cause) = folder.publish(&authorities) {
        tracing::warn!("{}: cannot be written ({cause})", folder.roots().display());
    }
    Leaves::new(authorities).map(Some)
}

/// [`check`], now.
pub fn check_now(config: &Config) -> Result<Vec<String>, String> {
    check(config, clock::wall()).map_err(|AuthorityTrouble(what)| what)
}

/// What is worth a warning. An error is what no front would start with.
fn check(config: &Config, now: Timestamp) -> Result<Vec<String>, AuthorityTrouble> {
    let https = &config.https;
    if !https.list.is_on() {
        return Ok(Vec::new());
    }
    can_be_asked(config)?;
    let authorities = AuthorityFolder::at(&https.ca).load()?;
    if authorities.is_empty() {
        return is_missing(https).map(|()| Vec::new());
    }
    judge(&https.list, &authorities, now)
}

/// Where some node could be asked in clear alone, all https would be tunnelled for ever.
fn can_be_asked(config: &Config) -> Result<(), AuthorityTrouble> {
    if config.cluster.secret.is_some() {
        return Ok(());
    }
    let by_tcp = config.nodes.iter().find_map(|node| match &node.place {
        NodePlace::At(address) if !address.is_private() => Some(format!("node `{}` at {address}", node.id)),
        _ => None,
    });
    let by_tcp = by_tcp.or_else(|| config.zookeeper.as_ref().map(|_| "each node that ZooKeeper names".to_owned()));
    by_tcp.map_or(Ok(()), |who| {
        Err(AuthorityTrouble(format!(
            "{}: [https] hosts is set, and {who} is reached by TCP, where https is asked for inside TLS alone, which takes a \
             secret: set the same [cluster] secret here and at the nodes (openssl rand -hex 32)",
            config.source
        )))
    })
}

fn is_missing(https: &HttpsConfig) -> Result<(), AuthorityTrouble> {
    match https.ca_is_named {
        false => Ok(()),
        true => Err(AuthorityTrouble(format!(
            "{}: there is no certificate authority; copy the folder of another front there, or make one with: ringhold ca init",
            https.ca.display()
        ))),
    }
}

/// What an authority has to be permitted for this list.
pub fn names(list: &HostList) -> Vec<Name> {
    list.hosts.iter().flat_map(|line| line.entry.names()).collect()
}

/// Holds the list against what the authorities may sign for. A name that somebody has written is an error; what a preset has
/// come to name since the authority was made is tunnelled.
fn judge(
    list: &HostList,
    authorities: &[CertificateAuthority],
    now: Timestamp,
) -> Result<Vec<String>, AuthorityTrouble> {
    let mut warnings = Vec::new();
    for line in &list.hosts {
        let outside = |name: &Name| !authorities.iter().any(|authority| authority.permitted().has(name));
        let outside: Vec<String> =
            line.entry.names().iter().filter(|name| outside(name)).map(Name::to_string).collect();
        match &line.entry {
            _ if outside.is_empty() => {}
            HostEntry::Pattern(_) => {
                let text =
                    format!("[https] hosts has {line}, which the certificate authority may not sign for: {NEXT}");
                return Err(AuthorityTrouble(text));
            }
            HostEntry::Preset(_) => warnings.push(format!(
                "of {line} the certificate authority may not sign for {}, which are tunnelled: {NEXT}",
                outside.join(", ")
            )),
        }
    }
    warnings.extend(ends(authorities, now));
    Ok(warnings)
}

/// Of those that have ended or are about to.
pub fn ends(authorities: &[CertificateAuthority], now: Timestamp) -> impl Iterator<Item = String> {
    authorities.iter().filter_map(move |authority| {
        let of = format!("the certificate authority {}", authority.name());
        match authority.last_days(now) {
            _ if authority.has_ended(now) => Some(format!("{of} has ended, and signs nothing any more: {NEXT}")),
            Some(days) => Some(format!("{of} ends in {days} days: {NEXT}")),
            None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::https::Listed;

    const NOW: Timestamp = Timestamp(1_795_956_577_000);

    fn list(entries: &[&str]) -> HostList {
        let line = |text: &&str| Listed { entry: HostEntry::parse(text).unwrap(), place: "a.toml:2".to_owned() };
        HostList { hosts: entries.iter().map(line).collect(), pass: Vec::new() }
    }

    fn authority(entries: &[&str], made: Timestamp) -> CertificateAuthority {
        CertificateAuthority::open(make(&names(&list(entries)), made).unwrap(), "test").unwrap()
    }

    #[test]
    fn a_name_outside_the_authority_is_an_error_that_names_line_and_cure() {
        let one = [authority(&["a.example", "*.b.example", "192.0.2.1"], NOW)];
        for within in ["a.example", "x.a.example", "*.b.example", "b.example:8443", "192.0.2.1", "preset:docker"] {
            assert_eq!(judge(&list(&[within]), &one, NOW), Ok(vec![]), "{within}");
        }
        for outside in ["c.example", "*.example", "192.0.2.2", "2001:db8::1"] {
            let AuthorityTrouble(said) = judge(&list(&["a.example", outside]), &one, NOW).unwrap_err();
            assert!(said.contains(&format!("\"{outside}\" (a.toml:2)")) && said.contains("ca init --next"), "{said}");
        }
        let two = [authority(&["a.example"], NOW), authority(&["c.example"], NOW)];
        assert_eq!(judge(&list(&["a.example", "c.example"]), &two, NOW), Ok(vec![]));
    }

    #[test]
    fn an_end_that_is_near_is_warned_of() {
        let one = [authority(&["a.example"], NOW)];
        let end = one[0].end().0;
        let said = |now: u64| judge(&list(&["a.example"]), &one, Timestamp(now)).unwrap().join("");
        assert_eq!(said(end - 31 * 86_400_000), "");
        assert!(said(end - 10 * 86_400_000 - 1).contains("ends in 10 days"));
        assert!(said(end + 1000).contains("has ended"));
    }
}
