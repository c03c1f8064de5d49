//! A peer that ends its connection right behind its last bytes is gone, and let in again at once.
//!
//! The story: the acceptor took a short read for an emptied socket and waited for the next edge. When the end of the stream had come with
//! the same edge there was no next one, so the session counted as connected, and its peer was refused until a heartbeat failed to go out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lotbook_perf::text::WallClock;
use lotbook_perf::wire::{self, Header};
use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, Served, Terms};

const ROUNDS: u64 = 20;

fn message(msg_type: &[u8], seq: u64, body: &[u8]) -> Vec<u8> {
    let mut clock = WallClock::default();
    let sending_time = clock.refresh();
    let header = Header {
        msg_type,
        seq,
        sender: b"BURST01",
        target: b"LOTBOOK",
        sending_time,
        poss_dup: false,
        poss_resend: false,
    };
    let mut out = Vec::new();
    wire::write(&mut out, &header, |out| out.extend_from_slice(body));
    out
}

/// A connection with its Logon answered; `None` when it was refused.
fn log_on(host: &Served, seq: u64) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(host.fix).expect("the FIX door");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(&message(b"A", seq, b"98=0\x01108=30\x01")).expect("a Logon");
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).unwrap_or(0);
    answer[..read].windows(6).any(|window| window == b"\x0135=A\x01").then_some(stream)
}

#[test]
fn a_peer_that_has_gone_is_let_in_again() {
    let host_terms = Terms {
        sessions: vec![("BURST01".into(), "durable")],
        checkpoint_records: 20_000,
        business_date: "2026-01-05".into(),
        trade_ids_max: 1 << 12,
    };
    let place = Place::new(&host_terms);
    let host = place.start();
    for round in 0..ROUNDS {
        let seq = 1 + round * 2;
        let mut stream = log_on(&host, seq).unwrap_or_else(|| panic!("refused in round {round}: {}", place.said()));
        // A Heartbeat, which nobody answers, and the end of the stream.
        stream.write_all(&message(b"0", seq + 1, b"")).expect("a Heartbeat");
        drop(stream);
        std::thread::sleep(Duration::from_millis(50));
    }
}
