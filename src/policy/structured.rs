//! Reading structured fields (RFC 9651 section 4.2): dictionaries, and lists of strings, strictly: anything wrong makes the whole invalid.

/// The value of a member, as far as a cache directive needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    True,
    False,
    Integer(i64),
    /// A valid value of any other type.
    Other,
}

/// So many members are to be understood at least (section 3.2); more would take time by their square.
const MOST: usize = 1024;

/// The members in order; of several with one key the last (section 4.2.2). `None`: not a valid dictionary.
pub(super) fn dictionary(text: &[u8]) -> Option<Vec<(&[u8], Value)>> {
    let mut input = Input(text);
    let mut members: Vec<(&[u8], Value)> = Vec::new();
    input.skip(b" ");
    while !input.0.is_empty() {
        let key = input.key()?;
        let value = if input.take(b'=') { input.member()? } else { Value::True };
        input.parameters()?;
        members.retain(|(other, _)| *other != key);
        if members.len() >= MOST {
            return None;
        }
        members.push((key, value));
        input.skip(b" \t");
        if input.0.is_empty() {
            break;
        }
        if !input.take(b',') {
            return None;
        }
        input.skip(b" \t");
        if input.0.is_empty() {
            return None; // a comma at the end
        }
    }
    Some(members)
}

/// The members of a list of strings (section 4.2.1), without their parameters. `None`: it is no such list.
pub(super) fn strings(text: &[u8]) -> Option<Vec<String>> {
    let mut input = Input(text);
    let mut members = Vec::new();
    input.skip(b" ");
    while !input.0.is_empty() {
        members.push(input.string()?);
        input.parameters()?;
        input.skip(b" \t");
        if input.0.is_empty() {
            break;
        }
        if !input.take(b',') {
            return None;
        }
        input.skip(b" \t");
        if input.0.is_empty() {
            return None; // a comma at the end
        }
    }
    Some(members)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn skip(&mut self, set: &[u8]) {
        while self.0.first().is_some_and(|b| set.contains(b)) {
            self.0 = &self.0[1..];
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((&first, rest)) if first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn run(&mut self, allowed: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&b| !allowed(b)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at(end);
        self.0 = rest;
        run
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let starts = |b: u8| b.is_ascii_lowercase() || b == b'*';
        self.0.first().copied().filter(|&b| starts(b))?;
        Some(self.run(|b| starts(b) || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.')))
    }

    fn member(&mut self) -> Option<Value> {
        if self.take(b'(') { self.inner_list() } else { self.item() }
    }

    fn inner_list(&mut self) -> Option<Value> {
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Value::Other);
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    fn item(&mut self) -> Option<Value> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(|_| Value::Other),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.run(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b));
                Some(Value::Other)
            }
            b'?' => match (self.next(), self.next()) {
                (_, Some(b'0')) => Some(Value::False),
                (_, Some(b'1')) => Some(Value::True),
                _ => None,
            },
            b':' => self.bytes(),
            b'@' => {
                self.next();
                matches!(self.number()?, Value::Integer(_)).then_some(Value::Other)
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    /// Integers have at most 15 digits, decimals 12 and 3 (section 4.2.4).
    fn number(&mut self) -> Option<Value> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let digits = self.run(|b| b.is_ascii_digit());
        if self.0.first() == Some(&b'.') && matches!(digits.len(), 1..=12) {
            self.next();
            let fraction = self.run(|b| b.is_ascii_digit());
            return matches!(fraction.len(), 1..=3).then_some(Value::Other);
        }
        let value = digits.iter().fold(0i64, |sum, b| sum.saturating_mul(10).saturating_add(i64::from(b - b'0')));
        matches!(digits.len(), 1..=15).then_some(Value::Integer(sign * value))
    }

    fn string(&mut self) -> Option<String> {
        if !self.take(b'"') {
            return None;
        }
        let mut text = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => text.push(self.next().filter(|b| matches!(b, b'"' | b'\\'))?.into()),
                byte @ b' '..=b'~' => text.push(byte.into()),
                _ => return None,
            }
        }
    }

    fn bytes(&mut self) -> Option<Value> {
        self.next();
        self.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        self.take(b':').then_some(Value::Other)
    }

    fn display_string(&mut self) -> Option<Value> {
        self.next();
        if !self.take(b'"') {
            return None;
        }
        let mut decoded = Vec::new();
        loop {
            match self.next()? {
                b'"' => return std::str::from_utf8(&decoded).ok().map(|_| Value::Other),
                b'%' => decoded.push(hex(self.next()?)? * 16 + hex(self.next()?)?),
                byte @ b' '..=b'~' => decoded.push(byte),
                _ => return None,
            }
        }
    }
}

/// Lower case only (section 4.2.10).
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
