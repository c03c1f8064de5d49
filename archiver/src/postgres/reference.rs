//! Reference data: traders, strategies, accounts, the security master; effective-dated rows that trades are enriched from.
//!
//! A load is one transaction: all rows or none. A row with key and date of one that is there replaces it; whoever was enriched from that
//! keeps what was said then. After each load the projection of trades looks again at what lacks reference data.

use tokio_postgres::types::ToSql;

use super::error::{Doing as _, PgError};
use super::link::{Link, within};

/// Rows that one statement takes.
const ROWS_MAX: usize = 5_000;

/// Whoever loads holds this lock of the database; the number is arbitrary and stays.
const LOCK: i64 = 0x6c6f_7462_6f6f_6b03;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Who trades: key `trader_id`, with `name` and `mpid`.
    Traders,
    /// By which strategy: key `strategy_id`, with `name` and `desk`.
    Strategies,
    /// Whose an account is: key `account`, with `trader_id` and `strategy_id`.
    Accounts,
    /// What is traded: key `instrument`, with `name`, `cusip` and `isin`.
    Securities,
}

impl Reference {
    /// All tables.
    pub const ALL: [Self; 4] = [Self::Traders, Self::Strategies, Self::Accounts, Self::Securities];

    /// Its name in commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traders => "traders",
            Self::Strategies => "strategies",
            Self::Accounts => "accounts",
            Self::Securities => "securities",
        }
    }

    /// The column of its key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Traders => "trader_id",
            Self::Strategies => "strategy_id",
            Self::Accounts => "account",
            Self::Securities => "instrument",
        }
    }

    /// Its other columns, beside `valid_from` and `ended`.
    #[must_use]
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Traders => &["name", "mpid"],
            Self::Strategies => &["name", "desk"],
            Self::Accounts => &["trader_id", "strategy_id"],
            Self::Securities => &["name", "cusip", "isin"],
        }
    }
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceRow {
    /// Trader, strategy, account or instrument.
    pub key: String,
    /// From when it counts: `YYYY-MM-DD`.
    pub valid_from: String,
    /// Values of [`Reference::columns`]; those beyond are not looked at.
    pub values: [Option<String>; 3],
    /// From then on there is none.
    pub ended: bool,
}

/// Loads rows, no two of which have one key and date; how many.
///
/// # Errors
/// [`PgError`]; nothing is loaded then.
pub async fn load(link: &mut Link, reference: Reference, rows: &[ReferenceRow]) -> Result<u64, PgError> {
    let (patience, doing) = (link.patience(), "loading reference data");
    let (table, key, columns) = (reference.as_str(), reference.key(), reference.columns());
    let list = columns.join(", ");
    let values: Vec<String> = (0..columns.len()).map(|column| format!("v{column}")).collect();
    let values = values.join(", ");
    let set: Vec<String> = columns.iter().map(|column| format!("{column} = EXCLUDED.{column}")).collect();
    let set = set.join(", ");
    let text = format!(
        "INSERT INTO lotbook.ref_{table} ({key}, valid_from, {list}, ended) \
         SELECT key, valid_from::date, {values}, ended FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[]) \
         AS r(key, valid_from, v0, v1, v2, ended) \
         ON CONFLICT ({key}, valid_from) DO UPDATE SET {set}, ended = EXCLUDED.ended, loaded_at = now(), loaded_by = current_user"
    );
    within(patience, doing, async {
        let transaction = link.client.transaction().await.doing(doing)?;
        // One load after the other: so their numbers are in the order of their commits.
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.doing(doing)?;
        let mut loaded = 0;
        for rows in rows.chunks(ROWS_MAX) {
            let column = |of: fn(&ReferenceRow) -> Option<&str>| rows.iter().map(of).collect::<Vec<Option<&str>>>();
            let ended: Vec<bool> = rows.iter().map(|row| row.ended).collect();
            let arrays = [
                column(|row| Some(&row.key)),
                column(|row| Some(&row.valid_from)),
                column(|row| row.values[0].as_deref()),
                column(|row| row.values[1].as_deref()),
                column(|row| row.values[2].as_deref()),
            ];
            let [key, from, v0, v1, v2] = &arrays;
            let given: [&(dyn ToSql + Sync); 6] = [key, from, v0, v1, v2, &ended];
            loaded += transaction.execute(&text, &given).await.doing(doing)?;
        }
        let noted = "INSERT INTO lotbook.ref_loads (what, row_count) VALUES ($1, $2)";
        let count = i64::try_from(loaded).unwrap_or(i64::MAX);
        transaction.execute(noted, &[&table, &count]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(loaded)
    })
    .await
}

/// A trade that lacks reference data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenriched {
    /// Execution id.
    pub exec_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Effective date.
    pub business_date: String,
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// What is missing.
    pub missing: Vec<String>,
}

/// Trades that lack reference data, by date and id: the first of them, and how many there are.
///
/// # Errors
/// [`PgError`].
pub async fn unenriched(link: &Link, listed_max: usize) -> Result<(Vec<Unenriched>, u64), PgError> {
    let doing = "reading trades without reference data";
    let text = "SELECT exec_id, namespace, business_date::text, account, instrument, missing FROM lotbook.trades_unenriched \
                ORDER BY business_date, namespace, exec_id LIMIT $1";
    let most = i64::try_from(listed_max).unwrap_or(i64::MAX);
    let count = "SELECT count(*) FROM lotbook.executions WHERE enrichment = 'UNENRICHED'";
    within(link.patience(), doing, async {
        let rows = link.client.query(text, &[&most]).await.doing(doing)?;
        let count: i64 = link.client.query_one(count, &[]).await.doing(doing)?.get(0);
        let listed = rows.iter().map(|row| Unenriched {
            exec_id: row.get(0),
            namespace: row.get(1),
            business_date: row.get(2),
            account: row.get(3),
            instrument: row.get(4),
            missing: row.get(5),
        });
        Ok((listed.collect(), count.unsigned_abs()))
    })
    .await
}
