//! From sockets to the engine's door: connections, messages, trades, refusals.

use lotbook_wal::AppendError;

use super::super::message::Tag;
use super::super::store::OutboundStore as _;
use super::super::stream::Stream;
use super::super::value;
use super::commands::Context;
use super::*;
use crate::wire_log;

impl Work {
    pub(super) fn accept(&mut self) {
        loop {
            let Ok((stream, _)) = self.listener.accept() else { return };
            let free = self.connections.iter().position(Option::is_none);
            let index = free.unwrap_or(self.connections.len());
            if index >= CONNECTIONS_MAX {
                continue;
            }
            let _ = stream.set_nodelay(true);
            let tls = self.config.tls.as_ref().map(|tls| tls.config());
            let Ok(mut stream) = Stream::new(stream, tls) else { continue };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream.tcp, Token(index), interest).is_err() {
                continue;
            }
            self.counters.accepted.fetch_add(1, Ordering::Relaxed);
            let connection = Some(Connection::new(stream));
            if index == self.connections.len() {
                self.connections.push(connection)
            } else {
                self.connections[index] = connection
            }
        }
    }

    pub(super) fn take_messages(&mut self) -> bool {
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
    pub(super) fn messages(&mut self, index: usize) -> bool {
        let mut taken = 0;
        if let Some(number) = self.connections[index].as_ref().and_then(|connection| connection.session) {
            self.ask_again(number);
        }
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
                            let step =
                                self.sessions[session].session.on_garbled(why, self.clock.now, &mut connection.out);
                            self.end_if(index, step.disconnect);
                        }
                        // A stranger is told nothing.
                        None => self.close(index),
                    }
                }
                Framed::Frame(found) => {
                    connection.bytes_min = 1;
                    let len = found.len();
                    if connection.session.is_none() && !self.may_log_on(index, &found) {
                        break;
                    }
                    let Some(connection) = &self.connections[index] else { break };
                    let session = connection.session.map(|number| self.sessions[number].named());
                    let session = session.unwrap_or(SessionRef { name: "", incarnation: 0 });
                    let raw = &connection.unread()[..len];
                    let masked = wire_log::without_secrets(raw);
                    let raw = masked.as_deref().unwrap_or(raw);
                    if let Err(error) = self.journal.wire.received(session, self.clock.now.utc_ns, raw) {
                        // It stays where it is until there is room; from a log that has stopped nothing comes back.
                        if error == AppendError::Latched {
                            tracing::error!("the wire log has stopped: no message is taken");
                            self.close(index);
                        }
                        break;
                    }
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

    pub(super) fn message(&mut self, index: usize, found: &frame::Frame) {
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
        let (first_out, now) = (live.session.next_out(), self.clock.now);
        let refers_to = message.required(Tag::MsgSeqNum, value::sequence).unwrap_or(0);
        let step = live.session.on_message(&message, now, out);
        if !was_on && live.session.is_logged_on() {
            self.counters.logged_on.fetch_add(1, Ordering::Relaxed);
        }
        self.keep_answers(number, first_out, refers_to);
        let place = Place::Connection(index);
        let refusal = step.deliver.and_then(|seq| {
            let session = self.sessions[number].named();
            // A lost mark costs an answer that is asked for, never a trade.
            let _ = self.journal.wire.delivered(session, seq);
            self.deliver(number, seq, place, found).err().map(|refusal| (seq, refusal))
        });
        if let Some(persist) = step.persist {
            self.persist(number, persist);
        }
        if let Some((seq, refusal)) = refusal {
            self.refuse(number, seq, &refusal, place, found);
        }
        self.end_if(index, step.disconnect);
    }

    /// Asks the engine about what was delivered before a crash and has no answer: what it has is answered as a duplicate, what was refused is
    /// refused again.
    fn ask_again(&mut self, number: usize) {
        while self.door.has_room()
            && let Some((seq, raw)) = self.sessions[number].again.pop_front()
        {
            self.again = raw;
            let Framed::Frame(found) = frame::next(&self.again) else { continue };
            self.reserve(number);
            if let Err(refusal) = self.deliver(number, seq, Place::Again, &found) {
                self.refuse(number, seq, &refusal, Place::Again, &found);
            }
        }
    }

    /// Writes answers from `first_out` on to the wire log, before they reach a socket.
    pub(super) fn keep_answers(&mut self, number: usize, first_out: u64, refers_to: u64) {
        let live = &self.sessions[number];
        let mut numbers = first_out..live.session.next_out();
        while !numbers.is_empty()
            && let Some(stored) = live.session.store().first_in(numbers.clone())
        {
            let pair = [stored.seq, refers_to];
            // A lost record costs a gap fill after a crash.
            let _ = self.journal.wire.answered(live.named(), stored.sent_utc_ns, pair, stored.msg_type, stored.body);
            numbers.start = stored.seq + 1;
        }
    }

    /// Finds or makes the session that the first message names. `false`: a stranger, or one that is connected.
    pub(super) fn identify(&mut self, index: usize, found: &frame::Frame) -> bool {
        let Some(connection) = &self.connections[index] else { return false };
        let message = Message::parse(connection.unread(), found);
        let Ok((version, theirs, ours)) = session::identity(&message) else { return false };
        if ours != self.config.comp_id {
            return false;
        }
        let theirs = theirs.to_owned();
        let Some(number) = self.session(version, &theirs) else { return false };
        let live = &mut self.sessions[number];
        if live.connection.is_some() {
            tracing::warn!(session = live.name, "refused a second connection");
            return false;
        }
        let window = match &live.schedule {
            None => Some(0),
            Some(schedule) => schedule.window_at(self.clock.now.utc_ns),
        };
        let Some(window_s) = window else {
            tracing::warn!(session = live.name, "refused a connection outside the session's schedule");
            return false;
        };
        if live.window_s != window_s && !self.begin_window(number, window_s) {
            return false;
        }
        let live = &mut self.sessions[number];
        live.connection = Some(index);
        live.session.connect(self.clock.now);
        if let Some(connection) = &mut self.connections[index] {
            connection.session = Some(number);
        }
        true
    }

    pub(super) fn persist(&mut self, number: usize, persist: Persist) {
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
                let connection = live.connection;
                if !self.record_restart(number, out_reserved_through, 1)
                    && let Some(index) = connection
                {
                    // The answer must not leave: cut the connection, the peer tries again.
                    self.close(index);
                }
            }
        }
    }

    /// Hands a trade or an amendment to the engine.
    pub(super) fn deliver(
        &mut self,
        number: usize,
        seq: u64,
        place: Place,
        found: &frame::Frame,
    ) -> Result<(), Refusal> {
        let bytes = match place {
            Place::Again => &self.again,
            Place::Connection(index) => match &self.connections[index] {
                Some(connection) => connection.unread(),
                None => return Ok(()),
            },
        };
        let message = Message::parse(bytes, found);
        let item = FixItem::from_message(&message)?;
        self.stopped(number, &item)?;
        let live = &mut self.sessions[number];
        let now_ns = self.clock.now.utc_ns;
        let context = Context {
            resolver: &mut self.resolver,
            namespace: &mut self.namespace,
            number,
            live,
            seq,
            today: self.model.business_date(),
            now_ns,
            base: self.config.base_currency.as_deref(),
        };
        let (command, in_flight) = match &item {
            FixItem::Trade(trade) => {
                context.trade(trade, &message).map(|(input, in_flight)| (Command::Trade(input), in_flight))?
            }
            FixItem::Amend(amend) => {
                context.amend(amend, &message).map(|(input, in_flight)| (Command::Amend(input), in_flight))?
            }
        };
        let origin = Origin {
            source: live.source,
            source_offset: seq,
            received_at_ns: now_ns,
            raw_hash: lotbook_core::digest::bytes(message.bytes()),
            ..Origin::INTERNAL
        };
        let token = self.pending.put(in_flight, message.bytes());
        live.last_trade = live.last_trade.max(seq);
        // `messages` asks the door for room before each message.
        let sent = self.door.submit(Request { token, origin, command });
        assert!(sent.is_ok(), "room was asked for");
        Ok(())
    }

    pub(super) fn refuse(&mut self, number: usize, seq: u64, refusal: &Refusal, place: Place, found: &frame::Frame) {
        let bytes = match place {
            Place::Again => &self.again,
            Place::Connection(index) => match &self.connections[index] {
                Some(connection) => connection.unread(),
                None => return,
            },
        };
        let raw = bytes[..found.len()].to_vec();
        let live = &self.sessions[number];
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        let filed = letters::file(self.office.as_deref(), live, seq, refusal, &raw, self.clock.now.utc_ns);
        let recorded = self.journal.refused(live.named(), seq, live.last_trade, refusal.code, &raw);
        let (incarnation, ack) = (live.incarnation, live.ack);
        let held =
            HeldRefusal { session: number, incarnation, seq, refusal: *refusal, raw, journal_sequence: 0, filed };
        match recorded {
            Ok(journal_sequence) if ack == AckPolicy::Durable => {
                self.refusals.push_back(HeldRefusal { journal_sequence, ..held });
            }
            // In the tail, which is what an applied session was promised; a journal that takes nothing is
            // reported by its own log, and the sender is told all the same.
            _ => self.release(&held),
        }
    }
}
