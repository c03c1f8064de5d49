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
    /// How long a hang lasts that does not last for ever.
    pub(crate) hang_ns: u64,
    /// How often a worker is interrupted between two stages.
    pub(crate) breaks_percent: u64,
    /// Who hangs comes back: the process is dead.
    pub(crate) is_over: bool,
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

fn is_over() -> bool {
    MISCHIEF.with_borrow(|mischief| mischief.as_ref().is_none_or(|mischief| mischief.is_over))
}

/// What befalls a worker.
enum Fate {
    Panics,
    HangsUntil(Arc<WorldClock>, u64),
    /// Others have so many turns of its own.
    Rests(u64),
}

fn draw(mischief: &mut Mischief) -> Fate {
    let Mischief { random, clock, .. } = mischief;
    if random.percent(mischief.panics_percent) {
        mischief.panics += 1;
        return Fate::Panics;
    }
    if random.percent(mischief.hangs_percent) {
        mischief.hangs += 1;
        let until_ns = if random.percent(30) { u64::MAX } else { clock.now_ns() + mischief.hang_ns };
        return Fate::HangsUntil(clock.clone(), until_ns);
    }
    Fate::Rests(if random.percent(mischief.breaks_percent) { 1 + random.below(6) } else { 0 })
}

/// A worker enters a stage.
pub(crate) fn on_stage(_: Stage, _: u32) {
    match MISCHIEF.with_borrow_mut(|slot| slot.as_mut().map(draw)) {
        None => {}
        // Without the panic hook: thousands of them are no news.
        Some(Fate::Panics) => resume_unwind(Box::new("drawn")),
        Some(Fate::HangsUntil(clock, until_ns)) => {
            while clock.now_ns() < until_ns && !is_over() {
                rest();
            }
        }
        Some(Fate::Rests(turns)) => (0..turns).for_each(|_| rest()),
    }
}
