//! Giving the core away for a moment: a short sleep, and never a yield.
//!
//! A loop of yields looks like work to the scheduler. Where it shares its core, Linux 6.18 was seen to leave a worker of the block layer
//! runnable and unserved for tens of seconds beside such a loop, and with it every fdatasync of the machine (`docs/decisions/0023`). A
//! thread that sleeps is off the queue, whatever the scheduler makes of it.

use std::time::Duration;

/// Sleeps for as short a time as the thread's timer slack allows: some microseconds after [`precise_sleeps`], else about 50.
pub fn nap() {
    std::thread::sleep(Duration::from_nanos(1));
}

/// Has the sleeps of the calling thread end within a microsecond of their time: by default Linux lets them end up to 50 later, so that
/// those of several threads end together.
pub fn precise_sleeps() {
    // SAFETY: plain system call on the calling thread.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}
