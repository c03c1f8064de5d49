//! The sink's thread: connects, claims the database, writes what changed in transactions, and notices when what it wrote is gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::backlog::{Backlog, Item, Key};
use super::connection::Connection;
use super::error::RedisError;
use super::limits::{BATCH_BYTES, EVICTED_EVERY, LOOK_EVERY, PRUNE_ACCOUNTS, STEP};
use super::marker::{FORMAT, Identity, Marker, Verdict, Why, decide};
use super::resp::{Commands, Reply};
use super::{RUNS, RedisConfig, Shared, Shown, Source};
use crate::retry::{Breaker, Retry};
use crate::status::SinkState;

/// Claims that others' changes of the marker may spoil, before it is called a failure.
const CLAIMS_MAX: usize = 5;

/// A transaction's answers, or that the database is not ours any more: then nothing of it was done.
type Ran = Option<Vec<Reply>>;

/// An open connection whose database is ours.
struct Claimed {
    connection: Connection,
    token: String,
    /// Keys that were thrown away before the claim.
    evicted: u64,
}

pub(super) struct Sink {
    config: RedisConfig,
    us: Identity,
    source: Box<dyn Source>,
    shared: Shared,
    retry: Retry,
    began: Instant,
    keys: Keys,
    backlog: Backlog,
    claimed: Option<Claimed>,
    claims: u64,
    /// Token of the last claim.
    last_token: Option<String>,
    /// Everything is being written anew: what nobody has any more goes at the end.
    rebuilding: Option<Why>,
    /// Accounts that are in the set of accounts since the claim.
    accounts: HashSet<Arc<str>>,
    /// What the backlog has in it, when it is written.
    through: (u64, i64),
    complete: u64,
    looked: Instant,
    rebuilt: Option<Instant>,
}

/// Names of keys.
struct Keys {
    marker: String,
    accounts: String,
    positions: String,
    snapshots: String,
    channel: String,
}

