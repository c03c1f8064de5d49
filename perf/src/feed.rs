//! The price feed of a load: ticks sent when they are due through a host's HTTP door, and a subscriber that sees them come out again.
//!
//! A tick counts from when it was due: until the host answered that it is durable, and until the subscriber of the host's stream of events had it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::door::DoorError;
use crate::http::{HttpTarget, mark_line};
use crate::limits;
use crate::prices::{Prices, Tick};

/// What is sent, and when.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Ticks a second over all instruments.
    pub rate: u64,
    /// Length.
    pub seconds: u64,
    /// Seed of the prices.
    pub seed: u64,
    /// Names of the instruments.
    pub instruments: Vec<String>,
    /// The day of the ticks, days from 1970-01-01.
    pub days: i32,
    /// Time of day (UTC, milliseconds) of the first one.
    pub opens_at_ms: u32,
}

/// How long something took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Took {
    /// How many were measured.
    pub count: usize,
    /// Median.
    pub p50_us: f64,
    /// 95 of a hundred took at most this.
    pub p95_us: f64,
    /// 99 of a hundred took at most this.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Took {
    fn of(mut times_ns: Vec<u64>) -> Self {
        times_ns.sort_unstable();
        let Some(last) = times_ns.len().checked_sub(1) else { return Self::default() };
        let at = |share: f64| times_ns[(last as f64 * share).round() as usize] as f64 / 1e3;
        Self { count: last + 1, p50_us: at(0.5), p95_us: at(0.95), p99_us: at(0.99), max_us: at(1.0) }
    }
}

/// What came of a feed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FeedReport {
    /// Ticks that came due.
    pub due: u64,
    /// Of them, those that were answered as durable.
    pub answered: u64,
    /// Official closes that were sent at the end, and answered.
    pub closes: u64,
    /// From due to the answer.
    pub durable: Took,
    /// From due to the subscriber.
    pub seen: Took,
    /// The first refusal in the host's own words; what was refused with it is not among the answered.
    pub refused: Option<String>,
}

impl FeedReport {
    /// One line for people.
    pub fn line(&self) -> String {
        let ms = |us: f64| us / 1e3;
        let refused = self.refused.as_ref().map_or_else(String::new, |words| format!("; refused: {words}"));
        format!(
            "prices: {} of {} ticks and {} closes taken; durable p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms from when they were due; \
             at a subscriber {} of them, p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms{refused}",
            self.answered,
            self.due,
            self.closes,
            ms(self.durable.p50_us),
            ms(self.durable.p95_us),
            ms(self.durable.p99_us),
            self.seen.count,
            ms(self.seen.p50_us),
            ms(self.seen.p95_us),
            ms(self.seen.p99_us),
        )
    }
}

/// Where the last tick of a feed is in the log; 0 while it is not known.
#[derive(Default)]
struct End {
    sequence: AtomicU64,
    is_known: AtomicBool,
}

/// How long the feed sleeps when nothing is due.
const REST: Duration = Duration::from_millis(2);
/// How long a subscriber waits for the last ticks.
const PATIENCE: Duration = Duration::from_secs(60);

impl Feed {
    /// Sends until all is sent or `stop` is set, then the official closes. Blocks; one thread more reads the host's stream meanwhile.
    ///
    /// # Errors
    /// The door is broken, or there is no stream. A price that is refused, or whose answer does not come in time, is told in the report.
    pub fn run(&self, host: &HttpTarget, stop: &AtomicBool) -> Result<FeedReport, DoorError> {
        let stream = subscribe(host)?;
        let (origin, end) = (Instant::now(), End::default());
        std::thread::scope(|scope| {
            let subscriber = scope.spawn(|| read(stream, origin, &end));
            let sent = self.send(host, origin, stop);
            let last = sent.as_ref().map_or(0, |sent| sent.ticks.last().map_or(0, |(sequence, _)| *sequence));
            // ORDERING: pairs with the subscriber's loads; the sequence is there before it is said to be known.
            end.sequence.store(last, Ordering::Relaxed);
            end.is_known.store(true, Ordering::Release);
            let arrivals = subscriber.join().expect("a subscriber ends");
            Ok(sent?.report(&arrivals?))
        })
    }

