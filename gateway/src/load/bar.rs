//! Live progress of a load: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lotbook_perf::burst::Progress;
use lotbook_perf::report::{duration, grouped};

/// The bar, or what stands for it.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    terminal: bool,
    last_line: std::cell::Cell<u64>,
}

/// Between two lines where the output is no terminal.
const LINE_EVERY_MS: u64 = 5_000;

impl Bar {
    /// A bar on standard error.
    #[must_use]
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>8} [{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, terminal, last_line: std::cell::Cell::new(0) }
    }

    /// Shows where the run called `name` stands.
    pub fn show(&self, name: &str, progress: &Progress) {
        let message = format!(
            "{:>5.1}s {:15} {:>9}/s offered {:>9}/s answered  p50 {:>8} p99 {:>8}",
            progress.elapsed_ms as f64 / 1000.0,
            progress.stretch,
            grouped(progress.rate_offered as u64),
            grouped(progress.rate_answered as u64),
            duration(progress.p50_ns),
            duration(progress.p99_ns)
        );
        if self.terminal {
            self.bar.set_length(progress.total_ms);
            self.bar.set_prefix(name.to_owned());
            self.bar.set_position(progress.elapsed_ms.min(progress.total_ms));
            self.bar.set_message(message);
        } else if progress.elapsed_ms < self.last_line.get()
            || progress.elapsed_ms >= self.last_line.get() + LINE_EVERY_MS
        {
            self.last_line.set(progress.elapsed_ms);
            // Nobody may be reading; `eprintln` would panic.
            let _ = writeln!(std::io::stderr(), "{name:>8} {message}");
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.last_line.set(0);
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}
