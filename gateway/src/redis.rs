//! The Redis sink's side of the host: published positions as it writes them, and what health and metrics say of it.

use std::sync::Arc;
use std::time::Duration;

use lotbook_archiver::redis::{Identity, Key, RedisSink, RedisView, Shown, Source};
use lotbook_archiver::text::Nanos;
use lotbook_core::limits::Limits;
use lotbook_engine::changed::Watch;
use lotbook_engine::{Host, PositionView, ReadModel};
use lotbook_wal::Log;
use serde_json::{Value, json};

use crate::config;
use crate::http::metrics::Page;
use crate::output::LotRow;
use crate::sinks::{self, Named};
use crate::view::{past_row, position_row};

/// How long a stop waits for what the host did last to be written.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Level of compression of lots: they are written often and read seldom.
const LOTS_LEVEL: i32 = 1;

/// A running sink and what it is fed from.
#[derive(Debug)]
pub struct Redis {
    sink: RedisSink,
    watch: Arc<Watch>,
}

/// What is shown of it.
#[derive(Clone, Debug)]
pub struct Seen {
    sink: RedisView,
    watch: Arc<Watch>,
}

impl Redis {
    /// Starts it, where the configuration has one.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(config: &config::Redis, limits: &Limits, host: &Host) -> std::io::Result<Option<Self>> {
        let Some(config) = config.of_sink() else { return Ok(None) };
        let (model, log) = (host.model().clone(), host.log().clone());
        let us =
            Identity { log_id: log.log_id(), epoch: u64::from(log.epoch()), nonce: uuid::Uuid::now_v7().as_u128() };
        let watch = model.watch(limits);
        let source = Published { model, log, watch: watch.clone() };
        Ok(Some(Self { sink: RedisSink::start(config, us, Box::new(source))?, watch }))
    }

    /// For health and metrics.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen { sink: self.sink.view(), watch: self.watch.clone() }
    }

    /// Ends it, once what the host did last is written, or after a short time.
    pub fn stop(self) {
        self.sink.stop(STOP_PATIENCE);
    }
}

/// Published positions.
struct Published {
    model: Arc<ReadModel>,
    log: Arc<Log>,
    watch: Arc<Watch>,
}

impl Source for Published {
    fn published(&self) -> u64 {
        self.model.published_sequence()
    }

    fn shown_through(&self) -> u64 {
        // The follower says how far it has come before it publishes anything of it.
        self.model.sequence()
    }

    fn changed(&mut self, positions: &mut Vec<Key>, instruments: &mut Vec<u32>) {
        // Instruments first: a position that is published after its mark is shown with it.
        self.watch.instruments(instruments);
        self.watch.positions(positions);
    }

    fn all(&self) -> Vec<Key> {
        self.model.keys()
    }

    fn show(&mut self, (account, instrument): Key, lots: bool) -> Option<Shown> {
        let view = self.model.position(account, instrument)?;
        Some(Shown {
            account: view.account.clone(),
            instrument: view.instrument.clone(),
            position: position(&view, &self.model),
            lots: lots.then(|| snapshot(&view, &self.model)),
        })
    }

    fn names(&self, (account, instrument): Key) -> Option<(Arc<str>, Arc<str>)> {
        let view = self.model.position(account, instrument)?;
        Some((view.account.clone(), view.instrument.clone()))
    }

    fn wait_durable(&self, sequence: u64, timeout: Duration) -> Result<bool, String> {
        self.log.wait_durable(sequence, timeout).map_err(|error| error.to_string())
    }
}

/// The fields of `GET /v1/positions`, without what is true only at the moment of an answer.
fn position(view: &PositionView, model: &ReadModel) -> Vec<u8> {
    let mark_at = model.instrument(view.instrument_id).and_then(|instrument| instrument.mark).map(|mark| mark.at_ns);
    let mut row = position_row(view, model, 0);
    let lots = std::mem::take(&mut row.lots);
    let Ok(Value::Object(mut fields)) = serde_json::to_value(&row) else { return Vec::new() };
    fields.shift_remove("lots");
    if let (Some(Value::Object(mark)), Some(at_ns)) = (fields.get_mut("mark"), mark_at) {
        mark.shift_remove("age_ms");
        mark.insert("at".into(), Nanos(at_ns).to_string().into());
    }
    fields.insert("break_count".into(), view.breaks.len().into());
    fields.insert("lot_count".into(), lots.len().into());
    fields.insert("as_of_sequence".into(), view.sequence.into());
    // Nothing else is ever written.
    fields.insert("durable".into(), true.into());
    serde_json::to_vec(&fields).unwrap_or_default()
}

