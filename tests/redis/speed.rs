//! How fast the sink writes a whole book, beside a client that writes the same fields over one connection and checks nothing: printed, not judged.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lotbook_archiver::redis::{Identity, Key, RedisConfig, RedisSink, Shown, Source};
use lotbook_archiver::retry::RetryTerms;
use lotbook_tests::rig::PATIENCE;

use crate::is_long;
use crate::server::{Answer, Redis};

/// Positions of an account.
const IN_ACCOUNT: u32 = 100;
/// Positions in a batch of either side.
const BATCH: usize = 512;

/// A book of so many positions, each of the size of a real one; it never changes.
struct Book {
    positions: u32,
}

impl Book {
    fn names((account, instrument): Key) -> (String, String) {
        (format!("account-{account}"), format!("INSTRUMENT-{instrument}"))
    }

    fn value(key: Key) -> Vec<u8> {
        let (account, instrument) = Self::names(key);
        let mut value =
            format!("{{\"account\":\"{account}\",\"instrument\":\"{instrument}\",\"figures\":\"").into_bytes();
        value.resize(698, b'7');
        value.extend_from_slice(b"\"}");
        value
    }

    fn lots(key: Key) -> Vec<u8> {
        vec![u8::try_from(key.1 % 251).unwrap_or(0); 150]
    }
}

impl Source for Book {
    fn published(&self) -> u64 {
        7
    }

    fn shown_through(&self) -> u64 {
        7
    }

    fn changed(&mut self, _: &mut Vec<Key>, _: &mut Vec<u32>) {}

    fn all(&self) -> Vec<Key> {
        (0..self.positions).map(|number| (number / IN_ACCOUNT, number % IN_ACCOUNT)).collect()
    }

    fn show(&mut self, key: Key, lots: bool) -> Option<Shown> {
        let (account, instrument) = Self::names(key);
        let lots = lots.then(|| Self::lots(key));
        Some(Shown { account: account.into(), instrument: instrument.into(), position: Self::value(key), lots })
    }

    fn names(&self, key: Key) -> Option<(Arc<str>, Arc<str>)> {
        let (account, instrument) = Self::names(key);
        Some((account.into(), instrument.into()))
    }

    fn wait_durable(&self, _: u64, _: Duration) -> Result<bool, String> {
        Ok(true)
    }
}

fn word(out: &mut Vec<u8>, word: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

/// The same fields and messages, a command a position, pipelined.
fn raw(redis: &Redis, positions: u32) -> Duration {
    let mut stream = UnixStream::connect(redis.address().trim_start_matches("unix:")).expect("a server that listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let began = Instant::now();
    let keys: Vec<Key> = Book { positions }.all();
    let mut buffer = vec![0; 64 << 10];
    for batch in keys.chunks(BATCH) {
        let mut out = Vec::new();
        for key in batch {
            let (account, instrument) = Book::names(*key);
            let value = Book::value(*key);
            for (hash, value) in [("positions", &value), ("snapshots", &Book::lots(*key))] {
                out.extend_from_slice(b"*4\r\n");
                for text in [&b"HSET"[..], format!("{hash}:{account}").as_bytes(), instrument.as_bytes(), value] {
                    word(&mut out, text);
                }
            }
            out.extend_from_slice(b"*3\r\n");
            for text in [&b"PUBLISH"[..], format!("pnl:{account}").as_bytes(), &value] {
                word(&mut out, text);
            }
        }
        stream.write_all(&out).expect("sent");
        // Three numbers a position, each with its line's end.
        let mut lines = 0;
        while lines < batch.len() * 3 {
            let read = stream.read(&mut buffer).expect("answers");
            assert!(read > 0, "the connection broke");
            lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count();
        }
    }
    began.elapsed()
}

fn sink(redis: &Redis, positions: u32, nonce: u128) -> Duration {
    let config = RedisConfig {
        address: redis.address(),
        user: None,
        password_file: None,
        database: 0,
        prefix: String::new(),
        interval: Duration::from_millis(1),
        batch: BATCH,
        timeout: PATIENCE,
        retry: RetryTerms::default(),
    };
    let us = Identity { log_id: 1, epoch: 1, nonce };
    let began = Instant::now();
    let sink = RedisSink::start(config, us, Box::new(Book { positions })).expect("a thread");
    let view = sink.view();
    while view.board.read().sequence < 7 {
        assert!(began.elapsed() < PATIENCE, "{:?}", view.board.read());
        std::thread::sleep(Duration::from_micros(200));
    }
    let took = began.elapsed();
    sink.stop(PATIENCE);
    took
}

#[test]
fn a_whole_book_beside_a_plain_client() {
    let Some(redis) = Redis::start(&[]) else { return };
    let positions: u32 = if is_long() { 200_000 } else { 10_000 };
    let mut client = redis.client();
    for round in 0..3 {
        client.ask(&["FLUSHALL"]);
        let plain = raw(&redis, positions);
        client.ask(&["FLUSHALL"]);
        let ours = sink(&redis, positions, round);
        let rate = |took: Duration| f64::from(positions) / took.as_secs_f64();
        println!(
            "{positions} positions: plain client {:.0}/s, sink {:.0}/s, ratio {:.2}",
            rate(plain),
            rate(ours),
            plain.as_secs_f64() / ours.as_secs_f64()
        );
        let held = client.ask(&["HLEN", "positions:account-3"]);
        assert_eq!(held, Answer::Number(i64::from(IN_ACCOUNT)));
        assert_eq!(client.ask(&["SCARD", "lotbook:accounts"]), Answer::Number(i64::from(positions / IN_ACCOUNT)));
    }
}
