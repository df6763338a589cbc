//! The arrows of `src/lib.rs` run one way, files do not import each other in circles, and pure modules stay pure.

#[path = "architecture/imports.rs"]
mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder or file of the crate may use those that stand lower, and itself. `main` may use everything.
const LEVELS: &[(&str, u32)] =
    &[("wire", 0), ("policy", 1), ("ring", 1), ("store", 2), ("net", 2), ("cluster", 3), ("node", 4), ("proxy", 4)];

const PURE: &[&str] = &[
    "src/wire",
    "src/policy",
    "src/ring",
    "src/cli/address.rs",
    "src/cli/args.rs",
    "src/cli/explained.rs",
    "src/cli/show.rs",
    "src/config/address.rs",
    "src/config/check.rs",
    "src/config/model.rs",
    "src/config/node.rs",
    "src/config/raw.rs",
    "src/config/scalar.rs",
    "src/config/shell.rs",
    "src/config/suggest.rs",
    "src/config/units.rs",
    "src/store/disk/admit.rs",
    "src/store/disk/bodies.rs",
    "src/store/disk/deciding.rs",
    "src/store/disk/deciding/invalid.rs",
    "src/store/disk/deciding/large.rs",
    "src/store/disk/deciding/segments.rs",
    "src/store/disk/deciding/told.rs",
    "src/store/disk/going.rs",
    "src/store/disk/index.rs",
    "src/store/disk/journal.rs",
    "src/store/disk/notes.rs",
    "src/store/disk/place.rs",
    "src/store/disk/plan.rs",
    "src/store/disk/record.rs",
    "src/store/entry.rs",
    "src/store/entry/body.rs",
    "src/store/far.rs",
    "src/store/parts.rs",
    "src/store/polled.rs",
    "src/store/shelf.rs",
    "src/store/values.rs",
    "src/net/rules.rs",
    "src/net/trust.rs",
    "src/net/web.rs",
    "src/net/serve/answer.rs",
    "src/net/serve/demands.rs",
    "src/net/serve/end.rs",
    "src/net/serve/http2/answered.rs",
    "src/net/serve/http2/fields.rs",
    "src/net/serve/http2/frames.rs",
    "src/net/serve/http2/inlet.rs",
    "src/net/serve/limits.rs",
    "src/net/serve/manners.rs",
    "src/net/serve/says.rs",
    "src/net/serve/written.rs",
    "src/cluster/health/flapping.rs",
    "src/cluster/health/missed.rs",
    "src/cluster/health/outlier.rs",
    "src/cluster/health/state.rs",
    "src/cluster/membership/members.rs",
    "src/cluster/membership/spec.rs",
    "src/cluster/membership/zk/builder.rs",
    "src/cluster/membership/zk/forget.rs",
    "src/cluster/membership/zk/gone.rs",
    "src/cluster/membership/zk/own.rs",
    "src/cluster/membership/zk/record.rs",
    "src/cluster/membership/zk/room.rs",
    "src/cluster/membership/zk/seal.rs",
    "src/cluster/views/able.rs",
    "src/cluster/views/handover.rs",
    "src/cluster/views/node.rs",
    "src/node/ask.rs",
    "src/node/barred.rs",
    "src/node/counters.rs",
    "src/node/disk_trouble.rs",
    "src/node/forgotten.rs",
    "src/node/incoming.rs",
    "src/node/peer.rs",
    "src/node/ranged.rs",
    "src/node/settled.rs",
    "src/node/strangers.rs",
    "src/proxy/access.rs",
    "src/proxy/front.rs",
    "src/proxy/https/inside.rs",
    "src/proxy/https/passed.rs",
    "src/proxy/held.rs",
    "src/proxy/outcome.rs",
    "src/proxy/own.rs",
    "src/proxy/pages.rs",
    "src/recent.rs",
    "src/proxy/route.rs",
    "src/proxy/tenure.rs",
    "src/proxy/admin/guard.rs",
    "src/proxy/admin/query.rs",
    "src/proxy/admin/route.rs",
    "src/proxy/link/encode.rs",
];

/// What has no place in a pure module, and why.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "async and sockets"),
    ("hyper", "connections"),
    ("moka", "the cache"),
    ("tracing", "logging"),
    ("println!", "output"),
    ("eprintln!", "output"),
    ("std::fs", "files"),
    ("std::io", "input and output"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("Instant", "a clock: the time is an argument"),
    ("SystemTime", "a clock: the time is an argument"),
    ("crate::clock", "a clock: the time is an argument"),
    ("TcpStream", "sockets"),
    ("TcpListener", "sockets"),
    ("UdpSocket", "sockets"),
    ("UnixStream", "sockets"),
    ("ToSocketAddrs", "name resolution"),
    ("rustix", "system calls"),
];

