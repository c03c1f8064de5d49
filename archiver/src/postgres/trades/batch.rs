//! One batch of the projection: the versions that a stretch of the log brings, and the cursor behind them, in one transaction.

use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Statement, Transaction};

use super::statements::{self, Writes};
use super::terms::{Amendment, amend};
use crate::postgres::error::{Doing as _, PgError};
use crate::postgres::link::{Link, within};

/// A stretch of a shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) shard: i16,
    /// What lies behind it is taken.
    pub(super) behind: i64,
    /// Its last record.
    pub(super) through: i64,
}

/// Statements as a session has prepared them.
#[derive(Debug)]
pub(super) struct Statements {
    make_parts: Statement,
    new_trades: Statement,
    note_amendments: Statement,
    execution: Statement,
    amendments: Statement,
    amended_trade: Statement,
    unenriched: Statement,
}

impl Statements {
    /// Prepares them. Compiling their many expressions would take longer than they run.
    ///
    /// # Errors
    /// [`PgError`].
    pub(super) async fn prepare(link: &Link) -> Result<Self, PgError> {
        let doing = "preparing the projection of trades";
        within(link.patience(), doing, async {
            link.client.batch_execute("SET jit = off").await.doing(doing)?;
            let prepare = async |text: &str| link.client.prepare(text).await.doing(doing);
            Ok(Self {
                make_parts: prepare(&statements::make_parts()).await?,
                new_trades: prepare(&statements::write(&statements::new_trades(), Writes::First)).await?,
                note_amendments: prepare(&statements::note_amendments()).await?,
                execution: prepare(statements::EXECUTION).await?,
                amendments: prepare(statements::AMENDMENTS).await?,
                amended_trade: prepare(&statements::write(&statements::amended_trade(), Writes::Next)).await?,
                unenriched: prepare(&statements::write(&statements::unenriched_trades(), Writes::Next)).await?,
            })
        })
        .await
    }
}

/// What becomes of the cursor, or of the dead letter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then<'a> {
    /// The cursor moves from behind the stretch to its end.
    Move,
    /// As above; nothing of the stretch, which is one record, is written but why not.
    Park(&'a Refusal),
    /// The cursor is beyond; the record was parked and is no more.
    Resolve,
}

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) tries: i32,
    pub(super) sqlstate: Option<String>,
    pub(super) reason: String,
}

impl Refusal {
    /// Of an error that says that a row is refused, whoever else tries; `None` for any other.
    pub(super) fn of(error: &PgError, tries: i32) -> Option<Self> {
        let sqlstate = match error {
            PgError::Sql { source, .. } => {
                let code = source.code()?.code();
                // Bad data, a broken constraint, a limit of the server's, what a trigger raises.
                if !["22", "23", "54", "P0"].contains(&&code[..2]) {
                    return None;
                }
                Some(code.to_owned())
            }
            PgError::TradeParked { .. } | PgError::AmendmentWords { .. } => None,
            _ => return None,
        };
        Some(Self { tries, sqlstate, reason: error.to_string() })
    }
}

/// Does a batch; how many versions it wrote.
///
/// # Errors
/// [`PgError`]; after an error of the commit itself the cursor says whether it was done.
pub(super) async fn write(
    link: &mut Link,
    statements: &Statements,
    stretch: Stretch,
    then: Then<'_>,
) -> Result<u64, PgError> {
    let patience = link.patience();
    let doing = "writing trades";
    within(patience, doing, async {
        let transaction = link.client.transaction().await.doing(doing)?;
        let written = match then {
            Then::Park(refusal) => park(&transaction, statements, stretch, refusal).await.map(|()| 0),
            Then::Move => rows(&transaction, statements, stretch, None).await,
            // What came after it is laid over its trade already.
            Then::Resolve => rows(&transaction, statements, stretch, Some(i64::MAX)).await,
        }?;
        match then {
            Then::Move | Then::Park(_) => move_cursor(&transaction, stretch).await?,
            Then::Resolve => {
                let resolved =
                    "UPDATE lotbook.trade_dead_letters SET resolved_at = now() WHERE shard = $1 AND sequence = $2";
                transaction.execute(resolved, &[&stretch.shard, &stretch.through]).await.doing(doing)?;
            }
        }
        transaction.commit().await.doing("committing trades")?;
        Ok(written)
    })
    .await
}

