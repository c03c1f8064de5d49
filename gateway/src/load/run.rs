//! The command: a plan from the arguments, a host, the load, the verdict; or a search for the highest rate; or two results on one page.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use lotbook_perf::burst::{self, BurstError, BurstOutcome, Progress};
use lotbook_perf::door::{DoorError, Target};
use lotbook_perf::http::{HttpTarget, contract_line};
use lotbook_perf::invalid::InvalidClass;
use lotbook_perf::ledger::Ledger;
use lotbook_perf::load::{self, Pace};
use lotbook_perf::machine::Machine;
use lotbook_perf::oracle::LotMethod;
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::profile::Profile;
use lotbook_perf::report::{Criteria, Report, duration, grouped};
use lotbook_perf::search::Search;
use lotbook_perf::tape::Tape;
use lotbook_perf::verdict::{self, Integrity};
use lotbook_perf::{flow, versus};

use super::print::{Files, print, say, write, write_files};
use super::{Bar, Embedded, LoadFailure, Place, Rings, feed_of, with_prices};
use crate::cli::{LoadArgs, LoadTarget};
use crate::config::Ack;

/// How long a running host may take to reconcile after the last answer.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a running host may take to show its business date.
const DATE_TIMEOUT: Duration = Duration::from_secs(60);
/// What names of temporary directories begin with.
const PREFIX: &str = "lotbook-load-";

/// Loads, and writes what was asked for. `Ok(true)`: the book is exact and everything was answered (of a search: a rate was found).
///
/// # Errors
/// [`LoadFailure`]: there is no verdict.
pub fn run(args: &LoadArgs, out: &mut dyn Write) -> Result<bool, LoadFailure> {
    if let [first, second] = args.compare.as_slice() {
        return compare(args, first, second, out).map(|()| true);
    }
    say(out, &Machine::here().line());
    let plan = plan(args)?;
    if args.search {
        return search(args, &plan, out);
    }
    say(out, "making the flow ...");
    let ledger = flow::generate(&plan)?;
    let bar = Bar::new();
    let run = offer(args, &plan, ledger, &mut |progress| bar.show("load", progress));
    bar.clear();
    let Offered { outcome, integrity, words, notes } = run?;
    let mut report =
        Report::new(&outcome, integrity, None, (&words, args.ack.as_str()), Criteria::NONE, Machine::here());
    report.notes.extend(notes);
    let path = |file: &Option<std::path::PathBuf>| file.clone();
    let (json, page, table, intervals) =
        (path(&args.files.json), path(&args.files.report), path(&args.hgrm), path(&args.hlog));
    let files =
        Files { json: json.as_deref(), page: page.as_deref(), hgrm: table.as_deref(), hlog: intervals.as_deref() };
    write_files(&files, &report, &outcome, None)?;
    print(out, &report);
    Ok(report.pass)
}

/// The plan of the arguments; of a running host with its business date.
fn plan(args: &LoadArgs) -> Result<BurstPlan, LoadFailure> {
    let tape = args.tape.as_deref().map(Tape::read).transpose()?.map(Arc::new);
    let profile = if tape.is_some() { Profile::Recorded } else { args.profile.0 };
    let symbols = tape.as_ref().map(|tape| tape.symbols.len() as u32);
    let mut plan = BurstPlan {
        profile,
        rate: args.rate,
        burst_multiplier: args.burst_multiplier,
        seconds: args.seconds,
        accounts: args.accounts as u32,
        instruments: symbols.unwrap_or(args.instruments as u32),
        positions: args.positions as u32,
        seed: args.seed,
        sessions: args.senders as u32,
        backdated_permille: args.backdated.0 / 1000,
        duplicate_permille: args.duplicates.0 / 1000,
        invalid_permille: args.invalid.0 / 1000,
        methods: vec![LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo],
        tape,
        ..BurstPlan::default()
    };
    // A recorded file has its own symbols; so many accounts trade them.
    let pairs = u64::from(plan.accounts) * u64::from(plan.instruments);
    plan.positions = plan.positions.min(u32::try_from(pairs).unwrap_or(u32::MAX)).max(symbols.unwrap_or(1));
    if !matches!(args.target, LoadTarget::Fix | LoadTarget::FixAt(_)) {
        // What cannot be said in words or numbers of these doors cannot be sent through them.
        plan.invalid_classes = vec![InvalidClass::ShortOnLong];
    }
    if let Some(host) = args.running()? {
        plan.account_prefix = format!("L{}-", args.seed);
        let date = business_date(&HttpTarget::new(host))?;
        let wrong = |_| LoadFailure::Usage(format!("the host's business date is {date}"));
        plan.business_date_days = lotbook_perf::text::days_of_date(date.parse().map_err(wrong)?);
    }
    plan.checked()?;
    Ok(plan)
}