/// The open lots, compressed.
fn snapshot(view: &PositionView, model: &ReadModel) -> Vec<u8> {
    let mut row = past_row(view, model);
    let lots: Vec<LotRow> = std::mem::take(&mut row.lots);
    let document = json!({
        "account": row.account,
        "instrument": row.instrument,
        "version": row.version,
        "quantity": row.quantity,
        "reconciliation_status": row.reconciliation_status,
        "as_of_sequence": view.sequence,
        "lots": lots,
    });
    let bytes = serde_json::to_vec(&document).unwrap_or_default();
    zstd::bulk::compress(&bytes, LOTS_LEVEL).unwrap_or_default()
}

impl Seen {
    /// For `/health/detailed`.
    pub(crate) fn document(&self, published: u64) -> Value {
        let (status, extra) = (self.sink.board.read(), self.sink.extra());
        let own = json!({
            "backlog_positions": extra.backlog,
            "rebuilding": extra.rebuilding.map(lotbook_archiver::redis::Why::as_str),
            "rebuilds": extra.rebuilds,
            "positions_written": status.rows,
            "batches": status.batches,
            "bytes": status.bytes,
            "messages": extra.messages,
            "conflated": self.watch.conflated(),
            "evicted_keys": extra.evicted,
        });
        sinks::document(&status, published, own)
    }

    /// What an operator should know.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let (status, extra) = (self.sink.board.read(), self.sink.extra());
        let problem = sinks::problem(&status).map(|problem| format!("Redis does not follow: {problem}"));
        let evicted = (extra.evicted > 0).then(|| {
            format!(
                "Redis has thrown away {} keys for want of memory: give it more, or another maxmemory-policy",
                extra.evicted
            )
        });
        problem.into_iter().chain(evicted).collect()
    }

    /// For `/metrics`.
    pub(crate) fn metrics(&self, page: &mut Page, published: u64) {
        let (status, extra) = (self.sink.board.read(), self.sink.extra());
        let named = Named {
            prefix: "redis",
            who: "the Redis sink",
            lag: "Age of what Redis shows, where it does not show all; an upper bound.",
        };
        sinks::gauges(page, named, &status, published);
        for (name, help, value) in [
            (
                "lotbook_redis_lag_records",
                "Published events that Redis does not show yet.",
                status.lag_records(published),
            ),
            ("lotbook_redis_complete_sequence", "Redis shows every event up to here.", status.sequence),
            ("lotbook_redis_backlog_positions", "Positions that are known to be written yet.", extra.backlog),
            ("lotbook_redis_rebuilding", "1 while all positions are written anew.", extra.rebuilding.is_some().into()),
        ] {
            page.family(name, "gauge", help, &[("", value)]);
        }
        for (name, help, value) in [
            ("lotbook_redis_positions_total", "Positions written since the start.", status.rows),
            ("lotbook_redis_bytes_total", "Bytes of transactions since the start.", status.bytes),
            ("lotbook_redis_batches_total", "Transactions since the start.", status.batches),
            ("lotbook_redis_messages_total", "Messages published since the start.", extra.messages),
            ("lotbook_redis_failures_total", "Failed tries since the start.", status.failures),
            (
                "lotbook_redis_breaker_opened_total",
                "Times that the breaker opened since the start.",
                status.breaker_opened,
            ),
            ("lotbook_redis_rebuilds_total", "Times that all positions were written anew.", extra.rebuilds),
            ("lotbook_redis_evicted_keys_total", "Keys that Redis threw away for want of memory.", extra.evicted),
            (
                "lotbook_redis_conflated_total",
                "Times that a position was published again before it was written.",
                self.watch.conflated(),
            ),
        ] {
            page.family(name, "counter", help, &[("", value)]);
        }
    }
}

/// Nothing configured, nothing shown.
pub(crate) fn document(seen: Option<&Seen>, published: u64) -> Value {
    seen.map_or_else(sinks::off, |seen| seen.document(published))
}
