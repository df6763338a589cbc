//! Who asks in a cell, by the version of HTTP that its column has.

use super::case::Ask;
use super::column::{Column, Version};
use super::place::Running;
use super::play::Round;
use super::seen::Line;
use super::text;
use super::two;
use crate::support::{Connection, Http2};

pub enum Client {
    Text {
        connection: Connection,
        /// All its requests were.
        sent: bool,
    },
    Two(Http2),
}

impl Client {
    pub fn new(running: &mut Running, host: &str, column: Column) -> Client {
        let connection = running.connect(column, host);
        match column.version {
            Version::New | Version::Old => Client::Text { connection, sent: false },
            Version::Two => Client::Two(Http2::over(connection)),
        }
    }

    /// All in one write.
    pub fn pipelining(running: &mut Running, asks: &[Ask], (host, url): (&str, &str), column: Column) -> Client {
        let all: Vec<u8> = asks.iter().flat_map(|ask| text::encoded(ask, url, column).concat()).collect();
        let mut connection = running.connect(column, host);
        connection.send(all).expect("it takes requests");
        Client::Text { connection, sent: true }
    }

    pub fn converse(&mut self, ask: &Ask, url: &str, column: Column) -> (Round, Vec<Line>) {
        match self {
            Client::Text { connection, sent } => {
                text::converse(connection, ask, &text::encoded(ask, url, column), *sent, column)
            }
            Client::Two(http2) => two::converse(http2, ask, &Fill::of(url, column)),
        }
    }
}

/// What the names in the table's texts stand for.
pub struct Fill(Vec<(&'static str, String)>);

impl Fill {
    pub fn of(url: &str, column: Column) -> Fill {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let target = if column.is_inside() { path } else { url };
        let capitals = scheme.to_ascii_uppercase();
        let names = [
            ("{url}", target),
            ("{scheme}", scheme),
            ("{SCHEME}", &capitals),
            ("{host}", host),
            ("{path}", path),
            ("{v}", column.version.number()),
        ];
        Fill(names.map(|(name, by)| (name, by.to_owned())).into())
    }

    pub fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, by)| text.replace(name, by))
    }
}
