//! Progress on standard error, where that is a terminal: lines while reading, positions while reconciling.

use std::cell::Cell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::input::Located;

/// Lines between two looks at the clock.
const LINES_PER_TICK: u64 = 1024;

pub(super) struct Progress {
    bar: ProgressBar,
    lines: Cell<u64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        // The target draws nothing where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style("{spinner} {pos} lines, {per_sec}, {elapsed}  {msg}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, lines: Cell::new(0) }
    }

    pub(super) fn line(&self, located: &Located) {
        let lines = self.lines.get() + 1;
        self.lines.set(lines);
        if lines % LINES_PER_TICK == 1 {
            self.bar.set_message(located.file.to_string());
            self.bar.set_position(lines);
        }
    }

    pub(super) fn reconciling(&self, positions: u64) {
        self.bar.reset();
        self.bar.set_length(positions);
        self.bar.set_message("");
        self.bar.set_style(style("{spinner} reconciling {bar:30} {pos}/{len} positions"));
    }

    pub(super) fn provisional(&self, positions: u64) {
        let all = self.bar.length().unwrap_or(positions);
        self.bar.set_position(all.saturating_sub(positions));
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
