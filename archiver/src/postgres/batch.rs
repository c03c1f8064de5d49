//! One batch: rows into `event_store` and the cursor behind them, in one transaction.
//!
//! Rows are encoded in pieces while the server takes in the piece before, so that the whole batch is never in memory.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use lotbook_wal::{LogPosition, RecordHeader};
use tokio_postgres::types::ToSql;

use super::binary::{FILE_HEADER, FILE_TRAILER};
use super::error::{Doing as _, PgError};
use super::link::{Archived, Link, within};
use super::row::{COLUMNS, Rows};

/// Bytes that go out in one piece.
const PIECE_BYTES: usize = 256 << 10;

/// What a batch brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// The last record of it.
    pub(super) header: RecordHeader,
    /// Where the archive is now.
    pub(super) archived: Archived,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Takes a record.
pub(super) type Take<'a> = dyn FnMut(&RecordHeader, &[u8]) -> Result<(), PgError> + 'a;

/// Records in the order of the log: the next one, or `None` at the end of the batch.
pub(super) trait Records {
    /// Hands the next record to `take`; false where the batch is at its end.
    fn next(&mut self, take: &mut Take<'_>) -> Result<bool, PgError>;
}

/// Writes the records as rows and moves the cursor from `at`. `None`: there were none, and nothing was done.
///
/// # Errors
/// [`PgError`]; after an error of the commit itself it is not known whether the batch is there.
pub(super) async fn write(
    link: &mut Link,
    shard: i16,
    at: &Archived,
    rows: &mut Rows,
    records: &mut dyn Records,
) -> Result<Option<Written>, PgError> {
    let patience = link.patience();
    let mut piece = Vec::with_capacity(PIECE_BYTES + (PIECE_BYTES >> 2));
    piece.extend_from_slice(&FILE_HEADER);
    let mut batch = Making { rows, last: None, occurred_at_ns: at.occurred_at_ns, count: 0 };
    let mut more = batch.fill(records, &mut piece)?;
    if batch.count == 0 {
        return Ok(None);
    }
    let doing = "beginning a batch";
    let transaction = within(patience, doing, async { link.client.transaction().await.doing(doing) }).await?;
    let copy = format!("COPY lotbook.event_store ({}) FROM STDIN (FORMAT binary)", COLUMNS.join(", "));
    let doing = "writing rows";
    let opened = within(patience, doing, async { transaction.copy_in::<_, Bytes>(&copy).await.doing(doing) });
    let mut sink = pin!(opened.await?);
    let mut bytes = 0;
    loop {
        if !more {
            piece.extend_from_slice(&FILE_TRAILER);
        }
        bytes += piece.len() as u64;
        let ready = Bytes::from(std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES + (PIECE_BYTES >> 2))));
        within(patience, doing, async { sink.send(ready).await.doing(doing) }).await?;
        if !more {
            break;
        }
        more = batch.fill(records, &mut piece)?;
    }
    within(patience, doing, async { sink.as_mut().finish().await.doing(doing) }).await?;
    let Some(header) = batch.last else { return Ok(None) };
    let archived = Archived { position: LogPosition::of(&header), occurred_at_ns: batch.occurred_at_ns };
    let doing = "moving the archive's cursor";
    let moved = within(patience, doing, async { move_cursor(&transaction, shard, at, &archived).await }).await?;
    if moved != 1 {
        return Err(PgError::OtherWriter { at: at.position });
    }
    let doing = "committing a batch";
    within(patience, doing, async { transaction.commit().await.doing(doing) }).await?;
    Ok(Some(Written { header, archived, rows: batch.count, bytes }))
}

/// Rows in the making.
struct Making<'a> {
    rows: &'a mut Rows,
    last: Option<RecordHeader>,
    occurred_at_ns: i64,
    count: u64,
}

impl Making<'_> {
    /// Fills a piece; whether there is more.
    fn fill(&mut self, records: &mut dyn Records, piece: &mut Vec<u8>) -> Result<bool, PgError> {
        while piece.len() < PIECE_BYTES {
            let more = records.next(&mut |header, payload| {
                let made = self.rows.append(header, payload, piece);
                let at_ns = made.map_err(|source| PgError::Row { sequence: header.sequence, source })?;
                if at_ns != 0 {
                    self.occurred_at_ns = at_ns;
                }
                self.last = Some(*header);
                self.count += 1;
                Ok(())
            })?;
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Moves the cursor if it is where it was read. How many rows say so: one, or none.
async fn move_cursor(
    transaction: &tokio_postgres::Transaction<'_>,
    shard: i16,
    from: &Archived,
    to: &Archived,
) -> Result<u64, PgError> {
    let signed = |column, value: u64| {
        let source = super::row::RowError::Range { column, value };
        i64::try_from(value).map_err(|_| PgError::Row { sequence: value, source })
    };
    let log_id = format!("{:016x}", to.position.log_id);
    let (epoch, checksum) = (i64::from(to.position.epoch), i64::from(to.position.checksum));
    let sequence = signed("sequence", to.position.sequence)?;
    let occurred = (to.occurred_at_ns != 0).then_some(to.occurred_at_ns);
    let doing = "moving the archive's cursor";
    if from.position.sequence == 0 {
        let first = "INSERT INTO lotbook.archive_cursor (shard, log_id, epoch, sequence, checksum, occurred_at_ns) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let row: [&(dyn ToSql + Sync); 6] = [&shard, &log_id, &epoch, &sequence, &checksum, &occurred];
        return transaction.execute(first, &row).await.doing(doing);
    }
    let next = "UPDATE lotbook.archive_cursor SET epoch = $3, sequence = $4, checksum = $5, occurred_at_ns = $6, \
                committed_at = now() WHERE shard = $1 AND log_id = $2 AND sequence = $7 AND checksum = $8";
    let (at, at_checksum) = (signed("sequence", from.position.sequence)?, i64::from(from.position.checksum));
    let row: [&(dyn ToSql + Sync); 8] = [&shard, &log_id, &epoch, &sequence, &checksum, &occurred, &at, &at_checksum];
    transaction.execute(next, &row).await.doing(doing)
}
