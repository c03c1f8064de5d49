//! What was known when: how long an answer about the past takes, in a log that is long and a history that is not.
//! The host is stopped and started anew between writing and asking, so nothing is known but what a start reads.
//!
//! `cargo bench -p lotbook-benches --bench past`; `LOTBOOK_BENCH_EVENTS` says how many trades (default 1,000,000), spread over 10,000
//! positions. The log lies in the temporary directory or in `LOTBOOK_BENCH_DIR`.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lotbook_benches::{Flow, Rng};
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_core::{Date, Limits};
use lotbook_engine::past::{Moment, PastError, Question};
use lotbook_engine::{Door, EngineConfig, Host, Request};

const POSITIONS: u64 = 10_000;
const QUESTIONS: usize = 400;
const DAYS: i64 = 250;
/// Trades that are made at a time.
const BATCH: usize = 100_000;

fn main() {
    let count = std::env::var("LOTBOOK_BENCH_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let base = std::env::var_os("LOTBOOK_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base).expect("a directory for the log");
    let mut config = EngineConfig::new(dir.path().join("data"));
    let tails = tails(dir.path());
    config.tail_dir = Some(tails.clone());
    config.limits = Limits { positions_max: 1 << 18, lots_max: 1 << 24, ..Limits::HOST };
    config.trade_ids_max = count as usize + 1_000_000;
    config.checkpoint_records = 0;
    let mut host = Host::start(&config).expect("a host");
    let began = Instant::now();
    feed(&mut host, count);
    assert!(host.wait_published(Duration::from_secs(600)), "published");
    let last = host.model().published_sequence();
    while !host.log().wait_durable(last, Duration::from_secs(60)).expect("a log that goes on") {}
    println!("{count} trades over {POSITIONS} positions in {:.1} s; {last} records", began.elapsed().as_secs_f64());
    host.stop().expect("a clean end");
    drop_cached(&dir.path().join("data/log"));
    let began = Instant::now();
    let host = Host::start(&config).expect("a host again");
    println!("started again in {:.1} s", began.elapsed().as_secs_f64());
    let questions = questions(&host, last);
    println!("{:<44} {:>9} {:>9} {:>9} {:>9}", "an answer, ms", "p50", "p90", "p99", "max");
    for (name, as_of, is_cold) in [
        ("as it stood, page cache dropped", false, true),
        ("as it stood, in the page cache", false, false),
        ("as of a date, page cache dropped", true, true),
        ("as of a date, in the page cache", true, false),
    ] {
        let mut times = Histogram::<u64>::new(3).expect("three digits");
        let mut events = 0;
        for question in &questions {
            if is_cold {
                drop_cached(&dir.path().join("data/log"));
            }
            let question = if as_of { *question } else { Question { as_of: None, ..*question } };
            let from = Instant::now();
            match host.past().ask(&question) {
                Ok(answer) => events += answer.view.version,
                Err(PastError::Unknown { .. }) => continue,
                Err(error) => panic!("{question:?}: {error}"),
            }
            times.record(from.elapsed().as_nanos() as u64).expect("below an hour");
        }
        let at = |q: f64| times.value_at_quantile(q) as f64 / 1e6;
        let mean = events / times.len().max(1);
        println!(
            "{name:<44} {:>9.2} {:>9.2} {:>9.2} {:>9.2}  ({mean} events each)",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
    }
    host.stop().expect("a clean end");
    std::fs::remove_dir_all(tails).expect("the tail's directory is ours");
}

/// Shared memory where there is any: the tail is not what is measured.
fn tails(dir: &Path) -> PathBuf {
    let shared = Path::new("/dev/shm");
    let tails =
        if shared.is_dir() { shared.join(format!("lotbook-bench-{}", std::process::id())) } else { dir.join("tail") };
    std::fs::create_dir_all(&tails).expect("a directory for the tail");
    tails
}

fn feed(host: &mut Host, count: u64) {
    let mut door = host.open_door().expect("a first door");
    let directory = host.directory().clone();
    let contract = directory.resolve(NameClass::Contract, "C").expect("a name");
    let namespace = directory.resolve(NameClass::Namespace, "bench").expect("a name");
    let (mut accounts, mut instruments) = (Vec::new(), Vec::new());
    let rules = Rules { method: LotMethod::Fifo, allow_short: true, ..Rules::DEFAULT };
    let terms = ContractTerms { contract, account: NO_NAME, instrument: NO_NAME, rules, effective_date: Date(0) };
    send(&mut door, Command::Contract(terms));
    let (mut flow, mut inputs) = (Flow::new(POSITIONS), Flow::batch(BATCH));
    let mut left = count as usize;
    while left > 0 {
        inputs.truncate(left);
        left -= inputs.len();
        flow.fill(&mut inputs);
        for input in &mut inputs {
            for (names, class, number) in [
                (&mut accounts, NameClass::Account, &mut input.account),
                (&mut instruments, NameClass::Instrument, &mut input.instrument),
            ] {
                while names.len() <= *number as usize {
                    names.push(directory.resolve(class, &format!("N{}", names.len())).expect("a name"));
                }
                *number = names[*number as usize];
            }
            let id = format!("{:012}", input.source_order);
            input.trade_id = TradeId::new(id.as_bytes()).expect("short");
            input.hash = TradeHash::new(b"bench", id.as_bytes());
            input.namespace = namespace;
            // In the order of a year's days.
            input.effective_date = Date(19_000 + (input.source_order as i64 * DAYS / count as i64) as i32);
            send(&mut door, Command::Trade(*input));
        }
    }
    while door.outstanding() > 0 {
        let _ = door.poll();
    }
}

fn send(door: &mut Door, command: Command) {
    let mut request = Request { token: 0, origin: Origin::INTERNAL, command };
    while let Err(back) = door.submit(request) {
        request = back;
        while door.poll().is_some() {}
        std::hint::spin_loop();
    }
    while door.poll().is_some() {}
}

fn questions(host: &Host, last: u64) -> Vec<Question> {
    let mut rng = Rng(1);
    let all = host.model().positions();
    let one = |_| {
        let view = &all[(rng.draw() % all.len() as u64) as usize];
        Question {
            account: host.directory().find(NameClass::Account, &view.account).expect("a name"),
            instrument: view.instrument_id,
            as_of: Some(Date(19_000 + (rng.draw() % DAYS as u64) as i32)),
            known_at: Moment::Sequence(1 + rng.draw() % last),
            since: None,
        }
    };
    (0..QUESTIONS).map(one).collect()
}

/// Asks the kernel to forget the log's files.
fn drop_cached(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("the log's directory").flatten() {
        if let Ok(file) = File::open(entry.path()) {
            // SAFETY: a plain system call on an open descriptor.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }
}
