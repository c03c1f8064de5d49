//! `lotbook burst`: an embedded host, the market-close burst over real FIX sessions, a verdict.
//!
//! The load, the control, the recomputation and the report are the load generator's (`perf`), which
//! shares no code with the engine. This file starts the host, reads its log back, and hands both over.

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lotbook_core::codec::Decoder;
use lotbook_core::event::{Class, Event};
use lotbook_core::rules::Rules;
use lotbook_core::{Book, Date, Limits};
use lotbook_engine::fault::Fault;
use lotbook_engine::recovery::is_log_record;
use lotbook_engine::{EngineConfig, PositionView};
use lotbook_perf::burst::{self, BurstError, BurstOutcome, Progress, Target};
use lotbook_perf::machine::Machine;
use lotbook_perf::oracle::{LotSide, SeenLot, SeenPosition};
use lotbook_perf::plan::{BurstPlan, PlanError};
use lotbook_perf::report::{Report, duration, grouped};
use lotbook_perf::schedule::Phase;
use lotbook_perf::verdict::{LogCheck, LoggedOutcome};
use lotbook_perf::{control, flow, page};

use crate::cli::{BurstArgs, Plant};
use crate::config::Ack;
use crate::fix::acceptor::AcceptorConfig;
use crate::fix::encode::AckPolicy;
use crate::server::{Defaults, ServeError, Server, lot_method};

/// Seconds of the control run.
const CONTROL_SECONDS: u64 = 5;
/// Where mapped tails lie unless they are told otherwise.
const SHARED_MEMORY: &str = "/dev/shm";
/// How long reconciliation may take after the last answer.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a burst has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum BurstFailure {
    /// The plan cannot be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The host did not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The load broke off.
    #[error("the load broke off: {0}")]
    Load(#[from] BurstError),
    /// A file or directory.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log could not be read back.
    #[error("reading the log back: {0}")]
    ReadBack(String),
}

fn plan(args: &BurstArgs) -> Result<BurstPlan, PlanError> {
    let plan = BurstPlan {
        rate: args.rate,
        burst_multiplier: args.burst_multiplier,
        seconds: args.seconds,
        positions: args.positions as u32,
        accounts: args.accounts as u32,
        instruments: args.instruments as u32,
        seed: args.seed,
        sessions: args.sessions as u32,
        backdated_permille: args.backdated.0 / 1000,
        duplicate_permille: args.duplicates.0 / 1000,
        invalid_permille: args.invalid.0 / 1000,
        methods: vec![
            lotbook_perf::oracle::LotMethod::Fifo,
            lotbook_perf::oracle::LotMethod::Lifo,
            lotbook_perf::oracle::LotMethod::Hifo,
        ],
        ..BurstPlan::default()
    };
    plan.checked().map(|()| plan)
}

