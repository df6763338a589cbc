//! However an answer gets into the store, and whenever a purge or an unsafe method comes meanwhile: once that is
//! acknowledged, nobody is answered with what was asked for before.

use crate::support::*;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Long enough that half of it is still a body on its way.
const OLD: &str = "0123456789-the-old-edition-0123456789";
const NEW: &str = "the new edition, which has another length than the old one";

/// What is there before the request that is interrupted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    /// The URL is known not to be storable.
    NoStore,
    /// Stored and stale: it has to be validated.
    Stale,
    /// Stored and stale, and may be served while it is renewed in the background.
    StaleUsable,
    /// The first ten bytes.
    Part,
}

/// A way in which an answer comes into the store.
struct Way {
    name: &'static str,
    before: Before,
    method: &'static str,
    asks: &'static str,
    status: u16,
    fields: &'static str,
}

const fn way(name: &'static str, before: Before, asks: &'static str, status: u16, fields: &'static str) -> Way {
    Way { name, before, method: "GET", asks, status, fields }
}

const KEEP: &str = "Cache-Control: max-age=600, public\r\nETag: \"1\"\r\nCache-Groups: \"news\"\r\n";
const PART: &str =
    "Cache-Control: max-age=600\r\nETag: \"1\"\r\nCache-Groups: \"news\"\r\nContent-Range: bytes 0-36/100\r\n";
const REST: &str =
    "Cache-Control: max-age=600\r\nETag: \"1\"\r\nCache-Groups: \"news\"\r\nContent-Range: bytes 10-36/37\r\n";

const WAYS: &[Way] = &[
    way("a plain GET", Before::Nothing, "", 200, KEEP),
    way("a range that is answered whole", Before::Nothing, "Range: bytes=0-9\r\n", 200, KEEP),
    way("a range", Before::Nothing, "Range: bytes=0-36\r\n", 206, PART),
    way("a condition by tag", Before::Nothing, "If-None-Match: \"0\"\r\n", 200, KEEP),
    way("a condition by date", Before::Nothing, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200, KEEP),
    way("a range with a condition", Before::Nothing, "Range: bytes=0-9\r\nIf-Range: \"0\"\r\n", 200, KEEP),
    way("credentials", Before::Nothing, "Authorization: Basic YTpi\r\n", 200, KEEP),
    way("a request that demands the origin's word", Before::Nothing, "Cache-Control: no-cache\r\n", 200, KEEP),
    way("an upgrade that the origin ignores", Before::Nothing, "Connection: upgrade\r\nUpgrade: x\r\n", 200, KEEP),
    way("a URL that was not storable", Before::NoStore, "", 200, KEEP),
    way("a URL that was not storable, by a range", Before::NoStore, "Range: bytes=0-9\r\n", 200, KEEP),
    way("another answer in place of a 304", Before::Stale, "", 200, KEEP),
    way("the same to a range", Before::Stale, "Range: bytes=0-9\r\n", 200, KEEP),
    way("a 304", Before::Stale, "", 304, KEEP),
    way("a 304 to a range", Before::Stale, "Range: bytes=0-9\r\n", 304, KEEP),
    way("a renewal in the background", Before::StaleUsable, "", 200, KEEP),
    way("a 304 in the background", Before::StaleUsable, "", 304, KEEP),
    way("the rest of a part", Before::Part, "", 206, REST),
    Way { method: "HEAD", ..way("a HEAD", Before::Stale, "", 200, "Cache-Control: max-age=600\r\nETag: \"1\"\r\n") },
    Way {
        method: "POST",
        ..way(
            "a POST whose answer GETs may have",
            Before::Nothing,
            "",
            200,
            "Cache-Control: max-age=600\r\nContent-Location: SELF\r\nCache-Groups: \"news\"\r\n",
        )
    },
];

/// How far the origin's answer has come when something makes it invalid.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    BeforeItsHead,
    InItsBody,
}

/// What makes it invalid.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Purge,
    Put,
    /// A DELETE that asks for an upgrade, which the origin ignores.
    UpgradingDelete,
    Location,
    Group,
}

const EACH: [By; 5] = [By::Purge, By::Put, By::UpgradingDelete, By::Location, By::Group];

struct Row<'a> {
    way: &'a Way,
    when: When,
    by: By,
    path: String,
}

