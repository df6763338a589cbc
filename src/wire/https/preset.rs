//! PURE. Hosts that many people want to have cached, by the tool that fetches from them, and what RFC 9111 alone would get
//! wrong there.

use super::super::authority::{Host, without_root};
use super::content::Digest;
use super::name::{HTTPS, Name, is_below};

/// A tool's hosts, all on port 443.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    pub name: &'static str,
    /// Names, or `*.name` for all below it.
    hosts: &'static [&'static str],
    rules: &'static [Rule],
}

/// What holds for some URLs of a preset beside what the response says.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    /// Which paths, without their query.
    paths: Paths,
    keep: Keep,
}

#[derive(Debug, PartialEq, Eq)]
enum Paths {
    All,
    /// Whose last segment begins so.
    Named(&'static str),
    /// That have this inside.
    With(&'static str),
    /// That name their content by its digest.
    Addressed,
}

/// How far a response is kept. A rule only ever takes away from what the response allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// As RFC 9111 says.
    #[default]
    AsSent,
    /// Stored, and never used without asking the origin, unless the response has a lifetime in so many words: no heuristic
    /// (RFC 9111 section 4.2.2).
    Validate,
    /// What says that there is nothing (404, 410) is not stored: it is published a moment later. All else as sent.
    Found,
    /// Of a content-addressed store: only what has the digest that the path names is stored, for whoever the store itself lets have
    /// it. Each client's own URL is asked with before what is stored is used, and nothing is ever used instead.
    Addressed,
}

const NO_RULES: &[Rule] = &[];
const ADDRESSED: &[Rule] = &[Rule { paths: Paths::Addressed, keep: Keep::Addressed }];

/// All of them, in the order in which they are named to people.
pub const PRESETS: &[Preset] = &[
    Preset { name: "python", hosts: &["pypi.org", "files.pythonhosted.org"], rules: NO_RULES },
    Preset { name: "npm", hosts: &["registry.npmjs.org", "registry.yarnpkg.com"], rules: NO_RULES },
    Preset { name: "cargo", hosts: &["index.crates.io", "static.crates.io"], rules: NO_RULES },
    Preset { name: "go", hosts: &["proxy.golang.org", "sum.golang.org"], rules: NO_RULES },
    Preset { name: "debian", hosts: &["deb.debian.org", "security.debian.org"], rules: NO_RULES },
    Preset {
        name: "maven",
        hosts: &["repo1.maven.org", "repo.maven.apache.org"],
        // Neither says how long anything may be kept, and a heuristic would hide a new version for a day.
        rules: &[
            Rule { paths: Paths::Named("maven-metadata.xml"), keep: Keep::Validate },
            Rule { paths: Paths::With("-SNAPSHOT/"), keep: Keep::Validate },
        ],
    },
    Preset { name: "rubygems", hosts: &["rubygems.org", "index.rubygems.org"], rules: NO_RULES },
    Preset { name: "nix", hosts: &["cache.nixos.org"], rules: &[Rule { paths: Paths::All, keep: Keep::Found }] },
    Preset {
        name: "github",
        hosts: &[
            "github.com",
            "codeload.github.com",
            "raw.githubusercontent.com",
            "objects.githubusercontent.com",
            "release-assets.githubusercontent.com",
        ],
        rules: NO_RULES,
    },
    Preset {
        name: "docker",
        hosts: &[
            "registry-1.docker.io",
            "auth.docker.io",
            "production.cloudflare.docker.com",
            "production.cloudfront.docker.com",
            "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
            "ghcr.io",
            "pkg-containers.githubusercontent.com",
            "quay.io",
            "*.quay.io",
        ],
        rules: ADDRESSED,
    },
    Preset { name: "huggingface", hosts: &["huggingface.co", "*.huggingface.co", "*.hf.co"], rules: ADDRESSED },
    Preset { name: "conda", hosts: &["conda.anaconda.org", "repo.anaconda.com"], rules: NO_RULES },
];

/// By its name, without `preset:`.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// The list, for a message.
pub fn known() -> String {
    PRESETS.iter().map(|preset| format!("preset:{}", preset.name)).collect::<Vec<_>>().join(", ")
}

impl Preset {
    pub(super) fn has(&self, host: Host<'_>) -> bool {
        let Host::Name(host) = host else { return false };
        self.hosts.iter().any(|own| own.strip_prefix("*.").map_or(*own == host, |parent| is_below(host, parent)))
    }

