//! `kill -9` at random moments of a burst over real FIX: what was acknowledged is there exactly once, and sessions go on by the rules of FIX.
//!
//! `LOTBOOK_LONG=1` makes it 100 kills; `LOTBOOK_KILLS` and `LOTBOOK_SEED` set number and seed.

mod campaign;
mod readback;
mod reconnect;
mod trap;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lotbook_engine::phase::Phase;
use lotbook_perf::ledger::{Kind, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::PATIENCE;

use self::campaign::{Campaign, Kill, is_durable, plan};
use self::readback::LogImage;
use self::trap::Wish;

const KILLS: u64 = 12;
const KILLS_LONG: u64 = 100;
/// Answers in flight at a kill, and PROVISIONAL positions in a hundred.
const IN_FLIGHT_MIN: u64 = 1_000;
const PROVISIONAL_PERCENT_MIN: usize = 10;
/// A whole comparison, and a clean stop, after so many kills; a comparison at the end.
const COMPARE_EVERY: usize = 5;
/// How long the trap waits for its load and its phase at most: other tests may have the machine for a while.
const PATIENCE_OF_TRAP: Duration = Duration::from_secs(20);
/// Wanted phases, in turn: the rare ones are no less often tried. Recovery comes after another, for it is what it recovers from.
const TURNS: [Phase; 6] =
    [Phase::Append, Phase::Sync, Phase::Recovery, Phase::Roll, Phase::Correction, Phase::Checkpoint];

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: a number is wanted")))
}

#[test]
fn killed_at_any_moment_it_keeps_every_promise() {
    let long = std::env::var_os("LOTBOOK_LONG").is_some();
    let kills = from_env("LOTBOOK_KILLS").unwrap_or(if long { KILLS_LONG } else { KILLS });
    let seed = from_env("LOTBOOK_SEED").unwrap_or(42);
    let began = Instant::now();
    let mut rng = Rng::new(seed, 77);
    let mut campaign = Campaign::new(&plan(kills * 6 + 20, seed));
    let mut host = campaign.place.start();
    campaign.connect(&host);
    let mut compares = 0;
    while (campaign.kills.len() as u64) < kills {
        let wanted = |campaign: &Campaign| TURNS[campaign.kills.len() % TURNS.len()];
        let wish = Wish { phase: wanted(&campaign), in_flight_min: IN_FLIGHT_MIN + 200, patience: PATIENCE_OF_TRAP };
        campaign.kill_in(host, wish, Duration::from_millis(rng.between(50, 600) as u64));
        if wanted(&campaign) == Phase::Recovery && (campaign.kills.len() as u64) < kills {
            // A second death, while it comes back from the first.
            campaign.kill_in_recovery(Duration::from_micros(rng.between(0, 30_000) as u64));
        }
        host = campaign.place.start();
        campaign.connect(&host);
        match rng.below(4) {
            // The next death may come while this one's trades are still being sent again.
            0 => continue,
            1 => campaign.lose_connections(&host),
            _ => {}
        }
        campaign.settle();
        if campaign.kills.len() / COMPARE_EVERY > compares {
            campaign.compare(&host);
            compares += 1;
            host = campaign.stop_in_order(host);
        }
        campaign.connect(&host);
    }
    campaign.settle();
    // From the beginning, not as it was read by and by.
    let before = std::mem::replace(&mut campaign.log, LogImage::new());
    campaign.compare(&host);
    assert!(campaign.log.trades.starts_with(&before.trades), "what was in the log once has changed");
    campaign.driver.close();
    // Nobody started a session anew: every number was used once.
    let numbers: u64 = campaign.driver.sessions().iter().map(|session| session.next_out() - 1).sum();
    assert!(numbers > campaign.driver.sent());
    report(&campaign, compares + 1, began);
    let hit = |phase| campaign.kills.iter().any(|kill: &Kill| kill.found.contains(&phase));
    let must = [Phase::Append, Phase::Sync, Phase::Correction, Phase::Recovery];
    for phase in if long { Phase::ALL.to_vec() } else { must.to_vec() } {
        assert!(hit(phase), "no kill in phase {}", phase.as_str());
    }
    let loaded = campaign.kills.iter().filter(|kill| kill.wanted != Phase::Recovery);
    let (mut all, mut deep) = (0, 0);
    for kill in loaded {
        let late = kill.provisional.0 * 100 >= kill.provisional.1 * PROVISIONAL_PERCENT_MIN;
        all += 1;
        deep += usize::from(late && kill.in_flight >= IN_FLIGHT_MIN);
    }
    assert!(
        deep * 10 >= all * 8,
        "only {deep} of {all} kills met {IN_FLIGHT_MIN} answers in flight and 10 % PROVISIONAL"
    );
}

fn report(campaign: &Campaign, compares: usize, began: Instant) {
    let mut phases: BTreeMap<&str, u32> = BTreeMap::new();
    for phase in campaign.kills.iter().flat_map(|kill| &kill.found) {
        *phases.entry(phase.as_str()).or_default() += 1;
    }
    let learnt = campaign.ledger().entries.iter().filter(|entry| entry.status == Status::Learnt).count();
    println!(
        "{} kills in {:.0} s: phases {phases:?}; sent {}, acknowledged {}, asked again {}, answered duplicate after a resend {learnt}, \
         corrections {}, whole comparisons {compares}",
        campaign.kills.len(),
        began.elapsed().as_secs_f64(),
        campaign.driver.sent(),
        campaign.acknowledged(),
        campaign.asked_again,
        campaign.log.corrections
    );
}

