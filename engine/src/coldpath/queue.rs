//! Which PROVISIONAL position is served next: order, ageing, backoff and dead letters, with the time passed in.
//!
//! The set of PROVISIONAL positions is state of the book; this is its shadow, fed by the follower and made again at every
//! start. A position *waits* from the moment that it joins or is put back until a worker takes it. The rule:
//!
//! 1. Of the positions that wait and are not held back by a backoff, is one waiting longer than half the service level, then the
//!    one that has waited longest is taken: the other half is for its turn, so that the level can be kept.
//! 2. Else the order decides: `newest_first`, whose newest late change came last; `oldest_first`, which joined first.
//!
//! So no position waits for longer than that while another is taken twice: whatever is taken meanwhile has waited longer, and counts as having waited
//! just so long when it is put back, or less (`claim`). Every step costs the logarithm of the number of positions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lotbook_core::digest;

use super::{DeadLetter, Head, Stage};
use crate::limits::{AGEING_SHARE, COLD_ALERT, COLD_CRITICAL, COLD_RETRY_MAX_US};
use crate::planted::{self, Bug};

/// Which position comes first, as long as none has waited for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Whose newest late change came last: people look at what they have just done.
    NewestFirst,
    /// Which has been PROVISIONAL for longest.
    OldestFirst,
}

/// How long the list is, as an operator's alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Below [`COLD_ALERT`] positions.
    Calm,
    /// From [`COLD_ALERT`] on: look.
    Alert,
    /// From [`COLD_CRITICAL`] on: more workers are wanted.
    Critical,
}

/// A position in the hands of a worker. Once it is taken away from a worker that hangs, what that worker says is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The position.
    pub position: u32,
    number: u64,
}

/// Sizes of a queue and what it has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// PROVISIONAL positions, in whatever state.
    pub positions: usize,
    /// Of them in the hands of workers.
    pub busy: usize,
    /// Of them held back by a backoff.
    pub backing_off: usize,
    /// Of them dead letters.
    pub dead: usize,
    /// PROVISIONAL for longer than the service level right now.
    pub overdue: usize,
    /// How often a position has become that, since the start.
    pub breaches: u64,
    /// How often one was taken for having waited too long, and not by the order.
    pub aged: u64,
    /// How long the oldest of them has been PROVISIONAL, microseconds.
    pub oldest_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    BacksOff {
        until_us: u64,
    },
    Busy {
        lease: u64,
    },
    /// Corrected by its worker at this version, and the follower has not said so yet.
    Settling {
        version: u64,
    },
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    head: Head,
    rank: u64,
    /// Since when it is PROVISIONAL without a correction.
    open_us: u64,
    /// Since when it waits for a worker; where turns have ended without a correction, how early that counts is bounded.
    waits_us: u64,
    /// Turns that have ended without a correction.
    turns: u32,
    failures: [u32; Stage::COUNT],
    state: State,
}

/// The queue. See the module's text.
#[derive(Debug)]
pub struct Queue {
    order: Order,
    service_level_us: u64,
    /// Who has waited for longer comes before the order.
    ages_us: u64,
    retry_base_us: u64,
    entries: HashMap<u32, Entry>,
    ready: BTreeSet<(u64, u32)>,
    waits: BTreeSet<(u64, u32)>,
    backing_off: BTreeSet<(u64, u32)>,
    /// By lease: the position, and since when.
    busy: BTreeMap<u64, (u32, u64)>,
    /// PROVISIONAL since when, and not yet overdue; then those that are.
    open: BTreeSet<(u64, u32)>,
    overdue: BTreeSet<(u64, u32)>,
    dead: BTreeMap<u32, DeadLetter>,
    arrivals: u64,
    leases: u64,
    breaches: u64,
    aged: u64,
}

impl Queue {
    /// An empty queue. Times are microseconds from any beginning that the caller keeps to.
    #[must_use]
    pub fn new(order: Order, service_level_us: u64, retry_base_us: u64) -> Self {
        Self {
            order,
            service_level_us,
            ages_us: service_level_us / AGEING_SHARE,
            retry_base_us,
            entries: HashMap::new(),
            ready: BTreeSet::new(),
            waits: BTreeSet::new(),
            backing_off: BTreeSet::new(),
            busy: BTreeMap::new(),
            open: BTreeSet::new(),
            overdue: BTreeSet::new(),
            dead: BTreeMap::new(),
            arrivals: 0,
            leases: 0,
            breaches: 0,
            aged: 0,
        }
    }

