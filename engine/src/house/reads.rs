//! Reads of a house: the followers of all shards side by side, and statuses that reach across them.
//!
//! A position of one shard that has lots from positions of others is PROVISIONAL while one of those is, and while something is
//! on its way to it. Nothing about that is sent from shard to shard: whoever reads a status walks up the sources in what the
//! followers show. Followers are not at the same moment, so what was read is read again until nothing moved between: then it was so at one
//! moment. A leg is shown as on its way until its target's follower shows it, so it is never out of sight.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lotbook_core::id::NameId;
use lotbook_core::position::Reconciliation;

use super::House;
use super::ids::Whereabouts;
use crate::error::HostError;
use crate::host::Host;
use crate::read_model::{HeldView, Outbox, PositionView, ReadModel};

/// Looks at a position's sources before the answer is the safe one.
const LOOKS: usize = 8;

type Key = (NameId, NameId);

/// What was seen of a position and its sources.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Of each the version, in the order of the walk; `None`: no such position.
    versions: Vec<(Key, Option<u64>)>,
    out: Vec<u64>,
    is_provisional: bool,
}

impl House {
    fn host_of(&self, (account, instrument): Key) -> Option<&Host> {
        let partition = self.directory().partition(account, instrument)?;
        self.hosts.get(usize::from(self.layout.shard_of(partition)))?.as_ref()
    }

    /// A position by its interned names, with its status across shards.
    #[must_use]
    pub fn position(&self, account: NameId, instrument: NameId) -> Option<Arc<PositionView>> {
        let view = self.host_of((account, instrument))?.model().position(account, instrument)?;
        Some(self.across(&view, (account, instrument)))
    }

    /// All positions, by account, then instrument, as bytes; each with its status across shards.
    #[must_use]
    pub fn positions(&self) -> Vec<Arc<PositionView>> {
        let mut all: Vec<Arc<PositionView>> = Vec::new();
        for host in self.hosts() {
            all.extend(host.model().positions().iter().map(|view| match self.directory().key_of(view) {
                Some(key) => self.across(view, key),
                None => view.clone(),
            }));
        }
        all.sort_unstable_by(|a, b| (&a.account, &a.instrument).cmp(&(&b.account, &b.instrument)));
        all
    }

    /// The view with its status across shards.
    fn across(&self, view: &Arc<PositionView>, key: Key) -> Arc<PositionView> {
        if view.reconciliation == Reconciliation::Provisional || !self.depends(key) {
            return view.clone();
        }
        Arc::new(PositionView { reconciliation: Reconciliation::Provisional, ..PositionView::clone(view) })
    }

    /// Whether a position depends on something provisional of another shard.
    fn depends(&self, key: Key) -> bool {
        let mut last = self.look(key);
        for _ in 0..LOOKS {
            let now = self.look(key);
            if now == last {
                return now.is_provisional;
            }
            last = now;
        }
        // It moves all the time: it is not final.
        true
    }

    /// Walks up the sources of a position once.
    fn look(&self, key: Key) -> Seen {
        let outboxes: Vec<Arc<Outbox>> = self.hosts().map(|host| host.model().outbox()).collect();
        let is_sent = |key: &Key| outboxes.iter().any(|out| out.targets.binary_search(key).is_ok());
        let mut seen = Seen { versions: Vec::new(), out: Vec::new(), is_provisional: false };
        let (mut known, mut next) = (HashSet::from([key]), vec![key]);
        while let Some(at) = next.pop() {
            let model = self.host_of(at).map(Host::model);
            let view = model.and_then(|model| model.position(at.0, at.1));
            let is_provisional = |view: &Arc<PositionView>| view.reconciliation == Reconciliation::Provisional;
            seen.is_provisional |= is_sent(&at) || (at != key && view.as_ref().is_some_and(is_provisional));
            seen.versions.push((at, view.map(|view| view.version)));
            let sources = model.map(|model| model.sources(at.0, at.1));
            for source in sources.iter().flat_map(|sources| sources.iter()) {
                if known.insert(*source) {
                    next.push(*source);
                }
            }
        }
        seen.out = outboxes.iter().map(|out| out.sequence).collect();
        seen
    }

    /// Economic digest of all books: the sum of the shards', equal to that of one shard with the same accepted set.
    #[must_use]
    pub fn economic_digest(&self) -> u64 {
        self.hosts().fold(0, |sum, host| sum.wrapping_add(host.model().economic_digest()))
    }

    /// Waits until everything answered so far is published on all shards. Says whether it came within the time.
    #[must_use]
    pub fn wait_published(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.hosts().all(|host| host.wait_published(deadline.saturating_duration_since(Instant::now())))
    }

    /// Waits until nothing is on its way anywhere, no held amendment has its target, and no position is PROVISIONAL, but for
    /// dead letters. Says whether it came within the time.
    #[must_use]
    pub fn wait_reconciled(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut last = None;
        loop {
            // Twice the same with nothing in between: what one shard sends another is nowhere unseen.
            let now = self.quiet();
            if now.is_some() && now == last {
                return true;
            }
            last = now;
            let stopped = self.error().is_some_and(|error| !matches!(error, HostError::Checkpoint(_)));
            if stopped || Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Where the logs are, if no shard has anything to do.
    fn quiet(&self) -> Option<Vec<u64>> {
        let running = || self.hosts.iter().enumerate().filter_map(|(shard, host)| Some((shard as u16, host.as_ref()?)));
        let at: Vec<u64> = running().map(|(_, host)| host.log().published_sequence()).collect();
        let is_done = |((shard, host), at): ((u16, &Host), &u64)| {
            let model: &ReadModel = host.model();
            model.sequence() >= *at
                && model.published_sequence() >= *at
                && host.counters().rested_at() >= *at
                && model.changes_pending() == 0
                && model.provisional_positions() <= host.dead_letters().len() as u64
                && !self.has_movable(shard, &model.held())
        };
        // Asked last: what one shard was seen to have done is then in the logs of all, and the next look finds them moved on.
        (running().zip(&at).all(is_done) && !self.gate.is_serving()).then_some(at)
    }

    /// Whether an amendment that a shard holds has its target: elsewhere, or here and booked.
    fn has_movable(&self, shard: u16, held: &[HeldView]) -> bool {
        let is_held = |target| held.iter().any(|other| other.input.hash == target);
        held.iter().any(|held| match self.ids.accepted_by(held.input.target) {
            None => false,
            Some(Whereabouts::Shard(at)) if at == shard => !is_held(held.input.target),
            Some(_) => true,
        })
    }
}
