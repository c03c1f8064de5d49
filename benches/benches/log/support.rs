//! What the sections of the log's bench share: a clock that costs little, pinning, percentiles, the table and its goals.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Ticks of the processor's own counter, and how many make a nanosecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    ticks_per_ns: f64,
}

impl Clock {
    /// Measures the counter against the system's clock for 50 ms.
    pub(crate) fn calibrated() -> Self {
        let (began, from) = (Instant::now(), ticks());
        while began.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        Self { ticks_per_ns: (ticks() - from) as f64 / began.elapsed().as_nanos() as f64 }
    }

    pub(crate) fn ns(&self, ticks: u64) -> u64 {
        (ticks as f64 / self.ticks_per_ns) as u64
    }

    pub(crate) fn ticks_of(&self, time: Duration) -> u64 {
        (time.as_nanos() as f64 * self.ticks_per_ns) as u64
    }
}

/// The counter. Not serializing: what it costs is printed as the harness's own line.
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        use std::sync::OnceLock;
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// The core of the measured thread, and the one for the log's threads: the last and the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) hot: usize,
    pub(crate) log: usize,
}

impl Cores {
    pub(crate) fn chosen() -> Self {
        let ids: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|c| c.id).collect();
        Self { hot: ids.last().copied().unwrap_or(0), log: ids.first().copied().unwrap_or(0) }
    }

    /// Keeps this thread on the hot core until the guard goes. Open logs before that: their threads inherit where they may run.
    #[must_use]
    pub(crate) fn pin_hot(self) -> Pinned {
        Pinned::to(self.hot)
    }

    /// As [`Cores::pin_hot`], on the log thread's core.
    #[must_use]
    pub(crate) fn pin_log(self) -> Pinned {
        Pinned::to(self.log)
    }
}

/// A thread on one core, which goes back to where it might run before.
pub(crate) struct Pinned(libc::cpu_set_t);

impl Pinned {
    fn to(core: usize) -> Self {
        // SAFETY: all zeros is a valid set, and the call fills at most one.
        let before = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            set
        };
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
        Self(before)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: reads the one set that it is given.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &self.0) };
    }
}

/// A histogram of nanoseconds.
#[derive(Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_max(60_000_000_000, 3).expect("a range that fits"))
    }

    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64
    }

    /// p50, p90, p99, p99.9, p99.99 and the maximum, in the unit that divides by `unit`.
    pub(crate) fn row(&self, name: &str, unit: f64) -> String {
        let mut line = format!("{name:<46}");
        for q in [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            let _ = write!(line, " {:>10.2}", self.at(q) / unit);
        }
        line
    }
}

/// The head over [`Times::row`].
pub(crate) fn times_head(what: &str, unit: &str) -> String {
    let mut line = format!("{:<46}", format!("{what}, {unit}"));
    for name in ["p50", "p90", "p99", "p99.9", "p99.99", "max"] {
        let _ = write!(line, " {name:>10}");
    }
    line
}

/// A goal of the product and what this run says about it.
#[derive(Debug)]
struct Goal {
    what: String,
    measured: f64,
    wanted: f64,
    at_least: bool,
}

/// Goals as they were met or missed, for the end of the run.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Goal>);

impl Report {
    pub(crate) fn at_least(&mut self, what: &str, measured: f64, wanted: f64) {
        self.0.push(Goal { what: what.to_owned(), measured, wanted, at_least: true });
    }

    pub(crate) fn at_most(&mut self, what: &str, measured: f64, wanted: f64) {
        self.0.push(Goal { what: what.to_owned(), measured, wanted, at_least: false });
    }

    pub(crate) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("\n## Goals, as ratios within this run\n");
        println!("{:<78} {:>9} {:>9}", "", "measured", "goal");
        for goal in &self.0 {
            let (sign, met) =
                if goal.at_least { (">=", goal.measured >= goal.wanted) } else { ("<=", goal.measured <= goal.wanted) };
            let goal_text = format!("{sign} {}", goal.wanted);
            println!("{:<78} {:>9.2} {goal_text:>9}  {}", goal.what, goal.measured, if met { "met" } else { "MISSED" });
        }
    }
}

/// What a quarter of the values stay below: short pieces of work, of which others on the machine disturb some.
pub(crate) fn lower_quartile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 4]
}

/// The middle value; of few repetitions, what one disturbed repetition cannot move.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Nanoseconds a round of `work`, which does `count` rounds.
pub(crate) fn each_ns(count: usize, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_nanos() as f64 / count as f64
}

/// Where the logs of this run lie: `LOTBOOK_BENCH_DIR`, else the system's temporary directory. It must be the disk to be measured.
pub(crate) fn base_dir() -> PathBuf {
    std::env::var_os("LOTBOOK_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A fresh directory for one log; its tail goes where the product puts it.
pub(crate) fn fresh_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(base_dir()).expect("a directory for the bench")
}

/// A file of `bytes` zeros, written and synced: what a prepared segment is.
pub(crate) fn zeroed_file(path: &Path, bytes: u64) -> std::fs::File {
    use std::os::unix::fs::FileExt;
    let file =
        std::fs::OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path).expect("a file");
    let zeros = vec![0u8; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let part = (bytes - at).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..part], at).expect("zeros");
        at += part as u64;
    }
    file.sync_all().expect("synced");
    file
}

/// Memory that begins on a page, as `O_DIRECT` wants it.
pub(crate) struct Pages {
    map: memmap2::MmapMut,
}

impl Pages {
    pub(crate) fn new(bytes: usize) -> Self {
        let mut map = memmap2::MmapMut::map_anon(bytes).expect("memory");
        map.fill(1);
        map.fill(0);
        Self { map }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

/// The machine's load over the last minute, as text.
pub(crate) fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .map_or_else(|_| "unknown".into(), |s| s.split(' ').next().unwrap_or("").into())
}