    fn send(&self, host: &HttpTarget, origin: Instant, stop: &AtomicBool) -> Result<Sent, DoorError> {
        let total = self.rate.saturating_mul(self.seconds);
        let due_ns = |n: u64| (u128::from(n) * 1_000_000_000 / u128::from(self.rate.max(1))) as u64;
        let mut prices = Prices::new(self.seed, self.instruments.len());
        let mut sent = Sent::default();
        let mut next = 0;
        loop {
            let now_ns = origin.elapsed().as_nanos() as u64;
            let due = (u128::from(now_ns) * u128::from(self.rate) / 1_000_000_000 + 1).min(u128::from(total)) as u64;
            sent.due = due;
            let upto = due.min(next + host.lines_max as u64);
            if next < upto {
                let lines: Vec<String> = (next..upto).map(|n| self.line(&prices.tick(), due_ns(n))).collect();
                let sequences = sent.answered(host.send(&lines))?;
                let answered_ns = origin.elapsed().as_nanos() as u64;
                for (n, sequence) in (next..upto).zip(sequences) {
                    sent.ticks.push((sequence, due_ns(n)));
                    sent.durable_ns.push(answered_ns.saturating_sub(due_ns(n)));
                }
                next = upto;
            }
            if next == total || stop.load(Ordering::Relaxed) {
                break;
            }
            if next == due {
                std::thread::sleep(REST);
            }
        }
        let closes: Vec<String> = prices.closes().map(|tick| self.line(&tick, 0)).collect();
        sent.closes = sent.answered(host.send(&closes))?.len() as u64;
        Ok(sent)
    }

    fn line(&self, tick: &Tick, due_ns: u64) -> String {
        let ms = u64::from(self.opens_at_ms) + due_ns / 1_000_000;
        mark_line(&self.instruments[tick.instrument], &tick.quote, self.days, ms.min(limits::MS_OF_DAY_MAX) as u32)
    }
}

/// What a feed has sent.
#[derive(Default)]
struct Sent {
    due: u64,
    closes: u64,
    /// Sequence of each tick, and when it was due.
    ticks: Vec<(u64, u64)>,
    durable_ns: Vec<u64>,
    refused: Option<String>,
}

impl Sent {
    /// What was answered; nothing of lines of which one was refused.
    fn answered(&mut self, answer: Result<Vec<u64>, DoorError>) -> Result<Vec<u64>, DoorError> {
        match answer {
            Err(DoorError::Refused(words)) => {
                self.refused.get_or_insert(words);
                Ok(Vec::new())
            }
            other => other,
        }
    }

    /// `arrivals`: sequences in their order, each with the time of its arrival.
    fn report(self, arrivals: &[(u64, u64)]) -> FeedReport {
        let seen = self.ticks.iter().filter_map(|(sequence, due_ns)| {
            let at = arrivals.binary_search_by_key(sequence, |(arrived, _)| *arrived).ok()?;
            Some(arrivals[at].1.saturating_sub(*due_ns))
        });
        let (seen, answered) = (Took::of(seen.collect()), self.ticks.len() as u64);
        FeedReport {
            due: self.due,
            answered,
            closes: self.closes,
            durable: Took::of(self.durable_ns),
            seen,
            refused: self.refused,
        }
    }
}

/// Opens the stream of all events. Blocks until its head is there, so that nothing that is sent from now on is missed.
fn subscribe(host: &HttpTarget) -> Result<Lines, DoorError> {
    let mut stream = TcpStream::connect(host.addr)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream
        .write_all(b"GET /v1/stream?topic=events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")?;
    let mut lines = Lines { stream, bytes: Vec::new(), used: 0 };
    let since = Instant::now();
    let mut head = Vec::new();
    while since.elapsed() < PATIENCE {
        match lines.next()? {
            Some(b"") => {
                let first: String = head.first().cloned().unwrap_or_default();
                let is_open = first.contains(" 200 ");
                return if is_open { Ok(lines) } else { Err(DoorError::Refused(first)) };
            }
            Some(line) => head.push(String::from_utf8_lossy(line).into_owned()),
            None => {}
        }
    }
    Err(DoorError::Closed)
}