/// Runs the burst and writes what was asked for. `Ok(true)`: the run passed.
///
/// # Errors
/// [`BurstFailure`]: there is no verdict.
pub fn run(args: &BurstArgs, out: &mut dyn Write) -> Result<bool, BurstFailure> {
    let plan = plan(args)?;
    let temporary;
    let data_dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => {
            temporary = tempfile::Builder::new().prefix("lotbook-burst-").tempdir().map_err(|source| {
                BurstFailure::Io { what: "making a temporary directory in", path: std::env::temp_dir(), source }
            })?;
            temporary.path().to_path_buf()
        }
    };
    // A tail on shared memory outlives its process, which is its purpose; that of a temporary directory goes with it.
    let temporary_tail = match (&args.data_dir, &args.tail_dir) {
        (None, None) => tempfile::Builder::new().prefix("lotbook-burst-").tempdir_in(SHARED_MEMORY).ok(),
        _ => None,
    };
    let tail_dir = args.tail_dir.as_deref().or(temporary_tail.as_ref().map(|dir| dir.path()));
    say(out, &Machine::here().line());
    say(out, "making the flow ...");
    let ledger = flow::generate(&plan)?;
    let shortened = plan.shortened(CONTROL_SECONDS);
    let control_ledger = flow::generate(&shortened)?;
    let bar = Bar::new(&plan);
    let control = control::run(&shortened, control_ledger, &mut |progress| bar.show("control", progress))?;
    bar.clear();
    say(
        out,
        &format!(
            "control (FIX echo, no engine): {}/s of {}/s base, {}/s of {}/s burst",
            grouped(control.base.rate_achieved as u64),
            grouped(control.base.rate_offered as u64),
            grouped(control.burst.rate_achieved as u64),
            grouped(control.burst.rate_offered as u64)
        ),
    );

    let mut server = start(args, &plan, &ledger, &data_dir, tail_dir)?;
    let acceptor = server.acceptor().map(|a| a.local_addr).unwrap_or(loopback(0));
    let mut target = Target::new(acceptor, "LOTBOOK", plan.sessions);
    let log = server.host.log().clone();
    let flushed = log.clone();
    let ack = args.ack;
    target.published = Some(std::sync::Arc::new(move || match ack {
        Ack::Durable => log.durable_sequence(),
        Ack::Applied => log.published_sequence(),
    }));
    let outcome = burst::run_with(&plan, ledger, &target, &mut |progress| bar.show("burst", progress))?;
    bar.clear();
    let reconciled = server.host.wait_reconciled(RECONCILE_TIMEOUT);
    let positions = positions(&server);
    let trouble = server.host.error();
    let (corrected, stale) = server.host.counters().corrections();
    let flushes = flushed.stats();
    let recovery = data_dir.clone();
    // Without a word to anyone, as a killed process: what is acknowledged must be there all the same.
    server.door.poll();
    server.crash();

    let mut integrity = verdict(&outcome, &recovery, tail_dir, &positions)?;
    if !reconciled {
        integrity.verdict = "broken";
        let why = trouble.map_or("provisional positions remain".into(), |error| error.to_string());
        integrity.examples.push(format!("not reconciled: {why}"));
    }
    let mut report = Report::new(&outcome, integrity, Some(&control), args.ack.as_str(), Machine::here());
    report.notes.push(format!(
        "{} corrections of late trades, {} proposals came too late",
        grouped(corrected),
        grouped(stale)
    ));
    // A latency that is this long is the disk's.
    report.notes.push(format!(
        "{} flushes of the log, on average {}, the longest {}",
        grouped(flushes.flushes),
        duration(flushes.flush_ns_sum / flushes.flushes.max(1)),
        duration(flushes.flush_ns_max)
    ));
    write_files(args, &report, &outcome, &control)?;
    print(out, &report);
    Ok(report.pass)
}

