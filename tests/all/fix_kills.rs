//! `kill -9` in the middle of FIX sessions: every message has its answer, every answer comes again as it was, numbers have no gap, and the
//! book has each trade once.
//!
//! `LOTBOOK_LONG=1` makes it 200 kills; `LOTBOOK_KILLS` and `LOTBOOK_SEED` set number and seed.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use lotbook_perf::rng::Rng;
use lotbook_perf::wire::{self, Header};

use crate::process::{PATIENCE, Serving};
use crate::wire::stamp;

const KILLS: u64 = 10;
const KILLS_LONG: u64 = 200;
/// Messages between two kills, at most.
const ROUND_MAX: u64 = 120;

/// An initiator as FIX has it: it keeps what it sent and what it expects over connections, asks for what it misses and gives what it is asked for.
struct Initiator {
    comp_id: &'static str,
    stream: Option<TcpStream>,
    read: Vec<u8>,
    /// By number: type and fields of a trade, `None` for a session message.
    sent: Vec<Option<Vec<(u32, String)>>>,
    expected: u64,
    /// What is missing has been asked for through this number.
    asked_through: u64,
    /// What came, by number: type and fields behind the header.
    came: BTreeMap<u64, String>,
    /// Answers by trade id: how each told it.
    answers: BTreeMap<String, Vec<String>>,
    logged_on: bool,
    resent: u64,
    filled: u64,
}

impl Initiator {
    fn new(comp_id: &'static str) -> Self {
        Self {
            comp_id,
            stream: None,
            read: Vec::new(),
            sent: Vec::new(),
            expected: 1,
            asked_through: 0,
            came: BTreeMap::new(),
            answers: BTreeMap::new(),
            logged_on: false,
            resent: 0,
            filled: 0,
        }
    }

    fn write(&mut self, number: u64, kind: &str, again: bool, fields: &[(u32, String)]) {
        let stamp = stamp();
        let header = Header {
            msg_type: kind.as_bytes(),
            seq: number,
            sender: self.comp_id.as_bytes(),
            target: b"LOTBOOK",
            sending_time: stamp.as_bytes(),
            poss_dup: again,
            poss_resend: false,
        };
        let mut bytes = Vec::with_capacity(256);
        wire::write(&mut bytes, &header, |out| {
            for (tag, value) in fields {
                wire::push(out, tag.to_string().as_bytes(), value.as_bytes());
            }
        });
        // A host that was killed reads nothing; what it missed it asks for later.
        let _ = self.stream.as_mut().map(|stream| stream.write_all(&bytes));
    }

    fn send(&mut self, kind: &str, fields: &[(u32, &str)], is_trade: bool) {
        let fields: Vec<(u32, String)> = fields.iter().map(|(tag, value)| (*tag, (*value).to_owned())).collect();
        let number = self.sent.len() as u64 + 1;
        self.write(number, kind, false, &fields);
        self.sent.push(is_trade.then_some(fields));
    }

    fn log_on(&mut self, to: SocketAddr) {
        let stream = TcpStream::connect(to).expect("an open FIX door");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        self.stream = Some(stream);
        self.read.clear();
        (self.logged_on, self.asked_through) = (false, 0);
        self.send("A", &[(98, "0"), (108, "300")], false);
        while !self.logged_on {
            self.step();
        }
    }

