//! The interval log that HdrHistogram's tools read (`.hlog`, format 1.3): one compressed histogram an interval, in nanoseconds.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use std::fmt::Write;

/// A log that grows line by line. A line costs a few hundred bytes, so that an hour at four lines a second fits memory.
#[derive(Clone, Debug, Default)]
pub struct IntervalLog {
    lines: String,
}

/// Greatest latencies are shown in milliseconds, as the format's tools do.
const MAX_UNIT_NS: f64 = 1e6;

impl IntervalLog {
    /// Adds an interval: its start from the start of the run and its length, in nanoseconds.
    pub fn push(&mut self, start_ns: u64, length_ns: u64, latency: &Histogram<u64>) {
        let mut bytes = Vec::new();
        // Compressing into memory fails only for values beyond 2^63, which the bounds of the histograms exclude.
        let packed = V2DeflateSerializer::new().serialize(latency, &mut bytes);
        assert!(packed.is_ok(), "a histogram within its bounds is packed");
        let seconds = |ns: u64| ns as f64 / 1e9;
        let _ = write!(
            self.lines,
            "{:.3},{:.3},{:.3},",
            seconds(start_ns),
            seconds(length_ns),
            latency.max() as f64 / MAX_UNIT_NS
        );
        push_base64(&mut self.lines, &bytes);
        self.lines.push('\n');
    }

    /// The file: a head, and a line an interval. Times count from `start_ms` (milliseconds since 1970).
    pub fn text(&self, what: &str, start_ms: u64) -> String {
        format!(
            "#[{what}, values in nanoseconds]\n#[Histogram log format version 1.3]\n#[StartTime: {:.3} (seconds since epoch)]\n#[BaseTime: {:.3} (seconds since epoch)]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n{}",
            start_ms as f64 / 1e3,
            start_ms as f64 / 1e3,
            self.lines
        )
    }
}

fn push_base64(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let shown = digit <= group.len();
            let value = DIGITS[(word >> (18 - 6 * digit) & 63) as usize];
            out.push(if shown { char::from(value) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settle::latency_histogram;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn base64_by_the_published_vectors() {
        // RFC 4648, section 10.
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = String::new();
            push_base64(&mut out, plain.as_bytes());
            assert_eq!(out, coded);
        }
    }

    #[test]
    fn the_library_reads_it_back() {
        let mut log = IntervalLog::default();
        for start in 0..3u64 {
            let mut latency = latency_histogram();
            (1..=1_000 * (start + 1)).for_each(|value| latency.record(value * 1_000).unwrap());
            log.push(start * 250_000_000, 250_000_000, &latency);
        }
        let text = log.text("a test", 1_700_000_000_123);
        let mut deserializer = hdrhistogram::serialization::Deserializer::new();
        let mut seen = Vec::new();
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            let entry = entry.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
            if let LogEntry::Interval(interval) = entry {
                let mut bytes = Vec::new();
                unbase64(interval.encoded_histogram(), &mut bytes);
                let latency: Histogram<u64> = deserializer.deserialize(&mut bytes.as_slice()).unwrap();
                seen.push((interval.start_timestamp().as_millis() as u64, latency.len(), latency.max() / 1_000_000));
            }
        }
        assert_eq!(seen, [(0, 1_000, 1), (250, 2_000, 2), (500, 3_000, 3)]);
    }

    fn unbase64(text: &str, out: &mut Vec<u8>) {
        let value = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        for group in text.as_bytes().chunks(4) {
            let digits = group.iter().filter(|byte| **byte != b'=').count();
            let word = group
                .iter()
                .fold(0u32, |word, &byte| word << 6 | u32::from(if byte == b'=' { 0 } else { value(byte) }));
            out.extend_from_slice(&word.to_be_bytes()[1..digits]);
        }
    }
}
