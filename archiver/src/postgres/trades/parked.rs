//! Records that the projection has parked: which, why, and trying them again once what refused them is mended.

use super::batch::{self, Refusal, Statements, Stretch, Then};
use crate::postgres::error::{Doing as _, PgError};
use crate::postgres::link::{Link, within};

/// A record that `trades` could not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record.
    pub sequence: u64,
    /// Name of its kind.
    pub event_type: String,
    /// How often it was tried.
    pub tries: i32,
    /// What was said.
    pub reason: String,
}

impl std::fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sequence, event_type, tries, reason } = self;
        write!(f, "sequence {sequence} ({event_type}) is parked after {tries} tries: {reason}")
    }
}

/// What is parked, in the order of the log; at most so many, and how many there are.
///
/// # Errors
/// [`PgError`].
pub async fn list(
    client: &impl tokio_postgres::GenericClient,
    shard: i16,
    listed_max: usize,
) -> Result<(Vec<DeadLetter>, u64), PgError> {
    let text = "SELECT sequence, event_type, tries, reason, count(*) OVER () FROM lotbook.trade_dead_letters \
                WHERE shard = $1 AND resolved_at IS NULL ORDER BY sequence LIMIT $2";
    // One at least is asked for: it has the count.
    let most = i64::try_from(listed_max.max(1)).unwrap_or(i64::MAX);
    let rows = client.query(text, &[&shard, &most]).await.doing("reading dead letters")?;
    let count = rows.first().map_or(0, |row| row.get::<_, i64>(4).unsigned_abs());
    let letters = rows.iter().take(listed_max).map(|row| DeadLetter {
        sequence: row.get::<_, i64>(0).unsigned_abs(),
        event_type: row.get(1),
        tries: row.get(2),
        reason: row.get(3),
    });
    Ok((letters.collect(), count))
}

/// Tries all that is parked again, in the order of the log: how many were taken, and what is left.
///
/// # Errors
/// [`PgError`]; what was taken until then is.
pub async fn retry(link: &mut Link, shard: i16) -> Result<(u64, Vec<DeadLetter>), PgError> {
    let statements = Statements::prepare(link).await?;
    let (letters, _) = list(&link.client, shard, usize::MAX >> 1).await?;
    let (mut taken, mut left) = (0, Vec::new());
    for mut letter in letters {
        let sequence = letter.sequence.cast_signed();
        let stretch = Stretch { shard, behind: sequence - 1, through: sequence };
        match batch::write(link, &statements, stretch, Then::Resolve).await {
            Ok(_) => taken += 1,
            Err(error) => {
                let Some(refusal) = Refusal::of(&error, letter.tries + 1) else { return Err(error) };
                (letter.tries, letter.reason) = (refusal.tries, refusal.reason);
                note(link, shard, &letter, refusal.sqlstate.as_deref()).await?;
                left.push(letter);
            }
        }
    }
    Ok((taken, left))
}

async fn note(link: &Link, shard: i16, letter: &DeadLetter, sqlstate: Option<&str>) -> Result<(), PgError> {
    let doing = "noting another try";
    let text = "UPDATE lotbook.trade_dead_letters SET tries = $3, sqlstate = $4, reason = $5 WHERE shard = $1 AND sequence = $2";
    let sequence = letter.sequence.cast_signed();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&shard, &sequence, &letter.tries, &sqlstate, &letter.reason];
    within(link.patience(), doing, async { link.client.execute(text, &values).await.doing(doing) }).await?;
    Ok(())
}
