//! Whatever way a request takes, its answer is the same, and so is what the origin is asked, what is counted and what is
//! logged: a table of cases is played in every column (answered by its bytes where these are enough or the long way, HTTP/1.1 or
//! 1.0, in clear or inside the TLS of an intercepted tunnel, and there HTTP/2 as well, hot copy, recent-hit filter and access log
//! on or off, from memory or from disk, through the front or straight to a node), and each is compared with the first.
//!
//! `RINGHOLD_CELLS=text` plays only the cases that have the text in their name, and shows what was seen; `RINGHOLD_COLUMNS=text`
//! plays only the columns that have it in theirs.
#![allow(clippy::disallowed_methods)]

mod support;

#[path = "equivalence/asking.rs"]
mod asking;
#[path = "equivalence/case.rs"]
mod case;
#[path = "equivalence/column.rs"]
mod column;
#[path = "equivalence/difference.rs"]
mod difference;
#[path = "equivalence/expected.rs"]
mod expected;
#[path = "equivalence/place.rs"]
mod place;
#[path = "equivalence/play.rs"]
mod play;
#[path = "equivalence/seen.rs"]
mod seen;
#[path = "equivalence/stage.rs"]
mod stage;
#[path = "equivalence/table.rs"]
mod table;
#[path = "equivalence/text.rs"]
mod text;
#[path = "equivalence/two.rs"]
mod two;

use case::Case;
use column::{Column, Place, Way};
use difference::DIFFERENCES;
use place::Running;
use play::Cell;
use seen::Line;
use stage::Stage;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Instant;
use support::{Connection, Gate, tools};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(table::cases);

/// Not one is left out unnoticed.
const CELLS: usize = 12650;
const LACKING: usize = 966;
/// The switch for the route is in test builds alone (src/net/serve/forced.rs).
const SWITCH: bool = cfg!(any(debug_assertions, feature = "forced-route"));

#[test]
fn every_way_of_a_request_comes_to_the_same() {
    if !SWITCH {
        assert!(!tools::demanded(), "`make test` builds with the switch for the route");
        return tools::left_out("equivalence", "this build cannot force the route: --features forced-route");
    }
    let only = Only { cells: std::env::var("RINGHOLD_CELLS").ok(), columns: std::env::var("RINGHOLD_COLUMNS").ok() };
    let (begun, all) = (Instant::now(), only.is_all());
    let run = Run::new(only);
    run.first();
    thread::scope(|scope| {
        Place::all().into_iter().for_each(|place| {
            drop(scope.spawn({
                let run = &run;
                move || run.place(place)
            }))
        })
    });
    let (played, lacking) = run.cells();
    let told = format!(
        "equivalence: {played} cells ({} cases, {} columns), {lacking} cannot be, in {:.1} s\n",
        CASES.len(),
        Column::all().len(),
        begun.elapsed().as_secs_f64()
    );
    let _ = std::io::stderr().write_all(told.as_bytes());
    let failures = std::mem::take(&mut *run.failures.lock().unwrap());
    assert!(failures.is_empty(), "{} differ:\n\n{}", failures.len(), summary(&failures));
    if all {
        let idle: Vec<_> = DIFFERENCES.iter().filter(|d| d.used.load(Ordering::Relaxed) == 0).map(|d| d.why).collect();
        assert!(idle.is_empty(), "on purpose, but not so any more: {idle:#?}");
        assert_eq!((played, lacking), (CELLS, LACKING), "so many cells were played, and so many cannot be");
    }
}

#[test]
fn a_release_has_no_switch_for_the_route() {
    if !tools::demanded() {
        return tools::left_out("a_release_has_no_switch_for_the_route", "`make test` builds the release");
    }
    let program = std::fs::read(support::cluster::program()).expect("the program is there");
    let name = b"RINGHOLD_ROUTE";
    assert!(!program.windows(name.len()).any(|bytes| bytes == name));
}

/// A cell that is not as the first of its row, and how.
struct Failure {
    case: &'static str,
    column: String,
    apart: Vec<String>,
}

