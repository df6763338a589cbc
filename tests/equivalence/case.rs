//! What a row of the table is made of.

use crate::support::Exchange;
use std::io;

/// What the origin does when it is asked for the n-th time (from 0) in a cell. The request's body has been read.
pub type Script = fn(&mut Exchange, usize) -> io::Result<()>;

/// A row: what clients ask, one after the other, what the origin answers, and what has to come of it in the first column.
pub struct Case {
    pub name: &'static str,
    pub asks: Vec<Ask>,
    pub origin: Script,
    pub expect: Vec<Expect>,
    /// All requests in one write (RFC 9112 section 9.3.2).
    pub pipelined: bool,
    /// The origin answers before it has read the body.
    pub early: bool,
    /// So many questions come to the origin after the clients have their answers.
    pub background: usize,
    /// Requests that were refused before they were any: neither counted nor logged.
    pub uncounted: usize,
    /// The origin does not say how long its answer is, or does not send all of it.
    pub open_ended: bool,
    /// What the node straight cannot be asked, and why.
    pub front_only: Option<&'static str>,
    /// What HTTP/1.0 cannot say, and why.
    pub new_only: Option<&'static str>,
    /// What HTTP/2 cannot say, and why.
    pub text_only: Option<&'static str>,
    /// What is never written to a disk, and why.
    pub memory_only: Option<&'static str>,
    /// What comes of it inside TLS, where that is something else on purpose.
    pub inside: Option<Inside>,
}

/// Inside TLS these hold in the first column that is there, and all others there are compared with that.
pub struct Inside {
    pub why: &'static str,
    pub expect: Vec<Expect>,
}

/// A request. Texts may have `{url}` (which is the cell's alone; inside TLS its path, as servers are asked), `{scheme}`, `{host}`,
/// `{path}` and `{v}` (the version).
#[derive(Clone)]
pub struct Ask {
    pub method: &'static str,
    pub line: &'static str,
    pub fields: &'static str,
    pub content: Content,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Content {
    None,
    Sized(&'static str),
    /// Chunks and trailers.
    Chunked(&'static [&'static str], &'static str),
    /// Sent when the server has said 100.
    Awaited(&'static str),
}

/// Holds in the first column; rounds count from 1.
#[derive(Debug)]
pub enum Expect {
    /// Of all rounds; 0 where the connection ended without.
    Status(&'static [u16]),
    /// Of all rounds.
    Body(&'static [&'static str]),
    /// How often the origin was asked by the end of each round.
    Asked(&'static [usize]),
    /// The answer of this round has this line, `name: value`.
    Has(usize, &'static str),
    HasNot(usize, &'static str),
    /// Every question to the origin has this line.
    Sent(&'static str),
    SentNot(&'static str),
    /// Statuses of the interim answers of this round.
    Interim(usize, &'static [u16]),
    /// How the round ended.
    Ends(usize, End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection stays.
    Kept,
    Closed,
    /// The message was cut off.
    Cut,
    /// The connection ended before a head.
    Unanswered,
}

pub fn case(name: &'static str, asks: Vec<Ask>, origin: Script, expect: Vec<Expect>) -> Case {
    Case {
        name,
        asks,
        origin,
        expect,
        pipelined: false,
        early: false,
        background: 0,
        uncounted: 0,
        open_ended: false,
        front_only: None,
        new_only: None,
        text_only: None,
        memory_only: None,
        inside: None,
    }
}

/// The request as often as it takes until a hot copy answers: a miss, two hits, and one more.
pub fn four(ask: Ask) -> Vec<Ask> {
    vec![ask; 4]
}

pub fn get(fields: &'static str) -> Ask {
    ask("GET", fields)
}

pub fn ask(method: &'static str, fields: &'static str) -> Ask {
    Ask { method, line: "{url} HTTP/{v}\r\nHost: {host}\r\n", fields, content: Content::None }
}

impl Ask {
    pub fn content(self, content: Content) -> Ask {
        Ask { content, ..self }
    }

    /// All after the method and its space, up to the fields.
    pub fn line(self, line: &'static str) -> Ask {
        Ask { line, ..self }
    }
}

impl Case {
    pub fn front_only(self, why: &'static str) -> Case {
        Case { front_only: Some(why), ..self }
    }

    pub fn new_only(self, why: &'static str) -> Case {
        Case { new_only: Some(why), ..self }
    }

    pub fn text_only(self, why: &'static str) -> Case {
        Case { text_only: Some(why), ..self }
    }

    pub fn memory_only(self, why: &'static str) -> Case {
        Case { memory_only: Some(why), ..self }
    }

    pub fn inside(self, why: &'static str, expect: Vec<Expect>) -> Case {
        Case { inside: Some(Inside { why, expect }), ..self }
    }

    pub fn open_ended(self) -> Case {
        Case { open_ended: true, ..self }
    }

    pub fn pipelined(self) -> Case {
        Case { pipelined: true, ..self }
    }

    pub fn early(self) -> Case {
        Case { early: true, ..self }
    }

    pub fn background(self, background: usize) -> Case {
        Case { background, ..self }
    }

    pub fn uncounted(self, uncounted: usize) -> Case {
        Case { uncounted, ..self }
    }
}
