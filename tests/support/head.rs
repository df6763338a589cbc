//! Message heads, read as they came: order, letter case and every byte are kept.

use std::io::{self, BufRead};

/// The head of a request or response.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub line: String,
    /// Field lines in order; the value is trimmed of spaces and otherwise untouched.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Reads a head; `None` when the connection ended before its first byte.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Head>> {
        let Some(line) = read_line(from)? else { return Ok(None) };
        let fields = read_fields(from)?;
        Ok(Some(Head { line: latin1(&line), fields }))
    }

    /// All lines of a field.
    pub fn all(&self, name: &str) -> Vec<String> {
        all(&self.fields, name)
    }

    /// The first line of a field.
    pub fn get(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether some line of a list field has this member, in any letter case.
    pub fn lists(&self, name: &str, member: &str) -> bool {
        self.all(name).iter().any(|line| line.split(',').any(|m| m.trim().eq_ignore_ascii_case(member)))
    }

    /// The members of a list field over all its lines; a comma inside quotes does not split.
    pub fn members(&self, name: &str) -> Vec<String> {
        let mut quoted = false;
        let joined = self.all(name).join(",");
        let members = joined.split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        members.map(|m| m.trim().to_owned()).filter(|m| !m.is_empty()).collect()
    }

    /// The n-th word of the first line.
    pub fn word(&self, n: usize) -> &str {
        self.line.split(' ').nth(n).unwrap_or("")
    }
}

/// All lines of a field.
pub fn all(fields: &[(String, Vec<u8>)], name: &str) -> Vec<String> {
    fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| latin1(v)).collect()
}

/// Field lines up to and including the empty line.
pub fn read_fields(from: &mut impl BufRead) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(from)?.ok_or_else(cut)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|b| *b == b':').ok_or_else(|| invalid("a field line without a colon"))?;
        fields.push((latin1(&line[..colon]), line[colon + 1..].trim_ascii().to_vec()));
    }
}

/// A line without its end; `None` at a clean end of the stream.
pub fn read_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(cut());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(line))
}

/// Every byte as the character of the same number: nothing is lost.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

pub fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the message was cut off")
}

pub fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
