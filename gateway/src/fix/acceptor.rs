//! The FIX acceptor: one thread that owns the listener, the connections, the sessions and a door.
//!
//! A turn of its loop: take what sockets have, hand trades to the door, take answers from the door,
//! release those whose promise is kept (in the tail, or durable), write, look after timers. Nothing
//! waits for the disk: answers that promise durability stand in a queue until the log's durable
//! sequence has passed them.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lotbook_core::command::{Command, NameClass, Origin, Side, TradeType};
use lotbook_core::date::Date;
use lotbook_core::event::Class;
use lotbook_core::id::{NameId, TradeId};
use lotbook_engine::limits::DOOR_SLOTS;
use lotbook_engine::wait::{WaitKind, Waiter};
use lotbook_engine::{Answer, Door, Host, NameError, ReadModel, Request, Status};
use lotbook_wal::Log;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Got, WRITE_BACKLOG_PAUSE};
use super::encode::{AckOutcome, AckPolicy, BusinessReason, TradeAck};
use super::frame::{self, Framed};
use super::limits::OUT_NUMBERS_PER_CALL_MAX;
use super::message::{Message, MsgType};
use super::session::{self, Consumed, Disconnect, Now, Persist, Resume, Session, SessionConfig};
use super::store::RingStore;
use super::trade::{FixSide, FixTrade, FixTradeType, Refusal, RefusalAnswer};
use crate::journal::{self, Journal, Known, SessionRef};
use crate::resolver::{Resolver, TradeWords};

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
    /// The policy of sessions that have none of their own.
    pub ack: AckPolicy,
    /// Sessions with terms of their own; when there is one, no other session is let in.
    pub sessions: Vec<SessionTerms>,
    /// Service id in correlation ids.
    pub service_id: String,
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
            by_comp_id: HashMap::new(),
            known,
            shard_max: host.report().sources.iter().copied().collect(),
            resolver: Resolver::new(host.directory().clone(), &config.service_id),
            model: host.model().clone(),
            log: host.log().clone(),
            journal,
            door,
            pending: Pending::new(),
            durable: VecDeque::new(),
            refusals: VecDeque::new(),
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
}

/// A trade on its way through the engine.
#[derive(Clone, Copy, Debug)]
struct Trade {
    session: usize,
    incarnation: u32,
    seq: u64,
    msg_type: &'static [u8],
    trade_id: TradeId,
    account: TradeId,
    instrument: TradeId,
    correlation: TradeId,
    executed_at_ns: i64,
}

/// Trades in flight, by token.
#[derive(Debug)]
struct Pending {
    slots: Vec<Option<Trade>>,
    free: Vec<u32>,
}

impl Pending {
    fn new() -> Self {
        Self { slots: vec![None; DOOR_SLOTS], free: (0..DOOR_SLOTS as u32).rev().collect() }
    }

