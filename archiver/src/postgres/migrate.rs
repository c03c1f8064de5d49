//! Versions of the schema: SQL files in the program, each applied once, in order, in a transaction of its own.
//!
//! What was applied is in `lotbook.schema_version` with a checksum. A schema that is older than the program is brought up where that is
//! asked for, and refused otherwise; one that is newer, or was applied from other text, is always refused.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient};

use super::error::{Doing as _, PgError};

/// A version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// From 1 on, without a gap.
    pub version: i32,
    /// What it brings.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

/// All versions in order. One that was released never changes.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "event store", sql: include_str!("../../migrations/0001_event_store.sql") },
    Migration { version: 2, name: "trades", sql: include_str!("../../migrations/0002_trades.sql") },
];

/// The version that this program writes.
#[must_use]
pub fn newest() -> i32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

impl Migration {
    /// CRC32C of its text: it tells a changed file, not a forged one.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        crc32c::crc32c(self.sql.as_bytes())
    }
}

/// Who reads and who writes: made before the first version, where they are not there. Roles belong to the whole server.
const ROLES: &str = "
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['lotbook_reader', 'lotbook_writer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
CREATE SCHEMA IF NOT EXISTS lotbook;
CREATE TABLE IF NOT EXISTS lotbook.schema_version (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   bigint NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL DEFAULT current_user
);
COMMENT ON SCHEMA lotbook IS 'The archive of a Lotbook host.';
COMMENT ON TABLE lotbook.schema_version IS 'Versions of this schema that were applied, by `lotbook archive migrate`.';
COMMENT ON COLUMN lotbook.schema_version.version IS 'The version.';
COMMENT ON COLUMN lotbook.schema_version.name IS 'What it brought.';
COMMENT ON COLUMN lotbook.schema_version.checksum IS 'CRC32C of the text that was applied.';
COMMENT ON COLUMN lotbook.schema_version.applied_at IS 'When.';
COMMENT ON COLUMN lotbook.schema_version.applied_by IS 'By which role.';
";

/// Whoever migrates holds this lock of the database; the number is arbitrary and stays.
const LOCK: i64 = 0x6c6f_7462_6f6f_6b00;

/// Versions that were applied, ascending: version and checksum. Empty where there is no schema.
///
/// # Errors
/// [`PgError`].
pub async fn applied(client: &impl GenericClient) -> Result<Vec<(i32, i64)>, PgError> {
    let there = client.query_one("SELECT to_regclass('lotbook.schema_version') IS NOT NULL", &[]);
    if !there.await.doing("looking for the schema")?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let rows = client.query("SELECT version, checksum FROM lotbook.schema_version ORDER BY version", &[]);
    let rows = rows.await.doing("reading the schema's versions")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Whether the schema is this program's.
///
/// # Errors
/// [`PgError::SchemaOlder`], [`PgError::SchemaNewer`], [`PgError::SchemaChanged`].
pub async fn check(client: &Client) -> Result<(), PgError> {
    let found = applied(client).await?;
    compare(&found)?;
    let version = found.last().map_or(0, |(version, _)| *version);
    if version < newest() { Err(PgError::SchemaOlder { found: version, wanted: newest() }) } else { Ok(()) }
}

/// Brings the schema up to this program's version. The versions that were applied by this call.
///
/// # Errors
/// [`PgError`]; what was applied before the error stays, each version whole.
pub async fn migrate(client: &mut Client) -> Result<Vec<i32>, PgError> {
    let mut done = Vec::new();
    // Whatever it finds is decided under the lock.
    for migration in MIGRATIONS {
        let transaction = client.transaction().await.doing("beginning a migration")?;
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
            .await
            .doing("waiting for other migrations")?;
        transaction.batch_execute("SET LOCAL client_min_messages = warning").await.doing("beginning a migration")?;
        let mut found = applied(&transaction).await?;
        if found.is_empty() {
            transaction.batch_execute(ROLES).await.doing("making roles and schema")?;
            found = applied(&transaction).await?;
        }
        compare(&found)?;
        if !found.iter().any(|(version, _)| *version == migration.version) {
            transaction.batch_execute(migration.sql).await.doing("applying a migration")?;
            let row = "INSERT INTO lotbook.schema_version (version, name, checksum) VALUES ($1, $2, $3)";
            let checksum = i64::from(migration.checksum());
            let values: [&(dyn ToSql + Sync); 3] = [&migration.version, &migration.name, &checksum];
            transaction.execute(row, &values).await.doing("noting a migration")?;
            done.push(migration.version);
        }
        transaction.commit().await.doing("committing a migration")?;
    }
    Ok(done)
}

/// What was applied must be the first so many of ours.
fn compare(found: &[(i32, i64)]) -> Result<(), PgError> {
    if let Some((version, _)) = found.last().filter(|(version, _)| *version > newest()) {
        return Err(PgError::SchemaNewer { found: *version, wanted: newest() });
    }
    for ((version, checksum), ours) in found.iter().zip(MIGRATIONS) {
        if *version != ours.version || *checksum != i64::from(ours.checksum()) {
            return Err(PgError::SchemaChanged { version: *version });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbered_from_one_on() {
        for (number, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.version, number, "{}", migration.name);
        }
    }

    #[test]
    fn other_schemas_are_told_apart() {
        let ours: Vec<(i32, i64)> = MIGRATIONS.iter().map(|m| (m.version, i64::from(m.checksum()))).collect();
        assert!(compare(&[]).is_ok() && compare(&ours).is_ok());
        let mut newer = ours.clone();
        newer.push((newest() + 1, 0));
        assert!(matches!(compare(&newer), Err(PgError::SchemaNewer { .. })));
        let mut changed = ours;
        changed[0].1 ^= 1;
        assert!(matches!(compare(&changed), Err(PgError::SchemaChanged { version: 1 })));
    }
}
