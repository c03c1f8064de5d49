//! `lotbook wal stats`: sizes and kinds of records, and how many came when.

use std::collections::BTreeMap;
use std::io::Write;

use lotbook_archiver::json::kind_name;
use lotbook_archiver::text::Nanos;
use lotbook_core::codec::Decoder;
use lotbook_wal::{EpochStart, KIND_EPOCH_START, RecordHeader};
use serde::Serialize;

use super::{Steps, Target, WalError, bytes, failed, open, targets};
use crate::cli::{ExitCode, WalStatsArgs};
use crate::event::occurred_at_ns;

/// Rows of rates that are chosen for.
const ROWS_WANTED: usize = 60;
/// Intervals kept while reading; with more they are joined.
const INTERVALS_MAX: usize = 4_096;
/// Seconds of an interval, each a multiple of the one before.
const LADDER: [i64; 8] = [1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800];

#[derive(Serialize)]
struct Document {
    logs: Vec<LogRow>,
}

#[derive(Serialize)]
struct LogRow {
    name: &'static str,
    dir: String,
    records: u64,
    /// Stream bytes of the records: header, payload, padding.
    bytes: u64,
    payload_bytes: u64,
    epochs: u64,
    /// Bytes of a record, payload and header: by powers of two.
    sizes: Vec<SizeRow>,
    kinds: Vec<KindRow>,
    /// Seconds that a row of the rates covers.
    every_seconds: i64,
    rates: Vec<RateRow>,
    /// The fullest second, where the log is short enough to have been counted by seconds.
    peak_records_a_second: Option<u64>,
}

#[derive(Serialize)]
struct SizeRow {
    up_to_bytes: u64,
    records: u64,
}

#[derive(Serialize)]
struct KindRow {
    kind: &'static str,
    kind_code: u16,
    records: u64,
    bytes: u64,
    bytes_min: u64,
    bytes_mean: u64,
    bytes_max: u64,
}

#[derive(Serialize)]
struct RateRow {
    from: Nanos,
    records: u64,
    bytes: u64,
    records_a_second: u64,
    bytes_a_second: u64,
}

pub(super) fn run(args: &WalStatsArgs, out: &mut dyn Write) -> Result<ExitCode, WalError> {
    let logs = targets(&args.log.dir).iter().map(|target| read(args, target)).collect::<Result<Vec<_>, _>>()?;
    let document = Document { logs };
    if args.log.json {
        serde_json::to_writer_pretty(&mut *out, &document).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        document.logs.iter().try_for_each(|log| print(log, out))?;
    }
    Ok(ExitCode::Ok)
}

fn read(args: &WalStatsArgs, target: &Target) -> Result<LogRow, WalError> {
    let mut log = open(&args.log, target)?;
    let mut steps = Steps::over(&log, "counting", target)?;
    let mut counts = Counts::new(args.every.map(i64::from));
    let mut decoder = Decoder::new();
    while let Some(record) = log.next().map_err(|source| failed(target, source))? {
        let header = record.header;
        steps.at(&header);
        let stamp = if header.kind == KIND_EPOCH_START {
            EpochStart::decode(record.payload).and_then(|start| i64::try_from(start.wall_clock_ns).ok())
        } else if header.is_internal() {
            None
        } else {
            let event = decoder.decode(header.kind, header.version, record.payload);
            event.ok().as_ref().map(occurred_at_ns).filter(|ns| *ns > 0)
        };
        counts.add(&header, stamp);
    }
    steps.finish()?;
    Ok(counts.row(target))
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    records: u64,
    bytes: u64,
    min: u64,
    max: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.min = if self.records == 0 { bytes } else { self.min.min(bytes) };
        self.max = self.max.max(bytes);
        self.records += 1;
        self.bytes += bytes;
    }

    fn join(&mut self, other: Count) {
        let min = if self.records == 0 { other.min } else { self.min.min(other.min) };
        *self = Count {
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            min,
            max: self.max.max(other.max),
        };
    }
}