impl Keys {
    fn new(prefix: &str) -> Self {
        let key = |name: &str| format!("{prefix}{name}");
        Self {
            marker: key("lotbook"),
            accounts: key("lotbook:accounts"),
            positions: key("positions:"),
            snapshots: key("snapshots:"),
            channel: key("pnl:"),
        }
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl Sink {
    pub(super) fn new(config: RedisConfig, us: Identity, source: Box<dyn Source>, shared: Shared) -> Self {
        Self {
            retry: Retry::new(config.retry, us.nonce as u64),
            keys: Keys::new(&config.prefix),
            config,
            us,
            source,
            shared,
            began: Instant::now(),
            backlog: Backlog::default(),
            claimed: None,
            claims: 0,
            last_token: None,
            rebuilding: None,
            accounts: HashSet::new(),
            through: (0, 0),
            complete: 0,
            looked: Instant::now(),
            rebuilt: None,
        }
    }

    pub(super) fn run(mut self) {
        while self.runs() {
            let wait = self.retry.wait(self.began.elapsed());
            let breaker = self.retry.breaker(self.began.elapsed());
            self.shared.board.write(|status| status.breaker = breaker);
            if !wait.is_zero() {
                std::thread::park_timeout(wait.min(STEP));
                continue;
            }
            match self.turn() {
                Ok(()) => {
                    self.succeeded();
                    std::thread::park_timeout(self.config.interval);
                }
                Err(error) => self.failed(&error),
            }
        }
        // What the host did last is shown, where Redis takes it.
        if self.claimed.is_some() && self.turn().is_ok() {
            self.succeeded();
        }
        self.shared.board.write(|status| status.state = SinkState::Stopped);
    }

    fn runs(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire) == RUNS
    }

    fn succeeded(&mut self) {
        self.retry.succeeded();
        self.shared.board.write(|status| {
            status.state = SinkState::Following;
            status.breaker = Breaker::Closed;
            status.problem = None;
        });
    }

    fn failed(&mut self, error: &RedisError) {
        self.claimed = None;
        let now = self.began.elapsed();
        self.retry.failed(now);
        let breaker = self.retry.breaker(now);
        let words = error.to_string();
        let refused = matches!(error, RedisError::ForeignLog { .. } | RedisError::LaterEpoch { .. });
        let opened = self.retry.opened();
        self.shared.board.write(|status| {
            if status.problem.as_ref() != Some(&words) {
                tracing::warn!(error = words, "the Redis sink");
            }
            status.state = if refused { SinkState::Refused } else { SinkState::Failing };
            status.problem = Some(words);
            status.failures += 1;
            status.breaker_opened = opened;
            status.breaker = breaker;
        });
    }

    /// Claims the database where it is not, and writes what there is to write.
    fn turn(&mut self) -> Result<(), RedisError> {
        loop {
            if self.claimed.is_none() {
                self.claim()?;
            }
            if self.backlog.is_empty() {
                self.collect();
            }
            if self.write_all()?.is_some() && self.finish()?.is_some() {
                return Ok(());
            }
            // Somebody has flushed the database or taken it: the marker says which.
            let Some(claimed) = self.claimed.take() else { continue };
            self.claim_on(claimed.connection)?;
        }
    }

    /// Takes what changed. All that was published before is in the backlog then.
    fn collect(&mut self) {
        let through = (self.source.published(), now_ns());
        let (mut positions, mut instruments) = (Vec::new(), Vec::new());
        self.source.changed(&mut positions, &mut instruments);
        self.backlog.add(&positions, &instruments);
        self.through = through;
    }

    fn claim(&mut self) -> Result<(), RedisError> {
        self.shared.board.write(|status| {
            if status.state != SinkState::Failing && status.state != SinkState::Refused {
                status.state = SinkState::Connecting;
            }
        });
        let connection = Connection::open(&self.config, &self.shared.plug)?;
        self.claim_on(connection)
    }

    /// Reads the marker and writes our own, in one go or not at all. Of an earlier connection Redis may hold a transaction that it has not
    /// run yet: it watches the marker too, so it is not run after this.
    fn claim_on(&mut self, mut connection: Connection) -> Result<(), RedisError> {
        for _ in 0..CLAIMS_MAX {
            let mut commands = Commands::default();
            commands.add(&[b"INFO", b"server"]).add(&[b"INFO", b"stats"]);
            commands.add(&[b"WATCH", self.keys.marker.as_bytes()]).add(&[b"HGETALL", self.keys.marker.as_bytes()]);
            let mut replies = connection.expect("what the claim reads", &commands)?.into_iter();
            let mut next = || replies.next().ok_or(RedisError::Protocol("an answer is missing"));
            let server = next()?.into_text().unwrap_or_default();
            let run_id = info(&server, "run_id").ok_or(RedisError::Protocol("a server without a run_id"))?.to_owned();
            let evicted = evicted(&next()?.into_text().unwrap_or_default());
            next()?;
            let found = Marker::read(next()?);
            let last_token = self.last_token.as_deref();
            let verdict = decide(found.as_ref(), &self.us, last_token, &run_id, &self.keys.marker)?;
            self.claims += 1;
            let token = self.us.token(self.claims);
            let mut commands = Commands::default();
            let state: &[u8] = if verdict == Verdict::Resume { b"complete" } else { b"building" };
            commands.add(&[b"MULTI"]).begin(14).word("HSET").word(&self.keys.marker);
            commands.word("format").word(FORMAT).word("log_id").word(self.us.log_id());
            commands.word("epoch").word(self.us.epoch.to_string()).word("token").word(&token);
            commands.word("run_id").word(&run_id).word("state").word(state).add(&[b"EXEC"]);
            let mut replies = connection.expect("the claim", &commands)?;
            let ran = replies.pop().and_then(Reply::into_array).is_some();
            self.last_token = Some(token.clone());
            if !ran {
                continue;
            }
            let mut claimed = Claimed { connection, token, evicted };
            if !claimed.is_ours(&self.keys)? {
                connection = claimed.connection;
                continue;
            }
            self.accounts.clear();
            self.claimed = Some(claimed);
            self.looked = Instant::now();
            if let Verdict::Rebuild(why) = verdict {
                self.rebuild(why);
            }
            return Ok(());
        }
        Err(RedisError::Protocol("the marker changes all the time: somebody else writes to this database"))
    }

    /// Everything is to be written.
    fn rebuild(&mut self, why: Why) {
        tracing::info!(why = why.as_str(), "all positions are written to Redis anew");
        self.rebuilding = Some(why);
        self.rebuilt = Some(Instant::now());
        self.collect();
        self.backlog.everything(&self.source.all());
        let mut extra = self.shared.extra.lock();
        extra.rebuilds += 1;
        extra.rebuilding = Some(why);
    }

    /// Writes the backlog, batch by batch.
    fn write_all(&mut self) -> Result<Option<()>, RedisError> {
        while !self.backlog.is_empty() {
            self.shared.extra.lock().backlog = self.backlog.len() as u64;
            let batch = self.backlog.take(self.config.batch);
            match self.write(&batch) {
                Ok(Some(())) => {}
                failed => {
                    self.backlog.give_back(&batch);
                    return failed;
                }
            }
        }
        self.shared.extra.lock().backlog = 0;
        Ok(Some(()))
    }

    /// One batch, in one transaction or, where it has very many bytes, in several.
    fn write(&mut self, batch: &[Item]) -> Result<Option<()>, RedisError> {
        let began = Instant::now();
        let mut shown = Vec::with_capacity(batch.len());
        let mut bytes = 0;
        for item in batch {
            if let Some(position) = self.source.show(item.key, item.lots) {
                bytes += position.position.len() * 2 + position.lots.as_ref().map_or(0, Vec::len);
                shown.push(position);
            }
            if bytes > BATCH_BYTES {
                if self.send(&std::mem::take(&mut shown), began)?.is_none() {
                    return Ok(None);
                }
                bytes = 0;
            }
        }
        if shown.is_empty() { Ok(Some(())) } else { self.send(&shown, began) }
    }

    fn send(&mut self, shown: &[Shown], began: Instant) -> Result<Option<()>, RedisError> {
        self.await_durable(self.source.shown_through())?;
        let mut commands = Commands::default();
        commands.add(&[b"MULTI"]);
        let mut new = Vec::new();
        let mut messages = 0;
        // Those of an account lie together.
        for of_account in shown.chunk_by(|a, b| a.account == b.account) {
            let account = &of_account[0].account;
            if !self.accounts.contains(account) && !new.contains(account) {
                commands.add(&[b"SADD", self.keys.accounts.as_bytes(), account.as_bytes()]);
                new.push(account.clone());
            }
            commands.begin(2 + 2 * of_account.len()).word("HSET").word(format!("{}{account}", self.keys.positions));
            for shown in of_account {
                commands.word(shown.instrument.as_bytes()).word(&shown.position);
            }
            let with_lots = of_account.iter().filter_map(|shown| Some((&shown.instrument, shown.lots.as_ref()?)));
            let count = with_lots.clone().count();
            if count > 0 {
                commands.begin(2 + 2 * count).word("HSET").word(format!("{}{account}", self.keys.snapshots));
                for (instrument, lots) in with_lots {
                    commands.word(instrument.as_bytes()).word(lots);
                }
            }
            let mut message = Vec::with_capacity(of_account.iter().map(|shown| shown.position.len() + 1).sum());
            for shown in of_account {
                message.push(if message.is_empty() { b'[' } else { b',' });
                message.extend_from_slice(&shown.position);
            }
            message.push(b']');
            commands.begin(3).word("PUBLISH").word(format!("{}{account}", self.keys.channel)).word(message);
            messages += 1;
        }
        let bytes = commands.bytes().len() as u64;
        if self.run_guarded("a batch", commands)?.is_none() {
            return Ok(None);
        }
        self.accounts.extend(new);
        self.shared.extra.lock().messages += messages;
        self.shared.board.write(|status| {
            status.batches += 1;
            status.rows += shown.len() as u64;
            status.bytes += bytes;
            status.last_batch_rows = shown.len() as u64;
            status.last_batch_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        });
        Ok(Some(()))
    }

    /// The backlog is written: says so in Redis, and looks whether what was written is still there.
    fn finish(&mut self) -> Result<Option<()>, RedisError> {
        if self.rebuilding.is_some() && self.prune()?.is_none() {
            return Ok(None);
        }
        let (through, at_ns) = self.through;
        let is_new = self.complete < through || self.rebuilding.is_some();
        if is_new || self.looked.elapsed() >= LOOK_EVERY {
            self.await_durable(through)?;
            let mut commands = Commands::default();
            commands.add(&[b"MULTI"]).begin(6).word("HSET").word(&self.keys.marker);
            commands.word("state").word("complete").word("complete_through").word(through.to_string());
            if self.run_guarded("the marker", commands)?.is_none() {
                return Ok(None);
            }
            if self.look()?.is_none() {
                return Ok(None);
            }
        }
        if self.rebuilding.take().is_some() {
            self.shared.extra.lock().rebuilding = None;
            tracing::info!(through, "all positions are in Redis");
        }
        self.complete = through;
        self.shared.board.write(|status| (status.sequence, status.occurred_at_ns) = (through, at_ns));
        Ok(Some(()))
    }

    /// From time to time: has Redis thrown keys away? Then nobody knows which.
    fn look(&mut self) -> Result<Option<()>, RedisError> {
        let Some(claimed) = &mut self.claimed else { return Ok(None) };
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(Some(()));
        }
        self.looked = Instant::now();
        let mut commands = Commands::default();
        commands.add(&[b"INFO", b"stats"]);
        let stats = claimed.connection.expect("INFO", &commands)?.pop().and_then(Reply::into_text).unwrap_or_default();
        let lost = evicted(&stats).saturating_sub(claimed.evicted);
        if lost > 0 && self.rebuilt.is_none_or(|rebuilt| rebuilt.elapsed() >= EVICTED_EVERY) {
            claimed.evicted += lost;
            self.shared.extra.lock().evicted += lost;
            self.rebuild(Why::Evicted);
            return self.write_all();
        }
        Ok(Some(()))
    }