/// Libraries that few files name: what they do is asked of those files, or done once.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("moka", &["src/store/cache.rs"]),
    ("zookeeper_client", &["src/cluster/membership/zk/client.rs"]),
    ("hmac", &["src/wire/proof.rs"]),
    ("sha2", &["src/wire/https/content.rs", "src/wire/proof.rs", "src/wire/x509.rs"]),
    ("rcgen", &["src/net/tls/link.rs", "src/proxy/https/ca.rs", "src/proxy/https/leaf.rs"]),
    ("fastmurmur3", &["src/ring/hash.rs"]),
    ("percent_encoding", &["src/wire/percent.rs", "src/wire/target.rs"]),
    // The last one names the protocol.
    ("h2", &["src/net/serve/http2", "src/net/serve/streamed.rs", "src/wire/client_hello.rs"]),
    ("httparse", &["src/wire/answer", "src/net/serve/head.rs"]),
    ("hyper_util", &["src/cli", "src/cluster/link.rs", "src/node/upgrade.rs"]),
    ("ipnet", &["src/config", "src/net"]),
    ("toml", &["src/config"]),
    ("clap", &["src/cli/args.rs", "src/main.rs"]),
    ("tracing_subscriber", &["src/config/scalar.rs", "src/main.rs"]),
    ("memmap2", &["src/net/lasting.rs", "src/store/disk/block.rs"]),
    ("rustls", &["src/net/tls"]),
    ("socket2", &["src/net"]),
    ("libc", &["src/alloc.rs", "src/net", "src/node/run.rs", "src/store/disk/block.rs"]),
    (
        "rustix",
        &[
            "src/clock.rs",
            "src/cluster/supervision",
            "src/config",
            "src/lack.rs",
            "src/lines.rs",
            "src/main.rs",
            "src/net",
            "src/private.rs",
            "src/store/disk/files.rs",
        ],
    ),
];

struct Source {
    path: String,
    /// What its first comment says.
    about: String,
    /// Without comments and without the tests at its end.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    assert!(files.len() > 10, "the sources are where they are looked for");
    let texts: Vec<_> = files.into_iter().map(|file| (fs::read_to_string(&file).unwrap(), file)).collect();
    let tests: Vec<PathBuf> = texts.iter().flat_map(|(text, file)| test_modules(text, file)).collect();
    let kept =
        texts.iter().filter(|(_, file)| !tests.iter().any(|t| file.starts_with(t) || *file == t.with_extension("rs")));
    kept.map(|(text, file)| Source { path: within(root, file), about: about(text), code: code(text) }).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => collect(&path, into),
            false if path.extension().is_some_and(|e| e == "rs") => into.push(path),
            false => {}
        }
    }
}

fn within(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

/// The folders (or, with `.rs`, files) of the modules that a file declares for tests only.
fn test_modules(text: &str, file: &Path) -> Vec<PathBuf> {
    let own = file.file_stem().unwrap().to_str().unwrap();
    let folder =
        if ["mod", "lib", "main"].contains(&own) { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("#[cfg(test)]")).peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if !line.starts_with("#[cfg(test)]") {
            continue;
        }
        while lines.peek().is_some_and(|next| next.starts_with("#[")) {
            let attribute = lines.next().unwrap();
            let path = attribute.strip_prefix("#[path = \"").and_then(|p| p.strip_suffix(".rs\"]"));
            found.extend(path.map(|p| file.parent().unwrap().join(p)));
        }
        let name = lines
            .peek()
            .and_then(|next| next.trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';'));
        found.extend(name.map(|name| folder.join(name)));
    }
    found
}

fn about(text: &str) -> String {
    text.lines().map_while(|line| line.strip_prefix("//! ").or(line.strip_prefix("//!"))).collect::<Vec<_>>().join(" ")
}

/// A source without its comments and without the tests at its end.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
    code.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn level(module: &str) -> Option<u32> {
    LEVELS.iter().find(|(name, _)| *name == module).map(|(_, level)| *level)
}

/// The modules of the crate that a source names by `crate::…`, groups included.
fn uses(code: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let group = rest.strip_prefix('{').map(|r| r.split('}').next().unwrap_or(""));
        let names = group.map_or_else(|| vec![rest], |g| g.split(',').collect());
        found.extend(names.iter().filter_map(|n| n.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next()));
    }
    found
}

