//! The FIX acceptor: one thread that owns the listener, the connections, the sessions and a door.
//!
//! A turn of its loop: take what sockets have, hand trades to the door, take answers from the door,
//! release those whose promise is kept (in the tail, or durable), write, look after timers. Nothing
//! waits for the disk: answers that promise durability stand in a queue until the log's durable
//! sequence has passed them.

mod answers;
mod commands;
mod inbound;
mod letters;
pub(crate) mod login;
mod sessions;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::date::Date;
use lotbook_core::event::Class;
use lotbook_core::id::{NameId, TradeId};
use lotbook_engine::limits::DOOR_SLOTS;
use lotbook_engine::wait::{WaitKind, Waiter};
use lotbook_engine::{Answer, Door, Host, NameError, ReadModel, Request, Status};
use lotbook_wal::Log;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use self::commands::HeldOrder;
use self::login::Logins;
use super::connection::{Connection, Got, WRITE_BACKLOG_PAUSE};
use super::encode::{AckOutcome, AckPolicy, AckType, BusinessReason, TradeAck};
use super::frame::{self, Framed};
use super::limits::OUT_NUMBERS_PER_CALL_MAX;
use super::message::{Message, MsgType};
use super::schedule::Schedule;
use super::session::{self, Consumed, Disconnect, Now, Persist, Resume, Session, SessionConfig};
use super::store::RingStore;
use super::trade::amend::{FixAmend, FixItem};
use super::trade::{FixTrade, Refusal, RefusalAnswer};
use super::version::Version;
use crate::access::{Access, Tls};
use crate::journal::{self, Journal, Known, SessionRef};
use crate::office::Office;
use crate::resolver::Resolver;

/// Connections at one time, logged on or not.
pub const CONNECTIONS_MAX: usize = 1024;
/// Sessions known to one acceptor.
pub const SESSIONS_MAX: usize = 1024;
/// Outbound numbers set aside by one record.
const OUT_BLOCK: u64 = 100_000;
/// Answers kept a session for resends, and bytes of them.
const STORED_ANSWERS: usize = 16_384;
const STORED_BYTES: usize = 8 << 20;
/// Messages taken from one connection before the next one gets its turn.
const MESSAGES_A_TURN: usize = 256;
/// How long a closing connection may take to write its last words and see the peer close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a shutdown waits for the peers' Logouts.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);
const LISTENER: Token = Token(usize::MAX);

/// What an acceptor is told.
#[derive(Clone, Debug)]
pub struct AcceptorConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Our CompID.
    pub comp_id: String,
    /// The currency that rates are kept against; `None`: every trade's rate is one.
    pub base_currency: Option<String>,
    /// The policy of sessions that have none of their own.
    pub ack: AckPolicy,
    /// Sessions with terms of their own; when there is one, no other session is let in.
    pub sessions: Vec<SessionTerms>,
    /// Service id in correlation ids.
    pub service_id: String,
    /// When sessions may be logged on that have no schedule of their own; `None`: at any time.
    pub schedule: Option<Schedule>,
    /// Who may log on, by Username (553) and Password (554); `None`: anybody who can connect.
    pub access: Option<Arc<Access>>,
    /// TLS of all connections; `None`: plain.
    pub tls: Option<Arc<Tls>>,
}

/// A session's terms.
#[derive(Clone, Debug)]
pub struct SessionTerms {
    /// The peer's CompID.
    pub comp_id: String,
    /// When its trades are answered.
    pub ack: AckPolicy,
    /// Namespace of its trade ids; `None`: `FIX:<CompID>:<trade date>`.
    pub namespace: Option<String>,
    /// The one version that it speaks; `None`: the one of its Logon.
    pub version: Option<Version>,
    /// When it may be logged on; `None`: as the acceptor's.
    pub schedule: Option<Schedule>,
    /// Whose session it is; `None`: the user named as its CompID.
    pub user: Option<String>,
}

/// Counters of the door.
#[derive(Debug, Default)]
pub struct FixCounters {
    /// Messages taken.
    pub messages: AtomicU64,
    /// Trades answered.
    pub answers: AtomicU64,
    /// Messages refused before the engine.
    pub refused: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Sessions logged on now.
    pub logged_on: AtomicU64,
}

/// A running acceptor.
#[derive(Debug)]
pub struct Acceptor {
    /// Where it listens, with the port that was chosen.
    pub local_addr: SocketAddr,
    /// Its counters.
    pub counters: Arc<FixCounters>,
    stop: Arc<AtomicBool>,
    crash: Arc<AtomicBool>,
    thread: Option<JoinHandle<Journal>>,
}

