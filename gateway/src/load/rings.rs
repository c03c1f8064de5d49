//! The shortest way into a host: the rings of its doors, in the same process, without sockets and words.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lotbook_core::command::{Command, NameClass, Origin, Side, TradeInput, TradeType};
use lotbook_core::date::Date;
use lotbook_core::event::Class;
use lotbook_core::id::{NameId, TradeHash, TradeId};
use lotbook_engine::{Answer, Door, Host, Request, Status as Answered};
use lotbook_perf::burst::Published;
use lotbook_perf::door::{self, DoorError, Reply, Target};
use lotbook_perf::ledger::{Entry, FORM_CLOSE, FORM_CORRELATED, Ledger, Side as Sent, Status};

/// Namespace of the ids.
const NAMESPACE: &str = "LOAD";
/// Milliseconds and days in nanoseconds.
const MS_NS: i64 = 1_000_000;
const DAY_NS: i64 = 86_400_000 * MS_NS;

/// Doors of a host that were opened for a run's senders.
pub struct Rings {
    names: std::sync::Arc<Names>,
    published: Published,
    /// By the sender's number; each is taken once.
    doors: Mutex<Vec<Option<Door>>>,
    words: String,
}

/// The numbers of a universe's names in the host.
struct Names {
    namespace: NameId,
    accounts: Vec<NameId>,
    instruments: Vec<NameId>,
}

impl Rings {
    /// Opens a door for each of so many senders. An answer is passed on once `published` covers it.
    ///
    /// # Errors
    /// The host has no door or no name left.
    pub fn open(
        host: &mut Host,
        ledger: &Ledger,
        senders: u32,
        published: Published,
        ack: &str,
    ) -> Result<Self, DoorError> {
        let resolve = |class, text: &str| host.directory().resolve(class, text).map_err(|_| DoorError::Closed);
        let universe = &ledger.universe;
        let names = Names {
            namespace: resolve(NameClass::Namespace, NAMESPACE)?,
            accounts: universe
                .contracts()
                .map(|(account, _)| resolve(NameClass::Account, account))
                .collect::<Result<_, _>>()?,
            instruments: universe
                .instruments()
                .iter()
                .map(|instrument| resolve(NameClass::Instrument, instrument))
                .collect::<Result<_, _>>()?,
        };
        let doors =
            (0..senders).map(|_| host.open_door().map(Some).ok_or(DoorError::Closed)).collect::<Result<_, _>>()?;
        let words = format!("an embedded host's rings, {ack}");
        Ok(Self { names: std::sync::Arc::new(names), published, doors: Mutex::new(doors), words })
    }
}

impl Target for Rings {
    fn describe(&self) -> String {
        self.words.clone()
    }

    fn open(&self, number: u32) -> Result<Box<dyn door::Door>, DoorError> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let door = doors.get_mut(number as usize).and_then(Option::take).ok_or(DoorError::Closed)?;
        let (names, published) = (self.names.clone(), self.published.clone());
        Ok(Box::new(RingDoor { door, names, published, waiting: VecDeque::new(), id: Vec::new() }))
    }
}

/// One sender's rings.
struct RingDoor {
    door: Door,
    names: std::sync::Arc<Names>,
    published: Published,
    /// Answers that promise more than is true yet.
    waiting: VecDeque<Answer>,
    id: Vec<u8>,
}

impl RingDoor {
    fn input(&mut self, ledger: &Ledger, index: u32) -> Option<TradeInput> {
        let entry: &Entry = &ledger.entries[index as usize];
        let original = &ledger.entries[ledger.original(index) as usize];
        let effective = ledger.effective_days(index);
        self.id.clear();
        self.id.push(b'c');
        ledger.push_trade_id(&mut self.id, index);
        let (correlation, id) = (self.id.as_slice(), &self.id[1..]);
        let close = entry.form & FORM_CLOSE != 0;
        Some(TradeInput {
            trade_id: TradeId::new(id)?,
            hash: TradeHash::new(NAMESPACE.as_bytes(), id),
            namespace: self.names.namespace,
            account: self.names.accounts[usize::from(entry.account)],
            instrument: self.names.instruments[usize::from(entry.instrument)],
            side: match entry.side {
                Sent::Buy if close => Side::BuyToCover,
                Sent::Buy => Side::Buy,
                Sent::Sell => Side::Sell,
                Sent::SellShort => Side::SellShort,
            },
            trade_type: if close && entry.side == Sent::Sell { TradeType::Decrease } else { TradeType::Any },
            quantity_e8: entry.quantity_e8,
            price_e8: entry.price_e8,
            fees_e8: i64::from(entry.fees_cents) * MS_NS,
            effective_date: Date(effective),
            executed_at_ns: i64::from(effective) * DAY_NS + i64::from(entry.executed_ms_of_day) * MS_NS,
            source_order: u64::from(original.source_order),
            correlation: TradeId::new(if entry.form & FORM_CORRELATED != 0 { correlation } else { b"" })
                .unwrap_or(TradeId::EMPTY),
            ..TradeInput::EMPTY
        })
    }
}

impl door::Door for RingDoor {
    fn offer(&mut self, ledger: &Ledger, index: u32) -> Result<bool, DoorError> {
        if !self.door.has_room() {
            return Ok(false);
        }
        let input =
            self.input(ledger, index).ok_or_else(|| DoorError::Refused("an id that does not fit".to_owned()))?;
        let origin = Origin { source_offset: u64::from(index) + 1, ..Origin::INTERNAL };
        let request = Request { token: u64::from(index), origin, command: Command::Trade(input) };
        Ok(self.door.submit(request).is_ok())
    }

    fn turn(&mut self, replies: &mut Vec<Reply>) -> Result<(), DoorError> {
        while let Some(answer) = self.door.poll() {
            self.waiting.push_back(answer);
        }
        let covered = if self.waiting.is_empty() { 0 } else { (self.published)() };
        // A duplicate promises no less than the first result, which lies before it.
        while let Some(answer) = self.waiting.pop_front_if(|answer| answer.sequence <= covered) {
            replies.push(reply(&answer));
        }
        if self.door.is_abandoned() { Err(DoorError::Closed) } else { Ok(()) }
    }

    fn wait(&mut self, at_most: Duration) {
        std::thread::sleep(at_most);
    }
}

fn reply(answer: &Answer) -> Reply {
    let status = match answer.status {
        Answered::Trade(class) => match class {
            Class::Applied | Class::Matured | Class::Rebooked => Status::Applied,
            Class::Provisional => Status::Provisional,
            Class::Forward | Class::Held => Status::Forward,
            Class::Duplicate => Status::Duplicate,
            Class::Rejected | Class::Lapsed => Status::Rejected,
        },
        Answered::OutOfSpace => Status::Unavailable,
        // No trade is answered so.
        Answered::Done | Answered::Refused | Answered::Action(_) => Status::Rejected,
        Answered::Unknown => Status::Sent,
    };
    Reply {
        index: answer.token as u32,
        status,
        sequence: answer.sequence,
        first: (status == Status::Duplicate).then_some(answer.first_sequence),
        code: status.refused().then(|| answer.reason.code().to_owned()),
    }
}
