//! What it takes to turn a FIX trade report into a trade: nanoseconds a message, best of several batches.
//!
//! `cargo run --release -p lotbook-gateway --example fix_parse_speed`
//!
//! The floor beside it is one pass over the same bytes that only sums them. Messages differ in ids, quantities and prices, so that neither the
//! branch predictor nor the cache sees one message over and over.

use std::hint::black_box;
use std::time::Instant;

use lotbook_gateway::fix::frame::{self, Framed};
use lotbook_gateway::fix::message::Message;
use lotbook_gateway::fix::trade::FixTrade;

const MESSAGES: usize = 1_000;
const ROUNDS: usize = 200;
const BATCHES: usize = 15;

/// Runs over a stream of messages; what it returns only keeps the work from being left out.
type Stage = fn(&[u8]) -> u64;

fn main() {
    let stream = stream();
    println!("{MESSAGES} execution reports, {} bytes on average", stream.len() / MESSAGES);
    let stages: [(&str, Stage); 4] = [
        ("sum of the bytes (floor)", sum),
        ("frame", framed),
        ("frame + fields", fields),
        ("frame + fields + trade", trades),
    ];
    for (name, stage) in stages {
        println!("{name:>26}: {:6.1} ns/message", best_ns(&stream, stage));
    }
}

/// The shortest of several batches: what the machine can do when nothing else disturbs it.
fn best_ns(stream: &[u8], stage: Stage) -> f64 {
    let batch = || {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(stage(black_box(stream)));
        }
        start.elapsed().as_nanos() as f64 / (ROUNDS * MESSAGES) as f64
    };
    (0..BATCHES).map(|_| batch()).fold(f64::INFINITY, f64::min)
}

fn sum(stream: &[u8]) -> u64 {
    u64::from(frame::check_sum(stream))
}

fn framed(stream: &[u8]) -> u64 {
    each(stream, |_, frame| frame.len() as u64)
}

fn fields(stream: &[u8]) -> u64 {
    each(stream, |bytes, frame| u64::from(black_box(Message::parse(bytes, frame)).fault().is_none()))
}

fn trades(stream: &[u8]) -> u64 {
    each(stream, |bytes, frame| {
        let message = Message::parse(bytes, frame);
        let trade = black_box(FixTrade::from_message(&message).expect("a trade"));
        trade.quantity_e8 as u64
    })
}

fn each(mut bytes: &[u8], mut what: impl FnMut(&[u8], &frame::Frame) -> u64) -> u64 {
    let mut total = 0_u64;
    while !bytes.is_empty() {
        let Framed::Frame(frame) = frame::next(bytes) else {
            panic!("not a message");
        };
        total = total.wrapping_add(what(bytes, &frame));
        bytes = &bytes[frame.len()..];
    }
    total
}

fn stream() -> Vec<u8> {
    let mut stream = Vec::new();
    let mut random = 88_172_645_463_325_252_u64;
    for seq in 1..=MESSAGES {
        let mut below = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let side = ["1", "2", "5"][below(3) as usize];
        let body = format!(
            "35=8\u{1}49=BANK{}\u{1}56=LOTBOOK\u{1}34={seq}\u{1}52=20200305-14:30:{:02}.{:03}\u{1}37=ORD-{}\u{1}17=EXEC-20200305-{:09}\u{1}\
             150=F\u{1}39=2\u{1}1=ACC-{:05}\u{1}55=SYM{}\u{1}54={side}\u{1}38=500\u{1}32={}\u{1}31={}.{:02}\u{1}151=0\u{1}14=500\u{1}\
             6=167.63\u{1}75=20200305\u{1}60=20200305-14:30:{:02}.{:03}\u{1}12={}.{:02}\u{1}13=3\u{1}527=CORR-{:012}\u{1}",
            below(4),
            below(60),
            below(1000),
            below(100_000_000),
            below(1_000_000_000),
            below(500),
            below(300),
            below(10_000) + 1,
            below(900),
            below(100),
            below(60),
            below(1000),
            below(20),
            below(100),
            below(1_000_000_000_000),
        );
        let start = stream.len();
        stream.extend_from_slice(format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len()).as_bytes());
        let sum = frame::check_sum(&stream[start..]);
        stream.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
    }
    stream
}
