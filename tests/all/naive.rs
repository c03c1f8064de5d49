//! Random histories through the engine's book, beside the naive model of all rules, to the last unit.
//!
//! CI form: 100,000 events a method. `LOTBOOK_LONG=1`: ten million in all.

mod book;
mod compare;
mod draw;
mod shrink;
mod steps;
mod translate;

use std::collections::BTreeMap;

use lotbook_perf::rng::Rng;
use lotbook_tests::naive::in_force::Method;

use crate::support::long_form;
use draw::{Draw, FLAVOURS};
use shrink::hold;
use steps::Step;

type Seen = BTreeMap<&'static str, usize>;

const EVENTS: usize = 400;

/// Both books along a history.
fn agree(history: &[Step]) -> Result<Seen, String> {
    let mut both = book::Both::new();
    for (number, step) in history.iter().enumerate() {
        if both.over {
            break;
        }
        both.step(step).map_err(|what| format!("step {number}: {what}"))?;
    }
    Ok(both.seen)
}

fn histories(method: Method, stream: u64) {
    let events_wanted = if long_form() { 1_700_000 } else { 100_000 };
    let (mut events, mut seed, mut seen) = (0, 0, Seen::new());
    while events < events_wanted {
        for flavour in FLAVOURS {
            for in_order in [true, false] {
                let history = Draw::new(Rng::new(seed, stream), flavour, in_order).history(method, EVENTS);
                events += history.len();
                let name = format!("{method:?} {flavour:?} seed {seed} in order {in_order}");
                for (what, count) in hold(&name, &history, agree) {
                    *seen.entry(what).or_default() += count;
                }
                seed += 1;
            }
        }
    }
    println!("{method:?}: {events} events in {seed} histories: {seen:?}");
}

#[test]
fn the_model_agrees_fifo() {
    histories(Method::Fifo, 1);
}

#[test]
fn the_model_agrees_lifo() {
    histories(Method::Lifo, 2);
}

#[test]
fn the_model_agrees_hifo() {
    histories(Method::Hifo, 3);
}

#[test]
fn the_model_agrees_lofo() {
    histories(Method::Lofo, 4);
}

#[test]
fn the_model_agrees_average() {
    histories(Method::Average, 5);
}

#[test]
fn the_model_agrees_least_tax() {
    histories(Method::MinTax, 6);
}
