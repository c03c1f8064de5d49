//! A client: sends names and steps through a door, keeps what it was promised, and sends again what it is not sure of.

use lotbook_core::command::{Command, Mark, MarkKind, NameClass, Origin};
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::TradeId;
use lotbook_engine::{Door, Request, Status};
use lotbook_perf::rng::Rng;
use lotbook_wal::sim::Random;

use crate::audit::{Auditor, Outcome};
use crate::naive;
use crate::naive::draw::{CONTRACTS, NAMES};
use crate::naive::draw_world::INSTRUMENTS;
use crate::naive::steps::Step;

/// What the client asks for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// A name, which is to have this number.
    Name(NameClass, String, u32),
    Step(Box<Step>),
    /// A price.
    Mark(Mark),
}

/// How far one ask is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unsent,
    /// Refused until the coldpath is through: unsent again after so many of the client's turns.
    Later(u64),
    InFlight,
    /// Answered, and not told to anybody yet: it may not be durable.
    Answered(u64),
    /// Told as durable.
    Durable,
}

/// The client. It is no part of the process, and lives on when that dies.
pub(crate) struct Client {
    pub(crate) asks: Vec<Ask>,
    fates: Vec<Fate>,
    /// How often each lock was refused because something was not reconciled yet.
    locks_refused: Vec<u32>,
    names: usize,
    /// Most requests in flight.
    window: usize,
    in_flight: usize,
    pub(crate) resent: u64,
    pub(crate) refused_for_space: u64,
}

/// So often what was answered is sent again at most: enough to fill segments, and the mapped tail.
const RESENT_MOST: u64 = 1_000;

/// So often a lock is tried.
const LOCK_TRIES: u32 = 12;
/// Turns of the client between two tries.
const LOCK_PAUSE: u64 = 40;

/// Marks a request that was answered before.
const AGAIN: u64 = 1 << 32;

fn names() -> Vec<Ask> {
    let of = |class, letter: char, count: u32| {
        (0..count).map(move |number| Ask::Name(class, format!("{letter}{number}"), number))
    };
    std::iter::once(Ask::Name(NameClass::Namespace, "test".into(), 0))
        .chain(of(NameClass::Account, 'A', NAMES))
        .chain(of(NameClass::Instrument, 'I', INSTRUMENTS))
        .chain(of(NameClass::SubAccount, 'S', NAMES))
        .chain(of(NameClass::Currency, 'C', NAMES))
        .chain(of(NameClass::Contract, 'K', CONTRACTS + 1))
        .collect()
}

impl Ask {
    /// As a command; `None` for steps that no client takes.
    fn command(&self) -> Option<Command> {
        Some(match self {
            Self::Name(class, text, _) => {
                Command::Define { class: *class, text: TradeId::new(text.as_bytes()).expect("short") }
            }
            Self::Step(step) => return naive::command(step),
            Self::Mark(mark) => Command::Mark(*mark),
        })
    }

    fn is_step(&self, of: fn(&Step) -> bool) -> bool {
        matches!(self, Self::Step(step) if of(step))
    }

    /// Whether it has an id, so that it is a duplicate when it comes again.
    fn has_id(&self) -> bool {
        matches!(self, Self::Step(step) if matches!(**step, Step::Trade(_) | Step::Amend(_) | Step::Action(_)))
    }
}

/// A price of any kind, some of them refused.
fn price(rng: &mut Rng) -> Mark {
    let kinds = [MarkKind::OfficialClose, MarkKind::Last, MarkKind::BidAsk, MarkKind::PreviousClose];
    let kind = kinds[rng.below(4) as usize];
    let price_e8 = (rng.below(2_000) as i64 - 20) * 1_000_000;
    let ask_e8 = if kind == MarkKind::BidAsk { price_e8 + (rng.below(50) as i64 - 2) * 1_000_000 } else { 0 };
    Mark { instrument: rng.below(u64::from(INSTRUMENTS)) as u32, kind, price_e8, ask_e8, at_ns: rng.below(50) as i64 }
}

impl Client {
    /// One that sends these steps. `prices`: and marks between them; without it neither marks nor what an operator does, as before there
    /// was any of that in this world.
    pub(crate) fn new(steps: Vec<Step>, prices: Option<&mut Rng>, window: usize) -> Self {
        let mut asks = names();
        let names = asks.len();
        let steps = steps.into_iter().map(|step| Ask::Step(Box::new(step))).filter(|ask| ask.command().is_some());
        match prices {
            Some(rng) => {
                for step in steps {
                    if rng.below(4) == 0 {
                        asks.push(Ask::Mark(price(rng)));
                    }
                    asks.push(step);
                }
            }
            None => {
                let of_operators = |step: &Step| matches!(step, Step::Lock(..) | Step::Resolve(..));
                asks.extend(steps.filter(|ask| !ask.is_step(of_operators)));
            }
        }
        let (fates, locks_refused) = (vec![Fate::Unsent; asks.len()], vec![0; asks.len()]);
        Self { asks, fates, locks_refused, names, window, in_flight: 0, resent: 0, refused_for_space: 0 }
    }

    /// Everything was told as durable.
    pub(crate) fn is_done(&self) -> bool {
        self.in_flight == 0 && self.fates.iter().all(|fate| *fate == Fate::Durable)
    }