#[test]
fn arrows_run_one_way() {
    for source in sources() {
        let module = source.path["src/".len()..].split(['/', '.']).next().unwrap();
        let Some(own) = level(module) else { continue };
        for used in uses(&source.code) {
            let Some(theirs) = level(used) else { continue };
            assert!(used == module || theirs < own, "{} uses crate::{used}: the arrow runs the other way", source.path);
        }
    }
}

/// Leaves hold what several files share: then each can be read without those that use it.
#[test]
fn files_import_each_other_in_no_circle() {
    let all = sources();
    let arrows = imports::arrows(&all);
    let circles = imports::circles(&arrows);
    for circle in &circles {
        for file in circle {
            println!("{file} -> {:?}", arrows[file].intersection(circle).collect::<Vec<_>>());
        }
        println!();
    }
    assert!(circles.is_empty(), "files import each other in a circle: move what they share to a leaf");
}

#[test]
fn front_and_node_never_name_each_other() {
    for source in sources() {
        for (folder, other) in [("src/proxy", "node"), ("src/node", "proxy")] {
            let crossed = source.path.starts_with(folder) && uses(&source.code).contains(other);
            assert!(!crossed, "{} uses crate::{other}: they meet on the wire only (docs/link.md)", source.path);
        }
    }
}

#[test]
fn pure_modules_have_no_sockets_no_clock_and_no_logging() {
    let all = sources();
    let pure: Vec<_> = all.iter().filter(|s| PURE.iter().any(|p| s.path.starts_with(p))).collect();
    let lost: Vec<_> = PURE.iter().filter(|p| !all.iter().any(|s| s.path.starts_with(**p))).collect();
    assert!(lost.is_empty(), "not where they are looked for: {lost:?}");
    for source in pure {
        // A reason phrase is a value beside a head, and no connection.
        let code = source.code.replace("hyper::ext::ReasonPhrase", "");
        for (word, what) in IMPURE {
            assert!(!names(&code, word), "{} names {word} ({what}) and is to be pure", source.path);
        }
    }
}

#[test]
fn what_claims_to_be_pure_is_held_to_it() {
    for source in sources() {
        let own = source.about.starts_with("PURE").then(|| source.path.clone());
        let folder = source.path.trim_end_matches("mod.rs").trim_end_matches(".rs").trim_end_matches('/');
        let said = source.about.rsplit(" (PURE)").skip(1).filter_map(|before| before.rsplit('`').nth(1));
        let claims = said.map(|name| format!("{folder}/{name}.rs")).chain(own);
        for claim in claims {
            assert!(PURE.iter().any(|p| claim.starts_with(p)), "{claim} is said to be pure in {}", source.path);
        }
    }
}

#[test]
fn libraries_are_named_where_they_belong() {
    for source in sources() {
        for (library, places) in LIBRARIES {
            let belongs = places.iter().any(|place| source.path.starts_with(place));
            assert!(belongs || !names(&source.code, library), "{} names {library}", source.path);
        }
    }
}

#[test]
fn one_file_reads_the_clock() {
    for source in sources().iter().filter(|s| s.path != "src/clock.rs") {
        for word in ["SystemTime", "Instant::now", "clock_gettime"] {
            assert!(!names(&source.code, word), "{} reads a clock ({word}); only src/clock.rs does", source.path);
        }
    }
}

/// Whether a word occurs as a whole.
fn names(code: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (code[..at].chars().next_back(), code[at + word.len()..].chars().next());
        !inside(before) && !inside(after)
    })
}

/// Whoever reads one needs not know in which file he is.
#[test]
fn no_type_name_stands_for_two_things() {
    let mut known = BTreeMap::new();
    let mut twice = Vec::new();
    for source in sources() {
        for name in source.code.lines().filter_map(declared) {
            if let Some(before) = known.insert(name.to_owned(), source.path.clone()) {
                twice.push(format!("{name}: {before} and {}", source.path));
            }
        }
    }
    assert!(known.len() > 300, "the declarations are found: {}", known.len());
    assert_eq!(twice, [""; 0], "give one of them another name");
}

/// The type that a line declares; what belongs to a type is indented.
fn declared(line: &str) -> Option<&str> {
    let words = match line.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|c: char| c == '(' || c.is_ascii_lowercase() || c == ')').trim_start(),
        None => line,
    };
    let name = ["struct ", "enum ", "trait ", "type "].into_iter().find_map(|kind| words.strip_prefix(kind))?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}
