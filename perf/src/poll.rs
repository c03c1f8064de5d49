//! Waiting for sockets with a timeout finer than a millisecond.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// The sockets one wait watches.
#[derive(Debug, Default)]
pub struct Watch {
    fds: Vec<libc::pollfd>,
}

impl Watch {
    /// Forgets all sockets.
    pub fn clear(&mut self) {
        self.fds.clear();
    }

    /// Watches a socket for bytes to read and, when `write`, for room to write.
    pub fn add(&mut self, socket: &impl AsRawFd, write: bool) {
        self.add_raw(socket.as_raw_fd(), write);
    }

    fn add_raw(&mut self, fd: RawFd, write: bool) {
        let events = libc::POLLIN | if write { libc::POLLOUT } else { 0 };
        self.fds.push(libc::pollfd { fd, events, revents: 0 });
    }

    /// Whether the socket added as number `at` was ready when the last wait ended; one that was hung up is ready, to be read to its end.
    pub fn is_ready(&self, at: usize) -> bool {
        self.fds.get(at).is_some_and(|fd| fd.revents != 0)
    }

    /// Returns when a socket is ready or the time is over. A signal ends the wait early, which is no error.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: timeout.subsec_nanos() as libc::c_long,
        };
        // SAFETY: the pointer and the length describe the vector's initialised elements, which nothing else touches during the call; the time
        // outlives the call; a null signal mask is allowed.
        let ready = unsafe {
            libc::ppoll(self.fds.as_mut_ptr(), self.fds.len() as libc::nfds_t, &raw const timeout, core::ptr::null())
        };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            self.fds.iter_mut().for_each(|fd| fd.revents = 0);
        }
        Ok(())
    }
}

/// Lets the calling thread's timers fire within a microsecond while it lives, instead of the kernel's 50; restores what was when dropped.
#[derive(Debug)]
pub struct FineTimers {
    before: libc::c_int,
}

impl FineTimers {
    /// Asks the kernel; where it refuses, waits are coarser and nothing else changes.
    pub fn new() -> Self {
        // SAFETY: both calls take and return plain integers and concern the calling thread only.
        let before = unsafe {
            let before = libc::prctl(libc::PR_GET_TIMERSLACK);
            libc::prctl(libc::PR_SET_TIMERSLACK, 1_000 as libc::c_ulong);
            before
        };
        Self { before }
    }
}

impl Default for FineTimers {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FineTimers {
    fn drop(&mut self) {
        if self.before > 0 {
            // SAFETY: as above.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, self.before as libc::c_ulong) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    #[test]
    fn ends_on_bytes_and_on_time() {
        let _fine = FineTimers::new();
        let (mut one, two) = UnixStream::pair().unwrap();
        let mut watch = Watch::default();
        watch.add(&two, false);
        let start = Instant::now();
        watch.wait(Duration::from_millis(2)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(2));
        assert!(!watch.is_ready(0));
        one.write_all(b"x").unwrap();
        // Would hang the test run, not fail it, if readiness were not seen.
        watch.wait(Duration::from_secs(3600)).unwrap();
        assert!(watch.is_ready(0) && !watch.is_ready(1));
    }
}
