//! What is wrong with a configuration, as one line for the person at the terminal.

use super::raw::TABLES;
use super::suggest::nearest;
use std::fmt;
use std::ops::Range;

/// `FILE:LINE: what is wrong; the cure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

/// Something wrong at a place in the text.
pub struct Flaw {
    pub span: Range<usize>,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    pub(super) fn at(source: &str, text: &str, flaw: Flaw) -> ConfigError {
        let line = line_of(text.as_bytes(), flaw.span.start);
        ConfigError(format!("{source}:{line}: {}", one_line(&flaw.message)))
    }

    pub(super) fn option(name: &str, message: String) -> ConfigError {
        ConfigError(format!("{name}: {message}"))
    }

    /// `by`: what has named the file, and so what is to be changed.
    pub(super) fn unreadable(source: &str, cause: &std::io::Error, by: &str) -> ConfigError {
        ConfigError(format!("{source}: cannot be read ({cause}); name a configuration file with {by}"))
    }

    pub(super) fn not_text(source: &str, bytes: &[u8], valid: usize) -> ConfigError {
        ConfigError(format!("{source}:{}: not UTF-8; save the file as UTF-8 text", line_of(bytes, valid)))
    }

    pub(super) fn from_toml(source: &str, text: &str, mut error: toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        let message = match error.message() {
            "duplicate key" => format!("a second `{}`; keep one of them", text.get(span.clone()).unwrap_or_default()),
            message => reworded(message),
        };
        let wrong_brackets = error.message().split_once(", expected ");
        let wrong_brackets = wrong_brackets.map(|(found, wanted)| (found.to_owned(), wanted.to_owned()));
        error.set_input(None);
        // Without its input, the only other thing that the error shows is the key that it was found under.
        let shown = error.to_string();
        let key = shown.lines().rev().find_map(|l| l.strip_prefix("in `")?.strip_suffix('`'));
        let message = wrong_brackets.and_then(|(found, wanted)| brackets(&found, &wanted, key)).unwrap_or(message);
        let message = match key {
            Some(key) if !message.starts_with("unknown key") => format!("{key}: {message}"),
            _ => message,
        };
        ConfigError::at(source, text, Flaw { span, message })
    }
}

/// Says what serde says in the words of a person who writes a file.
fn reworded(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown(rest, "unknown key", "known here");
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown(rest, "unknown value", "write one of");
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("{rest} is missing; add it");
    }
    if message.starts_with("string values must be quoted") {
        return "a value is missing, or a text without quotes; write for example \"text\", 5 or true".to_owned();
    }
    match message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
        Some((found, wanted)) => format!("{found} is not {}", plain(wanted)),
        None => message.to_owned(),
    }
}

/// Where a table was written in the wrong number of brackets.
fn brackets(found: &str, wanted: &str, key: Option<&str>) -> Option<String> {
    match (found, key?) {
        ("invalid type: map", "nodes") if wanted == "a sequence" => {
            Some("one table is not a list of nodes; write [[nodes]] in double brackets, once for each node".to_owned())
        }
        // A list in a table's place is read as the values of its keys.
        ("invalid type: map", key) if TABLES.iter().any(|(table, _)| *table == key) => {
            Some(format!("there is one such table; write [{key}] in single brackets"))
        }
        _ => None,
    }
}

/// The tables that have this key.
fn homes(word: &str) -> Option<String> {
    let homes = TABLES.iter().filter(|(_, keys)| keys.contains(&word));
    let homes: Vec<String> = homes.map(|(table, _)| format!("[{table}]")).collect();
    (!homes.is_empty()).then(|| homes.join(" and of "))
}

/// `rest`: the word between backticks, then all known ones in the same manner.
fn unknown(rest: &str, what: &str, known_are: &str) -> String {
    let mut words = rest.split('`').skip(1).step_by(2);
    let word = words.next().unwrap_or_default();
    let known: Vec<&str> = words.collect();
    let homes = if what == "unknown key" { homes(word) } else { None };
    match nearest(word, &known) {
        _ if homes.is_some() => {
            format!("{what} `{word}`; it is a key of {}: write it below that line", homes.unwrap_or_default())
        }
        Some(meant) => format!("{what} `{word}`, did you mean `{meant}`?"),
        None if known.is_empty() => format!("{what} `{word}`; remove it"),
        None => format!("{what} `{word}`; {known_are}: `{}`", known.join("`, `")),
    }
}

fn plain(wanted: &str) -> &str {
    match wanted {
        "a sequence" => "a list; write [...]",
        "a string" => "text; write it in double quotes",
        "a boolean" => "a yes or no; write true or false",
        "f64" => "a number",
        _ if wanted.starts_with("struct ") => "a table; write it as [name] with its keys below",
        other => other,
    }
}

fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.trim().chars() {
        match c {
            '\n' => line.push_str("; "),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// `FILE:LINE`; the file alone for what is written nowhere.
pub fn place(source: &str, text: &str, span: Range<usize>) -> String {
    match span.is_empty() {
        true => source.to_owned(),
        false => format!("{source}:{}", line_of(text.as_bytes(), span.start)),
    }
}

fn line_of(text: &[u8], at: usize) -> usize {
    1 + text[..at.min(text.len())].iter().filter(|b| **b == b'\n').count()
}