    fn put(&mut self, trade: Trade) -> u64 {
        // As many slots as the door lets be in flight; the caller has asked the door.
        let Some(slot) = self.free.pop() else { unreachable!("more in flight than the door holds") };
        self.slots[slot as usize] = Some(trade);
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
    refusal: Refusal,
    raw: Vec<u8>,
    journal_sequence: u64,
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
    by_comp_id: HashMap<String, usize>,
    known: HashMap<String, Known>,
    /// Greatest number of each source in the shard's log at the start.
    shard_max: HashMap<NameId, u64>,
    resolver: Resolver,
    model: Arc<ReadModel>,
    log: Arc<Log>,
    journal: Journal,
    door: Door,
    pending: Pending,
    /// Answers that wait for the durable sequence, in its order.
    durable: VecDeque<(Trade, Answer)>,
    refusals: VecDeque<HeldRefusal>,
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
                            connection.readable |= event.is_readable() || event.is_read_closed();
                        }
                    }
                }
            }
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

    fn accept(&mut self) {
        loop {
            let Ok((mut stream, _)) = self.listener.accept() else { return };
            let free = self.connections.iter().position(Option::is_none);
            let index = free.unwrap_or(self.connections.len());
            if index >= CONNECTIONS_MAX {
                continue;
            }
            let _ = stream.set_nodelay(true);
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(index), interest).is_err() {
                continue;
            }
            self.counters.accepted.fetch_add(1, Ordering::Relaxed);
            let connection = Some(Connection::new(stream));
            if index == self.connections.len() { self.connections.push(connection) } else { self.connections[index] = connection }
        }
    }

    fn take_messages(&mut self) -> bool {
        let mut worked = false;
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else { continue };
            let mut gone = false;
            if connection.readable && connection.backlog() < WRITE_BACKLOG_PAUSE {
                match connection.fill() {
                    Got::Bytes => worked = true,
                    Got::Nothing => {}
                    Got::Closed => gone = true,
                }
            }
            if connection.closing.is_some() {
                connection.discard();
            } else {
                worked |= self.messages(index);
            }
            if gone {
                self.close(index);
            }
        }
        worked
    }

    /// Takes messages that are whole in the connection's buffer, as many as a turn allows.
    fn messages(&mut self, index: usize) -> bool {
        let mut taken = 0;
        while taken < MESSAGES_A_TURN && self.door.has_room() {
            let Some(connection) = &mut self.connections[index] else { break };
            if connection.closing.is_some() || connection.unread().len() < connection.bytes_min {
                break;
            }
            match frame::next(connection.unread()) {
                Framed::NeedMore { bytes_min } => {
                    connection.bytes_min = bytes_min;
                    break;
                }
                Framed::Garbled { skip_to, why } => {
                    connection.bytes_min = 1;
                    let session = connection.session;
                    connection.consume(skip_to);
                    match session {
                        Some(session) => {
                            let step = self.sessions[session].session.on_garbled(why, self.clock.now, &mut connection.out);
                            self.end_if(index, step.disconnect);
                        }
                        // A stranger is told nothing.
                        None => self.close(index),
                    }
                }
                Framed::Frame(found) => {
                    connection.bytes_min = 1;
                    let len = found.len();
                    self.message(index, &found);
                    if let Some(connection) = &mut self.connections[index] {
                        connection.consume(len);
                    }
                    self.counters.messages.fetch_add(1, Ordering::Relaxed);
                }
            }
            taken += 1;
        }
        taken > 0
    }

    fn message(&mut self, index: usize, found: &frame::Frame) {
        if self.connections[index].as_ref().is_some_and(|c| c.session.is_none()) && !self.identify(index, found) {
            self.close(index);
            return;
        }
        let Some(connection) = &mut self.connections[index] else { return };
        let Some(number) = connection.session else { return };
        self.reserve(number);
        let Some(connection) = &mut self.connections[index] else { return };
        let (bytes, out) = connection.split();
        let message = Message::parse(bytes, found);
        let live = &mut self.sessions[number];
        let was_on = live.session.is_logged_on();
        let step = live.session.on_message(&message, self.clock.now, out);
        if !was_on && live.session.is_logged_on() {
            self.counters.logged_on.fetch_add(1, Ordering::Relaxed);
        }
        let refusal = step.deliver.and_then(|seq| self.deliver(number, seq, index, found).err().map(|r| (seq, r)));
        if let Some(persist) = step.persist {
            self.persist(number, persist);
        }
        if let Some((seq, refusal)) = refusal {
            self.refuse(number, seq, &refusal, index, found);
        }
        self.end_if(index, step.disconnect);
    }

    /// Finds or makes the session that the first message names. `false`: a stranger, or one that is connected.
    fn identify(&mut self, index: usize, found: &frame::Frame) -> bool {
        let Some(connection) = &self.connections[index] else { return false };
        let message = Message::parse(connection.unread(), found);
        let Ok((theirs, ours)) = session::identity(&message) else { return false };
        if ours != self.config.comp_id {
            return false;
        }
        let theirs = theirs.to_owned();
        let Some(number) = self.session(&theirs) else { return false };
        let live = &mut self.sessions[number];
        if live.connection.is_some() {
            tracing::warn!(session = live.name, "refused a second connection");
            return false;
        }
        live.connection = Some(index);
        live.session.connect(self.clock.now);
        if let Some(connection) = &mut self.connections[index] {
            connection.session = Some(number);
        }
        true
    }

    fn session(&mut self, comp_id: &str) -> Option<usize> {
        if let Some(number) = self.by_comp_id.get(comp_id) {
            return Some(*number);
        }
        let terms = self.config.sessions.iter().find(|terms| terms.comp_id == comp_id).cloned();
        if (terms.is_none() && !self.config.sessions.is_empty()) || self.sessions.len() == SESSIONS_MAX {
            return None;
        }
        let name = format!("{}:{comp_id}", self.config.comp_id);
        let known = self.known.get(&name).cloned().unwrap_or_default();
        let source = self.resolver.name(NameClass::Source, &source_name(&name, known.incarnation)).ok()?;
        let shard_max = self.shard_max.get(&source).copied().unwrap_or(0);
        let next_out = known.next_out();
        let resume =
            Resume { next_in: known.next_in(shard_max), next_out, out_reserved_through: known.reserved_through.max(next_out - 1) };
        let mut config = SessionConfig::new(&self.config.comp_id, comp_id);
        config.out_block = OUT_BLOCK;
        let session = Session::new(config, RingStore::new(STORED_ANSWERS, STORED_BYTES), resume);
        tracing::info!(session = name, next_in = resume.next_in, next_out = resume.next_out, "session");
        let ack = terms.as_ref().map_or(self.config.ack, |terms| terms.ack);
        self.sessions.push(Live {
            session,
            name,
            incarnation: known.incarnation,
            source,
            ack,
            namespace: terms.and_then(|terms| terms.namespace),
            connection: None,
            last_trade: shard_max,
            reserving: None,
        });
        self.by_comp_id.insert(comp_id.to_owned(), self.sessions.len() - 1);
        Some(self.sessions.len() - 1)
    }

    /// Keeps outbound numbers set aside ahead of use: asked for at half a block, waited for only at the end.
    fn reserve(&mut self, number: usize) {
        let live = &mut self.sessions[number];
        let at_hand = OUT_NUMBERS_PER_CALL_MAX + DOOR_SLOTS as u64 + self.durable.len() as u64 + self.refusals.len() as u64;
        if live.session.numbers_left() >= OUT_BLOCK / 2 && live.reserving.is_none() {
            return;
        }
        if live.reserving.is_none() {
            let through = live.session.next_out() + live.session.numbers_left() - 1 + OUT_BLOCK;
            let session = SessionRef { name: &live.name, incarnation: live.incarnation };
            if let Ok(sequence) = self.journal.record(journal::kind::RESERVED, session, [through, 0, 0]) {
                live.reserving = Some((sequence, through));
            }
        }
        let urgent = live.session.numbers_left() < at_hand;
        if let Some((sequence, through)) = live.reserving {
            let log = self.journal.log();
            let durable = log.durable_sequence() >= sequence
                || (urgent && matches!(log.wait_durable(sequence, Duration::from_secs(5)), Ok(true)));
            if durable {
                live.session.reserve_through(through);
                live.reserving = None;
            }
        }
    }

    fn persist(&mut self, number: usize, persist: Persist) {
        let live = &mut self.sessions[number];
        match persist {
            Persist::Consumed { first_seq, last_seq, what } => {
                let session = SessionRef { name: &live.name, incarnation: live.incarnation };
                // A lost record costs a resend, never a trade.
                let _ = self.journal.record(journal::kind::CONSUMED, session, [first_seq, last_seq, live.last_trade]);
                if matches!(what, Consumed::Refused(_) | Consumed::UnsupportedType) {
                    self.counters.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            Persist::Restarted { out_reserved_through } => {
                live.incarnation += 1;
                live.last_trade = 0;
                live.reserving = None;
                let session = SessionRef { name: &live.name, incarnation: live.incarnation };
                let recorded = self.journal.record(journal::kind::RESTARTED, session, [out_reserved_through, 0, 0]);
                let durable = recorded.is_ok_and(|sequence| {
                    matches!(self.journal.log().wait_durable(sequence, Duration::from_secs(5)), Ok(true))
                });
                let source = self.resolver.name(NameClass::Source, &source_name(&live.name, live.incarnation));
                match source {
                    Ok(source) if durable => live.source = source,
                    _ => {
                        // The answer must not leave: cut the connection, the peer tries again.
                        tracing::error!(session = live.name, "a session restart could not be recorded");
                        if let Some(index) = live.connection {
                            self.close(index);
                        }
                    }
                }
            }
        }
    }

    /// Hands a trade to the engine.
    fn deliver(&mut self, number: usize, seq: u64, index: usize, found: &frame::Frame) -> Result<(), Refusal> {
        let Some(connection) = &self.connections[index] else { return Ok(()) };
        let message = Message::parse(connection.unread(), found);
        let trade = FixTrade::from_message(&message)?;
        let live = &mut self.sessions[number];
        let today = self.model.business_date();
        let now_ns = self.clock.now.utc_ns;
        let date = trade
            .effective_date
            .map(Date)
            .or_else(|| trade.executed_at_ns.map(Date::of_ns))
            .or(today)
            .unwrap_or_else(|| Date::of_ns(now_ns));
        let words = TradeWords {
            trade_id: trade.trade_id,
            namespace: self.namespace.get(number, live, date),
            account: trade.account,
            instrument: trade.instrument,
            contract: None,
            user: None,
            correlation: trade.correlation_id,
            lot: None,
            side: side(trade.side),
            trade_type: match trade.trade_type {
                Some(FixTradeType::Decrease) => TradeType::Decrease,
                None => TradeType::Any,
            },
            quantity_e8: trade.quantity_e8,
            price_e8: trade.price_e8,
            fees_e8: trade.fees_e8,
            effective_date: date,
            executed_at_ns: trade.executed_at_ns.unwrap_or_else(|| Resolver::stamp(date, today, now_ns)),
            source_order: seq,
        };
        let input = self.resolver.trade(&words, now_ns).map_err(name_refusal)?;
        let origin = Origin {
            source: live.source,
            source_offset: seq,
            received_at_ns: now_ns,
            raw_hash: lotbook_core::digest::bytes(message.bytes()),
            ..Origin::INTERNAL
        };
        let text = |text: &str| TradeId::new(text.as_bytes()).unwrap_or(TradeId::EMPTY);
        let token = self.pending.put(Trade {
            session: number,
            incarnation: live.incarnation,
            seq,
            msg_type: if message.msg_type() == MsgType::ExecutionReport { b"8" } else { b"AE" },
            trade_id: input.trade_id,
            account: text(trade.account),
            instrument: text(trade.instrument),
            correlation: input.correlation,
            executed_at_ns: input.executed_at_ns,
        });
        live.last_trade = seq;
        // `messages` asks the door for room before each message.
        let sent = self.door.submit(Request { token, origin, command: Command::Trade(input) });
        assert!(sent.is_ok(), "room was asked for");
        Ok(())
    }

    fn refuse(&mut self, number: usize, seq: u64, refusal: &Refusal, index: usize, found: &frame::Frame) {
        let Some(connection) = &mut self.connections[index] else { return };
        let live = &mut self.sessions[number];
        let raw = &connection.unread()[..found.len()];
        let session = SessionRef { name: &live.name, incarnation: live.incarnation };
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        match self.journal.refused(session, seq, live.last_trade, refusal.code, raw) {
            Ok(journal_sequence) if live.ack == AckPolicy::Durable => {
                let (raw, incarnation, refusal) = (raw.to_vec(), live.incarnation, *refusal);
                self.refusals.push_back(HeldRefusal { session: number, incarnation, refusal, raw, journal_sequence });
            }
            // In the tail, which is what an applied session was promised; a journal that takes nothing is
            // reported by its own log, and the sender is told all the same.
            _ => {
                let (bytes, out) = connection.split();
                let message = Message::parse(bytes, found);
                live.session.refuse(&message, refusal, self.clock.now, out);
            }
        }
    }

    fn take_answers(&mut self) -> bool {
        let mut worked = false;
        while let Some(answer) = self.door.poll() {
            worked = true;
            let Some(trade) = self.pending.take(answer.token) else { continue };
            let durable = self.sessions[trade.session].ack == AckPolicy::Durable && answer.sequence > 0;
            if durable { self.durable.push_back((trade, answer)) } else { self.answer(&trade, &answer) }
        }
        let latched = self.log.latched().is_some();
        let durable = self.log.durable_sequence();
        while let Some((_, answer)) = self.durable.front() {
            let kept = answer.sequence <= durable;
            if !kept && !latched {
                break;
            }
            let Some((trade, mut answer)) = self.durable.pop_front() else { break };
            if !kept {
                answer = Answer::bare(answer.token, Status::Unknown);
            }
            self.answer(&trade, &answer);
            worked = true;
        }
        worked |= self.release_refusals();
        worked
    }

    fn release_refusals(&mut self) -> bool {
        let durable = self.journal.log().durable_sequence();
        let mut worked = false;
        while self.refusals.front().is_some_and(|held| held.journal_sequence <= durable) {
            let Some(held) = self.refusals.pop_front() else { break };
            self.reserve(held.session);
            let live = &mut self.sessions[held.session];
            if held.incarnation != live.incarnation {
                continue;
            }
            if let Framed::Frame(found) = frame::next(&held.raw) {
                let message = Message::parse(&held.raw, &found);
                let mut nowhere = Vec::new();
                let out = match live.connection.and_then(|index| self.connections[index].as_mut()) {
                    Some(connection) => &mut connection.out,
                    None => &mut nowhere,
                };
                live.session.refuse(&message, &held.refusal, self.clock.now, out);
            }
            worked = true;
        }
        worked
    }

    fn answer(&mut self, trade: &Trade, answer: &Answer) {
        self.reserve(trade.session);
        let live = &mut self.sessions[trade.session];
        if trade.incarnation != live.incarnation {
            // The session restarted meanwhile; the number that this would refer to is void.
            return;
        }
        let mut nowhere = Vec::new();
        let out = match live.connection.and_then(|index| self.connections[index].as_mut()) {
            Some(connection) => &mut connection.out,
            None => &mut nowhere,
        };
        let outcome = match answer.status {
            Status::Trade(Class::Applied | Class::Matured) => AckOutcome::Applied,
            Status::Trade(Class::Provisional) => AckOutcome::Provisional,
            Status::Trade(Class::Forward) => AckOutcome::Forward,
            Status::Trade(Class::Duplicate) => AckOutcome::Duplicate { first_seq: answer.first_sequence },
            Status::Trade(Class::Rejected) | Status::Done | Status::Refused => {
                AckOutcome::Rejected { code: answer.reason.code() }
            }
            Status::OutOfSpace | Status::Unknown => {
                let code = if answer.status == Status::Unknown { "UNKNOWN_RESEND" } else { "OUT_OF_SPACE" };
                let session = SessionRef { name: &live.name, incarnation: live.incarnation };
                let _ = self.journal.refused(session, trade.seq, trade.seq - 1, code, &[]);
                let refers_to = (trade.seq, trade.msg_type, trade.trade_id.as_str());
                live.session.not_available(refers_to, code, self.clock.now, out);
                return;
            }
        };
        let ack = TradeAck {
            trade_id: trade.trade_id.as_str(),
            account: trade.account.as_str(),
            instrument: trade.instrument.as_str(),
            correlation_id: trade.correlation.as_str(),
            transact_utc_ns: trade.executed_at_ns,
            outcome,
            log_seq: answer.sequence,
            position_version: answer.version,
            ack: live.ack,
        };
        live.session.answer(&ack, self.clock.now, out);
        tracing::debug!(
            correlation_id = ack.correlation_id,
            trade_id = ack.trade_id,
            session = live.name,
            seq = trade.seq,
            log_seq = ack.log_seq,
            outcome = outcome.name(),
            "answered"
        );
        self.counters.answers.fetch_add(1, Ordering::Relaxed);
    }

    fn write(&mut self) {
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else { continue };
            if connection.flush().is_err() {
                self.close(index);
                continue;
            }
            if let Some(deadline) = connection.closing {
                if connection.backlog() == 0 {
                    // The peer reads our last words, then the end.
                    let _ = connection.stream.shutdown(Shutdown::Write);
                }
                if Instant::now() > deadline {
                    self.close(index);
                }
            }
        }
    }

    fn timers(&mut self) {
        let now = Instant::now();
        if now < self.next_timers {
            return;
        }
        self.next_timers = now + Duration::from_millis(20);
        for number in 0..self.sessions.len() {
            self.reserve(number);
            let live = &mut self.sessions[number];
            let Some(index) = live.connection else { continue };
            let Some(connection) = &mut self.connections[index] else { continue };
            let step = live.session.tick(self.clock.now, &mut connection.out);
            if let Some(persist) = step.persist {
                self.persist(number, persist);
            }
            self.end_if(index, step.disconnect);
        }
        for index in 0..self.connections.len() {
            // Connections that never said who they are.
            let silent = self.connections[index]
                .as_ref()
                .is_some_and(|c| c.session.is_none() && c.opened.elapsed() > Duration::from_secs(10));
            if silent {
                self.close(index);
            }
        }
    }

    /// Begins to close a connection whose session has ended: its last words are still to be written.
    fn end_if(&mut self, index: usize, why: Option<Disconnect>) {
        let Some(why) = why else { return };
        let Some(connection) = &mut self.connections[index] else { return };
        connection.closing = Some(Instant::now() + CLOSE_TIMEOUT);
        if let Some(number) = connection.session.take() {
            self.part(number, &format!("{why:?}"));
        }
    }

    fn part(&mut self, number: usize, why: &str) {
        let live = &mut self.sessions[number];
        tracing::info!(session = live.name, why, "session disconnected");
        live.connection = None;
        live.session.disconnected();
        let on = self.counters.logged_on.load(Ordering::Relaxed);
        self.counters.logged_on.store(on.saturating_sub(1), Ordering::Relaxed);
    }

    fn close(&mut self, index: usize) {
        let Some(mut connection) = self.connections[index].take() else { return };
        let _ = self.poll.registry().deregister(&mut connection.stream);
        if let Some(number) = connection.session {
            self.part(number, "connection closed");
        }
    }

    /// Logs sessions out. `true` when all are gone, or at the deadline: numbers are recorded then.
    fn leave(&mut self, deadline: Instant) -> bool {
        for number in 0..self.sessions.len() {
            let live = &mut self.sessions[number];
            if !live.session.is_logged_on() {
                continue;
            }
            let Some(index) = live.connection else { continue };
            let Some(connection) = &mut self.connections[index] else { continue };
            let step = live.session.logout("shutting down", self.clock.now, &mut connection.out);
            self.end_if(index, step.disconnect);
        }
        self.write();
        let waiting = self.door.outstanding() > 0 || !self.durable.is_empty() || !self.refusals.is_empty();
        let connected = self.sessions.iter().any(|live| live.connection.is_some());
        if (waiting || connected) && Instant::now() < deadline {
            return false;
        }
        for live in &self.sessions {
            let session = SessionRef { name: &live.name, incarnation: live.incarnation };
            let numbers = [live.session.next_in(), live.session.next_out(), 0];
            // Only where nothing is in flight is the end of numbers known.
            if !waiting {
                let _ = self.journal.record(journal::kind::ENDED, session, numbers);
            }
        }
        true
    }
}

/// A restart makes another source, so that its numbers are not taken for those before.
fn source_name(session: &str, incarnation: u32) -> String {
    format!("FIX:{session}#{incarnation}")
}

fn side(side: FixSide) -> Side {
    match side {
        FixSide::Buy => Side::Buy,
        FixSide::Sell => Side::Sell,
        FixSide::SellShort => Side::SellShort,
        FixSide::BuyToCover => Side::BuyToCover,
    }
}

#[cold]
fn name_refusal(error: NameError) -> Refusal {
    match error {
        NameError::Unavailable => Refusal::NOT_AVAILABLE,
        NameError::Full | NameError::Length => Refusal {
            answer: RefusalAnswer::Business(BusinessReason::Other),
            tag: 0,
            code: "NAME_CAPACITY",
            text: "no room for another account, instrument or namespace",
        },
    }
}
