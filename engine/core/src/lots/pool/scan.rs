//! A walk over the lots whose costs one pool may hold, in lot order.

use crate::id::NameId;
use crate::lots::tree::{Cursor, NIL};
use crate::lots::{LotArena, LotBlock};

impl LotArena {
    pub(super) fn walk(&self, block: &LotBlock, scope: Option<NameId>) -> Walk {
        match scope.filter(|_| block.subs != NIL) {
            _ if !block.is_large() => Walk { scope, cursor: None, next: 0, left: block.len() },
            None => Walk { scope, cursor: Some(Cursor::new(&self.all, block.start, 0)), next: 0, left: block.len() },
            Some(sub_account) => {
                let range = self.subs_range(block, sub_account).0;
                let cursor = Some(Cursor::new(&self.subs, block.subs, range.start));
                Walk { scope, cursor, next: 0, left: range.len() }
            }
        }
    }

    /// The next lot of the walk: its place in the order, its slot.
    pub(super) fn step(&self, block: &LotBlock, walk: &mut Walk) -> Option<(u64, usize)> {
        loop {
            walk.left = walk.left.checked_sub(1)?;
            walk.next += 1;
            let in_subs = walk.scope.is_some() && block.subs != NIL;
            let (key, at) = match &mut walk.cursor {
                None => (walk.next as u64 - 1, block.start as usize + usize::from(block.head) + walk.next - 1),
                Some(cursor) => {
                    let at = if in_subs { cursor.next(&self.subs) } else { cursor.next(&self.all) }? as usize;
                    (self.order_of(at), at)
                }
            };
            if walk.scope.is_none_or(|sub_account| self.slots[at].sub_account == sub_account) {
                return Some((key, at));
            }
        }
    }
}

/// A walk over the lots in a scope, in lot order, during which the order does not change.
pub(super) struct Walk {
    scope: Option<NameId>,
    cursor: Option<Cursor>,
    next: usize,
    left: usize,
}
