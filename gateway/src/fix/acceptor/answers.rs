//! From the engine's door to sockets: answers whose promise is kept, refusals whose record is durable.

use super::*;

impl Work {
    pub(super) fn take_answers(&mut self) -> bool {
        let mut worked = false;
        while let Some(answer) = self.door.poll() {
            worked = true;
            let Some(mut trade) = self.pending.take(answer.token) else { continue };
            trade.filed = self.file_rejected(&trade, &answer);
            let durable = self.sessions[trade.session].ack == AckPolicy::Durable && answer.sequence > 0;
            if durable { self.durable.push_back((trade, answer)) } else { self.answer(&trade, &answer) }
        }
        let latched = self.log.latched().is_some();
        let durable = self.log.durable_sequence();
        while let Some((trade, answer)) = self.durable.front() {
            if !self.is_filed(trade.filed) {
                break;
            }
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

    pub(super) fn release_refusals(&mut self) -> bool {
        let durable = self.journal.log().durable_sequence();
        let mut worked = false;
        while self.refusals.front().is_some_and(|held| held.journal_sequence <= durable && self.is_filed(held.filed)) {
            let Some(held) = self.refusals.pop_front() else { break };
            self.release(&held);
            worked = true;
        }
        worked
    }

    /// Sends a refusal whose record keeps what was promised.
    pub(super) fn release(&mut self, held: &HeldRefusal) {
        self.reserve(held.session);
        let live = &mut self.sessions[held.session];
        if held.incarnation != live.incarnation {
            return;
        }
        let Framed::Frame(found) = frame::next(&held.raw) else { return };
        let message = Message::parse(&held.raw, &found);
        let mut nowhere = Vec::new();
        let out = match live.connection.and_then(|index| self.connections[index].as_mut()) {
            Some(connection) => &mut connection.out,
            None => &mut nowhere,
        };
        let first_out = live.session.refuse(&message, &held.refusal, self.clock.now, out);
        self.keep_answers(held.session, first_out, held.seq);
    }

    pub(super) fn answer(&mut self, trade: &Trade, answer: &Answer) {
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
            Status::Trade(Class::Applied | Class::Matured | Class::Rebooked) => AckOutcome::Applied,
            Status::Trade(Class::Provisional) => AckOutcome::Provisional,
            Status::Trade(Class::Forward) => AckOutcome::Forward,
            Status::Trade(Class::Duplicate) => AckOutcome::Duplicate { first_seq: answer.first_sequence },
            Status::Trade(Class::Held) => AckOutcome::Held,
            Status::Trade(Class::Rejected | Class::Lapsed) | Status::Action(_) | Status::Done | Status::Refused => {
                AckOutcome::Rejected { code: answer.reason.code() }
            }
            Status::OutOfSpace | Status::Unknown => {
                let code = if answer.status == Status::Unknown { "UNKNOWN_RESEND" } else { "OUT_OF_SPACE" };
                let session = SessionRef { name: &live.name, incarnation: live.incarnation };
                let _ = self.journal.refused(session, trade.seq, trade.seq - 1, code, &[]);
                let refers_to = (trade.seq, trade.msg_type, trade.trade_id.as_str());
                let first_out = live.session.not_available(refers_to, code, self.clock.now, out);
                self.keep_answers(trade.session, first_out, trade.seq);
                return;
            }
        };
        let ack = TradeAck {
            exec_type: trade.exec_type,
            target_id: trade.target_id.as_str(),
            trade_id: trade.trade_id.as_str(),
            account: trade.account.as_str(),
            instrument: trade.instrument.as_str(),
            correlation_id: trade.correlation.as_str(),
            transact_utc_ns: trade.executed_at_ns,
            outcome,
            log_seq: answer.sequence,
            position_version: answer.version,
            ack: live.ack,
            side: trade.side,
            order: trade.order.as_ref().map(HeldOrder::get),
        };
        let first_out = live.session.answer(&ack, self.clock.now, out);
        tracing::debug!(
            correlation_id = ack.correlation_id,
            trade_id = ack.trade_id,
            session = live.name,
            seq = trade.seq,
            log_seq = ack.log_seq,
            outcome = outcome.name(),
            "answered"
        );
        self.keep_answers(trade.session, first_out, trade.seq);
        self.counters.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn write(&mut self) {
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else { continue };
            if connection.flush().is_err() {
                self.close(index);
                continue;
            }
            if let Some(deadline) = connection.closing {
                if connection.backlog() == 0 {
                    // The peer reads our last words, then the end.
                    connection.stream.finish();
                }
                if Instant::now() > deadline {
                    self.close(index);
                }
            }
        }
    }
}
