//! The origin of all cells, in clear and by TLS: each plays its case's script under a path of its own, and what it was asked is kept.

use super::case::Case;
use super::column::Column;
use super::seen::{self, Line};
use crate::support::exchange::Exchange;
use crate::support::framing::Trailers;
use crate::support::{Authority, Gate, Head, Origin, PATIENCE, until_true};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// Bytes of a page that is none of a cell.
pub const OTHER: usize = 210 << 10;

pub struct Stage {
    pub origin: Origin,
    /// The same with TLS, for the cells of a column each; and what its authority is known by.
    secure: BTreeMap<usize, Origin>,
    folder: TempDir,
    /// How many cases there are.
    cases: usize,
    plays: Arc<Mutex<HashMap<String, Arc<Play>>>>,
}

/// One cell at the origin.
#[derive(Default)]
pub struct Play {
    /// Its URL is only to become known to whoever notes hits.
    pub priming: AtomicBool,
    begun: AtomicUsize,
    asked: Mutex<Vec<Asked>>,
}

/// A question, when it was answered.
struct Asked {
    number: usize,
    head: Head,
    body: Vec<u8>,
    trailers: Trailers,
}

impl Stage {
    pub fn new(cases: &'static [Case], hold: Gate) -> Stage {
        let plays = Arc::new(Mutex::new(HashMap::<String, Arc<Play>>::new()));
        let (authority, folder) = (Authority::new(), TempDir::with_prefix("rh").expect("a temporary folder"));
        authority.write(&folder.path().join("roots.pem"));
        let everywhere = Ipv4Addr::UNSPECIFIED.into();
        let origin = Origin::at(everywhere);
        let inside = Column::all().into_iter().enumerate().filter(|(_, column)| column.is_inside());
        let secure = inside.map(|(column, _)| {
            let names: Vec<_> = (0..cases.len()).map(|case| ip(column, case)).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            (column, Origin::secure_at(everywhere, authority.issue(&names).server()))
        });
        let secure: BTreeMap<usize, Origin> = secure.collect();
        for origin in secure.values().chain([&origin]) {
            let found = plays.clone();
            origin.on("/*", move |x| {
                let (cell, case) = cell_of(x.target());
                let play = found.lock().unwrap().get(cell).cloned().expect("the cell is played");
                answer(x, &play, &cases[case])
            });
        }
        origin.on("/hold", move |x| {
            // For as long as the columns take that want it.
            (0..10).find(|_| hold.wait().is_ok());
            x.reply(200, "Cache-Control: no-store\r\n", "held")
        });
        // Too brief to be written to a disk.
        origin.on("/other/*", |x| x.reply(200, "Cache-Control: max-age=50\r\n", "o".repeat(OTHER)));
        Stage { origin, secure, folder, cases: cases.len(), plays }
    }

    /// Each cell has an origin of its own, so that no connection is kept for another.
    pub fn host(&self, column: usize, case: usize) -> String {
        let origin = self.secure.get(&column).unwrap_or(&self.origin);
        format!("{}:{}", ip(column, case), origin.address.port())
    }

    /// Those of all cells of a column.
    pub fn hosts(&self, column: usize) -> impl Iterator<Item = String> {
        (0..self.cases).map(move |case| self.host(column, case))
    }

    /// The file of what there is to be believed of the origin with TLS.
    pub fn roots(&self) -> String {
        self.folder.path().join("roots.pem").display().to_string()
    }

    /// What takes as long as the test.
    pub fn hold(&self) -> String {
        format!("http://127.0.0.1:{}/hold", self.origin.address.port())
    }

    /// A page that leaves memory no room for much else.
    pub fn other(&self, number: usize) -> String {
        format!("http://127.0.0.1:{}/other/{number}", self.origin.address.port())
    }

    pub fn play(&self, cell: &str) -> Arc<Play> {
        let play = Arc::new(Play::default());
        self.plays.lock().unwrap().insert(cell.to_owned(), play.clone());
        play
    }
}

fn ip(column: usize, case: usize) -> String {
    format!("127.{}.{}.1", 100 + column, 100 + case)
}

/// `COLUMN-CASE` in `/COLUMN-CASE/…`, and the number of the case.
fn cell_of(target: &str) -> (&str, usize) {
    let cell = target.trim_start_matches('/').split(['/', '?']).next().unwrap_or("");
    (cell, cell.split('-').nth(1).and_then(|case| case.parse().ok()).expect("the path of a cell"))
}

fn answer(x: &mut Exchange, play: &Play, case: &Case) -> io::Result<()> {
    if play.priming.load(Ordering::SeqCst) {
        x.hang_up();
        return x.reply(200, "Cache-Control: max-age=1000\r\nConnection: close\r\n", "primed");
    }
    let number = play.begun.fetch_add(1, Ordering::SeqCst);
    let mut asked = Asked { number, head: x.head.clone(), body: Vec::new(), trailers: Trailers::new() };
    let read = if case.early { Ok(()) } else { hear(x, &mut asked) };
    let answered = read.and_then(|()| (case.origin)(x, number));
    play.asked.lock().unwrap().push(asked);
    answered
}

fn hear(x: &mut Exchange, asked: &mut Asked) -> io::Result<()> {
    if x.head.has("expect") {
        x.raw("HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    asked.trailers = x.body(|piece| asked.body.extend_from_slice(piece))?;
    Ok(())
}

impl Play {
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// All that was asked, once all of it is answered.
    pub fn lines(&self, at_least: usize) -> Vec<Line> {
        until_true("the origin has answered", PATIENCE, || {
            self.begun() >= at_least && self.asked.lock().unwrap().len() == self.begun()
        });
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort_by_key(|asked| asked.number);
        let mut lines = Vec::new();
        for (i, Asked { head, body, trailers, .. }) in asked.iter().enumerate() {
            let at = format!("question {}", i + 1);
            lines.push(format!("{at} line {}", head.line));
            lines.extend(seen::fields(&format!("{at} field"), &head.fields));
            lines.push(format!("{at} body {}", seen::body(body)));
            lines.extend(seen::fields(&format!("{at} trailer"), trailers));
        }
        lines
    }
}