impl Acceptor {
    /// Binds and starts the thread.
    ///
    /// # Errors
    /// The address is in use or not ours, or the host has no door left.
    pub fn start(
        config: AcceptorConfig,
        host: &mut Host,
        journal: Journal,
        office: Option<Arc<Office>>,
        known: HashMap<String, Known>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen)?;
        let local_addr = listener.local_addr()?;
        let door = host.open_door().ok_or_else(|| io::Error::other("no door left"))?;
        let counters = Arc::new(FixCounters::default());
        let (stop, crash) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut work = Work {
            poll: Poll::new()?,
            listener,
            connections: Vec::new(),
            sessions: Vec::new(),
            by_name: HashMap::new(),
            known,
            shard_max: host.report().sources.iter().copied().collect(),
            resolver: Resolver::new(host.directory().clone(), &config.service_id),
            model: host.model().clone(),
            log: host.log().clone(),
            journal,
            office,
            door,
            pending: Pending::new(),
            durable: VecDeque::new(),
            refusals: VecDeque::new(),
            again: Vec::new(),
            logins: config.access.clone().map(Logins::start).transpose()?,
            namespace: DatedNamespace::default(),
            clock: Clock::new(),
            counters: counters.clone(),
            next_timers: Instant::now(),
            config,
        };
        work.poll.registry().register(&mut work.listener, LISTENER, Interest::READABLE)?;
        let (stopping, crashing) = (stop.clone(), crash.clone());
        let thread = Builder::new().name("lb-fix".into()).spawn(move || work.run(&stopping, &crashing))?;
        Ok(Self { local_addr, counters, stop, crash, thread: Some(thread) })
    }

    /// Logs all sessions out, waits for their answers for a moment, closes. Gives the journal back, `None`
    /// when the thread had panicked.
    pub fn stop(mut self) -> Option<Journal> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().and_then(|thread| thread.join().ok())
    }

    /// Ends at once, as a killed process does. For tests.
    pub fn crash(mut self) -> Option<Journal> {
        self.crash.store(true, Ordering::Release);
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

#[derive(Debug)]
struct Clock {
    start: Instant,
    now: Now,
}

impl Clock {
    fn new() -> Self {
        let mut clock = Self { start: Instant::now(), now: Now { mono_ns: 0, utc_ns: 0 } };
        clock.read();
        clock
    }

    fn read(&mut self) {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.now = Now { mono_ns: self.start.elapsed().as_nanos() as u64, utc_ns: utc.as_nanos() as i64 };
    }
}

#[derive(Debug)]
struct Live {
    session: Session<RingStore>,
    /// `LOTBOOK:BUY1`, the session's name in the journal.
    name: String,
    incarnation: u32,
    /// Interned source, by name and incarnation.
    source: NameId,
    ack: AckPolicy,
    namespace: Option<String>,
    connection: Option<usize>,
    /// The last trade's number handed to the engine.
    last_trade: u64,
    /// A reservation that is not durable yet: (journal sequence, through).
    reserving: Option<(u64, u64)>,
    /// Delivered before a crash that took their answers: numbers and messages, asked about once the peer is back.
    again: VecDeque<(u64, Vec<u8>)>,
    schedule: Option<Schedule>,
    /// The window that its numbers belong to, as the second of its start; 0 where there is no schedule.
    window_s: i64,
}

impl Live {
    fn named(&self) -> SessionRef<'_> {
        SessionRef { name: &self.name, incarnation: self.incarnation }
    }
}

/// Where a message's bytes lie.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// At the front of that connection's read buffer.
    Connection(usize),
    /// In [`Work::again`].
    Again,
}

/// A trade on its way through the engine.
#[derive(Clone, Copy, Debug)]
struct Trade {
    session: usize,
    incarnation: u32,
    seq: u64,
    msg_type: &'static [u8],
    exec_type: AckType,
    trade_id: TradeId,
    target_id: TradeId,
    account: TradeId,
    instrument: TradeId,
    correlation: TradeId,
    executed_at_ns: i64,
    /// Side (54), where the message gives one.
    side: Option<u8>,
    /// Of a FIX 4.2 session: what its answer says of the order.
    order: Option<HeldOrder>,
    /// Sequence of its dead letter in the office's log; 0 where there is none.
    filed: u64,
}