    /// Removes what nobody has any more: positions of a book that was restored to an earlier state, or written in another format.
    fn prune(&mut self) -> Result<Option<()>, RedisError> {
        let mut known: HashMap<Arc<str>, HashSet<Arc<str>>> = HashMap::new();
        for (account, instrument) in self.source.all().into_iter().filter_map(|key: Key| self.source.names(key)) {
            known.entry(account).or_default().insert(instrument);
        }
        let Some(claimed) = &mut self.claimed else { return Ok(None) };
        let mut commands = Commands::default();
        commands.add(&[b"SMEMBERS", self.keys.accounts.as_bytes()]);
        let members = claimed.connection.expect("SMEMBERS", &commands)?.pop().and_then(Reply::into_array);
        let accounts: Vec<String> = members.unwrap_or_default().into_iter().filter_map(Reply::into_text).collect();
        for accounts in accounts.chunks(PRUNE_ACCOUNTS) {
            let keys =
                |account: &String| [&self.keys.positions, &self.keys.snapshots].map(|key| format!("{key}{account}"));
            let mut commands = Commands::default();
            for key in accounts.iter().flat_map(keys) {
                commands.add(&[b"HKEYS", key.as_bytes()]);
            }
            let Some(claimed) = &mut self.claimed else { return Ok(None) };
            let mut held = claimed.connection.expect("HKEYS", &commands)?.into_iter();
            let mut commands = Commands::default();
            commands.add(&[b"MULTI"]);
            for account in accounts {
                let known = known.get(account.as_str());
                for key in keys(account) {
                    let fields = held.next().and_then(Reply::into_array).unwrap_or_default();
                    for field in fields.into_iter().filter_map(Reply::into_text) {
                        if !known.is_some_and(|known| known.contains(field.as_str())) {
                            commands.add(&[b"HDEL", key.as_bytes(), field.as_bytes()]);
                        }
                    }
                }
                if known.is_none() {
                    commands.add(&[b"SREM", self.keys.accounts.as_bytes(), account.as_bytes()]);
                }
            }
            if commands.count() > 1 && self.run_guarded("what is removed", commands)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// Runs a transaction whose MULTI has been written, if the database is still ours.
    fn run_guarded(&mut self, what: &'static str, commands: Commands) -> Result<Ran, RedisError> {
        match &mut self.claimed {
            Some(claimed) => claimed.run(what, commands, &self.keys),
            None => Ok(None),
        }
    }

    /// What is not durable never leaves.
    fn await_durable(&self, sequence: u64) -> Result<(), RedisError> {
        while !self.source.wait_durable(sequence, STEP).map_err(RedisError::NotDurable)? {
            if !self.runs() {
                return Err(RedisError::Stopped);
            }
        }
        Ok(())
    }
}

impl Claimed {
    /// Runs a transaction, and watches the marker for the next one.
    fn run(&mut self, what: &'static str, mut commands: Commands, keys: &Keys) -> Result<Ran, RedisError> {
        commands.add(&[b"EXEC"]);
        self.watch(&mut commands, keys);
        let mut replies = self.connection.expect(what, &commands)?;
        let token = replies.pop().and_then(Reply::into_text);
        replies.pop();
        let Some(answers) = replies.pop().and_then(Reply::into_array) else { return Ok(None) };
        let answers = answers.into_iter().map(|answer| answer.accepted(what)).collect::<Result<_, _>>()?;
        Ok((token.as_deref() == Some(&self.token)).then_some(answers))
    }

    fn watch(&self, commands: &mut Commands, keys: &Keys) {
        commands.add(&[b"WATCH", keys.marker.as_bytes()]).add(&[b"HGET", keys.marker.as_bytes(), b"token"]);
    }

    /// Watches the marker; whether it is the one that was written.
    fn is_ours(&mut self, keys: &Keys) -> Result<bool, RedisError> {
        let mut commands = Commands::default();
        self.watch(&mut commands, keys);
        let token = self.connection.expect("WATCH", &commands)?.pop().and_then(Reply::into_text);
        Ok(token.as_deref() == Some(&self.token))
    }
}

/// A line of INFO.
fn info<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
}

fn evicted(stats: &str) -> u64 {
    info(stats, "evicted_keys").and_then(|count| count.parse().ok()).unwrap_or(0)
}
