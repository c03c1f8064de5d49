//! What befalls workers of the coldpath: panics and hangs at any stage, drawn by the seed.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::sync::Arc;

use lotbook_engine::clock::Simulated;
use lotbook_engine::coldpath::Stage;
use lotbook_wal::sim::Random;

use crate::actor::{WorldClock, rest};

/// How often workers come to grief.
pub(crate) struct Mischief {
    pub(crate) random: Random,
    pub(crate) clock: Arc<WorldClock>,
    pub(crate) panics_percent: u64,
    pub(crate) hangs_percent: u64,
    /// How long a hang lasts.
    pub(crate) hang_ns: u64,
    pub(crate) panics: u64,
    pub(crate) hangs: u64,
}

thread_local! {
    static MISCHIEF: RefCell<Option<Mischief>> = const { RefCell::new(None) };
}

/// From here on workers on this thread come to grief like this; gives back what there was.
pub(crate) fn set(mischief: Option<Mischief>) -> Option<Mischief> {
    MISCHIEF.replace(mischief)
}

/// Changes how often.
pub(crate) fn change(how: impl FnOnce(&mut Mischief)) {
    MISCHIEF.with_borrow_mut(|mischief| mischief.as_mut().map(how));
}

/// A worker enters a stage.
pub(crate) fn on_stage(_: Stage, _: u32) {
    let drawn = MISCHIEF.with_borrow_mut(|slot| {
        let mischief = slot.as_mut()?;
        if mischief.random.percent(mischief.panics_percent) {
            mischief.panics += 1;
            return Some(None);
        }
        if mischief.random.percent(mischief.hangs_percent) {
            mischief.hangs += 1;
            return Some(Some((mischief.clock.clone(), mischief.clock.now_ns() + mischief.hang_ns)));
        }
        None
    });
    match drawn {
        None => {}
        // Without the panic hook: thousands of them are no news.
        Some(None) => resume_unwind(Box::new("drawn")),
        Some(Some((clock, until_ns))) => {
            while clock.now_ns() < until_ns {
                rest();
            }
        }
    }
}