/// What is counted while reading; as much memory as there are kinds and intervals, however long the log.
struct Counts {
    all: Count,
    payload_bytes: u64,
    epochs: u64,
    sizes: BTreeMap<u64, u64>,
    kinds: BTreeMap<u16, Count>,
    wanted: Option<i64>,
    /// Seconds of an interval.
    every: i64,
    intervals: BTreeMap<i64, Count>,
    /// Records without a stamp belong to the one before.
    last_second: Option<i64>,
}

impl Counts {
    fn new(wanted: Option<i64>) -> Self {
        Self {
            all: Count::default(),
            payload_bytes: 0,
            epochs: 0,
            sizes: BTreeMap::new(),
            kinds: BTreeMap::new(),
            wanted,
            every: 1,
            intervals: BTreeMap::new(),
            last_second: None,
        }
    }

    fn add(&mut self, header: &RecordHeader, stamp_ns: Option<i64>) {
        let bytes = header.padded_bytes() as u64;
        self.all.add(bytes);
        self.payload_bytes += u64::from(header.length) - lotbook_wal::HEADER_BYTES as u64;
        self.epochs += u64::from(header.kind == KIND_EPOCH_START);
        *self.sizes.entry(u64::from(header.length).next_power_of_two()).or_insert(0) += 1;
        self.kinds.entry(header.kind).or_default().add(bytes);
        self.last_second = stamp_ns.map(|ns| ns.div_euclid(1_000_000_000)).or(self.last_second);
        let Some(second) = self.last_second else { return };
        self.intervals.entry(second.div_euclid(self.every) * self.every).or_default().add(bytes);
        if self.intervals.len() > INTERVALS_MAX {
            self.coarsen();
        }
    }

    /// The next interval of the ladder, or ever longer ones beyond it.
    fn coarsen(&mut self) {
        let next = LADDER.into_iter().find(|seconds| *seconds > self.every).unwrap_or(self.every * 4);
        self.join(next);
    }

    fn join(&mut self, every: i64) {
        let mut joined: BTreeMap<i64, Count> = BTreeMap::new();
        for (second, count) in std::mem::take(&mut self.intervals) {
            joined.entry(second.div_euclid(every) * every).or_default().join(count);
        }
        (self.intervals, self.every) = (joined, every);
    }

    fn row(mut self, target: &Target) -> LogRow {
        let peak = (self.every == 1).then(|| self.intervals.values().map(|count| count.records).max()).flatten();
        match self.wanted {
            Some(every) if every > self.every => self.join(every),
            Some(_) => {}
            None => {
                while self.intervals.len() > ROWS_WANTED {
                    self.coarsen();
                }
            }
        }
        let every = self.every;
        let a_second = |count: u64| count / every.unsigned_abs();
        let rate = |(second, count): (&i64, &Count)| RateRow {
            from: Nanos(second.saturating_mul(1_000_000_000)),
            records: count.records,
            bytes: count.bytes,
            records_a_second: a_second(count.records),
            bytes_a_second: a_second(count.bytes),
        };
        let kind = |(code, count): (&u16, &Count)| KindRow {
            kind: kind_name(*code),
            kind_code: *code,
            records: count.records,
            bytes: count.bytes,
            bytes_min: count.min,
            bytes_mean: count.bytes / count.records.max(1),
            bytes_max: count.max,
        };
        LogRow {
            name: target.name,
            dir: target.dir.display().to_string(),
            records: self.all.records,
            bytes: self.all.bytes,
            payload_bytes: self.payload_bytes,
            epochs: self.epochs,
            sizes: self.sizes.iter().map(|(up_to, n)| SizeRow { up_to_bytes: *up_to, records: *n }).collect(),
            kinds: self.kinds.iter().map(kind).collect(),
            every_seconds: every,
            rates: self.intervals.iter().map(rate).collect(),
            peak_records_a_second: peak,
        }
    }
}

