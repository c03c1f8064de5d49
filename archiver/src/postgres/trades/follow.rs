//! The thread of the projection: follows what `event_store` has, halves what is refused, parks the record that is left, and looks again at
//! trades without reference data after each load.

use std::io;
use std::time::{Duration, Instant};

use super::batch::{self, Refusal, Statements, Stretch, Then};
use crate::postgres::error::{Doing as _, PgError};
use crate::postgres::link::{Link, Target, within};
use crate::postgres::migrate;
use crate::postgres::turns::{LOOK_EVERY, Session, Thread, Turns};
use crate::retry::RetryTerms;
use crate::status::{SinkBoard, SinkState};

/// Name of the projection and of its labels.
pub const NAME: &str = "trades";
/// Records that are projected at a time.
const BATCH_RECORDS: i64 = 10_000;
/// How often a record is tried before it is parked.
pub const TRIES: i32 = 3;
/// Between two tries of a record that is refused.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// How often it is looked for loads of reference data.
const LOOK_FOR_LOADS: Duration = Duration::from_secs(1);
/// Months that parts of `trades` are made ahead for.
const MONTHS_AHEAD: i32 = 3;
/// How often it is looked whether parts are to be made.
const LOOK_AHEAD: Duration = Duration::from_secs(3_600);

/// What the projection is told.
#[derive(Clone, Debug)]
pub struct ProjectionTerms {
    /// Where the archive is.
    pub target: Target,
    /// The shard whose log it is.
    pub shard: i16,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// How soon it is tried again.
    pub retry: RetryTerms,
}

/// A running projection. Dropping it stops it; a batch under way is given up, and the next start does it.
#[derive(Debug)]
pub struct Projection {
    board: SinkBoard,
    _thread: Thread,
}

impl Projection {
    /// Starts the thread; `archived` says how far `event_store` is.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(archived: SinkBoard, terms: ProjectionTerms) -> io::Result<Self> {
        let board = SinkBoard::new(NAME);
        let retry = terms.retry;
        let follower = Follower { archived, terms, loads_looked: None, parts_looked: None };
        // Another jitter than that of the sink, which fails when this fails.
        let seed = u64::from(std::process::id()) ^ 0x7472_6164_6573;
        let thread = Thread::start("lb-archive-trd", board.clone(), retry, seed, follower)?;
        Ok(Self { board, _thread: thread })
    }

    /// What it says of itself. Its failures are of this connection; `rows` are versions of trades.
    #[must_use]
    pub fn board(&self) -> &SinkBoard {
        &self.board
    }
}

struct Follower {
    archived: SinkBoard,
    terms: ProjectionTerms,
    loads_looked: Option<Instant>,
    parts_looked: Option<Instant>,
}

