//! Makes the archive anew from a log: what was there goes, every durable record comes.

use lotbook_wal::{LogPosition, ReadOnlyLog, RecordHeader};

use super::batch::{self, Records, Take};
use super::error::{Doing as _, FromLogError, PgError};
use super::link::{Archived, Link};
use super::migrate;
use super::row::Rows;
use crate::names::LearnedNames;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rebuilt {
    /// Rows written.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The last record archived.
    pub sequence: u64,
}

/// Drops the schema, brings it up, and archives every record up to the log's watermark, `batch_rows` at a time. The log is read from its
/// start, so it must be within reach; `progress` is told the last sequence archived and the last to come.
///
/// # Errors
/// [`FromLogError`].
pub async fn rebuild(
    link: &mut Link,
    shard: i16,
    log: &mut ReadOnlyLog,
    batch_rows: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Rebuilt, FromLogError> {
    let segments = log.segments()?;
    let first = segments.first().and_then(|segment| segment.first_sequence).unwrap_or(1);
    if first > 1 {
        return Err(FromLogError::Begins { first });
    }
    let through = segments.iter().map(|segment| segment.watermark_sequence).max().unwrap_or(0);
    let dropped = link.client.batch_execute("DROP SCHEMA IF EXISTS lotbook CASCADE");
    dropped.await.doing("dropping the schema")?;
    migrate::migrate(&mut link.client).await?;
    let none = LogPosition { log_id: log.log_id(), epoch: 0, sequence: 0, checksum: 0 };
    let mut at = Archived { position: none, occurred_at_ns: 0 };
    let mut rows = Rows::new(shard, LearnedNames::new());
    let mut done = Rebuilt::default();
    while at.position.sequence < through {
        let mut piece = Piece { log, through, next: at.position.sequence + 1, rows_left: batch_rows, in_group: false };
        let Some(written) = batch::write(link, shard, &at, &mut rows, &mut piece).await? else { break };
        at = written.archived;
        done.rows += written.rows;
        done.bytes += written.bytes;
        done.sequence = at.position.sequence;
        progress(done.sequence, through);
    }
    Ok(done)
}

/// The records of one batch.
struct Piece<'a> {
    log: &'a mut ReadOnlyLog,
    through: u64,
    next: u64,
    rows_left: u64,
    in_group: bool,
}

impl Records for Piece<'_> {
    fn next(&mut self, take: &mut Take<'_>) -> Result<bool, PgError> {
        if self.next > self.through {
            let unfinished = PgError::Unfinished { sequence: self.next };
            return if self.in_group { Err(unfinished) } else { Ok(false) };
        }
        if self.rows_left == 0 && !self.in_group {
            return Ok(false);
        }
        let Some(record) = self.log.next().map_err(PgError::Open)? else { return Ok(false) };
        let header: RecordHeader = record.header;
        take(&header, record.payload)?;
        self.next = header.sequence + 1;
        self.in_group = header.group().continues();
        self.rows_left = self.rows_left.saturating_sub(1);
        Ok(true)
    }
}