    /// Takes one message.
    fn step(&mut self) {
        loop {
            if let Some(length) = wire::frame(&self.read).expect("well framed") {
                let message: Vec<u8> = self.read.drain(..length).collect();
                return self.take(&message);
            }
            let mut piece = [0; 16 << 10];
            let stream = self.stream.as_mut().expect("connected");
            let count = stream.read(&mut piece).expect("an answer in time");
            assert_ne!(
                count,
                0,
                "the host closed the connection; the last that came: {:?}",
                self.came.last_key_value()
            );
            self.read.extend_from_slice(&piece[..count]);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields: Vec<(u32, String)> = wire::fields(bytes)
            .map(|field| field.map(|(tag, value)| (tag, text(value))).expect("well formed"))
            .collect();
        let get = |tag: u32| fields.iter().find(|(held, _)| *held == tag).map_or("", |(_, value)| value.as_str());
        let number: u64 = get(34).parse().expect("MsgSeqNum");
        let again = get(43) == "Y";
        match get(35) {
            "2" => self.resend(get(7).parse().expect("BeginSeqNo")),
            "A" => self.logged_on = true,
            "1" => self.send("0", &[(112, get(112))], false),
            _ => {}
        }
        if number > self.expected {
            if self.asked_through < number {
                self.asked_through = number;
                let from = self.expected.to_string();
                self.send("2", &[(7, &from), (16, "0")], false);
            }
            return;
        }
        assert!(number == self.expected || again, "{number} is below {}: {}", self.expected, text(bytes));
        let body: Vec<String> = fields
            .iter()
            .filter(|(tag, _)| !matches!(tag, 8 | 9 | 10 | 34 | 43 | 49 | 52 | 56 | 122))
            .map(|(tag, value)| format!("{tag}={value}"))
            .collect();
        let body = body.join("|");
        if number < self.expected {
            // Nobody asked for it; still it must be what it was.
            assert!(self.came.get(&number).is_none_or(|first| *first == body || get(35) == "4"), "{number}: {body}");
            return;
        }
        self.expected = number + 1;
        if get(35) == "4" {
            assert_eq!(get(123), "Y", "only gap fills");
            let next: u64 = get(36).parse().expect("NewSeqNo");
            assert!(next > number);
            self.filled += 1;
            self.expected = next;
            return;
        }
        self.resent += u64::from(again);
        self.came.insert(number, body);
        let outcome = |fallback: &str| {
            let word = get(58).split(' ').find_map(|word| word.strip_prefix("outcome=").or(word.strip_prefix("code=")));
            word.unwrap_or(fallback).to_owned()
        };
        match get(35) {
            "AR" => self.answers.entry(get(571).to_owned()).or_default().push(outcome("?")),
            "j" => self.answers.entry(get(379).to_owned()).or_default().push(outcome("?")),
            "3" => {
                let refused: usize = get(45).parse().expect("RefSeqNum");
                let id = self.sent[refused - 1].as_ref().expect("a trade").iter().find(|(tag, _)| *tag == 17);
                self.answers.entry(id.expect("an id").1.clone()).or_default().push(outcome("?"));
            }
            "A" | "0" | "1" | "2" => {}
            other => panic!("{other}: {}", text(bytes)),
        }
    }

    fn resend(&mut self, from: u64) {
        for number in from..=self.sent.len() as u64 {
            match self.sent[number as usize - 1].clone() {
                Some(fields) => self.write(number, "8", true, &fields),
                None => {
                    let fill = [(123, "Y".to_owned()), (36, (number + 1).to_string())];
                    self.write(number, "4", true, &fill);
                }
            }
        }
    }

    fn answered(&self) -> usize {
        self.answers.len()
    }
}

/// A good trade, or one that is refused before the engine: by a Reject, or by a BusinessMessageReject.
fn trade(id: &str, draw: u64) -> (Vec<(u32, &str)>, &'static str) {
    let mut fields = vec![
        (37, "O"),
        (17, id),
        (150, "F"),
        (39, "2"),
        (1, "ACC1"),
        (55, "AAPL"),
        (54, "1"),
        (32, "1"),
        (31, "10"),
        (151, "0"),
        (14, "1"),
        (6, "10"),
        (75, "20200305"),
    ];
    match draw {
        0 => {
            fields[7].1 = "-1";
            (fields, "BAD_QUANTITY")
        }
        1 => {
            fields.remove(4);
            (fields, "MISSING_FIELD")
        }
        2 => {
            (fields[6].1, fields[7].1) = ("2", "1000000");
            (fields, "rejected")
        }
        _ => (fields, "applied"),
    }
}

fn host(dir: &Path) -> Serving {
    let text = format!(
        "[data]\ndir = \"data\"\ntail_dir = \"{}\"\nsegment_mib = 1\ntail_mib = 1\n[business]\ndate = \"2020-03-05\"\n\
         [engine.limits]\npositions_max = 4096\nlots_max = 65536\nnames_max = 4096\ntrade_ids_max = 65536\n",
        dir.join("tails").display()
    );
    std::fs::create_dir_all(dir.join("tails")).expect("a directory");
    std::fs::write(dir.join("lotbook.toml"), text).expect("a configuration");
    Serving::start(dir, &["--config", "lotbook.toml"])
}

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: a number is wanted")))
}

#[test]
fn killed_in_mid_session_it_answers_every_message() {
    let long = std::env::var_os("LOTBOOK_LONG").is_some();
    let kills = from_env("LOTBOOK_KILLS").unwrap_or(if long { KILLS_LONG } else { KILLS });
    let seed = from_env("LOTBOOK_SEED").unwrap_or(7);
    let mut rng = Rng::new(seed, 1);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut serving = host(dir.path());
    let mut peer = Initiator::new("KILLED");
    // By id: what the first answer says.
    let mut wanted: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut stood = 0;
    peer.log_on(serving.fix);
    for kill in 0..kills {
        let before = wanted.len();
        for at in 0..=rng.below(ROUND_MAX) {
            let id = format!("K{kill}-{at}");
            let (fields, outcome) = trade(&id, rng.below(12));
            peer.send("8", &fields, true);
            wanted.insert(id, outcome);
        }
        // Some answers are read before the kill, some are on their way, some messages were never read by the host.
        let read = before + rng.below((wanted.len() - before) as u64 + 1) as usize;
        while peer.answered() < read {
            peer.step();
        }
        stood += wanted.len() - peer.answered();
        serving.kill();
        serving = host(dir.path());
        peer.log_on(serving.fix);
        if rng.below(3) == 0 {
            // The next death may come while this one's answers are still missing.
            continue;
        }
        while peer.answered() < wanted.len() {
            peer.step();
        }
    }
    while peer.answered() < wanted.len() {
        peer.step();
    }
    let mut told_twice = 0;
    for (id, outcome) in &wanted {
        let answers = &peer.answers[id];
        told_twice += answers.len() - 1;
        for answer in answers {
            assert!(
                answer == outcome || (answer == "duplicate" && *outcome == "applied"),
                "{id}: {answers:?}, {outcome}"
            );
        }
    }
    let applied = wanted.values().filter(|outcome| **outcome == "applied").count().to_string();
    println!(
        "{kills} kills, seed {seed}: {} messages, {stood} without an answer at a kill, {} messages came again, {} gap fills, \
         {told_twice} answered twice",
        wanted.len(),
        peer.resent,
        peer.filled
    );
    crate::process::until("the book has each trade once", || {
        serving.get("/v1/positions/ACC1/AAPL").1["quantity"].as_str() == Some(&applied)
    });
    serving.stop();
}
