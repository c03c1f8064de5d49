//! The coldpath on the shard's thread: positions that are watched, proposals that are accepted.
//!
//! A proposal is accepted when the position is at the version that was replayed, or when it is watched and nothing but a few
//! trades came since: they are booked again behind the correction, in the same group of records, so that nobody ever sees the one
//! without the others. That is all that a correction costs here beside the swap of its lots: at most [`CATCH_UP_MOST`]
//! decisions.
//!
//! [`CATCH_UP_MOST`]: crate::limits::CATCH_UP_MOST

use lotbook_core::codec;
use lotbook_core::command::Origin;
use lotbook_core::event::{CorrectedEvent, Event, Figures};
use lotbook_core::id::NameId;
use lotbook_core::mark::Valued;
use lotbook_wal::Group;

use crate::coldpath::{Paper, Proposal, Verdict, Watched};
use crate::limits::REBOOKED_BYTES;
use crate::planted::{self, Bug};
use crate::shard::{NotLogged, Shard, apply};

/// What a proposal is accepted with.
struct Terms {
    /// The position's figures at the version that was replayed, as they were estimated.
    before: Figures,
    /// Trades since.
    tail: usize,
    /// Late ones among them.
    left: u32,
}

impl Shard {
    /// One worker's ask, if there is one.
    #[inline]
    pub(crate) fn serve_desk(&mut self) -> bool {
        let Some((desk, paper)) = self.desks.next() else { return false };
        self.stamp();
        let answer = match paper {
            Paper::Proposal(proposal) => Paper::Verdict(self.consider(desk, proposal)),
            Paper::Watch(position) => Paper::Watched(self.watch(desk, position)),
            Paper::Unwatch => {
                self.watches.end(desk);
                Paper::Unwatch
            }
            // Not asks: they go back as they came.
            paper @ (Paper::Verdict(_) | Paper::Watched(_)) => paper,
        };
        self.desks.answer(desk, answer);
        true
    }

    fn watch(&mut self, desk: usize, number: u32) -> Watched {
        let position = &self.book.positions()[number as usize];
        self.watches.begin(desk, number, position.version, position.figures());
        Watched { version: position.version, address: position.last_address, seen: position.seen }
    }

    /// The coldpath proposes.
    #[cold]
    fn consider(&mut self, desk: usize, proposal: Proposal) -> Verdict {
        let number = proposal.position;
        let position = &self.book.positions()[number as usize];
        let fits = self.book.lots().can_hold(&position.block, proposal.outcome.lots.len())
            && self.book.forwards().has_room_for(proposal.outcome.waiting.len());
        let was = position.version;
        let terms = if fits { self.terms(desk, &proposal) } else { None };
        let mut accepted = false;
        if let Some(terms) = terms {
            // A log without room, or one that stopped, takes nothing; the position is as it was, or the host is at its end.
            accepted = self.correct(desk, &proposal, &terms).is_ok();
        }
        self.watches.end(desk);
        self.journal.counters.note_proposal(accepted);
        let version = if accepted { self.book.positions()[number as usize].version } else { was };
        if accepted {
            // A position that held nothing let actions pass by. Where the correction gives it something at their place, and was replayed
            // before they came, it takes them now: nobody else comes by to see.
            self.follow_up(number);
        }
        // The outcome goes back with the verdict: its memory is freed by who made it.
        Verdict { position: number, accepted, fits, version, outcome: proposal.outcome }
    }