impl Session for Follower {
    async fn session(&mut self, turns: &mut Turns) -> Result<(), PgError> {
        // The sink brings the schema up, where that is wanted: before that there is nothing to follow.
        while self.archived.read().state != SinkState::Following {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let patience = self.terms.patience;
        let mut link = self.terms.target.connect(patience).await?;
        within(patience, "checking the schema", migrate::check(&link.client)).await?;
        let statements = Statements::prepare(&link).await?;
        let mut at = cursor(&link, self.terms.shard).await?;
        (self.loads_looked, self.parts_looked) = (None, None);
        turns.succeeded(|status| status.sequence = at.cast_unsigned());
        loop {
            let archived = self.archived.read();
            let through = i64::try_from(archived.sequence).unwrap_or(i64::MAX);
            if is_due(&mut self.parts_looked, LOOK_AHEAD) {
                make_ahead(&link).await?;
            }
            if through > at {
                let (now, rows) = project(&mut link, &statements, self.terms.shard, at, through).await?;
                at = now;
                turns.succeeded(|status| {
                    status.sequence = at.cast_unsigned();
                    status.occurred_at_ns = archived.occurred_at_ns;
                    status.rows += rows;
                    status.batches += 1;
                    status.last_batch_rows = rows;
                });
            } else {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            if is_due(&mut self.loads_looked, LOOK_FOR_LOADS) {
                let enriched = enrich_again(&mut link, &statements, self.terms.shard, at).await?;
                turns.succeeded(|status| status.rows += enriched);
            }
        }
    }
}

fn is_due(looked: &mut Option<Instant>, every: Duration) -> bool {
    let due = looked.is_none_or(|at| at.elapsed() >= every);
    if due {
        *looked = Some(Instant::now());
    }
    due
}

/// How far the projection is.
pub(super) async fn cursor(link: &Link, shard: i16) -> Result<i64, PgError> {
    let doing = "reading the cursor of trades";
    let text = "SELECT sequence FROM lotbook.trade_cursor WHERE shard = $1";
    let asked = async { link.client.query_opt(text, &[&shard]).await.doing(doing) };
    let row = within(link.patience(), doing, asked).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// Projects about one batch behind `at`: where it is then, and how many versions were written. What is refused is halved.
pub(super) async fn project(
    link: &mut Link,
    statements: &Statements,
    shard: i16,
    at: i64,
    through: i64,
) -> Result<(i64, u64), PgError> {
    let mut most = BATCH_RECORDS;
    let mut tries = 0;
    loop {
        let stretch = Stretch { shard, behind: at, through: through.min(at + most) };
        let count = stretch.through - stretch.behind;
        tries += i32::from(count == 1);
        let error = match batch::write(link, statements, stretch, Then::Move).await {
            Ok(rows) => return Ok((stretch.through, rows)),
            Err(error) => error,
        };
        let Some(refusal) = Refusal::of(&error, tries) else { return Err(error) };
        if count > 1 {
            most = count / 2;
            continue;
        }
        if tries < TRIES && !matches!(error, PgError::TradeParked { .. }) {
            tokio::time::sleep(TRY_AGAIN).await;
            continue;
        }
        tracing::error!(sink = NAME, sequence = stretch.through, tries, "parked: {error}");
        batch::write(link, statements, stretch, Then::Park(&refusal)).await?;
        return Ok((stretch.through, 0));
    }
}

/// Parts of `trades` for this month and those to come.
async fn make_ahead(link: &Link) -> Result<(), PgError> {
    let doing = "making parts of trades";
    let text = "SELECT lotbook.make_trade_partition((now() + make_interval(months => months))::date) FROM generate_series(0, $1) months";
    let asked = async { link.client.query(text, &[&MONTHS_AHEAD]).await.doing(doing) };
    within(link.patience(), doing, asked).await?;
    Ok(())
}

/// Looks again at trades that lack reference data, where there was a load since that was done last; how many have another version now.
async fn enrich_again(link: &mut Link, statements: &Statements, shard: i16, at: i64) -> Result<u64, PgError> {
    let doing = "looking for loads of reference data";
    let text =
        "SELECT (SELECT max(load) FROM lotbook.ref_loads), c.loads_seen FROM lotbook.trade_cursor c WHERE c.shard = $1";
    let asked = async { link.client.query_opt(text, &[&shard]).await.doing(doing) };
    let Some(row) = within(link.patience(), doing, asked).await? else { return Ok(0) };
    let (Some(newest), seen) = (row.get::<_, Option<i64>>(0), row.get::<_, i64>(1)) else { return Ok(0) };
    if newest <= seen {
        return Ok(0);
    }
    let mut enriched = 0;
    let next = "SELECT min(first_sequence) FROM lotbook.executions WHERE enrichment = 'UNENRICHED' AND shard = $1 AND first_sequence > $2";
    let (mut behind, mut most) = (0, BATCH_RECORDS);
    loop {
        let asked = async { link.client.query_one(next, &[&shard, &behind]).await.doing(doing) };
        let Some(first) = within(link.patience(), doing, asked).await?.get::<_, Option<i64>>(0) else { break };
        let stretch = Stretch { shard, behind: first - 1, through: at.min(first - 1 + most) };
        match batch::enrich(link, statements, stretch).await {
            Ok(rows) => {
                enriched += rows;
                (behind, most) = (stretch.through, BATCH_RECORDS);
            }
            Err(error) if Refusal::of(&error, 1).is_none() => return Err(error),
            Err(_) if most > 1 => most /= 2,
            // It stays as it is: written, and without its reference.
            Err(error) => {
                tracing::error!(sink = NAME, sequence = first, "not enriched: {error}");
                (behind, most) = (first, BATCH_RECORDS);
            }
        }
        if behind >= at {
            break;
        }
    }
    let text = "UPDATE lotbook.trade_cursor SET loads_seen = $2 WHERE shard = $1";
    let asked = async { link.client.execute(text, &[&shard, &newest]).await.doing(doing) };
    within(link.patience(), doing, asked).await?;
    Ok(enriched)
}

/// Projects everything that is archived, as `lotbook archive rebuild` does; how many versions were written.
///
/// # Errors
/// [`PgError`].
pub async fn catch_up(
    link: &mut Link,
    shard: i16,
    through: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, PgError> {
    let statements = Statements::prepare(link).await?;
    let end = i64::try_from(through).unwrap_or(i64::MAX);
    let (mut at, mut written) = (cursor(link, shard).await?, 0);
    while at < end {
        let (now, rows) = project(link, &statements, shard, at, end).await?;
        (at, written) = (now, written + rows);
        progress(at.cast_unsigned(), through);
    }
    Ok(written)
}
