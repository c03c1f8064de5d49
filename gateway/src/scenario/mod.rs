//! `lotbook scenario`: the scenarios of `perf/scenarios.toml` against hosts of ours, with live progress and a verdict for each.

mod health;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use lotbook_perf::burst::{self, Progress};
use lotbook_perf::door::Target;
use lotbook_perf::http::HttpTarget;
use lotbook_perf::invalid::InvalidClass;
use lotbook_perf::ledger::Ledger;
use lotbook_perf::load::Pace;
use lotbook_perf::machine::Machine;
use lotbook_perf::oracle::LotMethod;
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::report::{Criteria, Report};
use lotbook_perf::scenario::{
    self, Judged, Measures, Outcome, Scenario, ScenarioDoor, ScenarioError, ScenarioKind, Word, World,
};
use lotbook_perf::{flow, load};

use crate::cli::{Plant, ScenarioCommand, ScenarioRunArgs};
use crate::config::Ack;
use crate::load::{Bar, Embedded, LoadFailure, Place, Rings, feed_of, say, with_prices, write};

/// Why there is no verdict on any scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioFailure {
    /// The data, or a name.
    #[error(transparent)]
    Data(#[from] ScenarioError),
    /// A file that cannot be written, or the path of this program.
    #[error(transparent)]
    Load(#[from] LoadFailure),
}

/// Lists or runs. `Ok(true)`: nothing failed; what is not available is no failure, and no success either.
///
/// # Errors
/// [`ScenarioFailure`].
pub fn run(command: &ScenarioCommand, out: &mut dyn Write) -> Result<bool, ScenarioFailure> {
    match command {
        ScenarioCommand::List { json } => {
            list(&scenario::built_in(&[])?, *json, out);
            Ok(true)
        }
        ScenarioCommand::Run(args) => run_all(args, out),
    }
}

fn list(scenarios: &[Scenario], json: bool, out: &mut dyn Write) {
    if json {
        say(out, &format!("{:#}", serde_json::json!({ "scenarios": scenarios })));
        return;
    }
    for one in scenarios {
        say(out, &format!("{}: {}", one.name, one.what));
        for criterion in &one.criteria {
            let why = one.not_available.get(&criterion.measure);
            let why = why.map_or_else(String::new, |why| format!("; not available: {why}"));
            say(out, &format!("    {} {} ({}){why}", criterion.measure, criterion.words(), criterion.source));
        }
        for goal in &one.goals {
            say(out, &format!("    goal: {} {} ({})", goal.measure, goal.words(), goal.source));
        }
    }
}

fn run_all(args: &ScenarioRunArgs, out: &mut dyn Write) -> Result<bool, ScenarioFailure> {
    let scenarios = match &args.file {
        Some(path) => {
            let read = std::fs::read_to_string(path);
            scenario::parse(&read.map_err(|source| LoadFailure::Io { what: "reading", path: path.clone(), source })?)?
        }
        None => scenario::built_in(&args.names)?,
    };
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|source| LoadFailure::Io {
            what: "looking for",
            path: "lotbook".into(),
            source,
        })?,
    };
    say(out, &Machine::here().line());
    let bar = Bar::new();
    let mut hosts = Hosts { seconds: args.seconds, rate: args.rate, plant: args.plant, program };
    let outcomes = scenario::run(
        &scenarios,
        &mut hosts,
        &mut |scenario, progress| bar.show(&scenario.name, progress),
        &mut |outcome| {
            bar.clear();
            print(outcome, out);
        },
    );
    let failed = outcomes.iter().filter(|outcome| outcome.word == Word::Failed).count();
    let passed = outcomes.iter().filter(|outcome| outcome.word == Word::Passed).count();
    let open = outcomes.len() - failed - passed;
    say(out, &format!("{passed} passed, {failed} failed, {open} not available"));
    if let Some(path) = &args.json {
        let document = serde_json::json!({
            "passed": failed == 0 && open == 0, "failed": failed, "not_available": open,
            "seconds": args.seconds, "rate": args.rate, "machine": Machine::here(), "scenarios": outcomes,
        });
        write(path, format!("{document:#}\n"))?;
    }
    Ok(failed == 0)
}

