//! A FIX initiator of a few lines: it logs on, sends what it is given and collects what comes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lotbook_core::Date;
use lotbook_perf::wire::{self, Header};

use crate::process::PATIENCE;

/// A message that came in.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    fields: Vec<(u32, String)>,
}

impl Incoming {
    pub(crate) fn get(&self, tag: u32) -> &str {
        self.fields.iter().find(|(held, _)| *held == tag).map_or("", |(_, value)| value)
    }

    /// A word of our Text, such as `outcome=applied`.
    pub(crate) fn word(&self, name: &str) -> &str {
        self.get(58).split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
    }
}

/// One session on one connection.
pub(crate) struct Client {
    stream: TcpStream,
    comp_id: String,
    next_out: u64,
    read: Vec<u8>,
}

pub(crate) fn stamp() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let (year, month, day) = Date::of_ns(i64::try_from(since.as_nanos()).expect("before 2262")).ymd();
    let second = since.as_secs() % 86_400;
    format!("{year:04}{month:02}{day:02}-{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

impl Client {
    /// Connects and logs on anew, both directions from 1.
    #[track_caller]
    pub(crate) fn log_on(to: SocketAddr, comp_id: &str) -> Self {
        let stream = TcpStream::connect(to).expect("an open FIX door");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let mut client = Self { stream, comp_id: comp_id.to_owned(), next_out: 1, read: Vec::new() };
        client.send("A", &[(98, "0"), (108, "300"), (141, "Y")]);
        assert_eq!(client.next().get(35), "A");
        client
    }

    /// Sends a message and gives its number.
    pub(crate) fn send(&mut self, kind: &str, fields: &[(u32, &str)]) -> u64 {
        let (number, stamp) = (self.next_out, stamp());
        self.next_out += 1;
        let header = Header {
            msg_type: kind.as_bytes(),
            seq: number,
            sender: self.comp_id.as_bytes(),
            target: b"LOTBOOK",
            sending_time: stamp.as_bytes(),
            poss_dup: false,
            poss_resend: false,
        };
        let mut bytes = Vec::with_capacity(256);
        wire::write(&mut bytes, &header, |out| {
            for (tag, value) in fields {
                wire::push(out, tag.to_string().as_bytes(), value.as_bytes());
            }
        });
        self.stream.write_all(&bytes).expect("the host reads");
        number
    }

    /// Buys one at 10, at a date that the book is at.
    pub(crate) fn buy(&mut self, trade_id: &str, more: &[(u32, &str)]) -> u64 {
        let mut fields = vec![
            (37, "O"),
            (17, trade_id),
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
        ];
        fields.extend_from_slice(more);
        self.send("8", &fields)
    }

    /// The next message.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Incoming {
        loop {
            if let Some(length) = wire::frame(&self.read).expect("well framed") {
                let message: Vec<u8> = self.read.drain(..length).collect();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let fields = wire::fields(&message).map(|field| field.map(|(tag, value)| (tag, text(value))));
                return Incoming { fields: fields.collect::<Result<_, _>>().expect("well formed") };
            }
            let mut piece = [0; 16 << 10];
            let count = self.stream.read(&mut piece).expect("an answer in time");
            assert_ne!(count, 0, "the host closed the connection");
            self.read.extend_from_slice(&piece[..count]);
        }
    }

    /// The next message that is no session message.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Incoming {
        loop {
            let message = self.next();
            match message.get(35) {
                "0" => {}
                "1" => {
                    let id = message.get(112).to_owned();
                    self.send("0", &[(112, &id)]);
                }
                _ => return message,
            }
        }
    }

    /// Logs out and waits for the answer.
    #[track_caller]
    pub(crate) fn log_out(mut self) {
        self.send("5", &[]);
        assert_eq!(self.answer().get(35), "5");
        // The last words are read before the connection is dropped.
        let _ = self.stream.set_read_timeout(Some(Duration::from_secs(1)));
    }
}