    /// All names are known to be durable.
    pub(crate) fn is_named(&self) -> bool {
        self.fates[..self.names].iter().all(|fate| *fate == Fate::Durable)
    }

    /// The process is dead: what was not told as durable is sent again.
    pub(crate) fn died(&mut self) {
        self.in_flight = 0;
        for fate in &mut self.fates {
            if *fate != Fate::Durable {
                *fate = Fate::Unsent;
            }
        }
    }

    /// What is durable by now is told.
    pub(crate) fn tell(&mut self, durable: u64) {
        for fate in &mut self.fates {
            if matches!(*fate, Fate::Answered(sequence) if sequence <= durable) {
                *fate = Fate::Durable;
            }
            if let Fate::Later(turns) = fate {
                *fate = turns.checked_sub(1).map_or(Fate::Unsent, Fate::Later);
            }
        }
    }

    /// A lock was refused because something was not reconciled: it is tried again later, with the resolutions in front of it.
    fn put_off(&mut self, index: usize) -> bool {
        self.locks_refused[index] += 1;
        if self.locks_refused[index] >= LOCK_TRIES {
            return false;
        }
        self.fates[index] = Fate::Later(LOCK_PAUSE);
        let in_front = (self.names..index).rev();
        let resolves = in_front.take_while(|at| self.asks[*at].is_step(|step| matches!(step, Step::Resolve(..))));
        for at in resolves.collect::<Vec<_>>() {
            if matches!(self.fates[at], Fate::Durable | Fate::Answered(_)) {
                self.fates[at] = Fate::Later(LOCK_PAUSE);
            }
        }
        true
    }

    /// Sends one more, if it may: mostly the first that is not known to be durable, now and then one that is.
    pub(crate) fn send(&mut self, door: &mut Door, random: &mut Random, again_percent: u64) -> Option<usize> {
        if self.in_flight >= self.window {
            return None;
        }
        let named = self.is_named();
        if named && self.resent < RESENT_MOST && random.percent(again_percent) {
            let index = random.below(self.asks.len() as u64) as usize;
            if self.asks[index].has_id() && matches!(self.fates[index], Fate::Durable | Fate::Answered(_)) {
                self.resent += 1;
                self.submit(door, index, AGAIN);
                return Some(index);
            }
        }
        // Some operators let nobody trade until the books are closed.
        let waits = |(at, fate): (usize, &Fate)| at % 2 == 0 && matches!(fate, Fate::Later(_));
        let closing = self.fates.iter().enumerate().position(waits);
        let end = if named { closing.unwrap_or(self.asks.len()) } else { self.names };
        let index = (0..end).find(|index| self.fates[*index] == Fate::Unsent)?;
        self.fates[index] = Fate::InFlight;
        self.submit(door, index, 0);
        Some(index)
    }

    fn submit(&mut self, door: &mut Door, index: usize, flag: u64) {
        let command = self.asks[index].command().expect("only such are kept");
        let origin = Origin { source_offset: index as u64 + 1, ..Origin::INTERNAL };
        door.submit(Request { token: index as u64 | flag, origin, command }).expect("a window is smaller than a door");
        self.in_flight += 1;
    }

    /// Takes what was answered, and compares it with the log.
    pub(crate) fn poll(&mut self, door: &mut Door, auditor: &Auditor) -> Result<usize, String> {
        let mut count = 0;
        while let Some(answer) = door.poll() {
            count += 1;
            self.in_flight -= 1;
            let (index, again) = ((answer.token & !AGAIN) as usize, answer.token & AGAIN != 0);
            let class = match answer.status {
                Status::Trade(class) | Status::Action(class) => Some(class),
                Status::Done | Status::Refused => None,
                Status::OutOfSpace | Status::Unknown => {
                    self.refused_for_space += u64::from(answer.status == Status::OutOfSpace);
                    if !again {
                        self.fates[index] = Fate::Unsent;
                    }
                    continue;
                }
            };
            let said = Outcome { class, reason: answer.reason };
            // Unless the auditor could not read.
            if let Some(seen) = auditor.of(answer.sequence)
                && seen.of != Some((index, said))
            {
                return Err(format!("ask {index} was told {said:?} at {}, where {seen:?} is", answer.sequence));
            }
            if let Ask::Name(_, text, number) = &self.asks[index]
                && (answer.name, answer.reason) != (*number, Reason::None)
            {
                return Err(format!("{text} became {} ({:?}), not {number}", answer.name, answer.reason));
            }
            if again {
                let is_fair = matches!(class, Some(Class::Duplicate | Class::Rejected | Class::Lapsed));
                if !is_fair && self.was_taken(index, auditor) {
                    return Err(format!("ask {index} was taken before, and is told {said:?}"));
                }
                continue;
            }
            let is_lock = self.asks[index].is_step(|step| matches!(step, Step::Lock(..)));
            if !(is_lock && answer.reason == Reason::NotReconciled && self.put_off(index)) {
                self.fates[index] = Fate::Answered(answer.sequence);
            }
        }
        Ok(count)
    }

    /// Whether the log has more than one event that takes it.
    fn was_taken(&self, index: usize, auditor: &Auditor) -> bool {
        let taken = |outcome: Outcome| {
            matches!(outcome.class, Some(Class::Applied | Class::Provisional | Class::Forward | Class::Held))
        };
        auditor.records().iter().filter(|seen| seen.of.is_some_and(|(of, what)| of == index && taken(what))).count() > 1
    }
}