fn print(outcome: &Outcome, out: &mut dyn Write) {
    say(out, &format!("{}: {}", outcome.name, outcome.word.as_str()));
    let line = |kind: &str, one: &Judged| {
        let value = match (one.value, &one.why) {
            (Some(value), _) => format!("{}", (value * 10_000.0).round() / 10_000.0),
            (None, Some(why)) => why.clone(),
            (None, None) => "no number".to_owned(),
        };
        let word = match (kind, one.word) {
            ("goal: ", Word::Passed) => "met",
            ("goal: ", Word::Failed) => "missed",
            (_, word) => word.as_str(),
        };
        format!("    {kind}{} {}: {value}, {word}", one.criterion.measure, one.criterion.words())
    };
    for one in &outcome.criteria {
        say(out, &line("", one));
    }
    for one in &outcome.goals {
        say(out, &line("goal: ", one));
    }
    if let Some(error) = &outcome.error {
        say(out, &format!("    it broke off: {error}"));
    }
}

/// Hosts of this process, or children of it.
#[derive(Debug)]
struct Hosts {
    /// Cuts every load to so many seconds.
    seconds: Option<u64>,
    /// Offers this rate instead.
    rate: Option<u64>,
    /// A fault of the loaded hosts.
    plant: Option<Plant>,
    /// The program that children run.
    program: PathBuf,
}

impl World for Hosts {
    fn run(&mut self, scenario: &Scenario, tell: &mut dyn FnMut(&Progress)) -> Result<Measures, String> {
        match scenario.kind {
            ScenarioKind::Load => self.load(scenario, tell).map_err(|error| error.to_string()),
            ScenarioKind::Health => health::run(&self.program),
            ScenarioKind::None => Ok(Measures::new()),
        }
    }
}

impl Hosts {
    fn load(&self, scenario: &Scenario, tell: &mut dyn FnMut(&Progress)) -> Result<Measures, LoadFailure> {
        let unfit = || LoadFailure::Usage(format!("{} is no load", scenario.name));
        let mut plan: BurstPlan = scenario.plan().ok_or_else(unfit)?;
        plan.seconds = self.seconds.map_or(plan.seconds, |seconds| seconds.min(plan.seconds));
        plan.rate = self.rate.unwrap_or(plan.rate);
        plan.methods = vec![LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo];
        let ack = if scenario.ack.as_deref() == Some("applied") { Ack::Applied } else { Ack::Durable };
        let door = scenario.door.ok_or_else(unfit)?;
        if door != ScenarioDoor::Fix {
            plan.invalid_classes = vec![InvalidClass::ShortOnLong];
        }
        let ledger = flow::generate(&plan)?;
        let place = Place::new(None, None, "lotbook-scenario-")?;
        let mut host = Embedded::start(&plan, &ledger, place, ack, self.plant)?;
        if scenario.ticks == 0 {
            let outcome = offer(&mut host, door, &plan, ledger, ack, tell)?;
            return finish(host, outcome, ack);
        }
        let (feed, http) = (feed_of(&plan, &ledger.universe, scenario.ticks), host.open_http()?);
        let (outcome, sent) = with_prices(&feed, http, || offer(&mut host, door, &plan, ledger, ack, tell))?;
        let mut measures = finish(host, outcome, ack)?;
        measures.extend(scenario::measures_of_feed(&sent));
        Ok(measures)
    }
}

/// Offers a ledger to a host through a door.
fn offer(
    host: &mut Embedded,
    door: ScenarioDoor,
    plan: &BurstPlan,
    ledger: Ledger,
    ack: Ack,
    tell: &mut dyn FnMut(&Progress),
) -> Result<burst::BurstOutcome, LoadFailure> {
    let published = host.published();
    let target: Box<dyn Target> = match door {
        ScenarioDoor::Fix => {
            let mut target = burst::Target::new(host.fix_addr(), "LOTBOOK", plan.sessions);
            target.published = Some(published);
            return Ok(burst::run_with(plan, ledger, &target, tell)?);
        }
        ScenarioDoor::Http => Box::new(HttpTarget::new(host.open_http()?)),
        ScenarioDoor::Rings => {
            Box::new(Rings::open(&mut host.server.host, &ledger, plan.sessions, published, ack.as_str())?)
        }
    };
    Ok(load::run(plan, ledger, target.as_ref(), Pace::Sleep, &AtomicBool::new(false), tell)?)
}

fn finish(host: Embedded, outcome: burst::BurstOutcome, ack: Ack) -> Result<Measures, LoadFailure> {
    let (integrity, _) = host.judge(&outcome)?;
    let words = ("an embedded host", ack.as_str());
    let report = Report::new(&outcome, integrity, None, words, Criteria::NONE, Machine::here());
    Ok(scenario::measures(&report))
}
