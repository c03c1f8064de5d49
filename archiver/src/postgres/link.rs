//! A connection to Postgres: made within a time, with what every session of the archive wants to be set.

use std::future::Future;
use std::time::Duration;

use lotbook_wal::LogPosition;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, GenericClient, NoTls};

use super::error::{Doing as _, PgError};

/// Where the archive is.
#[derive(Clone)]
pub struct Target {
    config: Config,
    names_password: bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

impl Target {
    /// Reads an address: `postgresql://user:password@host:port/database`, or `host=... dbname=...`. Where it names no password, that of
    /// `PGPASSWORD` is taken, where it is set.
    ///
    /// # Errors
    /// [`PgError::Url`], [`PgError::Tls`].
    pub fn parse(url: &str) -> Result<Self, PgError> {
        let mut config: Config = url.parse().map_err(PgError::Url)?;
        if config.get_ssl_mode() == SslMode::Require {
            return Err(PgError::Tls);
        }
        let names_password = config.get_password().is_some();
        if !names_password && let Ok(password) = std::env::var("PGPASSWORD") {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("lotbook");
        }
        Ok(Self { config, names_password })
    }

    /// Whether the address has a password in it.
    #[must_use]
    pub fn names_password(&self) -> bool {
        self.names_password
    }

    /// With this password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// Host, port and database, without a password.
    #[must_use]
    pub fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            None => "(no host)".into(),
        };
        let port = self.config.get_ports().first().unwrap_or(&5432);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("");
        format!("{host}:{port}/{database}")
    }

    /// Connects. The session commits durably, and what it asks ends within `patience`.
    ///
    /// # Errors
    /// [`PgError::Connect`], [`PgError::Timeout`], [`PgError::Sql`].
    pub async fn connect(&self, patience: Duration) -> Result<Link, PgError> {
        let connecting = self.config.connect(NoTls);
        let (client, connection) =
            within(patience, "connecting to Postgres", async { connecting.await.map_err(PgError::Connect) }).await?;
        // What ends the connection is told to whoever waits for an answer on it.
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        let link = Link { client, driver, patience };
        // A batch that was answered must not be lost with the server: the log may have dropped its records by then.
        let wishes = format!(
            "SET synchronous_commit = on; SET statement_timeout = {}; SET search_path = lotbook; SET TimeZone = 'UTC'",
            patience.as_millis()
        );
        within(patience, "setting up the session", async {
            link.client.batch_execute(&wishes).await.doing("setting up the session")
        })
        .await?;
        Ok(link)
    }
}

/// A connection; closed when dropped.
#[derive(Debug)]
pub struct Link {
    /// To ask on.
    pub client: Client,
    driver: JoinHandle<()>,
    patience: Duration,
}

impl Drop for Link {
    fn drop(&mut self) {
        // The socket goes with it, whatever is under way: the server rolls back.
        self.driver.abort();
    }
}

/// Where the archive is in a shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The last record taken; sequence 0 for none.
    pub position: LogPosition,
    /// When the shard decided the last one that says so; 0 where none does.
    pub occurred_at_ns: i64,
}

impl Link {
    /// How long an answer is waited for.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The cursor of a shard; `None` where the archive has nothing of it.
    ///
    /// # Errors
    /// [`PgError`].
    pub async fn cursor(&self, shard: i16) -> Result<Option<Archived>, PgError> {
        within(self.patience, "reading the archive's cursor", cursor_of(&self.client, shard)).await
    }
}

/// The cursor of a shard, as a session or a transaction sees it.
pub(super) async fn cursor_of(client: &impl GenericClient, shard: i16) -> Result<Option<Archived>, PgError> {
    let query = "SELECT log_id, epoch, sequence, checksum, occurred_at_ns FROM lotbook.archive_cursor WHERE shard = $1";
    let row = client.query_opt(query, &[&shard]).await.doing("reading the archive's cursor")?;
    let Some(row) = row else { return Ok(None) };
    let bad = |what: &str| PgError::CursorRow { shard, what: what.into() };
    let log_id = u64::from_str_radix(row.get(0), 16).map_err(|_| bad("log_id is no log's id"))?;
    let epoch = u32::try_from(row.get::<_, i64>(1)).map_err(|_| bad("epoch is no epoch"))?;
    let sequence = u64::try_from(row.get::<_, i64>(2)).map_err(|_| bad("sequence is none"))?;
    let checksum = u32::try_from(row.get::<_, i64>(3)).map_err(|_| bad("checksum is none"))?;
    let position = LogPosition { log_id, epoch, sequence, checksum };
    Ok(Some(Archived { position, occurred_at_ns: row.get::<_, Option<i64>>(4).unwrap_or(0) }))
}

/// Waits no longer than `patience`.
pub(super) async fn within<T>(
    patience: Duration,
    doing: &'static str,
    asked: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(PgError::Timeout { doing, after: patience }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_without_its_password() {
        let target = Target::parse("postgresql://jo:secret@db.example:6432/books").expect("an address");
        assert_eq!(target.place(), "db.example:6432/books");
        assert!(!format!("{target:?}").contains("secret"));
        assert!(matches!(Target::parse("postgresql://db/books?sslmode=require"), Err(PgError::Tls)));
        assert!(matches!(Target::parse("postgresql://db/books?colour=red"), Err(PgError::Url(_))));
    }
}