fn print(log: &LogRow, out: &mut dyn Write) -> Result<(), WalError> {
    writeln!(out, "{} {}", log.name, log.dir)?;
    writeln!(
        out,
        "  {} records in {} epochs, {} ({} payload)",
        log.records,
        log.epochs,
        bytes(log.bytes),
        bytes(log.payload_bytes)
    )?;
    if let Some(peak) = log.peak_records_a_second {
        writeln!(out, "  {peak} records in the fullest second")?;
    }
    writeln!(out, "  {:<32} {:>12} {:>14} {:>8} {:>8} {:>8}", "kind", "records", "bytes", "min", "mean", "max")?;
    for KindRow { kind, records, bytes, bytes_min, bytes_mean, bytes_max, .. } in &log.kinds {
        writeln!(out, "  {kind:<32} {records:>12} {bytes:>14} {bytes_min:>8} {bytes_mean:>8} {bytes_max:>8}")?;
    }
    writeln!(out, "  {:<32} {:>12}", "bytes of a record, up to", "records")?;
    for SizeRow { up_to_bytes, records } in &log.sizes {
        writeln!(out, "  {up_to_bytes:<32} {records:>12}")?;
    }
    writeln!(
        out,
        "  {:<32} {:>12} {:>14} {:>12}",
        format!("every {} s", log.every_seconds),
        "records",
        "bytes",
        "a second"
    )?;
    for RateRow { from, records, bytes, records_a_second, .. } in &log.rates {
        writeln!(out, "  {:<32} {records:>12} {bytes:>14} {records_a_second:>12}", from.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u64, length: u32) -> RecordHeader {
        RecordHeader {
            checksum: 0,
            length,
            log_id: 1,
            sequence,
            address: sequence * 512,
            previous: u64::MAX,
            durable_sequence: 0,
            epoch: 1,
            previous_checksum: 0,
            kind: 7,
            partition: 0,
            version: 1,
            flags: 0,
        }
    }

    /// A second apart each, far more seconds than are kept: none is lost, and the rows are few.
    #[test]
    fn a_long_log_is_counted_by_longer_intervals() {
        let mut counts = Counts::new(None);
        let records = 3 * INTERVALS_MAX as u64;
        for n in 0..records {
            counts.add(&header(n + 1, 100), Some((1_700_000_000 + n as i64) * 1_000_000_000));
        }
        let row = counts.row(&Target { name: "log", dir: "d".into() });
        assert!(row.rates.len() <= ROWS_WANTED && row.rates.len() > 5, "{}", row.rates.len());
        assert_eq!(row.rates.iter().map(|rate| rate.records).sum::<u64>(), records);
        assert_eq!(row.rates.iter().map(|rate| rate.bytes).sum::<u64>(), row.bytes);
        assert_eq!((row.bytes, row.payload_bytes), (records * 104, records * 36));
        assert_eq!(row.peak_records_a_second, None, "seconds are no longer apart");
        assert_eq!(row.sizes[0].up_to_bytes, 128);
    }

    #[test]
    fn a_record_without_a_stamp_goes_with_the_one_before() {
        let mut counts = Counts::new(Some(60));
        for (n, stamp) in [None, Some(-5), None, Some(61_000_000_000), None].into_iter().enumerate() {
            counts.add(&header(n as u64 + 1, 64 + n as u32), stamp);
        }
        let row = counts.row(&Target { name: "log", dir: "d".into() });
        let rates: Vec<_> = row.rates.iter().map(|rate| (rate.from.0 / 1_000_000_000, rate.records)).collect();
        assert_eq!(rates, [(-60, 2), (60, 2)], "the first one is of no known time");
        assert_eq!((row.kinds[0].bytes_min, row.kinds[0].bytes_max), (64, 72));
    }
}
