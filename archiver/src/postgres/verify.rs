//! Compares a log and the archive: every record, every row, every column.
//!
//! The rows that the log's records would be are made again and held against the bytes that the server sends; only the payload, which the
//! server writes in its own way, is compared by what it says. All of it is read in one snapshot, so the sink may go on meanwhile.

use lotbook_wal::{LogPosition, ReadOnlyLog, RecordHeader};
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::{FromSql, Type};

use super::binary::columns;
use super::error::{Doing as _, FromLogError, PgError};
use super::link::{Archived, Link, cursor_of, within};
use super::row::{COLUMNS, PAYLOAD_COLUMN, RowError, Rows};
use crate::names::LearnedNames;

/// Records that are compared at a time.
const STRETCH: usize = 2_000;
/// Characters of a value that a finding shows.
const SHOWN_CHARS_MAX: usize = 200;

/// Something that is not as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A record without a row.
    Missing {
        /// Its sequence.
        sequence: u64,
    },
    /// A record with more than one row.
    Doubled {
        /// Its sequence.
        sequence: u64,
        /// How many rows.
        rows: usize,
    },
    /// A row of another record than the log has, or of none.
    Differs {
        /// Its sequence.
        sequence: u64,
        /// The column.
        column: &'static str,
        /// What the log says.
        log: String,
        /// What the row says.
        row: String,
    },
    /// Rows beyond the cursor, before the first record, or of a shard without a cursor.
    Strange {
        /// How many.
        rows: u64,
    },
    /// The cursor names a record that the log does not have.
    Cursor {
        /// The cursor.
        cursor: LogPosition,
        /// What the log has there, or its last record.
        log: LogPosition,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { sequence } => write!(f, "sequence {sequence}: no row"),
            Self::Doubled { sequence, rows } => write!(f, "sequence {sequence}: {rows} rows"),
            Self::Differs { sequence, column, log, row } => {
                write!(f, "sequence {sequence}, {column}: the log says {log}, the row {row}")
            }
            Self::Strange { rows } => write!(f, "{rows} rows are of no record that the cursor covers"),
            Self::Cursor { cursor, log } => write!(f, "the cursor names {cursor}; the log has {log}"),
        }
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Where the archive is; `None` where it is empty.
    pub archived: Option<Archived>,
    /// First record compared.
    pub first_sequence: u64,
    /// Records of the log that were compared.
    pub records: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// The first differences, as many as were wanted.
    pub differences: Vec<Difference>,
    /// All of them.
    pub differences_count: u64,
}

impl Report {
    fn add(&mut self, difference: Difference, listed_max: usize) {
        self.differences_count += 1;
        if self.differences.len() < listed_max {
            self.differences.push(difference);
        }
    }
}