/// Trades in flight, by token.
#[derive(Debug)]
struct Pending {
    slots: Vec<Option<Trade>>,
    /// Their messages as they came; buffers that are used again.
    raw: Vec<Vec<u8>>,
    free: Vec<u32>,
}

impl Pending {
    fn new() -> Self {
        Self {
            slots: vec![None; DOOR_SLOTS],
            raw: vec![Vec::new(); DOOR_SLOTS],
            free: (0..DOOR_SLOTS as u32).rev().collect(),
        }
    }

    fn put(&mut self, trade: Trade, raw: &[u8]) -> u64 {
        // As many slots as the door lets be in flight; the caller has asked the door.
        let Some(slot) = self.free.pop() else { unreachable!("more in flight than the door holds") };
        self.slots[slot as usize] = Some(trade);
        let kept = &mut self.raw[slot as usize];
        kept.clear();
        kept.extend_from_slice(raw);
        u64::from(slot)
    }

    fn take(&mut self, token: u64) -> Option<Trade> {
        let trade = self.slots.get_mut(token as usize)?.take();
        if trade.is_some() {
            self.free.push(token as u32);
        }
        trade
    }
}

/// A refusal that waits until its record is durable.
#[derive(Debug)]
struct HeldRefusal {
    session: usize,
    incarnation: u32,
    seq: u64,
    refusal: Refusal,
    raw: Vec<u8>,
    journal_sequence: u64,
    /// Sequence of its dead letter in the office's log; 0 where there is none.
    filed: u64,
}

/// The namespace of the last trade date, so that it is not built for every trade.
#[derive(Debug, Default)]
struct DatedNamespace {
    session: usize,
    date: Option<Date>,
    text: String,
}

impl DatedNamespace {
    fn get(&mut self, session: usize, live: &Live, date: Date) -> &str {
        if let Some(fixed) = &live.namespace {
            self.date = None;
            self.text.clone_from(fixed);
        } else if self.date != Some(date) || self.session != session {
            let (year, month, day) = date.ymd();
            (self.session, self.date) = (session, Some(date));
            self.text = format!("FIX:{}:{year:04}{month:02}{day:02}", live.session.config().their_comp_id);
        }
        &self.text
    }
}

struct Work {
    config: AcceptorConfig,
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    sessions: Vec<Live>,
    by_name: HashMap<String, usize>,
    known: HashMap<String, Known>,
    /// Greatest number of each source in the shard's log at the start.
    shard_max: HashMap<NameId, u64>,
    resolver: Resolver,
    model: Arc<ReadModel>,
    log: Arc<Log>,
    journal: Journal,
    /// Where what is refused is kept.
    office: Option<Arc<Office>>,
    door: Door,
    pending: Pending,
    /// Answers that wait for the durable sequence, in its order.
    durable: VecDeque<(Trade, Answer)>,
    refusals: VecDeque<HeldRefusal>,
    /// The message that is being asked about again.
    again: Vec<u8>,
    logins: Option<Logins>,
    namespace: DatedNamespace,
    clock: Clock,
    counters: Arc<FixCounters>,
    next_timers: Instant,
}

impl Work {
    fn run(mut self, stop: &AtomicBool, crash: &AtomicBool) -> Journal {
        let mut events = Events::with_capacity(256);
        let mut waiter = Waiter::new(WaitKind::Park);
        let mut leaving: Option<Instant> = None;
        loop {
            if crash.load(Ordering::Acquire) {
                return self.journal;
            }
            let waiting = self.door.outstanding() > 0 || !self.durable.is_empty() || !self.refusals.is_empty();
            let busy = self.connections.iter().flatten().any(Connection::is_busy);
            let timeout = if waiting || busy { Duration::ZERO } else { Duration::from_millis(10) };
            if self.poll.poll(&mut events, Some(timeout)).is_err() {
                events.clear();
            }
            self.clock.read();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    Token(index) => {
                        if let Some(Some(connection)) = self.connections.get_mut(index) {
                            connection.ended |= event.is_read_closed();
                            connection.readable |= event.is_readable() || connection.ended;
                        }
                    }
                }
            }
            self.take_logins();
            let mut worked = self.take_messages();
            worked |= self.take_answers();
            self.write();
            self.timers();
            if stop.load(Ordering::Acquire) {
                let deadline = *leaving.get_or_insert_with(|| Instant::now() + LOGOUT_TIMEOUT);
                if self.leave(deadline) {
                    return self.journal;
                }
            }
            if worked || !events.is_empty() {
                waiter.reset();
            } else if waiting || busy {
                waiter.idle();
            }
        }
    }
}
