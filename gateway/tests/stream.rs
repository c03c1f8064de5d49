//! The stream of events, heard by a plain client: what becomes durable, once and in order, from any place on.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use lotbook_core::command::Side;
use lotbook_gateway::http::{Health, HttpServer, HttpState, serve};
use serde_json::Value;
use support::{DAY, Rig};

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const PATIENCE: Duration = Duration::from_secs(60);

struct Heard {
    id: u64,
    kind: String,
    data: Value,
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(at: SocketAddr, path: &str, last: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(at).expect("the door listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n").expect("sent");
        Self(BufReader::new(stream))
    }

    /// Reads the head of the answer; gives its status.
    fn head(&mut self) -> String {
        let (mut status, mut line) = (String::new(), String::new());
        self.0.read_line(&mut status).expect("a status");
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).expect("a head");
        }
        status
    }

    fn listening(at: SocketAddr, path: &str, last: Option<u64>) -> Self {
        let mut client = Self::connect(at, path, last);
        assert!(client.head().contains(" 200 "));
        client
    }

    /// The next event; `None` where the stream has ended. Lines of chunks and comments are passed over.
    fn next(&mut self) -> Option<Heard> {
        let (mut id, mut kind, mut data) = (None, None, None);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("within the time") == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => id = text.parse().ok(),
                Some(("event", text)) => kind = Some(text.to_owned()),
                Some(("data", text)) => data = serde_json::from_str(text).ok(),
                _ => {}
            }
            if let (Some(id), Some(kind), Some(data)) = (&id, &kind, &data) {
                return Some(Heard { id: *id, kind: kind.clone(), data: Value::clone(data) });
            }
        }
    }

    fn hears(&mut self, kind: &str) -> Heard {
        let heard = self.next().expect("the stream goes on");
        assert_eq!(heard.kind, kind, "{}", heard.data);
        heard
    }
}

fn started(rig: &Rig) -> HttpServer {
    serve(ANY_PORT.into(), HttpState::of(&rig.host, Arc::new(Health::default))).expect("a free port")
}

#[test]
fn a_late_trade_is_heard_and_its_correction_after_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    let server = started(&rig);
    let mut of_a1 = Client::listening(server.local_addr, "/v1/stream?account=A1", None);
    let mut of_all = Client::listening(server.local_addr, "/v1/stream", None);
    rig.trade("other", ("A2", "AAPL"), Side::Buy, 10, 10, (DAY, 5));
    rig.trade("other-late", ("A2", "AAPL"), Side::Buy, 10, 10, (DAY, 4));
    rig.settle();
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 10, 10, (DAY, 5));
    rig.trade("sold", ("A1", "AAPL"), Side::Sell, 3, 10, (DAY, 6));
    rig.trade("late", ("A1", "AAPL"), Side::Buy, 4, 9, (DAY, 1));
    rig.settle();

    let provisional = of_a1.hears("ProvisionalTradeApplied");
    assert_eq!(provisional.data["sequence"], provisional.id);
    let corrected = of_a1.hears("HistoricalPositionCorrected");
    assert!(corrected.id > provisional.id);
    assert_eq!(corrected.data["cause_sequence"], provisional.id, "{}", corrected.data);
    // The sale took of the older lot, which came later: both lots are told.
    let lots: Vec<_> = corrected.data["lots"].as_array().expect("lots").iter().map(quantities).collect();
    assert_eq!(lots, [("4".into(), "1".into()), ("7".into(), "10".into())], "{}", corrected.data);
    let named: Vec<_> = corrected.data["lots"].as_array().expect("lots").iter().map(|lot| &lot["trade_id"]).collect();
    assert_eq!(named, ["late", "t1"], "{}", corrected.data);
    let kinds: Vec<_> = (0..4).map(|_| of_all.next().expect("the stream goes on")).collect();
    assert!(kinds.is_sorted_by_key(|heard| heard.id));
    assert_eq!(kinds.last().map(|heard| heard.id), Some(corrected.id), "the other account is heard as well");

    // Another client goes on behind the first of the two, from a place in the log.
    drop(of_a1);
    let mut again = Client::listening(server.local_addr, "/v1/stream?account=A1&after=1", Some(provisional.id));
    assert_eq!(again.hears("HistoricalPositionCorrected").id, corrected.id, "what it has had says where it goes on");
    // From the start, every event of that position.
    let mut all =
        Client::listening(server.local_addr, "/v1/stream?topic=events&account=A1&instrument=AAPL&after=0", None);
    for kind in ["TradeApplied", "TradeApplied", "ProvisionalTradeApplied", "HistoricalPositionCorrected"] {
        all.hears(kind);
    }
    server.stop();
    assert!(all.next().is_none() && again.next().is_none(), "a stop ends streams");
    rig.host.stop().expect("a clean stop");
}

fn quantities(change: &serde_json::Value) -> (String, String) {
    let of = |side: &str| change[side]["quantity"].as_str().unwrap_or("none").to_owned();
    (of("before"), of("after"))
}

#[test]
fn what_cannot_be_heard_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = Rig::start(dir.path());
    let server = started(&rig);
    let refused = |path: &str, status: &str, named: &str| {
        let mut client = Client::connect(server.local_addr, path, None);
        let head = client.head();
        assert!(head.contains(status), "{path}: {head}");
        let mut body = vec![0; 400];
        let got = client.0.read(&mut body).expect("a body");
        let body = String::from_utf8_lossy(&body[..got]);
        assert!(body.contains(named), "{path}: {body}");
    };
    refused("/v1/stream?topic=weather", " 400 ", "corrections or events");
    refused("/v1/stream?after=999999", " 409 ", "NOT_COMPLETE");
    let most: Vec<_> = (0..16).map(|_| Client::listening(server.local_addr, "/v1/stream", None)).collect();
    refused("/v1/stream", " 503 ", "as many streams");
    drop(most);
    server.stop();
    rig.host.stop().expect("a clean stop");
}