/// Compares. `listed_max` differences are listed, all are counted; `progress` is told the last sequence compared and the last to come.
///
/// # Errors
/// [`FromLogError`]. Differences are no error: they are the answer.
pub async fn verify(
    link: &mut Link,
    shard: i16,
    log: &mut ReadOnlyLog,
    listed_max: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, FromLogError> {
    let patience = link.patience();
    let building = link.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let doing = "beginning to verify";
    let transaction = within(patience, doing, async { building.start().await.doing(doing) }).await?;
    let mut report = Report { archived: cursor_of(&transaction, shard).await?, ..Report::default() };
    let end = report.archived.map_or(0, |archived| archived.position.sequence);
    let columns = COLUMNS.join(", ");
    let query = format!(
        "SELECT {columns} FROM lotbook.event_store WHERE shard = $1 AND sequence BETWEEN $2 AND $3 ORDER BY sequence"
    );
    let doing = "reading rows";
    let query = transaction.prepare(&query).await.doing(doing)?;
    let mut rows = Rows::new(shard, LearnedNames::new());
    let mut stretch = Stretch::default();
    let mut last: Option<RecordHeader> = None;
    while last.is_none_or(|header| header.sequence < end) && end > 0 {
        let Some(record) = log.next()? else { break };
        let header = record.header;
        if last.is_none() {
            report.first_sequence = header.sequence;
            if header.sequence > 1 {
                return Err(FromLogError::Begins { first: header.sequence });
            }
        }
        last = Some(header);
        let made = rows.append(&header, record.payload, &mut stretch.bytes);
        made.map_err(|source| PgError::Row { sequence: header.sequence, source })?;
        stretch.ends.push((header.sequence, stretch.bytes.len()));
        if stretch.ends.len() == STRETCH || header.sequence == end {
            stretch.compare(&transaction, &query, shard, &mut report, listed_max).await?;
            progress(header.sequence, end);
        }
    }
    if !stretch.ends.is_empty() {
        stretch.compare(&transaction, &query, shard, &mut report, listed_max).await?;
    }
    if let Some(archived) = report.archived {
        let none = LogPosition { log_id: log.log_id(), epoch: 0, sequence: 0, checksum: 0 };
        let at = last.map_or(none, |header| LogPosition::of(&header));
        if at != archived.position {
            report.add(Difference::Cursor { cursor: archived.position, log: at }, listed_max);
        }
    }
    let strange = "SELECT count(*) FROM lotbook.event_store WHERE shard <> $1 OR sequence > $2";
    let end = i64::try_from(end).unwrap_or(i64::MAX);
    let count: i64 = transaction.query_one(strange, &[&shard, &end]).await.doing(doing)?.get(0);
    if count > 0 {
        report.add(Difference::Strange { rows: count.unsigned_abs() }, listed_max);
    }
    Ok(report)
}

/// Rows that the log makes, of a stretch of it.
#[derive(Default)]
struct Stretch {
    bytes: Vec<u8>,
    /// Sequence of each row, and where it ends.
    ends: Vec<(u64, usize)>,
}

impl Stretch {
    /// Compares with what the archive has, and is empty then.
    async fn compare(
        &mut self,
        transaction: &tokio_postgres::Transaction<'_>,
        query: &tokio_postgres::Statement,
        shard: i16,
        report: &mut Report,
        listed_max: usize,
    ) -> Result<(), PgError> {
        let signed = |sequence: u64| {
            let source = RowError::Range { column: "sequence", value: sequence };
            i64::try_from(sequence).map_err(|_| PgError::Row { sequence, source })
        };
        let (Some(first), Some(last)) = (self.ends.first(), self.ends.last()) else { return Ok(()) };
        let (first, last) = (signed(first.0)?, signed(last.0)?);
        let found = transaction.query(query, &[&shard, &first, &last]).await.doing("reading rows")?;
        let mut found = found.iter().peekable();
        let mut begin = 0;
        for (sequence, end) in self.ends.drain(..) {
            let wanted = &self.bytes[begin..end];
            begin = end;
            report.records += 1;
            let mut rows = Vec::new();
            while let Some(row) = found.next_if(|row| row.get::<_, i64>(SEQUENCE_COLUMN).cast_unsigned() == sequence) {
                rows.push(row);
            }
            report.rows += rows.len() as u64;
            match rows[..] {
                [] => report.add(Difference::Missing { sequence }, listed_max),
                [row] => compare_row(sequence, wanted, row, report, listed_max),
                // Which one is the record's is not asked: none should be there twice.
                _ => report.add(Difference::Doubled { sequence, rows: rows.len() }, listed_max),
            }
        }
        self.bytes.clear();
        Ok(())
    }
}

const SEQUENCE_COLUMN: usize = 3;

fn compare_row(sequence: u64, wanted: &[u8], row: &tokio_postgres::Row, report: &mut Report, listed_max: usize) {
    for (index, wanted) in columns(wanted).into_iter().enumerate() {
        let Raw(found) = row.get(index);
        let same = match (wanted, found) {
            (Some(wanted), Some(found)) if index == PAYLOAD_COLUMN => same_json(wanted, found),
            (wanted, found) => wanted == found,
        };
        if !same {
            let column_type = row.columns()[index].type_();
            let difference = Difference::Differs {
                sequence,
                column: COLUMNS[index],
                log: shown(wanted, column_type),
                row: shown(found, column_type),
            };
            report.add(difference, listed_max);
        }
    }
}

/// Whether two values of `jsonb` say the same. Numbers are whole ones: decimals are strings.
fn same_json(wanted: &[u8], found: &[u8]) -> bool {
    let parsed = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(&bytes[1..]).ok();
    match (parsed(wanted), parsed(found)) {
        (Some(wanted), Some(found)) => wanted == found,
        _ => false,
    }
}

/// A column as the server sent it.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value for people.
fn shown(bytes: Option<&[u8]>, column_type: &Type) -> String {
    let Some(bytes) = bytes else { return "null".into() };
    let whole = |bytes: &[u8]| bytes.iter().fold(0i64, |sum, byte| (sum << 8) | i64::from(*byte));
    let text = match *column_type {
        Type::TEXT => String::from_utf8_lossy(bytes).into_owned(),
        Type::JSONB => String::from_utf8_lossy(&bytes[1..]).into_owned(),
        Type::INT8 => whole(bytes).to_string(),
        Type::INT4 => (whole(bytes) as i32).to_string(),
        Type::INT2 => (whole(bytes) as i16).to_string(),
        _ => crate::text::HexBytes(bytes).to_string(),
    };
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('\u{2026}');
    }
    format!("{cut:?}")
}
