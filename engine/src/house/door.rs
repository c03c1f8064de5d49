//! A door of a house: requests go to the shard that decides them, answers come back in the order of the requests.
//!
//! One thread uses it, as a [`Door`] of one host. A request that cannot be sent on yet (its id is on its way to another
//! shard, or all shards are being asked about something) waits here and holds back those behind it, so the requests of a door
//! reach each shard in their order. What all shards take is served by the house's own thread, and holds back what comes after it.

use std::collections::VecDeque;
use std::sync::Arc;

use lotbook_core::amend::AmendInput;
use lotbook_core::command::{Command, NameClass};
use lotbook_core::digest;
use lotbook_core::id::{NameId, TradeHash};

use super::common::{Counter, Gate};
use super::ids::{Claim, HouseIds, Whereabouts};
use super::layout::Layout;
use crate::directory::Directory;
use crate::door::{Answer, Door, Request, Status};
use crate::limits::DOOR_SLOTS;

/// Where an answer comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    /// This shard; the id that was claimed for it.
    Shard(u16, Option<TradeHash>),
    /// The thread that serves all shards.
    Common,
}

/// Where a request goes now.
enum Way {
    Shard(u16, Option<TradeHash>),
    Common,
    /// Nowhere yet.
    Waits,
}

/// A door to all shards of a house.
#[derive(Debug)]
pub struct HouseDoor {
    pub(super) doors: Vec<Door>,
    pub(super) layout: Layout,
    pub(super) ids: Arc<HouseIds>,
    pub(super) gate: Arc<Gate>,
    pub(super) names: Arc<Directory>,
    pub(super) counter: Counter,
    /// Hashes of accounts and instruments, by number.
    pub(super) hashes: [Vec<u64>; 2],
    /// Taken in and not sent on.
    backlog: VecDeque<Request>,
    /// Sent on and not answered, in order.
    order: VecDeque<From>,
    /// One request at all shards at a time.
    is_common_due: bool,
    common_answer: Option<Answer>,
}

impl HouseDoor {
    pub(super) fn new(
        doors: Vec<Door>,
        layout: Layout,
        ids: Arc<HouseIds>,
        gate: Arc<Gate>,
        names: Arc<Directory>,
        counter: Counter,
    ) -> Self {
        Self {
            doors,
            layout,
            ids,
            gate,
            names,
            counter,
            hashes: [Vec::new(), Vec::new()],
            backlog: VecDeque::new(),
            order: VecDeque::new(),
            is_common_due: false,
            common_answer: None,
        }
    }

    /// As [`Door::submit`].
    ///
    /// # Errors
    /// The request, when [`DOOR_SLOTS`] are in flight.
    #[allow(clippy::result_large_err, reason = "the caller gets its request back, as with every ring")]
    pub fn submit(&mut self, request: Request) -> Result<(), Request> {
        if !self.has_room() {
            return Err(request);
        }
        self.backlog.push_back(request);
        self.advance();
        Ok(())
    }

    /// Takes the next answer, in the order of the requests; [`Answer::shard`] says whose log has its event. Never blocks.
    pub fn poll(&mut self) -> Option<Answer> {
        self.advance();
        let answer = match self.order.front()? {
            From::Common => self.common_answer.take()?,
            From::Shard(shard, id) => {
                let answer = self.doors[usize::from(*shard)].poll()?;
                if let Some(id) = id {
                    self.ids.settle(*id, &answer);
                }
                Answer { shard: *shard, ..answer }
            }
        };
        self.order.pop_front();
        self.advance();
        Some(answer)
    }

    /// Requests without their answer.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.backlog.len() + self.order.len()
    }

    /// Whether another request can be sent now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outstanding() < DOOR_SLOTS
    }

    /// Whether a shard is gone: an answer that is awaited may never come.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.doors.iter().any(Door::is_abandoned)
    }

    /// Sends on what can be sent on, in order.
    fn advance(&mut self) {
        if self.is_common_due && self.common_answer.is_none() {
            self.common_answer = self.counter.poll();
            if self.common_answer.is_some() {
                self.is_common_due = false;
            }
        }
        while !self.is_common_due && self.common_answer.is_none() {
            let Some(request) = self.backlog.front().copied() else { return };
            if !self.send_on(request) {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// `false`: not now.
    fn send_on(&mut self, request: Request) -> bool {
        let gate = self.gate.clone();
        let sent = gate.pass(|| match self.way(&request.command) {
            Way::Waits => false,
            Way::Shard(shard, id) => {
                // No door has more in flight than this one.
                let sent = self.doors[usize::from(shard)].submit(request);
                assert!(sent.is_ok(), "a shard's door has as many slots as the house's");
                self.order.push_back(From::Shard(shard, id));
                true
            }
            Way::Common => {
                self.is_common_due = self.counter.send(request);
                if !self.is_common_due {
                    self.common_answer = Some(Answer::bare(request.token, Status::Unknown));
                }
                self.order.push_back(From::Common);
                true
            }
        });
        sent.unwrap_or(false)
    }

    fn way(&mut self, command: &Command) -> Way {
        match command {
            Command::Trade(input) => {
                let shard = self.shard_of(input.account, input.instrument);
                match self.ids.claim(input.hash, shard) {
                    Claim::Goes(shard) => Way::Shard(shard, Some(input.hash)),
                    // Every shard knows that id and says so.
                    Claim::Common => Way::Shard(shard, None),
                    Claim::Waits => Way::Waits,
                }
            }
            Command::Amend(input) => self.way_of_amendment(input),
            Command::Resolve(input) => Way::Shard(self.shard_of(input.account, input.instrument), None),
            _ => Way::Common,
        }
    }

    /// Where its target is; where that is not known, to the shard that holds amendments of such ids.
    fn way_of_amendment(&self, input: &AmendInput) -> Way {
        let shard = match self.ids.whereabouts(input.target) {
            Whereabouts::Shard(shard) => shard,
            Whereabouts::Common if matches!(self.ids.whereabouts(input.hash), Whereabouts::Shard(_)) => {
                let Whereabouts::Shard(shard) = self.ids.whereabouts(input.hash) else { return Way::Waits };
                shard
            }
            Whereabouts::Common => return Way::Common,
            Whereabouts::Unknown => (input.target.0 % u128::from(self.layout.shards())) as u16,
        };
        match self.ids.claim(input.hash, shard) {
            Claim::Goes(shard) => Way::Shard(shard, Some(input.hash)),
            Claim::Common => Way::Common,
            Claim::Waits => Way::Waits,
        }
    }

    fn shard_of(&mut self, account: NameId, instrument: NameId) -> u16 {
        let key = digest::mix(self.hash(0, account), self.hash(1, instrument));
        self.layout.shard_of(digest::partition(key))
    }

    /// Hash of a name's text; 0 for one that was never defined, which any shard refuses.
    fn hash(&mut self, class: usize, id: NameId) -> u64 {
        if id as usize >= self.hashes[class].len() {
            let of = [NameClass::Account, NameClass::Instrument][class];
            self.names.hashes_from(of, &mut self.hashes[class]);
        }
        self.hashes[class].get(id as usize).copied().unwrap_or(0)
    }
}

impl Drop for HouseDoor {
    /// Claims of what is in flight are settled by its answers; a shard answers without anybody's help.
    fn drop(&mut self) {
        self.backlog.clear();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !self.order.is_empty() && !self.is_abandoned() && std::time::Instant::now() < deadline {
            if self.poll().is_none() {
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        }
    }
}
