//! What each test of the suite came to, one line each in a committed file: a test that passed must not fail again.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One test: how it is meant, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub group: String,
    pub id: String,
    /// `required`, `optimal` or `check` (neither way is wrong, but one is decided on).
    pub kind: String,
    /// `pass`; or `fail`, `setup`, `dependency`, `error`; of a check `yes` or `no`.
    pub result: String,
    /// The package's expectation was replaced (superseded.mjs).
    pub superseded: bool,
    why: String,
}

impl Line {
    /// A line as run.mjs prints it.
    pub fn of_json(line: &str) -> Line {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let text = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("no {name}: {line}")).to_owned();
        let (kind, result) = (text("kind"), text("result"));
        let result = match (kind.as_str(), result.as_str()) {
            ("check", "pass") => "yes".to_owned(),
            ("check", "fail") => "no".to_owned(),
            _ => result,
        };
        Line {
            group: text("group"),
            id: text("id"),
            kind,
            result,
            superseded: value["superseded"] == true,
            why: text("why"),
        }
    }

    fn is_better_than(&self, recorded: &str) -> bool {
        recorded != "pass" && self.result == "pass"
    }

    /// Of a check, any change is one that somebody has to decide on.
    fn is_worse_than(&self, recorded: &str) -> bool {
        match self.kind.as_str() {
            "check" => self.result != recorded,
            _ => recorded == "pass" && self.result != "pass",
        }
    }

    fn written(&self) -> String {
        let note = if self.superseded { " (superseded)" } else { "" };
        format!("{} {} {} {}{note}", self.group, self.id, self.kind, self.result)
    }
}

/// The committed file.
pub struct Scoreboard {
    file: PathBuf,
    /// By test id.
    recorded: BTreeMap<String, Recorded>,
    /// Better than recorded is other than recorded.
    exact: bool,
}

#[derive(Clone)]
struct Recorded {
    result: String,
    superseded: bool,
    /// What it comes to inside TLS, where that is something else on purpose.
    inside: Option<String>,
}

/// Before what it comes to there, in the file.
const INSIDE: &str = "(inside TLS: ";

impl Scoreboard {
    /// Empty when there is no such file.
    pub fn read(file: &Path) -> Scoreboard {
        let text = fs::read_to_string(file).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split(' ').skip(1);
            let id = words.next()?.to_owned();
            let result = words.nth(1)?.to_owned();
            let inside = line.split_once(INSIDE).map(|(_, other)| other.trim_end_matches(')').to_owned());
            Some((id, Recorded { result, superseded: words.next() == Some("(superseded)"), inside }))
        };
        let recorded = text.lines().filter(|l| !l.starts_with('#')).filter_map(entry).collect();
        Scoreboard { file: file.to_owned(), recorded, exact: false }
    }

    /// What has to come of them inside TLS.
    pub fn inside(mut self) -> Scoreboard {
        self.recorded.values_mut().for_each(|recorded| {
            if let Some(other) = &recorded.inside {
                recorded.result = other.clone();
            }
        });
        self.exact = true;
        self
    }

    /// What is worse than recorded, is held to another expectation than recorded, fails without being recorded, or is
    /// missing.
    pub fn compare(&self, found: &[Line]) -> Vec<String> {
        let mut worse: Vec<String> = found.iter().filter_map(|line| self.complaint(line)).collect();
        let missing = self.recorded.keys().filter(|id| found.iter().all(|l| l.id != **id));
        worse.extend(missing.map(|id| format!("  {id} was not run")));
        worse
    }

    fn complaint(&self, line: &Line) -> Option<String> {
        let was = match self.recorded.get(&line.id) {
            None if line.kind == "check" || line.result == "pass" => return None,
            None => "is not recorded".to_owned(),
            Some(recorded) if recorded.superseded != line.superseded => {
                let expectation = if recorded.superseded { "superseded.mjs" } else { "the package" };
                format!("was held to the expectation of {expectation}")
            }
            Some(Recorded { result, .. }) if self.exact && line.result != *result => format!("is to be {result}"),
            Some(Recorded { result, .. }) if line.is_worse_than(result) && !recording_check(line) => {
                format!("was {result}")
            }
            Some(_) => return None,
        };
        Some(format!("  {}: {was}: {}", line.written(), line.why))
    }

    /// What is better than recorded, or new.
    pub fn news(&self, found: &[Line]) -> Vec<String> {
        let is_news = |line: &&Line| self.recorded.get(&line.id).is_none_or(|r| line.is_better_than(&r.result));
        found.iter().filter(is_news).map(|line| format!("  {}", line.written())).collect()
    }

    /// Records what was found; call only where nothing is worse.
    pub fn grow(&mut self, found: &[Line]) {
        let inside =
            |line: &Line| self.recorded.get(&line.id)?.inside.as_ref().map(|other| format!(" {INSIDE}{other})"));
        let lines: Vec<_> = found.iter().map(|line| line.written() + &inside(line).unwrap_or_default()).collect();
        let head = "# group, test, kind, result; and the result inside TLS, where that is another on purpose. Written by RINGHOLD_RECORD_SCOREBOARD=1 (tests/black_box/cache_tests.rs).";
        fs::write(&self.file, format!("{head}\n{}\n", lines.join("\n"))).expect("the scoreboard can be written");
    }
}