/// New trades first: what amends one comes after it. Amendments count up to each one's own record, or up to `known_through`.
async fn rows(
    transaction: &Transaction<'_>,
    statements: &Statements,
    stretch: Stretch,
    known_through: Option<i64>,
) -> Result<u64, PgError> {
    let Stretch { shard, behind, through } = stretch;
    let bounds: [&(dyn ToSql + Sync); 3] = [&shard, &behind, &through];
    transaction.query(&statements.make_parts, &bounds).await.doing("making parts of trades")?;
    // Thousands of rows are joined of which the server expects a few: by hash, whatever it expects.
    let doing = "writing new trades";
    transaction.batch_execute("SET LOCAL enable_nestloop = off").await.doing(doing)?;
    let mut written = transaction.execute(&statements.new_trades, &bounds).await.doing(doing)?;
    transaction.batch_execute("SET LOCAL enable_nestloop = on").await.doing(doing)?;
    let noted = transaction.query(&statements.note_amendments, &bounds).await.doing("noting amendments")?;
    for row in &noted {
        let Uuid(hash) = row.get(0);
        let sequence = row.get(1);
        let through = known_through.unwrap_or(sequence);
        let Some(version) = amended(transaction, statements, shard, through, &hash).await? else {
            let parked = "SELECT EXISTS (SELECT FROM lotbook.trade_dead_letters WHERE trade_hash = $1::text::uuid \
                          AND resolved_at IS NULL AND sequence < $2)";
            let asked = transaction.query_one(parked, &[&hash, &sequence]).await.doing("reading dead letters")?;
            if asked.get(0) {
                return Err(PgError::TradeParked { sequence });
            }
            continue;
        };
        let part = "SELECT lotbook.make_trade_partition($1::text::date)";
        transaction.query(part, &[&version.date]).await.doing("making parts of trades")?;
        let doing = "writing an amended trade";
        written += transaction.execute(&statements.amended_trade, &[&version.document]).await.doing(doing)?;
    }
    Ok(written)
}

/// A version that amendments make of a trade.
#[derive(Debug)]
pub(super) struct Version {
    date: String,
    /// As [`statements::amended_trade`] takes it.
    pub(super) document: String,
}

/// The next version of a trade by its amendments up to `sequence`; `None` where it is no trade, or is not there.
pub(super) async fn amended(
    transaction: &Transaction<'_>,
    statements: &Statements,
    shard: i16,
    sequence: i64,
    hash: &str,
) -> Result<Option<Version>, PgError> {
    let doing = "reading an amended trade";
    let Some(trade) = transaction.query_opt(&statements.execution, &[&hash]).await.doing(doing)? else {
        return Ok(None);
    };
    let found = transaction.query(&statements.amendments, &[&hash, &shard, &sequence]).await.doing(doing)?;
    let words = || PgError::AmendmentWords { sequence: found.last().map_or(sequence, |row| row.get(8)) };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).map_err(|_| words());
    let mut amendments = Vec::with_capacity(found.len());
    for row in &found {
        amendments.push(Amendment { id: row.get(0), hash: row.get(1), target: row.get(2), event: parsed(row.get(3))? });
    }
    let Some(last) = found.last() else { return Ok(None) };
    let event = parsed(trade.get(6))?;
    let amended = amend(&event, trade.get(4), trade.get(5), &amendments).ok_or_else(words)?;
    let (status, was): (&str, &str) = (if amended.cancelled { "CANCELLED" } else { "LIVE" }, trade.get(3));
    let change = match (was, status) {
        ("LIVE", "CANCELLED") => "CANCELLED",
        ("CANCELLED", "LIVE") => "REINSTATED",
        _ => "AMENDED",
    };
    let mut version = amended.fields;
    let date = version.get("business_date").and_then(Value::as_str).ok_or_else(words)?.to_owned();
    for (name, value) in [
        ("namespace", Value::from(trade.get::<_, String>(0))),
        ("exec_id", trade.get::<_, String>(1).into()),
        ("version", (trade.get::<_, i32>(2) + 1).into()),
        ("change", change.into()),
        ("status", status.into()),
        ("trade_hash", hash.into()),
        ("shard", shard.into()),
        ("sequence", last.get::<_, i64>(8).into()),
        ("user_id", last.get::<_, Option<String>>(4).into()),
        ("source", last.get::<_, Option<String>>(5).into()),
        ("correlation_id", last.get::<_, Option<String>>(6).into()),
        ("outcome", last.get::<_, Option<String>>(7).into()),
    ] {
        version.insert(name.to_owned(), value);
    }
    Ok(Some(Version { date, document: Value::Object(version).to_string() }))
}

