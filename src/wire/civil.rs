//! The calendar behind HTTP dates.
const DAY_SECONDS: u64 = 86_400;
/// 9999-12-31T23:59:59Z
pub const LAST_SECOND: u64 = 253_402_300_799;

/// A point in time as a calendar shows it; fields in order of weight, so that comparing compares times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    pub year: u32,
    /// From 0.
    pub month: u32,
    /// From 1.
    pub day: u32,
    /// Of the day.
    pub second: u32,
}

impl Civil {
    /// By the seconds since 1970.
    pub fn of(seconds: u64) -> Civil {
        let seconds = seconds.min(LAST_SECOND);
        let days = (seconds / DAY_SECONDS) as u32 + days_before_year(1970);
        // 146,097 days are 400 years: the quotient is within one of the years that have passed, so this is never too
        // early.
        let mut year = (u64::from(days) * 400 / 146_097) as u32 + 2;
        while days_before_year(year) > days {
            year -= 1;
        }
        let mut day = days - days_before_year(year);
        let mut month = 0;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        Civil { year, month, day: day + 1, second: (seconds % DAY_SECONDS) as u32 }
    }

    /// Since 1970; `None` for a day that its month does not have.
    pub fn seconds(self) -> Option<u64> {
        if self.day == 0 || self.day > days_in_month(self.year, self.month) {
            return None;
        }
        let days = self.days().checked_sub(days_before_year(1970));
        Some(days.map_or(0, |days| u64::from(days) * DAY_SECONDS + u64::from(self.second)))
    }

    /// Days since the first of January of the year 1.
    fn days(self) -> u32 {
        let months: u32 = (0..self.month).map(|month| days_in_month(self.year, month)).sum();
        days_before_year(self.year) + months + self.day - 1
    }

    /// The first of January of the year 1 was a Monday.
    pub fn weekday(self) -> usize {
        (self.days() as usize + 1) % 7
    }

    /// Gives a date whose year has two digits its century: the latest that does not make it lie more than 50 years in the
    /// future (RFC 9110 section 5.6.7).
    pub fn in_nearest_century(self, now: Civil) -> Civil {
        let limit = Civil { year: now.year + 50, ..now };
        let first = (now.year / 100 + 1) * 100 + self.year;
        let at = |year| Civil { year, ..self };
        [first, first - 100].map(at).into_iter().find(|date| *date <= limit).unwrap_or(at(first - 200))
    }
}

/// Days between the first of January of the year 1 and that of this one; the year 0 counts as the year 1, since both
/// are long before 1970.
fn days_before_year(year: u32) -> u32 {
    let past = year.saturating_sub(1);
    past * 365 + past / 4 - past / 100 + past / 400
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        1 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}
