//! From sockets to the engine's door: connections, messages, trades, refusals.

use super::commands::Context;
use super::sessions::source_name;
use super::*;

impl Work {
    pub(super) fn accept(&mut self) {
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

    /// Hands a trade or an amendment to the engine.
    pub(super) fn deliver(
        &mut self,
        number: usize,
        seq: u64,
        index: usize,
        found: &frame::Frame,
    ) -> Result<(), Refusal> {
        let Some(connection) = &self.connections[index] else { return Ok(()) };
        let message = Message::parse(connection.unread(), found);
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
        live.last_trade = seq;
        // `messages` asks the door for room before each message.
        let sent = self.door.submit(Request { token, origin, command });
        assert!(sent.is_ok(), "room was asked for");
        Ok(())
    }

    pub(super) fn refuse(&mut self, number: usize, seq: u64, refusal: &Refusal, index: usize, found: &frame::Frame) {
        let Some(connection) = &mut self.connections[index] else { return };
        let live = &mut self.sessions[number];
        let raw = &connection.unread()[..found.len()];
        let session = SessionRef { name: &live.name, incarnation: live.incarnation };
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        let filed = letters::file(self.office.as_deref(), live, seq, refusal, raw, self.clock.now.utc_ns);
        match self.journal.refused(session, seq, live.last_trade, refusal.code, raw) {
            Ok(journal_sequence) if live.ack == AckPolicy::Durable => {
                let (raw, incarnation, refusal) = (raw.to_vec(), live.incarnation, *refusal);
                self.refusals.push_back(HeldRefusal {
                    session: number,
                    incarnation,
                    refusal,
                    raw,
                    journal_sequence,
                    filed,
                });
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
}
