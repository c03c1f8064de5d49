//! Whether figures are final, where lots move from one position to another: an estimate's may, too.

use super::channels;
use crate::book::Book;
use crate::id::NameId;
use crate::position::Reconciliation;

impl Book {
    /// Whether a position's figures are final: as [`Position::reconciliation`], and PROVISIONAL as long as something is
    /// on its way to it, or a position that it has lots from is.
    #[must_use]
    pub fn reconciliation_of(&self, number: u32) -> Reconciliation {
        let own = self.positions[number as usize].reconciliation();
        if own == Reconciliation::Provisional || !self.depends_on_provisional(number) {
            return own;
        }
        Reconciliation::Provisional
    }

    /// Whether the figures of an account, or of all, are final. That asks for more than its own positions: what is an estimate anywhere may
    /// yet send lots to it, and nobody knows to whom before it is replayed.
    #[must_use]
    pub(crate) fn is_final(&self, account: Option<NameId>) -> bool {
        let moves = !self.legs.due.is_empty() || self.legs.channels.out_len() > 0;
        self.sums.unreconciled(account) == 0 && self.sums.provisional == 0 && !moves
    }

    /// Whether what arrived at a position, or is on its way there, may still change.
    #[inline]
    #[must_use]
    pub fn depends_on_provisional(&self, number: u32) -> bool {
        (!self.legs.sources.is_empty() || !self.legs.due.is_empty()) && self.rests_on_provisional(number)
    }

    fn rests_on_provisional(&self, number: u32) -> bool {
        // The hot thread asks this of every trade: the room is kept.
        let (mut seen, mut next) = (self.legs.walk.borrow_mut(), 0);
        seen.clear();
        seen.push(number);
        while let Some(&at) = seen.get(next) {
            let position = &self.positions[at as usize];
            let is_own = next == 0;
            if (!is_own && position.provisional > 0)
                || self.legs.due_to(position.account, position.instrument).is_some()
            {
                return true;
            }
            for source in self.legs.sources_of(at) {
                // What is provisional on another shard is asked there.
                if !channels::is_foreign(*source) && !seen.contains(source) {
                    seen.push(*source);
                }
            }
            next += 1;
        }
        false
    }
}
