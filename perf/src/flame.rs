//! Flame graphs: samples of stacks as `perf script` prints them, folded into a tree and drawn as an SVG of its own, without a script.
//!
//! ```text
//! lb-shard 4711                        thread, number
//!         7f12 lotbook_core::decide    innermost frame first
//!         8a40 lotbook_engine::take
//!                                      an empty line ends the sample
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A frame with everything that it called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Samples in it and in what it called.
    pub samples: u64,
    /// What it called, by name.
    pub calls: BTreeMap<String, Frame>,
}

impl Frame {
    /// Levels of frames below this one.
    pub fn depth(&self) -> usize {
        self.calls.values().map(|call| call.depth() + 1).max().unwrap_or(0)
    }

    fn add(&mut self, path: impl Iterator<Item = String>) {
        let mut frame = self;
        frame.samples += 1;
        for name in path {
            frame = frame.calls.entry(name).or_default();
            frame.samples += 1;
        }
    }
}

/// Frames below this are left out: a recursion that ran away is no use to anybody.
const DEPTH_MAX: usize = 128;

/// Folds what `perf script -F comm,tid,ip,sym` prints; below the root lie the threads. Lines that are none of its are passed over.
pub fn folded(script: &str) -> Frame {
    let mut root = Frame::default();
    let mut thread: Option<&str> = None;
    let mut stack: Vec<&str> = Vec::new();
    for line in script.lines().chain([""]) {
        if line.trim().is_empty() {
            if let Some(name) = thread.take() {
                let outer = stack.iter().rev().take(DEPTH_MAX).map(|symbol| plain(symbol));
                root.add(std::iter::once(name.to_owned()).chain(outer));
            }
            stack.clear();
        } else if line.starts_with(char::is_whitespace) {
            stack.extend(line.trim().split_once(' ').map(|(_, symbol)| symbol));
        } else {
            // A thread's name may have blanks; its number is the last word.
            thread = line.trim().rsplit_once(' ').map(|(name, _)| name.trim());
        }
    }
    root
}

/// A symbol without the hash that tells its versions apart, and without perf's own words.
fn plain(symbol: &str) -> String {
    let symbol = symbol.trim().trim_end_matches("(inlined)").trim();
    let is_hash = |tail: &str| tail.len() == 16 && tail.bytes().all(|byte| byte.is_ascii_hexdigit());
    match symbol.rsplit_once("::h") {
        Some((name, tail)) if is_hash(tail) => name.to_owned(),
        _ => symbol.to_owned(),
    }
}

const WIDTH_PX: f64 = 1_200.0;
const ROW_PX: f64 = 17.0;
const TOP_PX: f64 = 40.0;
/// Frames that are narrower are not drawn.
const NARROWEST_PX: f64 = 0.4;
/// Width of a character of the text.
const CHARACTER_PX: f64 = 6.6;

/// Draws a folded profile: callers above what they call, widths by samples, names and shares as titles.
pub fn svg(root: &Frame, heading: &str) -> String {
    let height = TOP_PX + ROW_PX * (root.depth() as f64 + 1.0) + 10.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH_PX} {height}\" width=\"{WIDTH_PX}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fdfdf8\"/>\n\
         <text x=\"8\" y=\"22\" font-size=\"14\">{}</text>\n",
        escaped(heading)
    );
    if root.samples > 0 {
        draw(&mut out, root, "all", (0.0, 0), WIDTH_PX / root.samples as f64, root.samples);
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, frame: &Frame, name: &str, (x, row): (f64, usize), px_a_sample: f64, all: u64) {
    let width = frame.samples as f64 * px_a_sample;
    if width < NARROWEST_PX {
        return;
    }
    let y = TOP_PX + ROW_PX * row as f64;
    let share = frame.samples as f64 * 100.0 / all as f64;
    let _ = write!(
        out,
        "<g><title>{}: {} samples, {share:.1} %</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
         fill=\"{}\" stroke=\"#fdfdf8\" stroke-width=\"0.5\"/>",
        escaped(name),
        frame.samples,
        ROW_PX - 1.0,
        colour(name)
    );
    let room = ((width - 6.0) / CHARACTER_PX) as usize;
    if room >= 3 {
        let shown: String = name.chars().take(room).collect();
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 3.0, y + 12.0, escaped(&shown));
    }
    out.push_str("</g>\n");
    let mut at = x;
    for (name, call) in &frame.calls {
        draw(out, call, name, (at, row + 1), px_a_sample, all);
        at += call.samples as f64 * px_a_sample;
    }
}

/// A colour by whose code it is, so that the product stands out: ours, the log's, others'.
fn colour(name: &str) -> &'static str {
    match name {
        _ if name.contains("lotbook_wal") => "#9cc7e8",
        _ if name.contains("lotbook_") => "#f2b880",
        _ if name.starts_with("lb-") || name.starts_with("log-") => "#c8d8a8",
        _ => "#dddad0",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
lb-shard 12
\t    113f lotbook_core::decide::h0123456789abcdef
\t    1155 lotbook_engine::shard::run (inlined)

lb-shard 12
\t    1200 lotbook_core::apply<T>
\t    1155 lotbook_engine::shard::run

log log 7
\t   27249 fdatasync
";

    #[test]
    fn samples_are_folded_by_thread_from_the_outermost_frame() {
        let root = folded(SCRIPT);
        assert_eq!((root.samples, root.depth()), (3, 3));
        let run = &root.calls["lb-shard"].calls["lotbook_engine::shard::run"];
        assert_eq!((run.samples, run.calls.len()), (2, 2));
        assert_eq!(run.calls["lotbook_core::decide"].samples, 1);
        assert_eq!(root.calls["log log"].calls["fdatasync"].samples, 1);
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        assert_eq!(folded(""), Frame::default());
        assert_eq!(folded("\n\n   \n"), Frame::default());
        assert_eq!(folded("word\n\n").samples, 0);
    }

    #[test]
    fn a_drawing_names_every_frame_and_is_well_formed() {
        let drawn = svg(&folded(SCRIPT), "lotbook & 3 samples");
        for text in
            ["lotbook &amp; 3 samples", "lotbook_core::apply&lt;T&gt;: 1 samples, 33.3 %", "all: 3 samples, 100.0 %"]
        {
            assert!(drawn.contains(text), "{text}: {drawn}");
        }
        assert_eq!(drawn.matches("<g>").count(), drawn.matches("</g>").count());
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
        assert!(svg(&Frame::default(), "nothing").ends_with("</text>\n</svg>\n"));
    }

    #[test]
    fn a_runaway_recursion_is_cut() {
        let frames = "\t 1 again\n".repeat(1_000);
        assert_eq!(folded(&format!("main 1\n{frames}")).depth(), DEPTH_MAX + 1);
    }
}
