//! What this machine allows: the default burst against the echo alone, no engine. `cargo run --release -p lotbook-perf --example control [SECONDS]`

use lotbook_perf::burst::BurstOutcome;
use lotbook_perf::machine::Machine;
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::report::{LatencyNs, duration, grouped};
use lotbook_perf::{control, flow};
use std::time::Instant;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(10);
    let plan = BurstPlan { seconds, ..BurstPlan::default() };
    println!("{}", Machine::here().line());
    let start = Instant::now();
    let ledger = flow::generate(&plan).expect("the default plan is sound");
    let made = ledger.entries.len() as u32;
    println!("{} messages made, {:?} each", grouped(u64::from(made)), start.elapsed() / made);
    let outcome = control::run(&plan, ledger, &mut |progress| {
        println!(
            "{:6} ms  sent {:>9}  answered/s {:>9}  p99 {}",
            progress.elapsed_ms,
            grouped(progress.sent),
            grouped(progress.rate_answered.round() as u64),
            duration(progress.p99_ns)
        );
    })
    .expect("the control answers");
    show(&outcome);
}

fn show(outcome: &BurstOutcome) {
    for (name, phase) in [("base", &outcome.base), ("burst", &outcome.burst)] {
        let latency = LatencyNs::of(&phase.latency);
        println!(
            "{name:6} offered {:>8}/s achieved {:>8}/s  p50 {} p99 {} p99.9 {} max {}",
            grouped(phase.rate_offered.round() as u64),
            grouped(phase.rate_achieved.round() as u64),
            duration(latency.p50),
            duration(latency.p99),
            duration(latency.p999),
            duration(latency.max)
        );
    }
    println!("unanswered {}", outcome.counts.unanswered);
}
