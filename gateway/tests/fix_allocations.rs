//! The FIX door allocates nothing in steady state: counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lotbook_gateway::fix::encode::{AckOutcome, AckPolicy, AckType, TradeAck};
use lotbook_gateway::fix::frame::{self, Framed};
use lotbook_gateway::fix::limits::OUT_NUMBERS_PER_CALL_MAX;
use lotbook_gateway::fix::message::Message;
use lotbook_gateway::fix::session::{Now, Resume, Session, SessionConfig};
use lotbook_gateway::fix::store::RingStore;
use lotbook_gateway::fix::trade::FixTrade;

/// The system's allocator, counting what this thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator unchanged; the counter is a thread-local cell without a destructor and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MESSAGES: u64 = 20_000;
const HEARTBEAT_NS: u64 = 30_000_000_000;

fn message(out: &mut Vec<u8>, seq: u64, msg_type: &str, fields: &str) {
    let body =
        format!("35={msg_type}|49=CLIENT|56=LOTBOOK|34={seq}|52=20200305-14:30:00.000|{fields}").replace('|', "\u{1}");
    let start = out.len();
    out.extend_from_slice(format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len()).as_bytes());
    let sum = frame::check_sum(&out[start..]);
    out.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
}

/// Trades of both types, refused ones, unsupported ones, test requests, heartbeats, resend requests.
fn stream(first_seq: u64) -> Vec<u8> {
    let mut stream = Vec::new();
    for seq in first_seq..first_seq + MESSAGES {
        let execution =
            format!("17=E{seq}|150=F|1=A{}|55=AAPL|54=1|32={seq}|31=167.63|60=20200305-14:30:00.123|", seq % 500);
        let capture = format!("571=R{seq}|55=AAPL|32=5|31=1.5|75=20200305|552=1|54=2|1=A1|");
        match seq % 100 {
            0 => message(&mut stream, seq, "1", "112=ping|"),
            1 => message(&mut stream, seq, "0", ""),
            2 => message(&mut stream, seq, "2", "7=1|16=0|"),
            3 => message(&mut stream, seq, "D", "11=X|"),
            4 => message(&mut stream, seq, "8", &execution.replace("32=", "32=-")),
            5 => message(&mut stream, seq, "8", &format!("{execution}58=|")),
            6..=50 => message(&mut stream, seq, "AE", &capture),
            _ => message(&mut stream, seq, "8", &execution),
        }
    }
    stream
}

struct Host {
    session: Session<RingStore>,
    now: Now,
    out: Vec<u8>,
    answered: u64,
}

impl Host {
    fn run(&mut self, mut bytes: &[u8]) {
        while let Framed::Frame(frame) = frame::next(bytes) {
            let message = Message::parse(bytes, &frame);
            self.now.mono_ns += HEARTBEAT_NS / 10;
            self.session.reserve_through(self.session.next_out() + 2 * OUT_NUMBERS_PER_CALL_MAX);
            let step = self.session.on_message(&message, self.now, &mut self.out);
            assert_eq!(step.disconnect, None);
            if step.deliver.is_some() {
                match FixTrade::from_message(&message) {
                    Ok(trade) => self.answer(&trade),
                    Err(refusal) => drop(self.session.refuse(&message, &refusal, self.now, &mut self.out)),
                }
            }
            assert_eq!(self.session.tick(self.now, &mut self.out).disconnect, None);
            // As if written to the socket.
            self.out.clear();
            bytes = &bytes[frame.len()..];
        }
        assert!(bytes.is_empty());
    }

    fn answer(&mut self, trade: &FixTrade<'_>) {
        let ack = TradeAck {
            exec_type: AckType::Trade,
            target_id: "",
            trade_id: trade.trade_id,
            account: trade.account,
            instrument: trade.instrument,
            correlation_id: trade.correlation_id.unwrap_or("made-at-the-door"),
            transact_utc_ns: trade.executed_at_ns.unwrap_or(self.now.utc_ns),
            outcome: AckOutcome::Applied,
            log_seq: trade.seq,
            position_version: 1,
            ack: AckPolicy::Durable,
            side: None,
            order: None,
        };
        self.session.answer(&ack, self.now, &mut self.out);
        self.answered += 1;
    }
}

#[test]
fn a_session_allocates_nothing_after_warm_up() {
    let config = SessionConfig { sending_time_tolerance_ns: None, ..SessionConfig::new("LOTBOOK", "CLIENT") };
    let mut session = Session::new(config, RingStore::new(256, 65_536), Resume::FRESH);
    let now = Now { mono_ns: 1, utc_ns: 1_583_418_600_000_000_000 };
    session.connect(now);
    // One resend of the whole store is the most that one call writes.
    let mut host = Host { session, now, out: Vec::with_capacity(256 * 1024), answered: 0 };
    let mut warm_up = Vec::new();
    message(&mut warm_up, 1, "A", "98=0|108=30|");
    warm_up.extend_from_slice(&stream(2));
    host.run(&warm_up);
    let measured = stream(2 + MESSAGES);

    let before = ALLOCATIONS.get();
    host.run(&measured);
    let allocations = ALLOCATIONS.get() - before;

    assert_eq!(allocations, 0);
    assert!(host.answered > MESSAGES);
}
