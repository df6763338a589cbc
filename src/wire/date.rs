//! HTTP dates (RFC 9110 section 5.6.7) and the time that the pure modules are handed.
//!
//! What is read is decided by RFC 9111 section 4.2: names and zone in any letter case (it says SHOULD), no zone but
//! `GMT` (SHOULD, also for `UTC`), and otherwise exactly the grammar: two digits where it says two, no other
//! separators. A day name that does not fit its date is forgiven, because the date alone says which day is meant.

use super::civil::Civil;

/// Milliseconds since 1970-01-01T00:00:00Z. Arithmetic on it saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
    pub fn from_seconds(s: u64) -> Timestamp {
        Timestamp(s.saturating_mul(1000))
    }
    /// Milliseconds since `earlier`; zero when `earlier` is later.
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment by two clocks: the one that entries age by, which never steps, and the wall clock, by which dates of other
/// machines are read. They differ by what the system's clock was set by since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub at: Timestamp,
    pub wall: Timestamp,
}

impl Moment {
    /// A date that another machine wrote, on the clock that entries age by.
    pub fn aging(self, date: Timestamp) -> Timestamp {
        match self.at.0.checked_sub(self.wall.0) {
            Some(behind) => Timestamp(date.0.saturating_add(behind)),
            None => Timestamp(date.0.saturating_sub(self.wall.0.abs_diff(self.at.0))),
        }
    }
}

/// No step has happened.
impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Moment {
        Moment { at, wall: at }
    }
}

/// Parses any of the three formats; `now` settles two-digit years. `None` for everything else.
/// What lies before 1970 is read as 1970.
pub fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let mut scan = Scan(value);
    let civil = match value.get(3)? {
        b',' => scan.imf_fixdate()?,
        b' ' => scan.asctime()?,
        _ => scan.rfc850(Civil::of(now.seconds()))?,
    };
    if scan.0.is_empty() { civil.seconds().map(Timestamp::from_seconds) } else { None }
}

/// IMF-fixdate, for example `Sun, 06 Nov 1994 08:49:37 GMT`. What lies after the year 9999 is written as its end.
pub fn format(time: Timestamp) -> [u8; 29] {
    let civil = Civil::of(time.seconds());
    let mut out = *b"Ddd, 00 Mmm 0000 00:00:00 GMT";
    out[..3].copy_from_slice(&DAYS[civil.weekday()].as_bytes()[..3]);
    put(&mut out[5..7], civil.day);
    out[8..11].copy_from_slice(MONTHS[civil.month as usize].as_bytes());
    put(&mut out[12..16], civil.year);
    put(&mut out[17..19], civil.second / 3600);
    put(&mut out[20..22], civil.second / 60 % 60);
    put(&mut out[23..25], civil.second % 60);
    out
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Writes a number over as many digits as there is room for.
fn put(out: &mut [u8], mut number: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// What is left to read. Each step takes exactly what it names, or is `None`.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    fn imf_fixdate(&mut self) -> Option<Civil> {
        self.one_of(&DAYS.map(|day| &day[..3]))?;
        self.literal(", ")?;
        let day = self.number(2)?;
        self.literal(" ")?;
        let month = self.one_of(&MONTHS)?;
        self.literal(" ")?;
        let year = self.number(4)?;
        self.literal(" ")?;
        let second = self.time_of_day()?;
        self.literal(" GMT")?;
        Some(Civil { year, month, day, second })
    }

    /// `Sunday, 06-Nov-94 08:49:37 GMT`
    fn rfc850(&mut self, now: Civil) -> Option<Civil> {
        self.one_of(&DAYS)?;
        self.literal(", ")?;
        let day = self.number(2)?;
        self.literal("-")?;
        let month = self.one_of(&MONTHS)?;
        self.literal("-")?;
        let in_century = self.number(2)?;
        self.literal(" ")?;
        let second = self.time_of_day()?;
        self.literal(" GMT")?;
        Some(Civil { year: in_century, month, day, second }.in_nearest_century(now))
    }

    /// `Sun Nov  6 08:49:37 1994`
    fn asctime(&mut self) -> Option<Civil> {
        self.one_of(&DAYS.map(|day| &day[..3]))?;
        self.literal(" ")?;
        let month = self.one_of(&MONTHS)?;
        self.literal(" ")?;
        let day = if self.literal(" ").is_some() { self.number(1)? } else { self.number(2)? };
        self.literal(" ")?;
        let second = self.time_of_day()?;
        self.literal(" ")?;
        let year = self.number(4)?;
        Some(Civil { year, month, day, second })
    }

    /// `08:49:37`. A leap second is read as the one before it: the nearest that we can represent and that is not later
    /// (RFC 9111 section 4.2).
    fn time_of_day(&mut self) -> Option<u32> {
        let hour = self.number(2)?;
        self.literal(":")?;
        let minute = self.number(2)?;
        self.literal(":")?;
        let second = self.number(2)?;
        (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
    }

    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        let (found, rest) = self.0.split_at_checked(text.len())?;
        found.eq_ignore_ascii_case(text.as_bytes()).then(|| self.0 = rest)
    }

    fn one_of(&mut self, names: &[&str]) -> Option<u32> {
        names.iter().position(|name| self.literal(name).is_some()).map(|index| index as u32)
    }
}

#[cfg(test)]
#[path = "date_tests.rs"]
mod tests;
