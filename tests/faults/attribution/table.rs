//! The table of docs/link.md, Whose fault it was, which the tests read, and what is seen of one cell.

use crate::support::{Cluster, Connection, Head, Origin, PATIENCE, client, until, until_true};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "PUT"];

/// Of the table.
#[derive(Clone, Debug)]
pub struct Row {
    pub who: String,
    pub when: String,
    pub methods: Vec<String>,
    gets: Vec<String>,
    asked: usize,
    pub suspects: bool,
    ends: Vec<String>,
    error: String,
    fault: String,
    without: String,
}

pub fn rows() -> Vec<Row> {
    let text = include_str!("../../../docs/link.md");
    let section = text.split("## Whose fault it was").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    lines.skip(1).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [who, when, methods, gets, asked, suspected, ends, error, fault, without] = cells[..] else {
        panic!("ten columns: {line}")
    };
    let list = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
    Row {
        who: who.into(),
        when: when.into(),
        methods: list(methods),
        gets: list(gets),
        asked: asked.parse().unwrap_or_else(|_| panic!("a number: {line}")),
        suspects: match suspected {
            "node" => true,
            "nobody" => false,
            other => panic!("nobody knows {other}: {line}"),
        },
        ends: list(ends),
        error: error.into(),
        fault: fault.into(),
        without: without.into(),
    }
}

/// What a client got: a status, with `cut` behind it where the transfer is seen to be broken; `none`: no answer.
pub struct Got {
    pub gets: String,
    /// By `Proxy-Status`.
    pub error: Option<String>,
}

impl Got {
    pub fn nothing() -> Got {
        Got { gets: "none".into(), error: None }
    }

    pub fn of(head: &Head, whole: bool) -> Got {
        let cut = if whole { "" } else { " cut" };
        let told = head.members("proxy-status");
        let error = told.iter().flat_map(|m| m.split(';')).find_map(|part| part.trim().strip_prefix("error="));
        Got { gets: format!("{}{cut}", client::status_of(head)), error: error.map(str::to_owned) }
    }

    /// The next answer on a connection.
    pub fn next(connection: &mut Connection, method: &str) -> Got {
        let Ok((head, _)) = connection.final_head() else { return Got::nothing() };
        let whole = connection.body(method, &head, |_| {}).is_ok();
        Got::of(&head, whole)
    }
}

/// What there is to see of a cell.
#[derive(Debug)]
pub struct Seen {
    gets: String,
    asked: usize,
    suspects: bool,
    end: String,
    error: String,
    fault: String,
}

impl Seen {
    /// By who has died: there is neither a log nor a metric.
    pub fn dead(got: &Got, asked: usize) -> Seen {
        let none = || "-".to_owned();
        Seen { gets: got.gets.clone(), asked, suspects: false, end: "none".into(), error: none(), fault: none() }
    }
}

/// A front whose access log is on, and an origin, for one cell after the other.
pub struct Scene<'a> {
    pub cluster: &'a Cluster,
    pub origin: &'a Origin,
}

/// A path that no other cell has.
pub fn path() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("/cell-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Scene<'_> {
    /// A plain request.
    pub fn ask(&self, row: &Row, method: &str, path: &str) -> Seen {
        self.ask_for(row, method, &self.origin.url(path))
    }

    pub fn ask_for(&self, row: &Row, method: &str, url: &str) -> Seen {
        self.by(row, url, |connection| {
            connection.request(method, url, "", body(method)).unwrap();
            Got::next(connection, method)
        })
    }

    /// Whatever `client` does about `url`.
    pub fn by(&self, row: &Row, url: &str, client: impl FnOnce(&mut Connection) -> Got) -> Seen {
        let path = &url[url.find("://").unwrap() + 3..];
        let path = &path[path.find('/').unwrap()..];
        let (asked, before) = (self.origin.count(path), self.counted());
        let got = client(&mut self.cluster.connect());
        let line = self.log_line(url);
        let said = |name: &str| line[name].as_str().map(str::to_owned);
        let (end, fault) = (said("end").unwrap(), said("fault").unwrap_or("-".into()));
        // Without an error the log says there who made the answer.
        let error = said("source").filter(|source| !["node", "hot", "page", "tunnel", "error"].contains(&&**source));
        if let Some(told) = &got.error {
            assert_eq!(Some(told), error.as_ref(), "the head says what the log says: {line}");
        }
        let error = error.unwrap_or("-".into());
        let mut expected = before;
        if error != "-" {
            *expected.entry(format!("faults_total{{fault=\"{fault}\",error=\"{error}\"}}")).or_default() += 1;
        }
        if end != "complete" {
            *expected.entry(format!("cut_answers_total{{by=\"{fault}\"}}")).or_default() += 1;
        }
        assert_eq!(self.counted(), expected, "the metrics say what the log says: {line}");
        let suspects = self.suspects(row.suspects);
        Seen { gets: got.gets, asked: self.origin.count(path) - asked, suspects, end, error, fault }
    }

    fn suspects(&self, expected: bool) -> bool {
        let said = || {
            let said = self.cluster.said();
            said.contains("its keys go to the next owner") || said.contains("is not reachable")
        };
        if expected {
            until_true("a node is suspected", PATIENCE, said);
        }
        said()
    }

    /// Whose fault was counted how often.
    fn counted(&self) -> BTreeMap<String, u64> {
        let metrics = self.cluster.manage("GET", "/metrics", "").text();
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("ringhold_front_"));
        let of_faults =
            lines.filter(|line| line.starts_with("faults_total{") || line.starts_with("cut_answers_total{"));
        let split = of_faults.map(|line| line.rsplit_once(' ').unwrap());
        split.map(|(name, n)| (name.to_owned(), n.parse::<f64>().unwrap() as u64)).filter(|(_, n)| *n > 0).collect()
    }

    fn log_line(&self, url: &str) -> serde_json::Value {
        let wanted = format!("\"url\":\"{url}\"");
        until("the line is written", PATIENCE, || {
            let said = self.cluster.said();
            said.lines().rev().find(|line| line.contains(&wanted)).and_then(|line| serde_json::from_str(line).ok())
        })
    }
}

