//! The short form: every seed, and as many bent ones as the target says; the same on every machine.
//!
//! `LOTBOOK_LONG=1` runs a hundred times as many. An input that fails is named by its number and printed; `LOTBOOK_FUZZ=NAME:NUMBER` runs it alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lotbook_fuzz::{TARGETS, Target, mutate, target};

/// One input takes microseconds; on a machine that others use, milliseconds.
const HANGS_AFTER: Duration = Duration::from_secs(60);

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
    let seeds = mutate::seeds(&dir);
    assert!(!seeds.is_empty(), "no seeds in {}", dir.display());
    seeds
}

fn take(target: &Target, number: u32, bytes: &[u8]) {
    let since = Instant::now();
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    assert!(ran.is_ok(), "{}:{number} fails: {}", target.name, bytes.escape_ascii());
    assert!(since.elapsed() < HANGS_AFTER, "{}:{number} hangs: {}", target.name, bytes.escape_ascii());
}

fn short(name: &str) {
    let target = target(name).expect("a target");
    let seeds = seeds(target);
    let times = if std::env::var_os("LOTBOOK_LONG").is_some() { 100 } else { 1 };
    let inputs = target.short_inputs * times;
    if let Some(only) =
        std::env::var("LOTBOOK_FUZZ").ok().and_then(|only| only.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
    {
        return take(target, only, &mutate::input(&seeds, only));
    }
    for number in 0..inputs {
        take(target, number, &mutate::input(&seeds, number));
    }
    println!("{name}: {} seeds, {inputs} inputs", seeds.len());
}

#[test]
fn every_target_has_a_name_of_its_own_and_seeds() {
    for (n, one) in TARGETS.iter().enumerate() {
        assert!(TARGETS[..n].iter().all(|other| other.name != one.name), "{}", one.name);
        assert!(!seeds(one).is_empty());
    }
}

#[test]
fn frame() {
    short("frame");
}

#[test]
fn session() {
    short("session");
}

#[test]
fn lines() {
    short("lines");
}

#[test]
fn config() {
    short("config");
}

#[test]
fn event() {
    short("event");
}
