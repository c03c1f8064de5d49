//! Holds `trades` against `event_store`: every accepted trade once, its first version as its record says, its last one as its amendments
//! make it, no version missing; and what is parked.

use tokio_postgres::types::ToSql;

use super::batch::{self, Statements};
use super::parked::{self, DeadLetter};
use super::statements;
use crate::postgres::error::{Doing as _, PgError};
use crate::postgres::link::Link;

/// Something of `trades` that is not as `event_store` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A trade without a first version.
    Missing {
        /// Its record.
        sequence: i64,
    },
    /// A first version that differs from its record.
    First {
        /// Its record.
        sequence: i64,
    },
    /// Versions that are not 1, 2 and so on up to the last.
    Versions {
        /// Record of the trade.
        sequence: i64,
    },
    /// A last version that is not what its amendments make of it.
    Last {
        /// Record of the last amendment.
        sequence: i64,
    },
    /// Executions of no record.
    Strange {
        /// How many.
        executions: i64,
    },
    /// A record that is parked.
    Parked(DeadLetter),
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { sequence } => write!(f, "trades, sequence {sequence}: no row"),
            Self::First { sequence } => write!(f, "trades, sequence {sequence}: version 1 is not what the record says"),
            Self::Versions { sequence } => write!(f, "trades, sequence {sequence}: versions are missing or doubled"),
            Self::Last { sequence } => {
                write!(f, "trades, sequence {sequence}: the last version is not what the amendments make of the trade")
            }
            Self::Strange { executions } => write!(f, "trades: {executions} executions are of no record"),
            Self::Parked(letter) => write!(f, "trades, {letter}"),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct TradesReport {
    /// Everything up to here was taken, or is parked.
    pub complete_through: i64,
    /// Trades that were compared.
    pub trades: i64,
    /// The first of what is wrong, as much as was wanted.
    pub wrong: Vec<Wrong>,
    /// All of it.
    pub wrong_count: u64,
}

impl TradesReport {
    fn add(&mut self, listed_max: usize, wrong: Wrong) {
        self.wrong_count += 1;
        if self.wrong.len() < listed_max {
            self.wrong.push(wrong);
        }
    }
}

/// Compares, in one snapshot; `listed_max` findings are listed, all are counted.
///
/// # Errors
/// [`PgError`]. What is wrong is no error: it is the answer.
pub async fn check(link: &mut Link, shard: i16, listed_max: usize) -> Result<TradesReport, PgError> {
    let statements = Statements::prepare(link).await?;
    let doing = "comparing trades";
    let level = tokio_postgres::IsolationLevel::RepeatableRead;
    let building = link.client.build_transaction().isolation_level(level).read_only(true);
    let transaction = building.start().await.doing(doing)?;
    let cursor = "SELECT sequence FROM lotbook.trade_cursor WHERE shard = $1";
    let through = transaction.query_opt(cursor, &[&shard]).await.doing(doing)?.map_or(0, |row| row.get::<_, i64>(0));
    let mut report = TradesReport { complete_through: through, ..TradesReport::default() };
    let bounds: [&(dyn ToSql + Sync); 3] = [&shard, &0i64, &through];
    for row in transaction.query(&statements::wrong_first_versions(), &bounds).await.doing(doing)? {
        let sequence = row.get(0);
        report.add(listed_max, if row.get(1) { Wrong::First { sequence } } else { Wrong::Missing { sequence } });
    }
    let count = transaction.query_one(&statements::count_of_trades(), &bounds).await.doing(doing)?;
    report.trades = count.get(0);
    let executions = "SELECT count(*) FROM lotbook.executions WHERE shard = $1";
    let executions: i64 = transaction.query_one(executions, &[&shard]).await.doing(doing)?.get(0);
    if executions > report.trades {
        report.add(listed_max, Wrong::Strange { executions: executions - report.trades });
    }
    for row in transaction.query(statements::WRONG_VERSIONS, &[]).await.doing(doing)? {
        report.add(listed_max, Wrong::Versions { sequence: row.get(0) });
    }
    let text = "SELECT replace(a.trade_hash::text, '-', ''), max(a.sequence) FROM lotbook.trade_amendments a WHERE a.shard = $1 \
                AND NOT EXISTS (SELECT FROM lotbook.trade_dead_letters d WHERE d.trade_hash = a.trade_hash AND d.resolved_at IS NULL) \
                GROUP BY a.trade_hash ORDER BY 2";
    let compare = transaction.prepare(&statements::amended_as_it_should()).await.doing(doing)?;
    for row in transaction.query(text, &[&shard]).await.doing(doing)? {
        let (hash, sequence): (String, i64) = (row.get(0), row.get(1));
        let Some(version) = batch::amended(&transaction, &statements, shard, sequence, &hash).await? else { continue };
        let found = transaction.query_opt(&compare, &[&version.document]).await.doing(doing)?;
        if !found.is_some_and(|row| row.get(0)) {
            report.add(listed_max, Wrong::Last { sequence });
        }
    }
    let (letters, parked) = parked::list(&transaction, shard, listed_max).await?;
    report.wrong_count += parked;
    let room = listed_max - report.wrong.len();
    report.wrong.extend(letters.into_iter().take(room).map(Wrong::Parked));
    Ok(report)
}