fn say(out: &mut dyn Write, line: &str) {
    // A closed output is no reason to stop a run.
    let _ = writeln!(out, "{line}");
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn start(
    args: &BurstArgs,
    plan: &BurstPlan,
    ledger: &lotbook_perf::ledger::Ledger,
    data_dir: &Path,
    tail_dir: Option<&Path>,
) -> Result<Server, BurstFailure> {
    let mut engine = EngineConfig::new(data_dir);
    engine.tail_dir = tail_dir.map(Path::to_path_buf);
    let messages = ledger.entries.len();
    engine.trade_ids_max = (messages * 5 / 4).next_power_of_two().max(1 << 16);
    engine.limits = Limits {
        positions_max: (plan.positions as usize * 2).next_power_of_two().max(1 << 12),
        lots_max: (messages * 4).next_power_of_two().clamp(1 << 16, 1 << 30),
        ..Limits::HOST
    };
    engine.fault = args.plant.map(|plant| match plant {
        Plant::Drop => Fault::Drop,
        Plant::Double => Fault::Double,
        Plant::WrongLot => Fault::WrongLot,
        Plant::AckBeforeLog => Fault::AckBeforeLog,
    });
    let shorts = |method| Rules { method, allow_short: true, ..Rules::DEFAULT };
    let defaults =
        Defaults { business_date: Some(Date(plan.business_date_days)), rules: shorts(lotbook_core::LotMethod::Fifo) };
    let (mut server, known) = Server::start(&engine, &defaults)?;
    for (account, method) in ledger.universe.contracts() {
        server.set_contract(account, Some(account), shorts(lot_method(method)))?;
    }
    let config = AcceptorConfig {
        base_currency: None,
        listen: loopback(0),
        comp_id: "LOTBOOK".into(),
        ack: match args.ack {
            Ack::Applied => AckPolicy::Applied,
            Ack::Durable => AckPolicy::Durable,
        },
        sessions: Vec::new(),
        service_id: "burst".into(),
    };
    Ok(server.open_fix(config, known)?)
}

fn positions(server: &Server) -> Vec<SeenPosition> {
    server.host.model().positions().iter().map(|view| seen(view)).collect()
}

fn seen(view: &PositionView) -> SeenPosition {
    let side = if view.quantity_e8 < 0 { LotSide::Short } else { LotSide::Long };
    let lots = view.lots.iter().map(|lot| SeenLot {
        trade_id: lot.trade_id.to_string(),
        side,
        quantity_e8: lot.quantity_e8,
        price_e8: lot.price_e8,
        cost_e16: lot.cost_e16,
        acquired_days: lot.acquired.0,
    });
    SeenPosition {
        account: view.account.to_string(),
        instrument: view.instrument.to_string(),
        quantity_e8: view.quantity_e8,
        realized_e16: view.realized_e16,
        lots: lots.collect(),
    }
}

/// Reads the log back from disk and tail, as it was left, and compares.
fn verdict(
    outcome: &BurstOutcome,
    data_dir: &Path,
    tail_dir: Option<&Path>,
    positions: &[SeenPosition],
) -> Result<lotbook_perf::verdict::Integrity, BurstFailure> {
    let fail = |what: String| BurstFailure::ReadBack(what);
    let mut log = lotbook_wal::open_read_only(&data_dir.join("log")).map_err(|error| fail(error.to_string()))?;
    if let Some(dir) = tail_dir {
        log = log.with_tail_dir(dir);
    }
    // Only names are applied to this book: the log's numbers are to be read as text.
    let mut book = Book::new(Limits { positions_max: 1, lots_max: 8, ..Limits::HOST });
    let mut decoder = Decoder::new();
    let mut check = LogCheck::new(&outcome.ledger);
    while let Some(record) = log.next().map_err(|error| fail(error.to_string()))? {
        let header = record.header;
        if is_log_record(&header) {
            continue;
        }
        let event = decoder
            .decode(header.kind, header.version, record.payload)
            .map_err(|error| fail(format!("event {}: {error}", header.sequence)))?;
        match &event {
            Event::Defined { .. } => {
                let place = lotbook_core::apply::Place { sequence: header.sequence, address: header.address };
                book.apply(&event, place, None).map_err(|misfit| fail(misfit.to_string()))?;
            }
            Event::Trade(trade) => {
                use lotbook_core::command::NameClass;
                let outcome = match trade.class {
                    Class::Applied => LoggedOutcome::Applied,
                    Class::Provisional => LoggedOutcome::Provisional,
                    Class::Forward => LoggedOutcome::Forward,
                    Class::Duplicate => LoggedOutcome::Duplicate,
                    Class::Rejected => LoggedOutcome::Rejected,
                    // The same trade was seen when it was accepted.
                    Class::Matured | Class::Rebooked | Class::Held | Class::Lapsed => continue,
                };
                let account = book.names().str(NameClass::Account, trade.input.account);
                let instrument = book.names().str(NameClass::Instrument, trade.input.instrument);
                check.saw(trade.input.trade_id.as_str(), account, instrument, header.sequence, outcome);
            }
            _ => {}
        }
    }
    check.contradictions(outcome.contradictions.count, &outcome.contradictions.examples);
    check.early(outcome.early_acknowledgements);
    check.unknown(outcome.unknown_answers);
    Ok(check.finish(positions))
}

fn write_files(
    args: &BurstArgs,
    report: &Report,
    outcome: &BurstOutcome,
    control: &BurstOutcome,
) -> Result<(), BurstFailure> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|source| BurstFailure::Io { what: "writing", path: path.into(), source })
    };
    if let Some(path) = &args.json {
        write(path, report.json())?;
    }
    if let Some(path) = &args.report {
        write(path, page::html(report, &outcome.total.latency, Some(&control.total.latency)))?;
    }
    Ok(())
}

