//! The log's two threads: the one that writes on, and the one that makes segments ahead.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::LogConfig;
use crate::error::OpenError;
use crate::flusher::Flusher;
use crate::log::Log;
use crate::preparer::Preparer;
use crate::stop::STOP;

/// Latches the log when the thread that holds it unwinds.
struct PanicWatch {
    log: Arc<Log>,
    call: &'static str,
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        self.log.latch_if_panicking(self.call);
    }
}

/// Starts the log thread and the preparer. Either both run or none.
pub(crate) fn start_threads(
    config: &LogConfig,
    log: &Arc<Log>,
    flusher: Flusher,
    preparer: Preparer,
) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let wait = config.wait;
    let idle_sleep = Duration::from_micros(config.idle_sleep_us);
    let core = config.log_core;
    let watch = |call| PanicWatch { log: Arc::clone(log), call };
    let (log_watch, prepare_watch) = (watch("log thread"), watch("prepare thread"));
    #[cfg(feature = "sim")]
    let bug = crate::planted::planted();
    let log_thread = std::thread::Builder::new()
        .name(format!("{}-log", config.name))
        .spawn(move || {
            let _watch = log_watch;
            #[cfg(feature = "sim")]
            crate::planted::inherit(bug);
            if let Some(id) = core {
                core_affinity::set_for_current(core_affinity::CoreId { id });
            }
            // A sleep of 50 us must not become one of 100.
            // SAFETY: plain system call on the calling thread.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
            flusher.run(wait, idle_sleep);
        })
        .map_err(OpenError::Start)?;
    let prepare_thread = std::thread::Builder::new().name(format!("{}-prepare", config.name)).spawn(move || {
        let _watch = prepare_watch;
        #[cfg(feature = "sim")]
        crate::planted::inherit(bug);
        preparer.run();
    });
    match prepare_thread {
        Ok(prepare_thread) => Ok(vec![log_thread, prepare_thread]),
        Err(e) => {
            log.stop.tell(STOP);
            let _ = log_thread.join();
            Err(OpenError::Start(e))
        }
    }
}
