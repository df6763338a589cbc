//! Sizes and times, with their units.

use super::scalar::{Scalar, deserialize, read};
use serde::de::{Deserialize, Deserializer};
use std::time::Duration;

/// Splits `128MiB` into number and unit; a space between is allowed.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim_start()))
}

/// Bytes.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;

impl Scalar for Size {
    fn wanted() -> String {
        "a size; write for example \"128MiB\", \"64KiB\" or a number of bytes".to_owned()
    }
    fn from_text(text: &str) -> Option<Size> {
        let (number, unit) = number_and_unit(text)?;
        let bytes: u64 = match unit {
            "" | "B" => 1,
            "KiB" => KIB,
            "MiB" => MIB,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return None,
        };
        number.checked_mul(bytes).filter(|n| *n <= i64::MAX as u64).map(Size)
    }
    fn from_whole(whole: i64) -> Option<Size> {
        u64::try_from(whole).ok().map(Size)
    }
}

/// Reads a size as the file writes it: `128MiB`, `64KiB`, or a number of bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    Size::from_text(text).map(|size| size.0)
}

/// A time of at least `MIN` milliseconds and at most a year, so that adding it to a clock cannot overflow.
#[derive(Clone, Copy, Debug)]
pub struct Time<const MIN: u64>(pub Duration);

const YEAR: u64 = 365 * 24 * 3_600_000;

impl<const MIN: u64> Scalar for Time<MIN> {
    fn wanted() -> String {
        let least = if MIN > 0 { format!(", at least {MIN}ms") } else { String::new() };
        format!("a time{least}; write for example \"30s\", \"250ms\" or \"10min\"")
    }
    fn from_text(text: &str) -> Option<Time<MIN>> {
        parse_millis(text).filter(|ms| *ms >= MIN).map(|ms| Time(Duration::from_millis(ms)))
    }
}

/// Reads a time as the file writes it: `30s`, `250ms`, `10min`, `1h`, `2d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse_millis(text).map(Duration::from_millis)
}

fn parse_millis(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).filter(|ms| *ms <= YEAR)
}

deserialize!([] Size, [const MIN: u64] Time<MIN>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let rows = [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("64KiB", Some(65_536)),
            ("128 MiB", Some(134_217_728)),
            ("1GB", Some(1_000_000_000)),
            ("12XB", None),
            ("128mb", None),
            ("-1", None),
            ("MiB", None),
            ("", None),
            ("99999999999999999999", None),
            ("9999999999TiB", None),
        ];
        for (text, bytes) in rows {
            assert_eq!(Size::from_text(text).map(|s| s.0), bytes, "{text}");
        }
    }

    #[test]
    fn times_have_units_and_an_end() {
        let rows = [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("10min", Some(600_000)),
            ("1h", Some(3_600_000)),
            ("365d", Some(YEAR)),
            ("366d", None),
            ("30", None),
            ("10m", None),
            ("-1s", None),
            ("1.5s", None),
        ];
        for (text, millis) in rows {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), millis.map(u128::from), "{text}");
        }
        assert!(Time::<1>::from_text("0s").is_none());
        assert!(Time::<0>::from_text("0s").is_some());
    }
}