pub fn body(method: &str) -> &'static [u8] {
    if matches!(method, "POST" | "PUT") { b"hello" } else { b"" }
}

/// The rows of one who fails, of which none may be left out.
pub struct Walk {
    who: &'static str,
    rows: Vec<Row>,
    run: Mutex<BTreeSet<(String, String)>>,
    wrong: Mutex<Vec<String>>,
}

impl Walk {
    pub fn of(who: &'static str) -> Walk {
        let rows: Vec<Row> = rows().into_iter().filter(|row| row.who == who).collect();
        assert!(!rows.is_empty(), "{who} is in docs/link.md");
        Walk { who, rows, run: Mutex::default(), wrong: Mutex::default() }
    }

    pub fn row(&self, when: &str) -> &Row {
        self.rows.iter().find(|row| row.when == when).unwrap_or_else(|| panic!("not in docs/link.md: {when}"))
    }

    /// Walks a row.
    pub fn each(&self, when: &str, cell: impl Fn(&Row, &str) -> Seen) {
        let row = self.row(when);
        for method in &row.methods {
            match catch_unwind(AssertUnwindSafe(|| cell(row, method))) {
                Ok(seen) => self.check(row, method, &seen, ""),
                Err(_) => self.wrong.lock().unwrap().push(format!("{when}, {method}: panicked")),
            }
        }
    }

    /// What it takes cannot be had here.
    pub fn leave_out(&self, when: &str) {
        let all = self.row(when).methods.iter().map(|method| (when.to_owned(), method.clone()));
        self.run.lock().unwrap().extend(all);
    }

    /// One cell of it; `what`: the case, where there are several.
    pub fn check(&self, row: &Row, method: &str, seen: &Seen, what: &str) {
        let is_right = row.gets.contains(&seen.gets)
            && row.asked == seen.asked
            && row.suspects == seen.suspects
            && row.ends.contains(&seen.end)
            && (&row.error, &row.fault) == (&seen.error, &seen.fault);
        if !is_right {
            let wrong = format!("{}, {method} {what}: {seen:?}\ndocs/link.md: {row:?}", row.when);
            self.wrong.lock().unwrap().push(wrong);
        }
        self.run.lock().unwrap().insert((row.when.clone(), method.to_owned()));
    }

    /// All have been walked.
    pub fn done(self) {
        let all = |row: &Row| row.methods.iter().map(|method| (row.when.clone(), method.clone())).collect::<Vec<_>>();
        let all: BTreeSet<_> = self.rows.iter().flat_map(all).collect();
        let (run, wrong) = (self.run.into_inner().unwrap(), self.wrong.into_inner().unwrap());
        assert!(
            wrong.is_empty(),
            "{}: {} cells are not as docs/link.md says:\n{}",
            self.who,
            wrong.len(),
            wrong.join("\n")
        );
        assert_eq!(run, all, "of {}", self.who);
        let line = format!("attribution: {}: {} cells in {} rows\n", self.who, run.len(), self.rows.len());
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

#[test]
fn every_row_of_the_table_says_which_cells_cannot_be_and_all_others_are_counted() {
    let rows = rows();
    for row in &rows {
        assert!(row.methods.iter().all(|method| METHODS.contains(&&**method)), "{row:?}");
        assert_eq!(row.without.is_empty(), row.methods.len() == METHODS.len(), "why there are no others: {row:?}");
        assert_eq!(
            row.error == "-" && row.fault == "-",
            row.gets.concat().starts_with("200") && row.ends == ["complete"] || row.ends == ["none"],
            "{row:?}"
        );
    }
    let names: BTreeSet<_> = rows.iter().map(|row| (&row.who, &row.when)).collect();
    assert_eq!(names.len(), rows.len(), "no row is there twice");
    let who: BTreeSet<&str> = rows.iter().map(|row| &*row.who).collect();
    assert_eq!(who, ["DNS", "client", "front", "node", "origin", "peer", "us"].into(), "each is walked by a test here");
    let cells: usize = rows.iter().map(|row| row.methods.len()).sum();
    let absent = METHODS.len() * rows.len() - cells;
    let _ = writeln!(io::stderr(), "attribution: {cells} cells, {absent} that cannot be");
    assert_eq!((cells, absent), (153, 71));
}
