//! What has to be seen whatever the columns agree on, so that a rule that is missing everywhere is missed.

use super::case::Expect;
use super::play::{Cell, Round};
use crate::support::head::{all, latin1};

/// What of a case's expectations does not hold.
pub fn wrong(expect: &[Expect], cell: &Cell) -> Vec<String> {
    let wrong = expect.iter().filter(|expect| !holds(expect, cell));
    wrong.map(|expect| format!("expected {expect:?}, seen:\n      {}", cell.lines.join("\n      "))).collect()
}

fn holds(expect: &Expect, cell: &Cell) -> bool {
    let rounds = &cell.rounds;
    let each = |is: &dyn Fn(&Round, usize) -> bool, n: usize| {
        n == rounds.len() && rounds.iter().enumerate().all(|(i, r)| is(r, i))
    };
    let round = |n: usize| &rounds[n - 1];
    let has = |n: usize, line: &str| {
        let (name, value) = line.split_once(": ").expect("name: value");
        all(&round(n).fields, name).iter().any(|v| v == value)
    };
    let sent = |line: &str| {
        let (name, value) = line.split_once(": ").expect("name: value");
        let name = name.to_lowercase();
        questions(cell).all(|question| question.iter().any(|(n, v)| *n == name && v == value))
    };
    match expect {
        Expect::Status(all) => each(&|r, i| r.status == all[i], all.len()),
        Expect::Body(all) => each(&|r, i| latin1(&r.body) == all[i], all.len()),
        Expect::Asked(all) => each(&|r, i| r.asked == all[i], all.len()),
        Expect::Has(n, line) => has(*n, line),
        Expect::HasNot(n, name) => all(&round(*n).fields, name).is_empty(),
        Expect::Sent(line) => questions(cell).count() > 0 && sent(line),
        Expect::SentNot(name) => {
            let name = name.to_lowercase();
            questions(cell).count() > 0 && questions(cell).all(|question| question.iter().all(|(n, _)| *n != name))
        }
        Expect::Interim(n, all) => round(*n).interim == *all,
        Expect::Ends(n, end) => round(*n).end == Some(*end),
    }
}

/// The fields of each question to the origin.
fn questions(cell: &Cell) -> impl Iterator<Item = Vec<(String, String)>> {
    let of = |n: usize| {
        let start = format!("question {n} field ");
        let fields = cell.lines.iter().filter_map(|line| line.strip_prefix(&start)?.split_once(": "));
        fields.map(|(n, v)| (n.split(" (line").next().unwrap_or(n).to_owned(), v.to_owned())).collect::<Vec<_>>()
    };
    (1..).map(of).take_while(|fields| !fields.is_empty())
}
