//! Business dates as days since 1970-01-01, with the proleptic Gregorian calendar.

use core::fmt;

/// A calendar date: days since 1970-01-01. Years 0001 to 9999 parse and print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

impl Date {
    /// "No date": before every real one.
    pub const NONE: Self = Self(i32::MIN);

    /// Days to a date, or `None` where no such day exists.
    #[must_use]
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
            return None;
        }
        Some(Self(Self::days(year, month, day)))
    }

    /// Days to a date of any year, saturating; the day exists.
    fn days(year: i32, month: u32, day: u32) -> i32 {
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years start in March.
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let month_from_march = (month as i32 + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = i64::from(era) * 146_097 + i64::from(day_of_era) - 719_468;
        i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX })
    }

    /// The last date that has its first anniversary by this one; the anniversary of 29 February is 1 March where the
    /// year has no 29th. Before the year 2 there is none: [`Date::NONE`].
    #[must_use]
    pub fn a_year_before(self) -> Self {
        let (year, month, day) = self.ymd();
        if year < 2 {
            return Self::NONE;
        }
        // A 29 February is no anniversary of a day in the year before: the last one is of the 28th.
        Self(Self::days(year - 1, month, day.min(days_in(year - 1, month))))
    }

    /// The first anniversary; of 29 February 1 March. Saturates at the far end of the range.
    #[must_use]
    pub fn a_year_after(self) -> Self {
        let (year, month, day) = self.ymd();
        let year = year.saturating_add(1);
        if day > days_in(year, month) { Self(Self::days(year, 3, 1)) } else { Self(Self::days(year, month, day)) }
    }

    /// So many days later; saturates.
    #[must_use]
    pub fn days_after(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// So many days earlier; saturates at [`Date::NONE`].
    #[must_use]
    pub fn days_before(self, days: i32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// Year, month and day.
    #[must_use]
    pub fn ymd(self) -> (i32, u32, u32) {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
        let year = (year_of_era + era * 400) as i32 + i32::from(month <= 2);
        (year, month, day)
    }

    /// Parses `YYYY-MM-DD`, exactly ten characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
            return None;
        }
        let number = |range: core::ops::Range<usize>| -> Option<u32> {
            b[range].iter().try_fold(0u32, |n, &c| c.is_ascii_digit().then(|| n * 10 + u32::from(c - b'0')))
        };
        Self::from_ymd(number(0..4)? as i32, number(5..7)?, number(8..10)?)
    }

    /// The last nanosecond of the date, UTC; saturates outside the years 1677 to 2262.
    #[must_use]
    pub fn end_ns(self) -> i64 {
        (i64::from(self.0) + 1).saturating_mul(NS_PER_DAY).saturating_sub(1)
    }

    /// The date on which a UTC time stamp falls.
    #[must_use]
    pub fn of_ns(ns: i64) -> Self {
        Self(ns.div_euclid(NS_PER_DAY) as i32)
    }
}

/// Nanoseconds in a day without leap seconds, as UTC time stamps count.
pub const NS_PER_DAY: i64 = 86_400_000_000_000;

fn days_in(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn days_and_back() {
        for (text, days) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("2020-03-05", 18_326), ("1969-12-31", -1)] {
            let date = Date::parse(text).expect(text);
            assert_eq!(date.0, days);
            assert_eq!(date.to_string(), text);
        }
        for days in (-700_000..2_900_000).step_by(97) {
            let (y, m, d) = Date(days).ymd();
            assert_eq!(Date::from_ymd(y, m, d), Some(Date(days)));
        }
    }

    /// Against the definition: the anniversary of every day of nine years, by the calendar.
    #[test]
    fn a_year_before_is_the_last_day_with_an_anniversary() {
        let anniversary = |of: Date| {
            let (year, month, day) = of.ymd();
            Date::from_ymd(year + 1, month, day).or_else(|| Date::from_ymd(year + 1, 3, 1)).expect("a day")
        };
        let first = Date::parse("2095-01-01").expect("a date");
        for days in first.0..first.0 + 9 * 366 {
            let date = Date(days);
            let wanted = (days - 370..days).map(Date).filter(|of| anniversary(*of) <= date).max();
            assert_eq!(Some(date.a_year_before()), wanted, "{date}");
            assert_eq!(date.a_year_after(), anniversary(date), "{date}");
        }
        assert_eq!(Date::parse("0001-12-31").map(Date::a_year_before), Some(Date::NONE));
        assert_eq!(Date::NONE.a_year_before(), Date::NONE);
        assert!(Date(i32::MAX).a_year_before() < Date(i32::MAX - 360));
    }

    #[test]
    fn no_such_day() {
        for text in ["2021-02-29", "2020-13-01", "2020-00-10", "2020-1-1", "20200101", "2020-04-31", "0000-01-01", ""] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }
}