/// The same difference of many columns, once.
fn summary(failures: &[Failure]) -> String {
    let mut by = BTreeMap::<(&str, String), Vec<&str>>::new();
    failures.iter().for_each(|f| by.entry((f.case, f.apart.join("\n    "))).or_default().push(&f.column));
    let shown = by.into_iter().map(|((case, apart), columns)| {
        format!("{case}\n  in {} columns: {}\n    {apart}\n", columns.len(), columns.join(" | "))
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// The cells that are compared: of a case all, or of one that is another inside TLS those there and the others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    case: usize,
    is_of_inside: bool,
}

impl Row {
    fn of(column: &Column, number: usize, case: &Case) -> Row {
        Row { case: number, is_of_inside: column.is_inside() && case.inside.is_some() }
    }
}

/// What is played, where that is not all.
struct Only {
    cells: Option<String>,
    columns: Option<String>,
}

impl Only {
    fn is_all(&self) -> bool {
        self.cells.is_none() && self.columns.is_none()
    }

    fn has(&self, case: &Case) -> bool {
        self.cells.as_ref().is_none_or(|text| case.name.contains(text.as_str()))
    }

    fn columns(&self) -> Vec<(usize, Column)> {
        let wanted =
            |column: &Column| self.columns.as_ref().is_none_or(|text| column.to_string().contains(text.as_str()));
        Column::all().into_iter().enumerate().filter(|(_, column)| wanted(column)).collect()
    }
}

struct Run {
    only: Only,
    stage: Stage,
    hold: Gate,
    first: Mutex<BTreeMap<Row, Vec<Line>>>,
    /// What the first column with an access log has there.
    logged: Mutex<BTreeMap<Row, Vec<Line>>>,
    failures: Mutex<Vec<Failure>>,
}

impl Run {
    fn new(only: Only) -> Run {
        let hold = Gate::default();
        let stage = Stage::new(&CASES, hold.clone());
        Run { only, stage, hold, first: Mutex::default(), logged: Mutex::default(), failures: Mutex::default() }
    }

    fn cases(&self) -> impl Iterator<Item = (usize, &'static Case)> {
        CASES.iter().enumerate().filter(move |(_, case)| self.only.has(case))
    }

    fn cells(&self) -> (usize, usize) {
        let columns = self.only.columns();
        let all =
            self.cases().flat_map(|(_, case)| columns.iter().map(move |(_, column)| column.lacks(case).is_none()));
        let (played, lacking): (Vec<bool>, Vec<bool>) = all.partition(|is| *is);
        (played.len(), lacking.len())
    }

    /// The first column, which has to be as the table says; and the first inside TLS, where the table says something else of
    /// that.
    fn first(&self) {
        let mut columns = Column::all().into_iter().enumerate();
        self.reference(columns.next().expect("there is one"), |_| true);
        self.reference(columns.find(|(_, column)| column.is_inside()).expect("there is one"), |case| {
            case.inside.is_some()
        });
    }

    fn reference(&self, column: (usize, Column), is_of: fn(&Case) -> bool) {
        let mut running = Running::start(column.1.place, &self.stage);
        for (number, case) in self.cases().filter(|(_, case)| is_of(case)) {
            let cell = play::play(&mut running, &self.stage, (number, case), column, None);
            self.show(&cell.lines);
            let mut wrong = expected::wrong(column.1.expects(case), &cell);
            let mut first = self.first.lock().unwrap();
            let outside = first.get(&Row { case: number, is_of_inside: false }).cloned();
            if let (Some(inside), Some(outside)) = (&case.inside, outside)
                && apart(&column.1, case, cell.lines.clone(), outside).is_empty()
            {
                wrong.push(format!("as outside, though the table says that {}", inside.why));
            }
            if !wrong.is_empty() {
                let failure = Failure { case: case.name, column: format!("the table, {}", column.1), apart: wrong };
                self.failures.lock().unwrap().push(failure);
            }
            first.insert(Row::of(&column.1, number, case), cell.lines);
        }
    }

    fn show(&self, lines: &[Line]) {
        if !self.only.is_all() {
            let _ = std::io::stderr().write_all(format!("{}\n\n", lines.join("\n")).as_bytes());
        }
    }

    fn place(&self, place: Place) {
        let here = |(number, column): &(usize, Column)| *number > 0 && column.place == place;
        let columns: Vec<_> = self.only.columns().into_iter().filter(here).collect();
        if columns.is_empty() {
            return;
        }
        let mut running = Running::start(place, &self.stage);
        let (held, free): (Vec<_>, Vec<_>) = columns.into_iter().partition(|(_, column)| column.held);
        free.into_iter().for_each(|column| self.column(&mut running, column));
        if !held.is_empty() {
            // The node has something to do for this front.
            let mut other = Connection::to(running.address(Way::Front));
            other.request("GET", &self.stage.hold(), "", b"").expect("the front takes requests");
            self.stage.origin.until_asked("/hold", 1);
            held.into_iter().for_each(|column| self.column(&mut running, column));
        }
        if self.only.is_all() {
            running.check();
        }
    }

    fn column(&self, running: &mut Running, column: (usize, Column)) {
        for (number, case) in self.cases().filter(|(_, case)| column.1.lacks(case).is_none()) {
            let reference = self.first.lock().unwrap()[&Row::of(&column.1, number, case)].clone();
            let counts: Vec<Line> = reference.iter().filter(|line| line.starts_with("count ")).cloned().collect();
            let alike = |seen: &[Line]| apart(&column.1, case, seen.to_vec(), counts.clone()).is_empty();
            let cell: Cell = play::play(running, &self.stage, (number, case), column, Some(&alike));
            let mut apart = apart(&column.1, case, cell.lines, reference);
            apart.extend(self.logged(&column.1, number, case, cell.logged));
            if !apart.is_empty() {
                let failure = Failure { case: case.name, column: column.1.to_string(), apart };
                self.failures.lock().unwrap().push(failure);
            }
        }
    }

    /// How the access log differs from that of the first column that has one.
    fn logged(&self, column: &Column, number: usize, case: &Case, mut logged: Vec<Line>) -> Vec<String> {
        if !column.place.log {
            return Vec::new();
        }
        difference::level(column, case, &mut logged, &mut Vec::new());
        let row = Row::of(column, number, case);
        seen::apart(self.logged.lock().unwrap().entry(row).or_insert_with(|| logged.clone()), &logged)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.hold.open();
    }
}

fn apart(column: &Column, case: &Case, mut seen: Vec<Line>, mut reference: Vec<Line>) -> Vec<String> {
    difference::level(column, case, &mut seen, &mut reference);
    seen::apart(&reference, &seen)
}
