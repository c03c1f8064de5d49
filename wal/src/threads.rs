//! The log's threads: those that write on, the one that makes segments ahead, and the one that keeps what is sealed.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::LogConfig;
use crate::error::OpenError;
use crate::flusher::Flusher;
use crate::log::Log;
use crate::nap::precise_sleeps;
use crate::preparer::Preparer;
use crate::retention::keeper::Keeper;
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

/// Starts the log threads, the preparer and the keeper. Either all run or none.
pub(crate) fn start_threads(
    config: &LogConfig,
    log: &Arc<Log>,
    flusher: Arc<Flusher>,
    preparer: Preparer,
    keeper: Keeper,
) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let wait = config.wait;
    let idle_sleep = Duration::from_micros(config.idle_sleep_us);
    let core = config.log_core;
    let watch = |call| PanicWatch { log: Arc::clone(log), call };
    let prepare_watch = watch("prepare thread");
    #[cfg(feature = "sim")]
    let bug = crate::planted::planted();
    let clock = Instant::now();
    let mut started: Vec<std::io::Result<JoinHandle<()>>> = Vec::new();
    for number in 0..config.flushes_in_flight {
        let log_watch = watch("log thread");
        let flusher = Arc::clone(&flusher);
        let name = if number == 0 { "log".to_owned() } else { format!("log-{}", number + 1) };
        let work = move || {
            let _watch = log_watch;
            #[cfg(feature = "sim")]
            crate::planted::inherit(bug);
            if let Some(id) = core {
                core_affinity::set_for_current(core_affinity::CoreId { id });
            }
            // A sleep of 50 us must not become one of 100.
            precise_sleeps();
            flusher.run(wait, idle_sleep, clock);
        };
        started.push(std::thread::Builder::new().name(format!("{}-{name}", config.name)).spawn(work));
    }
    let prepare = move || {
        let _watch = prepare_watch;
        #[cfg(feature = "sim")]
        crate::planted::inherit(bug);
        preparer.run();
    };
    // A panic of the keeper is told by the report and not by a latch: no record waits for it.
    let keep = move || {
        #[cfg(feature = "sim")]
        crate::planted::inherit(bug);
        keeper.run();
    };
    let named = |what: &str| std::thread::Builder::new().name(format!("{}-{what}", config.name));
    started.extend([named("prepare").spawn(prepare), named("keep").spawn(keep)]);
    let mut threads = Vec::with_capacity(started.len());
    let mut failed = None;
    for thread in started {
        match thread {
            Ok(thread) => threads.push(thread),
            Err(e) => failed = Some(e),
        }
    }
    if let Some(e) = failed {
        log.stop.tell(STOP);
        log.preparer_bell.ring();
        log.keeper_bell.ring();
        threads.into_iter().for_each(|thread| drop(thread.join()));
        return Err(OpenError::Start(e));
    }
    Ok(threads)
}