/// Reads the stream until the last tick has come, or a minute after it is known; each event's sequence with the time of its arrival.
fn read(mut lines: Lines, origin: Instant, end: &End) -> Result<Vec<(u64, u64)>, DoorError> {
    let mut arrivals: Vec<(u64, u64)> = Vec::new();
    let mut known_since: Option<Instant> = None;
    loop {
        // An event of the stream is never torn between two chunks, so the chunks' own lines are no matter.
        if let Some(line) = lines.next()?
            && let Some(id) = line.strip_prefix(b"id:").and_then(|text| std::str::from_utf8(text).ok())
            && let Ok(sequence) = id.trim().parse()
        {
            arrivals.push((sequence, origin.elapsed().as_nanos() as u64));
        }
        // ORDERING: pairs with the store of the feed.
        if end.is_known.load(Ordering::Acquire) {
            let last = end.sequence.load(Ordering::Relaxed);
            let since = *known_since.get_or_insert_with(Instant::now);
            if arrivals.last().is_some_and(|(sequence, _)| *sequence >= last) || last == 0 || since.elapsed() > PATIENCE
            {
                return Ok(arrivals);
            }
        }
    }
}

/// Lines of a socket.
struct Lines {
    stream: TcpStream,
    bytes: Vec<u8>,
    used: usize,
}

impl Lines {
    /// The next line without its end; `None` where nothing has come for a while.
    fn next(&mut self) -> Result<Option<&[u8]>, DoorError> {
        loop {
            if let Some(length) = memchr::memchr(b'\n', &self.bytes[self.used..]) {
                let line = self.used..self.used + length;
                self.used = line.end + 1;
                let line = &self.bytes[line];
                return Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)));
            }
            self.bytes.drain(..self.used);
            self.used = 0;
            let held = self.bytes.len();
            self.bytes.resize(held + limits::READ_BYTES_A_TICK, 0);
            let read = self.stream.read(&mut self.bytes[held..]);
            self.bytes.truncate(held + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(DoorError::Closed),
                Ok(_) => {}
                Err(error) => match error.kind() {
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => return Ok(None),
                    std::io::ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_times_is_told() {
        assert_eq!(Took::of(Vec::new()), Took::default());
        let took = Took::of((0..=100).rev().map(|n| n * 1_000).collect());
        assert_eq!((took.count, took.p50_us, took.p95_us, took.p99_us, took.max_us), (101, 50.0, 95.0, 99.0, 100.0));
    }

    #[test]
    fn a_tick_that_nobody_saw_is_not_counted_as_seen() {
        let sent = Sent {
            due: 4,
            closes: 2,
            ticks: vec![(5, 1_000), (6, 2_000), (9, 3_000)],
            durable_ns: vec![10, 20, 30],
            refused: None,
        };
        let report = sent.report(&[(4, 1), (5, 3_000), (7, 3_500), (9, 9_000)]);
        assert_eq!((report.due, report.answered, report.closes, report.seen.count), (4, 3, 2, 2));
        assert_eq!(report.seen.max_us, 6.0);
    }

    #[test]
    fn a_refusal_is_told_and_ends_no_feed() {
        let mut sent = Sent::default();
        assert_eq!(sent.answered(Ok(vec![7])).unwrap(), [7]);
        for words in ["first", "second"] {
            assert!(sent.answered(Err(DoorError::Refused(words.into()))).unwrap().is_empty());
        }
        assert!(sent.answered(Err(DoorError::Closed)).is_err());
        let report = sent.report(&[]);
        assert!(report.line().ends_with("; refused: first"), "{}", report.line());
    }
}