fn print(out: &mut dyn Write, report: &Report) {
    let counts = &report.counts;
    let latency = &report.latency_ns;
    let lines = [
        format!(
            "sent {}, acknowledged {} (of these provisional {}), duplicates {}, rejected {}, unanswered {}",
            grouped(report.sent),
            grouped(report.acknowledged),
            grouped(counts.provisional),
            grouped(report.duplicates),
            grouped(report.rejected),
            grouped(report.unanswered)
        ),
        format!(
            "rate   base {}/s of {}/s, burst {}/s of {}/s",
            grouped(report.base.rate_achieved as u64),
            grouped(report.base.rate_offered as u64),
            grouped(report.burst.rate_achieved as u64),
            grouped(report.burst.rate_offered as u64)
        ),
        format!(
            "latency from the scheduled time ({}): p50 {}, p95 {}, p99 {}, p99.9 {}, p99.99 {}, max {}",
            report.ack,
            duration(latency.p50),
            duration(latency.p95),
            duration(latency.p99),
            duration(latency.p999),
            duration(latency.p9999),
            duration(latency.max)
        ),
        format!(
            "integrity {}: {} acknowledged, {} in the log; missing {}, extra {}, wrong positions {} of {} ({} lots)",
            report.integrity.verdict,
            grouped(report.integrity.acknowledged),
            grouped(report.integrity.logged),
            report.integrity.missing,
            report.integrity.extra,
            report.integrity.wrong_positions,
            grouped(report.integrity.positions),
            grouped(report.integrity.lots)
        ),
    ];
    for line in lines {
        say(out, &line);
    }
    for example in report.integrity.examples.iter().take(5) {
        say(out, &format!("  {example}"));
    }
    for note in &report.notes {
        say(out, &format!("note   {note}"));
    }
    for reason in &report.reasons {
        say(out, &format!("FAILED {reason}"));
    }
    say(out, if report.pass { "PASSED" } else { "FAILED" });
}

/// Live progress: a bar on a terminal, a line every few seconds elsewhere.
struct Bar {
    bar: ProgressBar,
    terminal: bool,
    last_line: std::cell::Cell<u64>,
}

/// Between two lines where the output is no terminal.
const LINE_EVERY_MS: u64 = 5_000;

impl Bar {
    fn new(plan: &BurstPlan) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(plan.seconds * 1000), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>8} [{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, terminal, last_line: std::cell::Cell::new(0) }
    }

    fn show(&self, name: &'static str, progress: &Progress) {
        let phase = if progress.phase == Phase::Base { "base" } else { "BURST" };
        let message = format!(
            "{:>4.1}s {phase:5} {:>9}/s offered {:>9}/s answered  p50 {:>8} p99 {:>8}",
            progress.elapsed_ms as f64 / 1000.0,
            grouped(progress.rate_offered as u64),
            grouped(progress.rate_answered as u64),
            duration(progress.p50_ns),
            duration(progress.p99_ns)
        );
        if self.terminal {
            self.bar.set_length(progress.total_ms);
            self.bar.set_prefix(name);
            self.bar.set_position(progress.elapsed_ms.min(progress.total_ms));
            self.bar.set_message(message);
        } else if progress.elapsed_ms < self.last_line.get()
            || progress.elapsed_ms >= self.last_line.get() + LINE_EVERY_MS
        {
            self.last_line.set(progress.elapsed_ms);
            // Nobody may be reading; `eprintln` would panic.
            let _ = writeln!(std::io::stderr(), "{name:>8} {message}");
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
        self.last_line.set(0);
    }
}