    fn terms(&self, desk: usize, proposal: &Proposal) -> Option<Terms> {
        let position = &self.book.positions()[proposal.position as usize];
        let closed = proposal.outcome.adjusted.through == self.book.locks().through(position.account);
        if proposal.seen < position.seen || !closed || proposal.base_version > position.version {
            return None;
        }
        // It puts the position behind changes of history that came after its replay began. They passed by a position that stood before
        // them, and would pass by again: the next replay knows them.
        if proposal.seen < self.book.actions().changes() && proposal.outcome.frontier > position.frontier {
            return None;
        }
        if proposal.base_version == position.version || planted::is(Bug::StaleVersion) {
            return Some(Terms { before: position.figures(), tail: 0, left: 0 });
        }
        let (before, tail) = self.watches.since(desk, proposal.position, proposal.base_version, position.version)?;
        if !self.book.can_rebook(proposal.position, &proposal.outcome, tail) {
            return None;
        }
        // What came behind the replay and is dated in closed days belongs to its adjustment: the next replay has it.
        let through = proposal.outcome.adjusted.through;
        if tail.iter().any(|since| since.input.effective_date <= through) {
            return None;
        }
        let sizes = std::iter::repeat_n(REBOOKED_BYTES, tail.len() + 1);
        let left = tail.iter().filter(|since| since.late).count() as u32;
        self.journal.appender.has_room(sizes).then_some(Terms { before, tail: tail.len(), left })
    }

    /// What the instrument's positions are valued at now.
    fn valued(&self, instrument: NameId) -> Option<Valued> {
        let multiplier_e8 = self.book.instrument(instrument)?.terms.multiplier_e8;
        self.book.mark(instrument).map(|mark| Valued { price_e8: mark.price_e8, multiplier_e8 })
    }

    fn correct(&mut self, desk: usize, proposal: &Proposal, terms: &Terms) -> Result<(), NotLogged> {
        let number = proposal.position;
        let position = &self.book.positions()[number as usize];
        let event = Event::Corrected(CorrectedEvent {
            origin: Origin { occurred_at_ns: self.now_ns, causation: proposal.cause_sequence, ..Origin::INTERNAL },
            position: number,
            account: position.account,
            instrument: position.instrument,
            version: position.version + 1,
            base_version: proposal.base_version,
            cause: proposal.cause,
            cause_sequence: proposal.cause_sequence,
            late_trades: position.provisional - terms.left,
            tail: terms.tail as u32,
            left: terms.left,
            breaks: proposal.outcome.breaks.len() as u32,
            seen: proposal.seen,
            before: terms.before,
            after: proposal.outcome.after,
            body_log_id: proposal.body.log_id,
            body_address: proposal.body.address,
            body_sequence: proposal.body.sequence,
            body_bytes: proposal.body.bytes,
            body_digest: proposal.body.digest,
            adjusted: proposal.outcome.adjusted,
            valued: self.valued(position.instrument),
        });
        let partition = self.book.partition(position.account, position.instrument);
        let group = if terms.tail == 0 { Group::Single } else { Group::First };
        let mut place = self.journal.append_in(&event, partition, position.last_address, group)?;
        apply(&mut self.book, &event, place, Some(&proposal.outcome));
        self.book.set_last_address(number, place.address);
        for index in 0..terms.tail {
            let since = self.watches.at(desk, index);
            let decided = self.book.decide_rebooked(number, &since, &mut self.scratch);
            // It was asked for before anything was written: a reason is a defect, and the open group is never published.
            let decision = decided.unwrap_or_else(|reason| panic!("a trade cannot be booked again: {}", reason.code()));
            let origin = Origin { occurred_at_ns: self.now_ns, causation: since.place.sequence, ..Origin::INTERNAL };
            let event = Event::Trade(decision.event(&since.input, &origin, &self.scratch));
            let group = if index + 1 == terms.tail { Group::Last } else { Group::Middle };
            let previous = self.book.positions()[number as usize].last_address;
            place = self.journal.append_rest(&event, partition, previous, group)?;
            apply(&mut self.book, &event, place, None);
            self.book.set_last_address(number, place.address);
        }
        self.journal.counters.note_rebooked(terms.tail as u64);
        self.log_digests_if_due(place);
        Ok(())
    }
}

const _: () = assert!(REBOOKED_BYTES <= codec::PAYLOAD_BYTES_MAX);
