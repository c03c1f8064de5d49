//! `lotbook burst`: the market-close burst over real FIX sessions of an embedded host, beside a control, with a verdict.
//!
//! The load, the control, the recomputation and the report are the load generator's (`perf`), which
//! shares no code with the engine; the host is `load`'s. This file puts them together.

use std::io::Write;

use lotbook_perf::burst::{self, Target};
use lotbook_perf::machine::Machine;
use lotbook_perf::oracle::LotMethod;
use lotbook_perf::plan::{BurstPlan, PlanError};
use lotbook_perf::report::{Criteria, Report, grouped};
use lotbook_perf::{control, flow};

use crate::cli::BurstArgs;
use crate::load::{Bar, Embedded, Files, LoadFailure, Place, print, say, write_files};

/// Seconds of the control run.
const CONTROL_SECONDS: u64 = 5;

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
        methods: vec![LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo],
        ..BurstPlan::default()
    };
    plan.checked().map(|()| plan)
}

/// Runs the burst and writes what was asked for. `Ok(true)`: the run passed.
///
/// # Errors
/// [`LoadFailure`]: there is no verdict.
pub fn run(args: &BurstArgs, out: &mut dyn Write) -> Result<bool, LoadFailure> {
    let plan = plan(args)?;
    let place = Place::new(args.files.data_dir.as_deref(), args.files.tail_dir.as_deref(), "lotbook-burst-")?;
    say(out, &Machine::here().line());
    say(out, "making the flow ...");
    let ledger = flow::generate(&plan)?;
    let shortened = plan.shortened(CONTROL_SECONDS);
    let control_ledger = flow::generate(&shortened)?;
    let bar = Bar::new();
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
    let host = Embedded::start(&plan, &ledger, place, args.ack, args.plant)?;
    let mut target = Target::new(host.fix_addr(), "LOTBOOK", plan.sessions);
    target.published = Some(host.published());
    let outcome = burst::run_with(&plan, ledger, &target, &mut |progress| bar.show("burst", progress))?;
    bar.clear();
    let (integrity, notes) = host.judge(&outcome)?;
    let words = ("an embedded host's FIX door", args.ack.as_str());
    let mut report = Report::new(&outcome, integrity, Some(&control), words, Criteria::BURST, Machine::here());
    report.notes.extend(notes);
    let files = Files { json: args.files.json.as_deref(), page: args.files.report.as_deref(), ..Files::default() };
    write_files(&files, &report, &outcome, Some(&control))?;
    print(out, &report);
    Ok(report.pass)
}