/// A host killed in the middle of its load, not started again.
fn killed() -> Campaign {
    let mut campaign = Campaign::new(&plan(4, 7));
    let host = campaign.place.start();
    campaign.connect(&host);
    let wish = Wish { phase: Phase::Sync, in_flight_min: IN_FLIGHT_MIN, patience: Duration::from_secs(4) };
    campaign.kill_in(host, wish, Duration::from_millis(400));
    assert!(campaign.acknowledged() > 1_000);
    campaign
}

/// The tail files of a killed host: of the log, the side log, the journal, the office and the wire log.
fn tails(campaign: &Campaign) -> Vec<PathBuf> {
    let entries = fs::read_dir(campaign.place.tail_dir()).expect("the tail directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut tails: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "tail")).collect();
    tails.sort();
    assert_eq!(tails.len(), 5, "{tails:?}");
    tails
}

/// The tail of the log itself.
fn main_tail(campaign: &Campaign) -> PathBuf {
    let log = lotbook_wal::open_read_only(&campaign.place.data_dir().join("log")).expect("a log");
    let id = format!("lotbook-{:016x}-", log.log_id());
    let mine = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&id));
    tails(campaign).into_iter().find(mine).expect("the log's tail")
}

/// What a lost tail costs is said loudly, and costs `applied` answers only; FIX brings even those back.
fn a_lost_tail_is_told(harm: impl Fn(&Path), all: bool) {
    let mut campaign = killed();
    let harmed = if all { tails(&campaign) } else { vec![main_tail(&campaign)] };
    harmed.iter().for_each(|path| harm(path));
    let host = campaign.place.start();
    let said = campaign.place.said();
    assert!(said.contains("the mapped tail is missing"), "{said}");
    let health = host.json("/health/detailed");
    let lost_from = health["recovery"]["log"]["lost_from_sequence"].as_u64();
    let lost_from = lost_from.unwrap_or_else(|| panic!("no lost_from_sequence: {health:#}"));
    assert_eq!(health["status"], "degraded", "{health:#}");
    assert!(health["warnings"].to_string().contains("the tail of the log was lost"), "{health:#}");
    let (_, metrics) = host.get("/metrics");
    assert!(metrics.contains(&format!("lotbook_recovery_lost_from_sequence {lost_from}")), "{metrics}");
    campaign.log.restart();
    campaign.log.read_on(&campaign.place.data_dir(), campaign.place.tail_dir());
    campaign.every_promise_is_in_the_log(is_durable);
    let accepted = campaign.ledger().entries.iter().filter(|entry| entry.status.accepted());
    let (durable, applied): (Vec<_>, Vec<_>) = accepted.partition(|entry| is_durable(entry.session));
    assert!(durable.iter().all(|entry| entry.log_sequence < lost_from));
    let lost = applied.iter().filter(|entry| entry.log_sequence >= lost_from).count();
    println!(
        "{} durable answers all kept, {lost} of {} applied answers lost from {lost_from} on",
        durable.len(),
        applied.len()
    );
    campaign.connect(&host);
    campaign.settle();
    host.wait_reconciled(PATIENCE);
    campaign.log.read_on(&campaign.place.data_dir(), campaign.place.tail_dir());
    let found = campaign.log.by_index(campaign.ledger());
    // Under another sequence, if they were lost; the second answer to such a trade may have been booked as its copy's.
    let originals = campaign.ledger().entries.iter().zip(found).filter(|(entry, _)| entry.kind() != Kind::Duplicate);
    for (entry, (times, _)) in originals {
        assert_eq!(times, u32::from(entry.status.accepted()), "{entry:?}");
    }
}

#[test]
fn a_deleted_tail_is_told_and_costs_no_durable_answer() {
    a_lost_tail_is_told(|path| fs::remove_file(path).expect("deleted"), false);
}

#[test]
fn all_tails_deleted_cost_no_durable_answer() {
    a_lost_tail_is_told(|path| fs::remove_file(path).expect("deleted"), true);
}

#[test]
fn a_truncated_tail_is_told_and_costs_no_durable_answer() {
    let truncate = |path: &Path| {
        let file = fs::OpenOptions::new().write(true).open(path).expect("the tail");
        let length = file.metadata().expect("its length").len();
        file.set_len(length / 2).expect("truncated");
    };
    a_lost_tail_is_told(truncate, false);
}

#[test]
fn a_swapped_tail_is_refused_and_harms_nothing() {
    let (mut campaign, other) = (killed(), killed());
    let (mine, foreign) = (main_tail(&campaign), main_tail(&other));
    let kept = fs::read(&mine).expect("the tail");
    fs::copy(foreign, &mine).expect("swapped");
    let status = campaign.place.spawn().ready().expect_err("a host with another host's tail must not serve");
    let said = campaign.place.said();
    assert_eq!(status.code(), Some(9), "{said}");
    assert!(said.contains(&mine.display().to_string()), "{said}");
    fs::write(&mine, kept).expect("put back");
    let host = campaign.place.start();
    campaign.connect(&host);
    campaign.settle();
    campaign.compare(&host);
}