    /// The table holds names only, as a test makes sure of.
    pub fn names(&self) -> impl Iterator<Item = Name> {
        self.hosts.iter().filter_map(|host| Name::parse(host))
    }
}

/// What holds for an https URL of a preset's host, whether that preset is listed or not: so every node comes to the same, from
/// the key alone. `host` in lower case, with a dot at its end or without; `path` may have a query.
pub fn keep(host: &str, port: u16, path: &str) -> Keep {
    if port != HTTPS {
        return Keep::AsSent;
    }
    let host = without_root(host);
    let path = path.split('?').next().unwrap_or("");
    let rules = PRESETS.iter().filter(|preset| preset.has(Host::Name(host))).flat_map(|preset| preset.rules);
    rules.into_iter().find(|rule| rule.paths.has(path)).map_or(Keep::AsSent, |rule| rule.keep)
}

impl Paths {
    fn has(&self, path: &str) -> bool {
        match self {
            Paths::All => true,
            Paths::Named(start) => path.rsplit('/').next().unwrap_or("").starts_with(start),
            Paths::With(inside) => path.contains(inside),
            Paths::Addressed => Digest::named(path).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_host_of_the_table_is_a_name_in_its_one_spelling_and_stands_there_once() {
        let mut seen = HashSet::new();
        for preset in PRESETS {
            assert!(!preset.hosts.is_empty(), "{}", preset.name);
            for host in preset.hosts {
                let name = Name::parse(host).unwrap_or_else(|| panic!("{host}"));
                assert!(!matches!(name, Name::Ip(_)), "{host}");
                assert_eq!(name.to_string(), *host);
                assert!(seen.insert(*host), "{host} stands there twice");
            }
            assert_eq!(preset.names().count(), preset.hosts.len());
        }
        let names: HashSet<_> = PRESETS.iter().map(|preset| preset.name).collect();
        assert_eq!(names.len(), PRESETS.len());
    }

    #[test]
    fn rules_take_away_what_a_heuristic_would_get_wrong() {
        let metadata = "/maven2/org/a/maven-metadata.xml";
        let blob = &format!("/blobs/sha256:{}?sig=a/b", "0a".repeat(32));
        let rows = [
            ("repo1.maven.org", 443, metadata, Keep::Validate),
            ("repo1.maven.org", 443, "/maven2/org/a/maven-metadata.xml.sha1", Keep::Validate),
            ("repo1.maven.org", 443, "/maven2/org/a/maven-metadata.xml?x=/1", Keep::Validate),
            ("repo.maven.apache.org", 443, metadata, Keep::Validate),
            ("repo1.maven.org", 443, "/maven2/a/1-SNAPSHOT/a-1-20260101.1.jar", Keep::Validate),
            ("repo1.maven.org", 443, "/maven2/org/a/1.0/a-1.0.jar", Keep::AsSent),
            ("repo1.maven.org", 443, "/maven2/a/1.0/a.jar?maven-metadata.xml", Keep::AsSent),
            ("repo1.maven.org", 8443, metadata, Keep::AsSent),
            ("repo1.maven.org.", 443, metadata, Keep::Validate),
            ("other.example", 443, metadata, Keep::AsSent),
            ("cache.nixos.org", 443, "/abc.narinfo", Keep::Found),
            ("production.cloudflare.docker.com", 443, blob, Keep::Addressed),
            ("pkg-containers.githubusercontent.com", 443, blob, Keep::Addressed),
            ("cdn01.quay.io", 443, blob, Keep::Addressed),
            ("cdn-lfs.huggingface.co", 443, blob, Keep::Addressed),
            ("us.aws.cdn.hf.co", 443, blob, Keep::Addressed),
            ("production.cloudflare.docker.com", 8443, blob, Keep::AsSent),
            ("production.cloudflare.docker.com", 443, "/v2/", Keep::AsSent),
            ("release-assets.githubusercontent.com", 443, blob, Keep::AsSent),
            ("other.example", 443, blob, Keep::AsSent),
            ("pypi.org", 443, "/simple/a/", Keep::AsSent),
        ];
        for (host, port, path, expected) in rows {
            assert_eq!(keep(host, port, path), expected, "{host}:{port}{path}");
        }
    }
}
