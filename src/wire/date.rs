//! HTTP dates (RFC 9110 section 5.6.7) and the time that the pure modules are handed.

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

/// Parses any of the three formats; `now` settles two-digit years. `None` for everything else.
pub fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let _ = (value, now);
    todo!()
}

/// IMF-fixdate, for example `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn format(time: Timestamp) -> [u8; 29] {
    let _ = time;
    todo!()
}