    /// An event of a PROVISIONAL position was seen. Says whether it may be taken now and could not before.
    pub fn seen(&mut self, position: u32, head: Head, now_us: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&position) else {
            let rank = self.arrive();
            let entry = Entry {
                head,
                rank,
                open_us: now_us,
                waits_us: now_us,
                turns: 0,
                failures: [0; Stage::COUNT],
                state: State::Ready,
            };
            self.entries.insert(position, entry);
            self.open.insert((now_us, position));
            self.list(position);
            return true;
        };
        let is_change = head.late > entry.head.late;
        let is_beyond = match entry.state {
            // Still PROVISIONAL at the version of its correction: late trades came behind what was replayed.
            State::Settling { version } => head.version >= version && !planted::is(Bug::SettlingNeverWakes),
            // What came meanwhile may heal a position that could not be reconciled.
            State::Dead => head.version > entry.head.version,
            _ => false,
        };
        entry.head = head;
        if is_beyond {
            self.wake(position, now_us);
        }
        if is_change && self.order == Order::NewestFirst {
            let rank = self.arrive();
            let before = self.entries[&position];
            if before.state == State::Ready {
                self.ready.remove(&(before.rank, position));
                self.ready.insert((rank, position));
            }
            self.change(position, |entry| entry.rank = rank);
        }
        is_beyond
    }

    /// The follower saw a correction, and where the position stands: `None`, reconciled; else late changes are left that came after
    /// what was replayed, and it goes on waiting. Says whether it may be taken now and could not before.
    pub fn corrected(&mut self, position: u32, left: Option<Head>, now_us: u64) -> bool {
        let Some(head) = left else {
            self.forget(position);
            return false;
        };
        let Some(entry) = self.entries.get(&position).copied() else { return self.seen(position, head, now_us) };
        self.close(position);
        let is_woken = match entry.state {
            State::Settling { version } => head.version >= version && !planted::is(Bug::SettlingNeverWakes),
            State::Dead => true,
            _ => false,
        };
        self.change(position, |entry| {
            (entry.head, entry.open_us, entry.turns, entry.failures) = (head, now_us, 0, [0; Stage::COUNT]);
        });
        self.open.insert((now_us, position));
        if is_woken {
            self.wake(position, now_us);
        }
        is_woken
    }

    /// The next position, for a worker.
    pub fn take(&mut self, now_us: u64) -> Option<Lease> {
        while let Some(&(until_us, position)) = self.backing_off.first().filter(|(until_us, _)| *until_us <= now_us) {
            self.backing_off.remove(&(until_us, position));
            self.change(position, |entry| entry.state = State::Ready);
            self.list(position);
        }
        let aged = self.waits.first().filter(|(since_us, _)| now_us.saturating_sub(*since_us) > self.ages_us);
        let by_order = match self.order {
            Order::NewestFirst => self.ready.last(),
            Order::OldestFirst => self.ready.first(),
        };
        let position = aged.or(by_order)?.1;
        self.aged += u64::from(aged.is_some() && by_order.is_some_and(|first| first.1 != position));
        self.unlist(position);
        self.leases += 1;
        let number = self.leases;
        self.busy.insert(number, (position, now_us));
        self.change(position, |entry| entry.state = State::Busy { lease: number });
        Some(Lease { position, number })
    }

    /// When [`Self::take`] may find something that it does not find now.
    #[must_use]
    pub fn next_us(&self) -> Option<u64> {
        self.backing_off.first().map(|(until_us, _)| *until_us)
    }

    /// Positions that wait and may be taken.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Positions in the hands of workers.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy.len()
    }

    /// Where a position stands, for who has it; `None`: it was reconciled, or is in other hands.
    #[must_use]
    pub fn head(&self, lease: Lease) -> Option<Head> {
        self.of(lease).map(|entry| entry.head)
    }

    /// Its correction was accepted and is this version of it.
    pub fn settled(&mut self, lease: Lease, version: u64, now_us: u64) {
        if self.end(lease) {
            self.change(lease.position, |entry| {
                (entry.state, entry.turns, entry.failures) = (State::Settling { version }, 0, [0; Stage::COUNT]);
            });
            if self.entries[&lease.position].head.version >= version {
                self.wake(lease.position, now_us);
            }
        }
    }

    /// Its turn is over and it waits again.
    pub fn put_back(&mut self, lease: Lease, now_us: u64) {
        if self.end(lease) {
            self.wake_again(lease.position, now_us);
        }
    }

    /// A try failed in a stage. It is made again later, or the position is a dead letter: then this says so.
    pub fn failed(&mut self, lease: Lease, stage: Stage, error: String, is_unread: bool, now_us: u64) -> bool {
        let Some(head) = self.head(lease) else { return false };
        self.end(lease);
        let position = lease.position;
        let failures = self.entries[&position].failures[stage as usize].saturating_add(1);
        self.change(position, |entry| entry.failures[stage as usize] = failures);
        if stage.retries().is_some_and(|retries| failures > retries) {
            self.change(position, |entry| entry.state = State::Dead);
            let Head { account, instrument, version, .. } = head;
            let letter = DeadLetter { position, account, instrument, version, stage, error, unread: is_unread };
            self.dead.insert(position, letter);
            return true;
        }
        let until_us = now_us + backoff_us(self.retry_base_us, failures, position);
        let waits_us = self.claim(position, now_us);
        self.change(position, |entry| {
            (entry.state, entry.waits_us) = (State::BacksOff { until_us }, waits_us);
        });
        self.backing_off.insert((until_us, position));
        false
    }

    /// Takes away what workers have had for longer than that, and gives the positions.
    pub fn expire(&mut self, limit_us: u64, now_us: u64) -> Vec<u32> {
        let is_hung = |since_us: u64| now_us.saturating_sub(since_us) > limit_us;
        let hung = self.busy.extract_if(.., |_, (_, since_us)| is_hung(*since_us));
        let positions: Vec<u32> = hung.map(|(_, (position, _))| position).collect();
        for &position in &positions {
            self.wake_again(position, now_us);
        }
        positions
    }

    /// Tries dead letters again: one position, or all of them. Says how many.
    pub fn retry(&mut self, position: Option<u32>, now_us: u64) -> usize {
        self.retry_if(now_us, |letter| position.is_none_or(|wanted| letter.position == wanted))
    }

    /// Tries those again whose history could not be read.
    pub fn retry_unread(&mut self, now_us: u64) -> usize {
        self.retry_if(now_us, |letter| letter.unread)
    }

    fn retry_if(&mut self, now_us: u64, is_wanted: impl Fn(&DeadLetter) -> bool) -> usize {
        let wanted: Vec<u32> = self.dead.values().filter(|letter| is_wanted(letter)).map(|l| l.position).collect();
        for &position in &wanted {
            self.wake(position, now_us);
        }
        wanted.len()
    }

    /// Dead letters, by position.
    pub fn dead_letters(&self) -> impl ExactSizeIterator<Item = &DeadLetter> {
        self.dead.values()
    }

    /// PROVISIONAL positions, in whatever state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The alarm.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.len() {
            0..COLD_ALERT => Level::Calm,
            COLD_ALERT..COLD_CRITICAL => Level::Alert,
            _ => Level::Critical,
        }
    }

    /// Sizes and counts, with breaches up to now.
    pub fn status(&mut self, now_us: u64) -> QueueStatus {
        self.note_breaches(now_us);
        let since_us = self.overdue.first().or(self.open.first()).map(|(since_us, _)| *since_us);
        QueueStatus {
            positions: self.entries.len(),
            busy: self.busy.len(),
            backing_off: self.backing_off.len(),
            dead: self.dead.len(),
            overdue: self.overdue.len(),
            breaches: self.breaches,
            aged: self.aged,
            oldest_us: since_us.map_or(0, |since_us| now_us.saturating_sub(since_us)),
        }
    }

    /// Counts positions that have been PROVISIONAL for longer than the service level. Says how many have become that now.
    pub fn note_breaches(&mut self, now_us: u64) -> u64 {
        let mut found = 0;
        while let Some(&(since_us, position)) = self.open.first() {
            if now_us.saturating_sub(since_us) <= self.service_level_us {
                break;
            }
            self.open.pop_first();
            self.overdue.insert((since_us, position));
            found += 1;
        }
        self.breaches += found;
        found
    }

    fn arrive(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn change(&mut self, position: u32, how: impl FnOnce(&mut Entry)) {
        how(self.entries.get_mut(&position).expect("a position that is listed has an entry"));
    }

    fn of(&self, lease: Lease) -> Option<&Entry> {
        let entry = self.entries.get(&lease.position)?;
        (entry.state == State::Busy { lease: lease.number }).then_some(entry)
    }

    /// Ends a lease. Says whether it held still.
    fn end(&mut self, lease: Lease) -> bool {
        self.busy.remove(&lease.number);
        self.of(lease).is_some()
    }

    /// Lists a position that is ready.
    fn list(&mut self, position: u32) {
        let entry = self.entries[&position];
        if entry.state == State::Ready {
            self.ready.insert((entry.rank, position));
            self.waits.insert((entry.waits_us, position));
        }
    }

    fn unlist(&mut self, position: u32) {
        let entry = self.entries[&position];
        match entry.state {
            State::Ready => {
                self.ready.remove(&(entry.rank, position));
                self.waits.remove(&(entry.waits_us, position));
            }
            State::BacksOff { until_us } => {
                self.backing_off.remove(&(until_us, position));
            }
            State::Busy { lease } => {
                self.busy.remove(&lease);
            }
            State::Settling { .. } => {}
            State::Dead => {
                self.dead.remove(&position);
            }
        }
    }

    /// From whatever state: it is ready, and waits from now on.
    fn wake(&mut self, position: u32, now_us: u64) {
        self.unlist(position);
        self.change(position, |entry| {
            if entry.state == State::Dead {
                entry.failures = [0; Stage::COUNT];
            }
            (entry.state, entry.waits_us) = (State::Ready, now_us);
        });
        self.list(position);
    }

    /// As [`Self::wake`], after a turn that has ended without a correction.
    fn wake_again(&mut self, position: u32, now_us: u64) {
        let waits_us = self.claim(position, now_us);
        self.wake(position, waits_us);
    }

    /// Since when a position waits whose turn has ended without a correction. What it has waited before is not lost: it comes again as soon as
    /// nobody waits for longer than is to be. A position that ends turn after turn like that comes later each time, as far as if it
    /// were new, so that a few that trade too fast do not keep the workers to themselves.
    fn claim(&mut self, position: u32, now_us: u64) -> u64 {
        let entry = self.entries[&position];
        let eases_us = match entry.turns {
            0 => 0,
            turns => ((self.ages_us / 16) << turns.min(4)).min(self.ages_us),
        };
        self.change(position, |entry| entry.turns = entry.turns.saturating_add(1));
        entry.waits_us.max((now_us + eases_us).saturating_sub(self.ages_us))
    }

    /// It is no longer open since when it was.
    fn close(&mut self, position: u32) {
        let since_us = self.entries[&position].open_us;
        self.open.remove(&(since_us, position));
        self.overdue.remove(&(since_us, position));
    }

    fn forget(&mut self, position: u32) {
        if self.entries.contains_key(&position) {
            self.close(position);
            self.unlist(position);
            self.entries.remove(&position);
        }
    }
}

/// How long to wait before a try is made again: twice as long after each failure, up to a limit, give or take a fifth, which
/// position and failure decide: what failed together is not tried again together.
fn backoff_us(base_us: u64, failures: u32, position: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(32);
    let plain_us = base_us.saturating_mul(1 << doublings).min(COLD_RETRY_MAX_US);
    let share = digest::mix(u64::from(position) << 32 | u64::from(failures), 0) % 401;
    plain_us / 1_000 * (800 + share) + plain_us % 1_000
}
