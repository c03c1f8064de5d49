//! What runs between two calls of a step: a hook that the simulated disk calls before each of its calls.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Call;

type Hook = Rc<dyn Fn(Call)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// How deep calls may lie within each other: a flush in a call of the preparer, an append in a call of that flush.
const DEPTH_MAX: u32 = 3;

/// Runs `body`; before each call to a simulated disk on this thread `hook` is run, which may do to the log what another thread could
/// have done at that moment. Calls made by the hook run it again, three deep at most.
pub fn interleave<T>(hook: impl Fn(Call) + 'static, body: impl FnOnce() -> T) -> T {
    struct Restore(Option<Hook>);
    impl Drop for Restore {
        fn drop(&mut self) {
            HOOK.with(|slot| *slot.borrow_mut() = self.0.take());
        }
    }
    let before = HOOK.with(|slot| slot.borrow_mut().replace(Rc::new(hook)));
    let _restore = Restore(before);
    body()
}

/// Runs the hook, if there is one and we are not too deep in it.
pub(super) fn before(call: Call) {
    let Some(hook) = HOOK.with(|slot| slot.borrow().clone()) else { return };
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DEPTH.with(|depth| depth.set(depth.get() - 1));
        }
    }
    if DEPTH.with(Cell::get) >= DEPTH_MAX {
        return;
    }
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let _leave = Leave;
    let _nobodys = super::flush::none();
    hook(call);
}