async fn park(
    transaction: &Transaction<'_>,
    statements: &Statements,
    stretch: Stretch,
    refusal: &Refusal,
) -> Result<(), PgError> {
    // An amendment is noted all the same: what comes after it is laid over the trade with it.
    let bounds: [&(dyn ToSql + Sync); 3] = [&stretch.shard, &stretch.behind, &stretch.through];
    transaction.query(&statements.note_amendments, &bounds).await.doing("noting amendments")?;
    let text = "INSERT INTO lotbook.trade_dead_letters (shard, sequence, trade_hash, event_type, tries, sqlstate, reason) \
                SELECT e.shard, e.sequence, COALESCE((e.payload -> 'amended' ->> 'hash')::uuid, e.trade_hash), e.event_type, $3, $4, $5 \
                FROM lotbook.event_store e WHERE e.shard = $1 AND e.sequence = $2";
    let values: [&(dyn ToSql + Sync); 5] =
        [&stretch.shard, &stretch.through, &refusal.tries, &refusal.sqlstate, &refusal.reason];
    transaction.execute(text, &values).await.doing("parking a record")?;
    Ok(())
}

async fn move_cursor(transaction: &Transaction<'_>, stretch: Stretch) -> Result<(), PgError> {
    // Never beyond what is archived, and only from where it is: a database that was restored or made anew meanwhile is another.
    let text = "INSERT INTO lotbook.trade_cursor AS c (shard, sequence) \
                SELECT $1, $3 WHERE EXISTS (SELECT FROM lotbook.archive_cursor a WHERE a.shard = $1 AND a.sequence >= $3) \
                AND ($2 = 0::bigint OR EXISTS (SELECT FROM lotbook.trade_cursor t WHERE t.shard = $1)) \
                ON CONFLICT (shard) DO UPDATE SET sequence = EXCLUDED.sequence, committed_at = now() WHERE c.sequence = $2";
    let values: [&(dyn ToSql + Sync); 3] = [&stretch.shard, &stretch.behind, &stretch.through];
    let moved = transaction.execute(text, &values).await.doing("moving the cursor of trades")?;
    if moved == 1 { Ok(()) } else { Err(PgError::OtherProjection { sequence: stretch.behind }) }
}

/// Looks again at trades that lack reference data, of those first accepted in a stretch; how many have another version now.
///
/// # Errors
/// [`PgError`].
pub(super) async fn enrich(link: &mut Link, statements: &Statements, stretch: Stretch) -> Result<u64, PgError> {
    let doing = "enriching trades";
    let bounds: [&(dyn ToSql + Sync); 3] = [&stretch.shard, &stretch.behind, &stretch.through];
    within(link.patience(), doing, async { link.client.execute(&statements.unenriched, &bounds).await.doing(doing) })
        .await
}

/// A `uuid` as text.
struct Uuid(String);

impl<'a> tokio_postgres::types::FromSql<'a> for Uuid {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(crate::text::HexBytes(raw).to_string()))
    }

    fn accepts(column: &tokio_postgres::types::Type) -> bool {
        *column == tokio_postgres::types::Type::UUID
    }
}
