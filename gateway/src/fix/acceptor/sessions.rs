//! Sessions of the acceptor: where they go on, their outbound numbers, their ends.

use super::super::store::{OutboundStore as _, Stored};
use super::*;

impl Work {
    pub(super) fn session(&mut self, version: Version, comp_id: &str) -> Option<usize> {
        let name = version.session_name(&self.config.comp_id, comp_id);
        if let Some(number) = self.by_name.get(&name) {
            return Some(*number);
        }
        let terms = self.config.sessions.iter().find(|terms| terms.comp_id == comp_id).cloned();
        if (terms.is_none() && !self.config.sessions.is_empty()) || self.sessions.len() == SESSIONS_MAX {
            return None;
        }
        if terms.as_ref().and_then(|terms| terms.version).is_some_and(|pinned| pinned != version) {
            tracing::warn!(session = name, "refused a connection of another version");
            return None;
        }
        let known = self.known.remove(&name).unwrap_or_default();
        let source = self.resolver.name(NameClass::Source, &source_name(&name, known.incarnation)).ok()?;
        let shard_max = self.shard_max.get(&source).copied().unwrap_or(0);
        let next_out = known.next_out();
        let resume = Resume {
            next_in: known.next_in(shard_max),
            next_out,
            out_reserved_through: known.reserved_through.max(next_out - 1),
        };
        let mut config = SessionConfig::new(&self.config.comp_id, comp_id);
        config.out_block = OUT_BLOCK;
        config.version = version;
        let mut store = RingStore::new(STORED_ANSWERS, STORED_BYTES);
        for answer in known.kept.answers.iter().filter(|answer| answer.number < resume.next_out) {
            let (seq, msg_type, body) = (answer.number, answer.msg_type.as_slice(), answer.body.as_slice());
            store.put(Stored { seq, msg_type, sent_utc_ns: answer.at_ns, body });
        }
        // What lies beyond the next number is asked for again, and comes by itself.
        let again = known.kept.unanswered.into_iter().filter(|(seq, _)| *seq < resume.next_in).collect();
        let session = Session::new(config, store, resume);
        tracing::info!(session = name, next_in = resume.next_in, next_out = resume.next_out, "session");
        let own_schedule = terms.as_ref().and_then(|terms| terms.schedule.clone());
        let ack = terms.as_ref().map_or(self.config.ack, |terms| terms.ack);
        self.sessions.push(Live {
            session,
            name: name.clone(),
            incarnation: known.incarnation,
            source,
            ack,
            namespace: terms.and_then(|terms| terms.namespace),
            connection: None,
            last_trade: shard_max,
            reserving: None,
            again,
            schedule: own_schedule.or_else(|| self.config.schedule.clone()),
            window_s: known.window_s,
        });
        self.by_name.insert(name, self.sessions.len() - 1);
        Some(self.sessions.len() - 1)
    }

    /// Another window of the session's schedule has begun: both directions begin at 1. `false`: that could not be recorded.
    pub(super) fn begin_window(&mut self, number: usize, window_s: i64) -> bool {
        let live = &mut self.sessions[number];
        live.window_s = window_s;
        let Persist::Restarted { out_reserved_through } = live.session.begin_anew() else { return false };
        self.record_restart(number, out_reserved_through, 0)
    }

    /// Records that both directions have restarted; `consumed` inbound numbers were. Waits until it is durable.
    pub(super) fn record_restart(&mut self, number: usize, out_reserved_through: u64, consumed: u64) -> bool {
        let live = &mut self.sessions[number];
        live.incarnation += 1;
        live.last_trade = 0;
        live.reserving = None;
        live.again.clear();
        let numbers = [out_reserved_through, live.window_s.cast_unsigned(), consumed];
        let recorded = self.journal.record(journal::kind::RESTARTED, live.named(), numbers);
        let durable = recorded.is_ok_and(|sequence| {
            matches!(self.journal.log().wait_durable(sequence, Duration::from_secs(5)), Ok(true))
        });
        match self.resolver.name(NameClass::Source, &source_name(&live.name, live.incarnation)) {
            Ok(source) if durable => {
                live.source = source;
                true
            }
            _ => {
                tracing::error!(session = live.name, "a session restart could not be recorded");
                false
            }
        }
    }

    /// Keeps outbound numbers set aside ahead of use: asked for at half a block, waited for only at the end.
    pub(super) fn reserve(&mut self, number: usize) {
        let live = &mut self.sessions[number];
        let at_hand =
            OUT_NUMBERS_PER_CALL_MAX + DOOR_SLOTS as u64 + self.durable.len() as u64 + self.refusals.len() as u64;
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

    pub(super) fn timers(&mut self) {
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
            let is_over = |schedule: &Schedule| schedule.window_at(self.clock.now.utc_ns) != Some(live.window_s);
            if live.session.is_logged_on() && live.schedule.as_ref().is_some_and(is_over) {
                // Its answer, or the timeout, ends the connection.
                live.session.logout("the session's schedule ends here", self.clock.now, &mut connection.out);
            }
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
    pub(super) fn end_if(&mut self, index: usize, why: Option<Disconnect>) {
        let Some(why) = why else { return };
        let Some(connection) = &mut self.connections[index] else { return };
        connection.closing = Some(Instant::now() + CLOSE_TIMEOUT);
        if let Some(number) = connection.session.take() {
            self.part(number, &format!("{why:?}"));
        }
    }

    pub(super) fn part(&mut self, number: usize, why: &str) {
        let live = &mut self.sessions[number];
        tracing::info!(session = live.name, why, "session disconnected");
        live.connection = None;
        live.session.disconnected();
        let on = self.counters.logged_on.load(Ordering::Relaxed);
        self.counters.logged_on.store(on.saturating_sub(1), Ordering::Relaxed);
    }

    pub(super) fn close(&mut self, index: usize) {
        let Some(mut connection) = self.connections[index].take() else { return };
        let _ = self.poll.registry().deregister(&mut connection.stream.tcp);
        if let Some(number) = connection.session {
            self.part(number, "connection closed");
        }
    }

    /// Logs sessions out. `true` when all are gone, or at the deadline: numbers are recorded then.
    pub(super) fn leave(&mut self, deadline: Instant) -> bool {
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
pub(super) fn source_name(session: &str, incarnation: u32) -> String {
    format!("FIX:{session}#{incarnation}")
}
