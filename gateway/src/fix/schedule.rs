//! When a session may be logged on, and when its numbers begin anew: a window of each day, or of each week, in a time zone.
//!
//! As both sides of a FIX session have it: within one window numbers go on over connections and crashes; in the next one both directions begin
//! at 1, without ResetSeqNumFlag, for each side knows the schedule.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// What a schedule looks like, in the words of messages and documentation.
pub const FORM: &str = "must be a window and a time zone such as \"08:00-17:30 Europe/Zurich\", \
                        \"Sun 17:00-Fri 16:00 America/New_York\" or \"00:00-00:00 UTC\"";

/// A window that comes again each day, or each week.
#[derive(Clone, Debug)]
pub struct Schedule {
    start: Edge,
    end: Edge,
    zone: TimeZone,
    text: String,
}

/// A time of a day, or of a day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    day: Option<Weekday>,
    time: Time,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Schedule {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (window, zone) = text.rsplit_once(' ')?;
            let (start, end) = window.split_once('-')?;
            let (start, end) = (Edge::read(start)?, Edge::read(end)?);
            let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZone::get(zone).ok()? };
            // Both have a day, or none has.
            (start.day.is_some() == end.day.is_some()).then(|| Self { start, end, zone, text: text.to_owned() })
        };
        read().ok_or(FORM)
    }
}

impl Edge {
    fn read(text: &str) -> Option<Self> {
        let (day, time) = match text.split_once(' ') {
            Some((day, time)) => (Some(weekday(day)?), time),
            None => (None, text),
        };
        let (hour, minute) = time.split_once(':')?;
        if hour.len() != 2 || minute.len() != 2 {
            return None;
        }
        Some(Self { day, time: Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()? })
    }

    /// The first day at or after `from` on which it falls.
    fn on_or_after(self, from: Date) -> Option<Date> {
        let Some(day) = self.day else { return Some(from) };
        let ahead = i64::from(from.weekday().until(day));
        from.checked_add(ahead.days()).ok()
    }

    /// The last day at or before `from` on which it falls.
    fn on_or_before(self, from: Date) -> Option<Date> {
        let Some(day) = self.day else { return Some(from) };
        let back = i64::from(from.weekday().since(day));
        from.checked_sub(back.days()).ok()
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "Mon" => Weekday::Monday,
        "Tue" => Weekday::Tuesday,
        "Wed" => Weekday::Wednesday,
        "Thu" => Weekday::Thursday,
        "Fri" => Weekday::Friday,
        "Sat" => Weekday::Saturday,
        "Sun" => Weekday::Sunday,
        _ => return None,
    })
}

impl Schedule {
    /// The window that a time lies in, as the second since 1970 of its start; `None` between windows. A window ends where the next begins
    /// when both edges are the same.
    #[must_use]
    pub fn window_at(&self, utc_ns: i64) -> Option<i64> {
        let now = Timestamp::from_nanosecond(i128::from(utc_ns)).ok()?;
        let today = self.zone.to_datetime(now).date();
        // The last start that is not after now: of today, or of the window before.
        let mut from = today;
        loop {
            let day = self.start.on_or_before(from)?;
            let start = self.instant(day, self.start.time)?;
            if start <= now {
                return (now < self.end_after(day)?).then(|| start.as_second());
            }
            from = day.yesterday().ok()?;
        }
    }

    /// The end of the window that starts on that day.
    fn end_after(&self, start: Date) -> Option<Timestamp> {
        let is_later = match (self.start.day, self.end.day) {
            // Later in the same week, by days and then by time.
            (Some(from), Some(to)) => from != to || self.end.time > self.start.time,
            _ => self.end.time > self.start.time,
        };
        let first = if is_later { start } else { start.tomorrow().ok()? };
        self.instant(self.end.on_or_after(first)?, self.end.time)
    }

    fn instant(&self, day: Date, time: Time) -> Option<Timestamp> {
        // A time that a change of the clocks leaves out is the one after it, one that comes twice is its first.
        self.zone.to_timestamp(day.to_datetime(time)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        let stamp: Timestamp = text.parse().expect(text);
        i64::try_from(stamp.as_nanosecond()).expect(text)
    }

    #[track_caller]
    fn window(schedule: &str, now: &str) -> Option<String> {
        let schedule: Schedule = schedule.parse().expect(schedule);
        let start = schedule.window_at(at(now))?;
        Some(Timestamp::from_second(start).expect("a time").to_string())
    }

    #[test]
    fn windows_of_days_and_weeks() {
        // 2026-03-05 is a Thursday.
        for (schedule, now, start) in [
            ("08:00-17:30 UTC", "2026-03-05T07:59:59Z", None),
            ("08:00-17:30 UTC", "2026-03-05T08:00:00Z", Some("2026-03-05T08:00:00Z")),
            ("08:00-17:30 UTC", "2026-03-05T17:29:59.999Z", Some("2026-03-05T08:00:00Z")),
            ("08:00-17:30 UTC", "2026-03-05T17:30:00Z", None),
            // Over midnight.
            ("22:00-06:00 UTC", "2026-03-05T21:59:00Z", None),
            ("22:00-06:00 UTC", "2026-03-05T23:00:00Z", Some("2026-03-05T22:00:00Z")),
            ("22:00-06:00 UTC", "2026-03-06T05:00:00Z", Some("2026-03-05T22:00:00Z")),
            ("22:00-06:00 UTC", "2026-03-06T06:00:00Z", None),
            // All day: one window ends where the next begins.
            ("17:00-17:00 UTC", "2026-03-05T16:59:59Z", Some("2026-03-04T17:00:00Z")),
            ("17:00-17:00 UTC", "2026-03-05T17:00:00Z", Some("2026-03-05T17:00:00Z")),
            // A week.
            ("Sun 17:00-Fri 16:00 UTC", "2026-03-05T12:00:00Z", Some("2026-03-01T17:00:00Z")),
            ("Sun 17:00-Fri 16:00 UTC", "2026-03-06T15:59:59Z", Some("2026-03-01T17:00:00Z")),
            ("Sun 17:00-Fri 16:00 UTC", "2026-03-06T16:00:00Z", None),
            ("Sun 17:00-Fri 16:00 UTC", "2026-03-08T16:59:59Z", None),
            ("Sun 17:00-Fri 16:00 UTC", "2026-03-08T17:00:00Z", Some("2026-03-08T17:00:00Z")),
            ("Thu 09:00-Thu 17:00 UTC", "2026-03-05T12:00:00Z", Some("2026-03-05T09:00:00Z")),
            ("Thu 09:00-Thu 17:00 UTC", "2026-03-06T12:00:00Z", None),
            ("Thu 17:00-Thu 09:00 UTC", "2026-03-05T12:00:00Z", None),
            ("Thu 17:00-Thu 09:00 UTC", "2026-03-05T08:00:00Z", Some("2026-02-26T17:00:00Z")),
            ("Sat 00:00-Sat 00:00 UTC", "2026-03-05T12:00:00Z", Some("2026-02-28T00:00:00Z")),
        ] {
            assert_eq!(window(schedule, now).as_deref(), start, "{schedule} at {now}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "08:00",
            "08:00-17:00",
            "8:00-17:00 UTC",
            "08:00-24:00 UTC",
            "08:00-17:60 UTC",
            "Mon 08:00-17:00 UTC",
            "08:00-Mon 17:00 UTC",
            "Mo 08:00-Fr 17:00 UTC",
            "08:00-17:00 Nowhere/Land",
        ] {
            assert_eq!(text.parse::<Schedule>(), Err(FORM), "{text}");
        }
    }
}
