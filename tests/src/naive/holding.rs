//! Holding periods of the naive model (rule 10), on a calendar of its own.

use super::in_force::Rules;
use super::words::Day;

/// Whether a year has a 29 February.
fn leaps(year: i32) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_of_month(year: i32, month: i32) -> i32 {
    match month {
        2 => 28 + i32::from(leaps(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date.
#[must_use]
pub fn day(year: i32, month: i32, of_month: i32) -> Day {
    // Whole years before this one, from the year 0 on, with their leap days.
    let before = year - 1;
    let years = before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    let months: i32 = (1..month).map(|month| days_of_month(year, month)).sum();
    years + months + of_month - 1 - 719_162
}

/// Year, month and day of a date: years are counted off from a guess that is early by at most two.
#[must_use]
pub fn date(days: Day) -> (i32, i32, i32) {
    let mut year = 1970 + days.div_euclid(366) - i32::from(days < 0) * 2;
    year = year.min(1970 + days.div_euclid(365));
    while day(year + 1, 1, 1) <= days {
        year += 1;
    }
    while day(year, 1, 1) > days {
        year -= 1;
    }
    let mut month = 1;
    while month < 12 && day(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - day(year, month, 1) + 1)
}

/// The last nanosecond of a date, UTC.
#[must_use]
pub fn end_of(days: Day) -> i64 {
    (i64::from(days) + 1) * 86_400_000_000_000 - 1
}

/// One year later; of 29 February, 1 March where the year has none.
fn a_year_later(days: Day) -> Day {
    let (year, month, of_month) = date(days);
    if (month, of_month) == (2, 29) && !leaps(year + 1) { day(year + 1, 3, 1) } else { day(year + 1, month, of_month) }
}

/// The first date on which a long lot is long-term.
#[must_use]
pub fn long_term_from(acquired: Day, rules: &Rules) -> Day {
    match rules.long_term_days {
        Some(days) => acquired + days + 1,
        None => a_year_later(acquired + 1),
    }
}

/// Whether a lot is long-term on a date; short lots never are.
#[must_use]
pub fn is_long_term(acquired: Day, on: Day, is_short: bool, rules: &Rules) -> bool {
    !is_short && on >= long_term_from(acquired, rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_the_calendar() {
        for (days, ymd) in [(0, (1970, 1, 1)), (-1, (1969, 12, 31)), (11_016, (2000, 2, 29)), (19_782, (2024, 2, 29))] {
            assert_eq!(date(days), ymd);
            assert_eq!(day(ymd.0, ymd.1, ymd.2), days);
        }
        let mut next = (1895, 1, 1);
        for days in day(1895, 1, 1)..day(2105, 1, 1) {
            assert_eq!(date(days), next);
            next = match next {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, last) if last == days_of_month(year, month) => (year, month + 1, 1),
                (year, month, of_month) => (year, month, of_month + 1),
            };
        }
    }

    #[test]
    fn long_term_begins_a_year_after_the_day_after() {
        let rules = Rules::DEFAULT;
        // The page's example.
        assert!(!is_long_term(day(2023, 3, 1), day(2024, 3, 1), false, &rules));
        assert!(is_long_term(day(2023, 3, 1), day(2024, 3, 2), false, &rules));
        assert!(!is_long_term(day(2023, 3, 1), day(2034, 3, 2), true, &rules), "shorts are short-term");
        // Acquired 2024-02-28: the day after is the 29th, whose anniversary is 1 March 2025.
        assert_eq!(long_term_from(day(2024, 2, 28), &rules), day(2025, 3, 1));
        assert_eq!(long_term_from(day(2024, 2, 29), &rules), day(2025, 3, 1));
        assert_eq!(long_term_from(day(2023, 2, 28), &rules), day(2024, 3, 1));
        let days = Rules { long_term_days: Some(365), ..rules };
        assert_eq!(long_term_from(day(2023, 3, 1), &days), day(2023, 3, 1) + 366);
    }
}