/// A running host's business date. One that has just started may show its first a little later than it serves.
fn business_date(host: &HttpTarget) -> Result<String, LoadFailure> {
    let deadline = Instant::now() + DATE_TIMEOUT;
    loop {
        if let Some(date) = host.business_date()? {
            return Ok(date);
        }
        if Instant::now() > deadline {
            return Err(LoadFailure::Usage("the host has no business date".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What came of a load.
struct Offered {
    outcome: BurstOutcome,
    integrity: Integrity,
    words: String,
    notes: Vec<String>,
}

type Tell<'a> = &'a mut dyn FnMut(&Progress);

fn offer(args: &LoadArgs, plan: &BurstPlan, ledger: Ledger, tell: Tell<'_>) -> Result<Offered, LoadFailure> {
    match args.running()? {
        Some(http) => offer_to_running(args, http, plan, ledger, tell),
        None => offer_to_embedded(args, plan, ledger, tell),
    }
}

fn offer_to_embedded(
    args: &LoadArgs,
    plan: &BurstPlan,
    ledger: Ledger,
    tell: Tell<'_>,
) -> Result<Offered, LoadFailure> {
    let place = Place::new(args.files.data_dir.as_deref(), args.files.tail_dir.as_deref(), PREFIX)?;
    let mut host = Embedded::start(plan, &ledger, place, args.ack, None)?;
    let ((outcome, words), prices) = if args.ticks == 0 {
        (load_embedded(&mut host, args, plan, ledger, tell)?, None)
    } else {
        let (feed, http) = (feed_of(plan, &ledger.universe, args.ticks), host.open_http()?);
        let (done, sent) = with_prices(&feed, http, || load_embedded(&mut host, args, plan, ledger, tell))?;
        (done, Some(sent.line()))
    };
    let (integrity, mut notes) = host.judge(&outcome)?;
    notes.extend(prices);
    Ok(Offered { outcome, integrity, words, notes })
}

/// Loads a host of this process through the door that was asked for.
fn load_embedded(
    host: &mut Embedded,
    args: &LoadArgs,
    plan: &BurstPlan,
    ledger: Ledger,
    tell: Tell<'_>,
) -> Result<(BurstOutcome, String), LoadFailure> {
    let never = AtomicBool::new(false);
    let target: Box<dyn Target> = match args.target {
        LoadTarget::Fix | LoadTarget::FixAt(_) => {
            let mut target = burst::Target::new(host.fix_addr(), "LOTBOOK", plan.sessions);
            target.published = Some(host.published());
            let outcome = burst::run_with(plan, ledger, &target, tell)?;
            return Ok((outcome, "an embedded host's FIX door".to_owned()));
        }
        LoadTarget::Http | LoadTarget::HttpAt(_) => {
            if args.ack == Ack::Applied {
                return Err(LoadFailure::Usage(
                    "the HTTP door answers what is durable; --ack applied is for rings and FIX".to_owned(),
                ));
            }
            Box::new(HttpTarget::new(host.open_http()?))
        }
        LoadTarget::Rings => {
            let published = host.published();
            Box::new(Rings::open(&mut host.server.host, &ledger, plan.sessions, published, args.ack.as_str())?)
        }
    };
    let words = target.describe();
    let outcome = load::run(plan, ledger, target.as_ref(), pace(args), &never, tell)?;
    Ok((outcome, words))
}

fn pace(args: &LoadArgs) -> Pace {
    if args.spin { Pace::Spin } else { Pace::Sleep }
}

/// Prepares a running host through its HTTP door, loads it, and compares the positions that it shows.
fn offer_to_running(
    args: &LoadArgs,
    http: SocketAddr,
    plan: &BurstPlan,
    ledger: Ledger,
    tell: Tell<'_>,
) -> Result<Offered, LoadFailure> {
    let host = HttpTarget::new(http);
    let contracts: Vec<String> =
        ledger.universe.contracts().map(|(account, method)| contract_line(account, method)).collect();
    host.send(&contracts)?;
    let feed = feed_of(plan, &ledger.universe, args.ticks);
    let work = || match args.target {
        LoadTarget::FixAt(addr) => {
            let mut target = burst::Target::new(addr, "LOTBOOK", plan.sessions);
            target.reset_sequence = true;
            Ok(burst::run_with(plan, ledger, &target, tell)?)
        }
        _ => Ok(load::run(plan, ledger, &host, pace(args), &AtomicBool::new(false), tell)?),
    };
    let (outcome, prices) = match args.ticks {
        0 => (work()?, None),
        _ => with_prices(&feed, http, work).map(|(outcome, sent)| (outcome, Some(sent.line())))?,
    };
    let deadline = Instant::now() + RECONCILE_TIMEOUT;
    while host.provisional_positions()? > 0 {
        if Instant::now() > deadline {
            return Err(LoadFailure::Door(DoorError::Refused("positions stay provisional".to_owned())));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let integrity = verdict::of_positions(&outcome, &host.positions(&plan.account_prefix)?);
    let words = match args.target {
        LoadTarget::FixAt(addr) => format!("FIX at {addr}"),
        _ => host.describe(),
    };
    let note = "a running host: its positions were compared, its log was not read".to_owned();
    let notes = [note].into_iter().chain(prices).collect();
    Ok(Offered { outcome, integrity, words, notes })
}

/// Looks for the highest rate that holds the ceiling; each probe has a fresh host, or fresh accounts of a running one.
fn search(args: &LoadArgs, plan: &BurstPlan, out: &mut dyn Write) -> Result<bool, LoadFailure> {
    let search = Search {
        low: args.rate,
        high: args.rate_max,
        percentile: args.percentile,
        ceiling_ns: args.ceiling_us * 1_000,
        close_permille: 50,
    };
    say(
        out,
        &format!(
            "looking from {}/s to {}/s for the highest rate with p{} at most {} ...",
            grouped(search.low),
            grouped(search.high),
            search.percentile,
            duration(search.ceiling_ns)
        ),
    );
    let bar = Bar::new();
    let mut number = 0;
    let mut run = |rate: u64| -> Result<BurstOutcome, LoadFailure> {
        number += 1;
        let seed = plan.seed.wrapping_add(number);
        let mut plan = BurstPlan { profile: Profile::Flat, rate, seed, ..plan.clone() };
        if args.running()?.is_some() {
            plan.account_prefix = format!("L{seed}-");
        }
        let ledger = flow::generate(&plan)?;
        let tell = &mut |progress: &Progress| bar.show("probe", progress);
        match args.running()? {
            Some(http) => Ok(offer_to_running(args, http, &plan, ledger, tell)?.outcome),
            None => {
                let mut host = Embedded::start(&plan, &ledger, Place::new(None, None, PREFIX)?, args.ack, None)?;
                let outcome = load_embedded(&mut host, args, &plan, ledger, tell)?.0;
                host.stop()?;
                Ok(outcome)
            }
        }
    };
    let mut failed = None;
    let found = search.find(
        &mut |rate| {
            run(rate).map_err(|error| {
                let words = error.to_string();
                failed = Some(error);
                BurstError::Door { sender: 0, error: DoorError::Refused(words) }
            })
        },
        &mut |probe| {
            bar.clear();
            let word = if probe.sustained { "sustained" } else { "not sustained" };
            let _ = writeln!(
                out,
                "{:>9}/s {word}: {}/s achieved, p{} {}, {} unanswered",
                grouped(probe.rate),
                grouped(probe.achieved as u64),
                search.percentile,
                duration(probe.latency_ns),
                probe.unanswered
            );
        },
    );
    let found = match (found, failed) {
        (Ok(found), _) => found,
        (Err(_), Some(failure)) => return Err(failure),
        (Err(error), None) => return Err(error.into()),
    };
    let words = match (found.rate, found.beyond) {
        (Some(rate), false) => format!("the highest rate that held: {}/s", grouped(rate)),
        (Some(rate), true) => {
            format!("the highest rate tried, {}/s, held: the limit lies above it", grouped(rate))
        }
        (None, _) => format!("not even {}/s held", grouped(search.low)),
    };
    say(out, &words);
    if let Some(path) = &args.files.json {
        let mut document =
            serde_json::json!({ "found": found, "plan": plan, "machine": Machine::here(), "ack": args.ack.as_str() });
        document["target"] = args.target.to_string().into();
        write(path, format!("{document:#}\n"))?;
    }
    Ok(found.rate.is_some())
}

fn compare(args: &LoadArgs, first: &Path, second: &Path, out: &mut dyn Write) -> Result<(), LoadFailure> {
    let Some(page) = &args.files.report else {
        return Err(LoadFailure::Usage("--compare wants --report FILE for its page".to_owned()));
    };
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|source| LoadFailure::Io {
            what: "reading",
            path: path.into(),
            source,
        })?;
        versus::Run::read(&text).map_err(|error| LoadFailure::Usage(format!("{}: {error}", path.display())))
    };
    write(page, versus::html(&read(first)?, &read(second)?))?;
    say(out, &format!("{} beside {}: {}", first.display(), second.display(), page.display()));
    Ok(())
}