impl Row<'_> {
    fn name(&self) -> String {
        format!("{}, {:?}, {:?}", self.way.name, self.when, self.by)
    }

    /// Brings the URL into the state that it is to be in before.
    fn prepare(&self, origin: &Origin, cluster: &Cluster) {
        let url = origin.url(&self.path);
        let fields = match self.way.before {
            Before::Nothing => return,
            Before::NoStore => "Cache-Control: no-store\r\n",
            Before::Stale => "Cache-Control: max-age=0\r\nETag: \"1\"\r\nCache-Groups: \"news\"\r\n",
            Before::StaleUsable => {
                "Cache-Control: max-age=1, stale-while-revalidate=600\r\nAge: 5\r\nETag: \"1\"\r\nCache-Groups: \"news\"\r\n"
            }
            Before::Part => {
                origin.on(&self.path, |x| {
                    let fields = format!("{}Content-Range: bytes 0-9/37\r\n", &KEEP);
                    x.reply(206, &fields, &OLD[..10])
                });
                assert_eq!(cluster.ask("GET", &url, "Range: bytes=0-9\r\n", b"").status, 206);
                return;
            }
        };
        origin.on(&self.path, move |x| x.reply(200, fields, OLD));
        assert_eq!(cluster.get(&url).text(), OLD);
    }

    /// Has the origin hold back its answer, or half of its body.
    fn hold(&self, origin: &Origin, gate: &Gate, begun: &Arc<AtomicUsize>) {
        let (gate, begun, when, status) = (gate.clone(), begun.clone(), self.when, self.way.status);
        let fields = self.way.fields.replace("SELF", &self.path);
        origin.on(&self.path, move |x| answer(x, &gate, &begun, when, status, &fields));
    }

    fn invalidate(&self, origin: &Origin, cluster: &Cluster) {
        let url = origin.url(&self.path);
        let status = match self.by {
            By::Purge => cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status,
            By::Put => cluster.ask("PUT", &url, "", b"new").status,
            By::UpgradingDelete => cluster.ask("DELETE", &url, "Connection: upgrade\r\nUpgrade: x\r\n", b"").status,
            By::Location => {
                let path = self.path.clone();
                origin.on("/other", move |x| {
                    x.whole_body()?;
                    x.reply(200, &format!("Location: {path}\r\n"), "")
                });
                cluster.ask("POST", &origin.url("/other"), "", b"x").status
            }
            By::Group => cluster.ask("POST", &origin.url("/edit"), "", b"x").status,
        };
        assert_eq!(status, 200, "{}", self.name());
    }

    /// The answer to a plain GET after all that.
    fn run(&self, origin: &Origin, cluster: &Cluster) -> String {
        let (gate, begun) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
        self.prepare(origin, cluster);
        self.hold(origin, &gate, &begun);
        let url = origin.url(&self.path);
        let mut client = cluster.connect();
        client.request(self.way.method, &url, self.way.asks, b"").unwrap();
        until_true(&self.name(), PATIENCE, || begun.load(SeqCst) > 0);
        self.invalidate(origin, cluster);
        gate.open();
        client.response(self.way.method).unwrap_or_else(|e| panic!("{}: {e}", self.name()));
        assert_eq!(begun.load(SeqCst), 1, "{}: the origin is asked once", self.name());
        until_true(&format!("{}: the fetch is over", self.name()), PATIENCE, || {
            cluster.metric("ringhold_node_fills") == 0
        });
        origin.on(&self.path, |x| x.reply(200, KEEP, NEW));
        let after = cluster.get(&url);
        assert!(cluster.get(&url).text() == after.text(), "{}", self.name());
        format!("{} ({})", after.text(), after.cache_status())
    }
}

/// Unsafe methods are answered at once; the fetch when the gate opens.
fn answer(x: &mut Exchange, gate: &Gate, begun: &AtomicUsize, when: When, status: u16, fields: &str) -> io::Result<()> {
    if matches!(x.method(), "PUT" | "DELETE") {
        x.whole_body()?;
        return x.reply(200, "", "done");
    }
    let body = if status == 206 && fields.contains("bytes 10-36") { &OLD[10..] } else { OLD };
    if when == When::BeforeItsHead {
        begun.fetch_add(1, SeqCst);
        gate.wait()?;
    }
    if status == 304 {
        return x.reply_empty(304, fields);
    }
    if x.method() == "HEAD" || when == When::BeforeItsHead {
        return x.reply(status, fields, body);
    }
    x.raw(format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n{}", body.len(), &body[..5]))?;
    begun.fetch_add(1, SeqCst);
    gate.wait()?;
    x.raw(&body[5..])
}

fn rows(whens: &[When], by: &[By]) -> Vec<Row<'static>> {
    let mut rows = Vec::new();
    for way in WAYS {
        for &when in whens {
            // There is nothing between their head and their end.
            let bodiless = way.status == 304 || way.method == "HEAD";
            for &by in by.iter().filter(|_| !(bodiless && when == When::InItsBody)) {
                rows.push(Row { way, when, by, path: format!("/row/{}", rows.len()) });
            }
        }
    }
    rows
}

fn check(setup: &Setup, rows: &[Row<'_>]) {
    let (origin, cluster) = (Origin::start(), setup.clone().unhurried().start());
    origin.on("/edit", |x| {
        x.whole_body()?;
        x.reply(200, "Cache-Group-Invalidation: \"news\"\r\n", "done")
    });
    let of_old = |row: &Row<'_>| {
        let got = row.run(&origin, &cluster);
        (!got.starts_with(NEW)).then(|| format!("{}: {got}", row.name()))
    };
    let wrong: Vec<String> = rows.iter().filter_map(of_old).collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn whatever_was_asked_before_an_acknowledged_change_is_answered_to_nobody_after_it() {
    check(&Setup::default(), &rows(&[When::BeforeItsHead, When::InItsBody], &EACH));
}

#[test]
fn nor_by_the_fronts_hot_copy() {
    let setup = Setup::default().set("hot", "memory", "8MiB");
    check(&setup, &rows(&[When::InItsBody], &[By::Purge, By::Put, By::Group]));
}

#[test]
fn without_a_change_each_of_them_is_stored_as_before() {
    let (origin, cluster) = (Origin::start(), Setup::default().unhurried().start());
    for (i, way) in WAYS.iter().enumerate().filter(|(_, way)| way.status == 200 && way.method == "GET") {
        let row = Row { way, when: When::InItsBody, by: By::Purge, path: format!("/row/{i}") };
        row.prepare(&origin, &cluster);
        let fields = way.fields;
        origin.on(&row.path, move |x| x.reply(200, fields, OLD));
        let url = origin.url(&row.path);
        assert_eq!(cluster.ask("GET", &url, way.asks, b"").status / 100, 2, "{}", way.name);
        until_true(way.name, PATIENCE, || cluster.metric("ringhold_node_fills") == 0);
        let again = cluster.get(&url);
        assert!(again.is_hit() && again.text() == OLD, "{}: {}", way.name, again.cache_status());
    }
}
