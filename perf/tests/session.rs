//! The initiator's sequence rules, against a host that is played line by line.
//!
//! `<` is what the client must send next, `>` is what the host then sends. Fields are separated by `|`; header fields other than 35, 34 and 43
//! are filled in.

use lotbook_perf::answer::Answer;
use lotbook_perf::fixclient::{FixClient, FixError, SessionConfig};
use lotbook_perf::message::Bodies;
use lotbook_perf::wire::{self, Header};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Messages whose body is their index.
struct Plain;

impl Bodies for Plain {
    fn msg_type(&self, _index: u32) -> &'static [u8] {
        b"8"
    }

    fn poss_resend(&self, _index: u32) -> bool {
        false
    }

    fn push_body(&self, index: u32, out: &mut Vec<u8>) {
        wire::push_number(out, b"17", u64::from(index));
    }
}

struct Stage {
    listener: TcpListener,
    host: Option<TcpStream>,
    buffer: Vec<u8>,
    client: FixClient,
    answers: Vec<String>,
}

impl Stage {
    fn new(next_out: u64, next_in: u64, reset: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = FixClient::new(SessionConfig {
            sender_comp_id: "ME".into(),
            target_comp_id: "HOST".into(),
            heartbeat_s: 30,
            next_out,
            next_in,
            reset,
        });
        Self { listener, host: None, buffer: Vec::new(), client, answers: Vec::new() }
    }

    fn open(&mut self) {
        self.client.open(self.listener.local_addr().unwrap()).unwrap();
        let (host, _) = self.listener.accept().unwrap();
        host.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        self.host = Some(host);
        self.buffer.clear();
    }

    /// Plays the lines; the first error of the client ends the scene.
    fn play(&mut self, lines: &[&str]) -> Result<(), FixError> {
        for line in lines {
            match line.split_at(2) {
                ("> ", message) => self.host_sends(message)?,
                ("< ", message) => self.client_sent(message)?,
                ("s ", index) => {
                    self.client.refresh_clock();
                    self.client.send(&Plain, index.parse().unwrap());
                    self.client.flush()?;
                }
                _ => panic!("{line}"),
            }
        }
        Ok(())
    }

    fn host_sends(&mut self, message: &str) -> Result<(), FixError> {
        let fields: Vec<(&str, &str)> = message.split('|').map(|field| field.split_once('=').unwrap()).collect();
        let find = |tag: &str| fields.iter().find(|(name, _)| *name == tag).map_or("", |(_, value)| value);
        let header = Header {
            msg_type: find("35").as_bytes(),
            seq: find("34").parse().unwrap(),
            sender: b"HOST",
            target: b"ME",
            sending_time: b"20200305-14:30:00.000",
            poss_dup: find("43") == "Y",
            poss_resend: false,
        };
        let mut out = Vec::new();
        wire::write(&mut out, &header, |out| {
            for (tag, value) in fields.iter().filter(|(tag, _)| !["35", "34", "43"].contains(tag)) {
                wire::push(out, tag.as_bytes(), value.as_bytes());
            }
        });
        self.host.as_mut().unwrap().write_all(&out).unwrap();
        self.pump()
    }