/// A check that is recorded anew was decided on by whoever records it.
fn recording_check(line: &Line) -> bool {
    line.kind == "check" && std::env::var_os("RINGHOLD_RECORD_SCOREBOARD").is_some_and(|v| v == "1")
}

/// Passed of all, per group and kind, and below it what does not pass.
pub fn table(name: &str, found: &[Line]) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for line in found {
        if !groups.contains(&line.group.as_str()) {
            groups.push(&line.group);
        }
    }
    let mut text = format!("{name}\n{:<20} {:>9} {:>9} {:>11}\n", "group", "required", "optimal", "check: yes");
    for group in groups {
        text.push_str(&row(group, &|l| l.group == group, found));
    }
    text.push_str(&row("all", &|_| true, found));
    for line in found.iter().filter(|l| l.kind != "check" && l.result != "pass") {
        text.push_str(&format!("  {}: {}\n", line.written(), line.why));
    }
    text
}

fn row(name: &str, of_row: &dyn Fn(&Line) -> bool, found: &[Line]) -> String {
    let cell = |kind: &str| {
        let all = found.iter().filter(|l| of_row(l) && l.kind == kind);
        let passed = all.clone().filter(|l| matches!(l.result.as_str(), "pass" | "yes")).count();
        match all.count() {
            0 => "-".to_owned(),
            all => format!("{passed}/{all}"),
        }
    };
    format!("{name:<20} {:>9} {:>9} {:>11}\n", cell("required"), cell("optimal"), cell("check"))
}

#[test]
fn a_test_that_passes_may_not_be_given_another_expectation_unnoticed_and_none_may_fail() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("board");
    fs::write(&file, "# head\ng a required pass\ng b optimal pass (superseded)\ng c check yes\ng d required fail\n")
        .unwrap();
    let board = Scoreboard::read(&file);
    let line = |id: &str, kind: &str, result: &str, superseded| Line {
        group: "g".into(),
        id: id.into(),
        kind: kind.into(),
        result: result.into(),
        superseded,
        why: String::new(),
    };
    let as_it_was = [
        line("a", "required", "pass", false),
        line("b", "optimal", "pass", true),
        line("c", "check", "yes", false),
        line("d", "required", "fail", false),
    ];
    assert_eq!(board.compare(&as_it_was), [""; 0]);
    for (n, changed, complaint) in [
        (0, line("a", "required", "fail", false), "was pass"),
        (0, line("a", "required", "pass", true), "the expectation of the package"),
        (1, line("b", "optimal", "pass", false), "the expectation of superseded.mjs"),
        (2, line("c", "check", "no", false), "was yes"),
        (0, line("e", "required", "fail", false), "is not recorded"),
        (0, line("e", "check", "no", false), "a was not run"),
    ] {
        let mut found = as_it_was.clone();
        found[n] = changed;
        let said = board.compare(&found).join("\n");
        assert!(said.contains(complaint), "{complaint}: {said}");
    }
    fs::write(&file, "g a required pass (inside TLS: fail)\ng b optimal pass\n").unwrap();
    let inside = Scoreboard::read(&file).inside();
    let as_it_is = |a: &str, b: &str| [line("a", "required", a, false), line("b", "optimal", b, false)];
    assert_eq!(inside.compare(&as_it_is("fail", "pass")), [""; 0]);
    assert!(inside.compare(&as_it_is("pass", "pass")).join("\n").contains("is to be fail"));
    assert!(inside.compare(&as_it_is("fail", "fail")).join("\n").contains("is to be pass"));
    let mut recorded = Scoreboard::read(&file);
    recorded.grow(&as_it_is("pass", "pass"));
    assert!(fs::read_to_string(&file).unwrap().contains("g a required pass (inside TLS: fail)\n"));
    let mut better = as_it_was.clone();
    better[3] = line("d", "required", "pass", false);
    assert_eq!((board.compare(&better).len(), board.news(&better).len()), (0, 1));
}
