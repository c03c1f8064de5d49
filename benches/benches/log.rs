//! The log beside what it cannot be faster than, and beside its peers: every figure as a ratio within this run.
//!
//! `cargo bench -p lotbook-benches --bench log` prints all sections; names of sections as arguments choose among them. The logs lie
//! in the temporary directory, or in `LOTBOOK_BENCH_DIR`: it must be on the disk that is to be measured.

#[path = "log/append.rs"]
mod append;
#[path = "log/durable.rs"]
mod durable;
#[path = "log/kept.rs"]
mod kept;
#[path = "log/producers.rs"]
mod producers;
#[path = "log/read.rs"]
mod read;
#[path = "log/stall.rs"]
mod stall;
#[path = "log/support.rs"]
mod support;
#[path = "log/ways.rs"]
mod ways;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use support::{Clock, Cores, Report};

fn main() {
    lotbook_wal::precise_sleeps();
    // Cargo passes its own flags; what is left chooses sections.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let began = Instant::now();
    let (clock, cores) = (Clock::calibrated(), Cores::chosen());
    let mut report = Report::default();
    println!("machine: {}", lotbook_perf::machine::Machine::here().line());
    println!("load before: {}; hot thread on core {}, log thread on core {}", support::load(), cores.hot, cores.log);
    if wants("append") {
        append::run(cores, &mut report);
    }
    if wants("store") {
        stall::run(clock, cores, &mut report);
    }
    if wants("rolls") {
        stall::rolls(clock, cores, &mut report);
    }
    if wants("kept") {
        kept::run(clock, cores, &mut report);
        kept::reads(cores);
    }
    if wants("durable") {
        durable::run(clock, cores, &mut report);
    }
    if wants("producers") {
        producers();
    }
    if wants("ways") {
        ways::run(clock, cores);
    }
    if wants("read") {
        read::run();
    }
    if wants("peers") {
        peers();
    }
    report.print();
    println!("\nload after: {}; took {:.0} s", support::load(), began.elapsed().as_secs_f64());
}

fn producers() {
    println!(
        "\n## Durable records a second, {} producers of {} bytes\n",
        producers::PRODUCERS,
        producers::PAYLOAD_BYTES
    );
    for depth in 1..=3 {
        let pipelined = producers::median_rate(3, || producers::pipelined(3_000_000, depth));
        let second = std::time::Duration::from_secs(1);
        let waiting = producers::median_rate(3, || producers::one_at_a_time(second, depth));
        println!("{depth} in flight: {:<46} {pipelined:>14.0}", "producers that go on meanwhile");
        println!("{depth} in flight: {:<46} {waiting:>14.0}", "producers that wait for each record");
    }
}

/// The peers are a program of their own, in a workspace of its own: started here when it has been built.
fn peers() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let target = std::env::var_os("LOTBOOK_PEERS_TARGET").map_or_else(|| workspace.join("target"), Into::into);
    let program = target.join("release/peers");
    if !program.exists() {
        println!(
            "\n## Peers: passed over\n\nNot built. `cargo build --release --manifest-path benches/peers/Cargo.toml` does that, once."
        );
        return;
    }
    // What was printed before comes out before what the child prints.
    let _ = std::io::stdout().flush();
    let status = Command::new(&program).status();
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        println!("the peers ended with {status:?}");
    }
}