    /// Lets the client read until something came.
    fn pump(&mut self) -> Result<(), FixError> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answers = &mut self.answers;
            let got = self.client.read(&Plain, &mut |answer| {
                answers.push(match answer {
                    Answer::Ack { trade_id, sequence, .. } => {
                        format!("{}@{sequence}", String::from_utf8_lossy(trade_id))
                    }
                    Answer::Reject { index, .. } => format!("reject {index:?}"),
                    Answer::BusinessReject { index, .. } => format!("business reject {index:?}"),
                });
            })?;
            self.client.flush()?;
            if got {
                return Ok(());
            }
            assert!(Instant::now() < deadline, "nothing came");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn client_sent(&mut self, expected: &str) -> Result<(), FixError> {
        self.client.flush()?;
        let length = loop {
            if let Some(length) = wire::frame(&self.buffer).unwrap() {
                break length;
            }
            let mut bytes = [0; 4096];
            let count = self.host.as_mut().unwrap().read(&mut bytes).expect("the client sends what the scene says");
            assert!(count > 0, "closed before {expected}");
            self.buffer.extend_from_slice(&bytes[..count]);
        };
        let message: Vec<u8> = self.buffer.drain(..length).collect();
        let seen: Vec<String> = wire::fields(&message)
            .map(|field| field.unwrap())
            .filter(|(tag, _)| ![8, 9, 10, 49, 52, 56, 98, 108, 122].contains(tag))
            .map(|(tag, value)| format!("{tag}={}", String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(seen.join("|"), expected);
        Ok(())
    }
}

const ACK: &str = "> 35=AR|34=2|571=7|939=0|527=70|58=outcome=applied seq=70";

#[test]
fn logon_trade_answer_logout() {
    let mut stage = Stage::new(1, 1, false);
    stage.open();
    stage.play(&["< 35=A|34=1", "> 35=A|34=1", "s 7", "< 35=8|34=2|17=7", ACK]).unwrap();
    assert_eq!(stage.answers, ["7@70"]);
    stage.play(&["> 35=3|34=3|45=2", "> 35=j|34=4|45=2|380=3", "> 35=3|34=5|45=1"]).unwrap();
    assert_eq!(stage.answers[1..], ["reject Some(7)", "business reject Some(7)", "reject None"]);
    stage.client.logout().unwrap();
    stage.play(&["< 35=5|34=3", "> 35=5|34=6"]).unwrap();
    assert!(stage.client.is_idle());
}

#[test]
fn a_reset_logon_starts_both_sides_at_one() {
    let mut stage = Stage::new(17, 23, true);
    stage.open();
    stage.play(&["< 35=A|34=1|141=Y", "> 35=A|34=1|141=Y"]).unwrap();
    assert!(stage.client.is_active());
    assert_eq!((stage.client.next_out(), stage.client.next_in()), (2, 2));
}

#[test]
fn a_test_request_is_answered() {
    let mut stage = Stage::new(1, 1, false);
    stage.open();
    stage.play(&["< 35=A|34=1", "> 35=A|34=1", "> 35=1|34=2|112=hello", "< 35=0|34=2|112=hello"]).unwrap();
}

#[test]
fn what_the_host_missed_is_sent_again_and_session_messages_are_filled() {
    let mut stage = Stage::new(1, 1, false);
    stage.open();
    stage
        .play(&[
            "< 35=A|34=1",
            "> 35=A|34=1",
            "s 7",
            "s 8",
            "> 35=1|34=2|112=x",
            "s 9",
            "< 35=8|34=2|17=7",
            "< 35=8|34=3|17=8",
            "< 35=0|34=4|112=x",
            "< 35=8|34=5|17=9",
            "> 35=2|34=3|7=1|16=0",
            "< 35=4|34=1|43=Y|123=Y|36=2",
            "< 35=8|34=2|43=Y|17=7",
            "< 35=8|34=3|43=Y|17=8",
            "< 35=4|34=4|43=Y|123=Y|36=5",
            "< 35=8|34=5|43=Y|17=9",
            "> 35=2|34=4|7=3|16=3",
            "< 35=8|34=3|43=Y|17=8",
            "s 10",
            "< 35=8|34=6|17=10",
        ])
        .unwrap();
}

#[test]
fn a_hole_in_the_hosts_numbers_is_asked_for_once() {
    let mut stage = Stage::new(1, 1, false);
    stage.open();
    stage
        .play(&[
            "< 35=A|34=1",
            "> 35=A|34=1",
            "s 7",
            "< 35=8|34=2|17=7",
            "> 35=AR|34=4|571=7|939=0|527=70",
            "< 35=2|34=3|7=2|16=0",
            "> 35=AR|34=5|571=8|939=0|527=71",
            // The resend: a gap fill over 2, then 3 to 5.
            "> 35=4|34=2|43=Y|123=Y|36=3",
            "> 35=AR|34=3|43=Y|571=6|939=0|527=69",
            "> 35=AR|34=4|43=Y|571=7|939=0|527=70",
            "> 35=AR|34=5|43=Y|571=8|939=0|527=71",
        ])
        .unwrap();
    assert_eq!(stage.client.next_in(), 6);
    assert_eq!(stage.answers, ["7@70", "8@71", "6@69", "7@70", "8@71"]);
    // The next hole is asked for again.
    stage.play(&["> 35=0|34=9", "< 35=2|34=4|7=6|16=0", "> 35=4|34=100|36=10", "> 35=0|34=10"]).unwrap();
    assert_eq!(stage.client.next_in(), 11);
}

#[test]
fn a_session_resumes_where_it_stood() {
    let mut stage = Stage::new(1, 1, false);
    stage.open();
    stage.play(&["< 35=A|34=1", "> 35=A|34=1", "s 7", "< 35=8|34=2|17=7"]).unwrap();
    // The host dies before it answers; the client notices the closed connection.
    drop(stage.host.take());
    assert!(matches!(stage.pump(), Err(FixError::Closed | FixError::Io(_))));
    assert!(stage.client.is_idle());
    stage.open();
    // Its answer with number 2 was on the way, so its logon is number 3; and it has not seen our number 2.
    stage
        .play(&[
            "< 35=A|34=3",
            "> 35=A|34=3",
            "< 35=2|34=4|7=2|16=0",
            "> 35=2|34=4|7=2|16=0",
            "< 35=8|34=2|43=Y|17=7",
            "< 35=4|34=3|43=Y|123=Y|36=5",
            "> 35=AR|34=2|43=Y|571=7|939=0|527=70",
            "> 35=4|34=3|43=Y|123=Y|36=5",
        ])
        .unwrap();
    assert_eq!(stage.answers, ["7@70"]);
    assert_eq!((stage.client.next_out(), stage.client.next_in()), (5, 5));
    assert!(stage.client.is_active());
}

#[test]
fn numbers_that_go_back_break_the_session() {
    let mut stage = Stage::new(1, 1, false);
    stage.open();
    let error = stage.play(&["< 35=A|34=1", "> 35=A|34=1", "> 35=0|34=1"]).unwrap_err();
    assert!(matches!(error, FixError::SequenceTooLow { expected: 2, seen: 1 }), "{error}");
}

#[test]
fn a_logout_says_why() {
    let mut stage = Stage::new(5, 9, false);
    stage.open();
    let error = stage.play(&["< 35=A|34=5", "> 35=5|34=1|58=MsgSeqNum too low"]).unwrap_err();
    assert_eq!(error.to_string(), "the host logged out: MsgSeqNum too low");
}
