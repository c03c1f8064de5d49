//! Two runs on one page: their percentile curves over each other, and every figure with its ratio. Made from the JSON of their reports.

use crate::chart::{Chart, Scale, Series};
use crate::page::{STYLE, escaped, nanoseconds, percentile_chart, section};
use crate::report::{duration, grouped};
use serde::Deserialize;
use std::fmt::Write;

/// What is read of a report; the rest may be of another version.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    target: String,
    ack: String,
    rate_offered: f64,
    rate_achieved: f64,
    latency_ns: Latency,
    lateness_ns: Latency,
    percentiles: Vec<(f64, u64)>,
    intervals: Vec<Line>,
    machine: Host,
    plan: Shape,
}

#[derive(Clone, Debug, Deserialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p95: u64,
    p99: u64,
    p999: u64,
    p9999: u64,
    max: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Line {
    at_ms: u64,
    length_ms: f64,
    answered: u64,
    p99_ns: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Host {
    cpu: String,
    cores: usize,
    kernel: String,
    build: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Shape {
    profile: String,
    rate: u64,
    burst_multiplier: u64,
    seconds: u64,
    positions: u64,
    seed: u64,
    sessions: u64,
}

impl Run {
    /// The run of a report's JSON.
    ///
    /// # Errors
    /// It is no report of this product, or of one that is too old.
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    fn words(&self) -> String {
        let plan = &self.plan;
        format!(
            "{}, {}, acknowledged when {}: {} messages/s up to {}/s for {} s, {} positions, {} senders, seed {}; {}, {} cores, Linux {}, {} build",
            self.target,
            plan.profile,
            self.ack,
            grouped(plan.rate),
            grouped(plan.rate * plan.burst_multiplier),
            plan.seconds,
            grouped(plan.positions),
            plan.sessions,
            plan.seed,
            self.machine.cpu,
            self.machine.cores,
            self.machine.kernel,
            self.machine.build
        )
    }
}

/// The page of two runs.
pub fn html(first: &Run, second: &Run) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>Lotbook: two runs</title><style>",
    );
    out.push_str(STYLE);
    // Writing to a string cannot fail, which is why the results of `write!` are dropped below.
    let _ = write!(
        out,
        "</style></head><body><main><h1>Two runs</h1><p>first: {}</p><p>second: {}</p>",
        escaped(&first.words()),
        escaped(&second.words())
    );
    if first.machine != second.machine {
        out.push_str("<p class=\"bad\">The machines differ: the ratios say nothing about the product.</p>");
    }
    if first.plan != second.plan {
        out.push_str("<p class=\"bad\">The plans differ: compare with care.</p>");
    }
    section(&mut out, "Latency by percentile", "From the time each message was due to its answer.");
    let points = |run: &Run| run.percentiles.iter().map(|&(x, ns)| (x, ns as f64)).collect::<Vec<_>>();
    let pair = |of: &dyn Fn(&Run) -> Vec<(f64, f64)>| {
        vec![
            Series { name: "first", class: "c1", points: of(first) },
            Series { name: "second", class: "c2", points: of(second) },
        ]
    };
    let longest =
        [first, second].iter().filter_map(|run| run.percentiles.last()).map(|point| point.0).fold(10.0, f64::max);
    out.push_str(&percentile_chart(pair(&points), longest).svg());
    section(&mut out, "Throughput over time", "Messages answered a second.");
    let rate = |line: &Line| line.answered as f64 * 1000.0 / line.length_ms;
    out.push_str(&over_time(
        "Throughput over time",
        Scale::Linear,
        |value| grouped(value.round() as u64),
        pair(&|run| timed(run, &rate)),
    ));
    section(&mut out, "Latency over time", "The 99th percentile of each interval.");
    let p99 = |line: &Line| line.p99_ns as f64;
    out.push_str(&over_time("Latency over time", Scale::Log, nanoseconds, pair(&|run| timed(run, &p99))));
    section(&mut out, "Figures", "The ratio is the second by the first.");
    table(&mut out, first, second);
    out.push_str("</main></body></html>\n");
    out
}

fn timed(run: &Run, value: &dyn Fn(&Line) -> f64) -> Vec<(f64, f64)> {
    let lines = run.intervals.iter().filter(|line| line.answered > 0 && line.length_ms > 0.0);
    lines.map(|line| (line.at_ms as f64 / 1000.0, value(line))).collect()
}

fn over_time(title: &'static str, y_scale: Scale, y_words: fn(f64) -> String, series: Vec<Series>) -> String {
    let x_scale = Scale::Linear;
    Chart { title, x_label: "seconds", x_scale, y_scale, x_ticks: vec![], y_words, shaded: vec![], series }.svg()
}

fn table(out: &mut String, first: &Run, second: &Run) {
    out.push_str("<table><tr><th></th><th>first</th><th>second</th><th>ratio</th></tr>");
    let mut row = |name: &str, values: (f64, f64), words: &dyn Fn(f64) -> String| {
        let ratio = if values.0 > 0.0 { format!("{:.2}", values.1 / values.0) } else { "–".to_owned() };
        let _ = write!(
            out,
            "<tr><td>{name}</td><td>{}</td><td>{}</td><td>{ratio}</td></tr>",
            words(values.0),
            words(values.1)
        );
    };
    let count = |value: f64| grouped(value.round() as u64);
    row("offered/s", (first.rate_offered, second.rate_offered), &count);
    row("achieved/s", (first.rate_achieved, second.rate_achieved), &count);
    type Of = fn(&Latency) -> u64;
    let percentiles: [(&str, Of); 7] = [
        ("p50", |latency| latency.p50),
        ("p90", |latency| latency.p90),
        ("p95", |latency| latency.p95),
        ("p99", |latency| latency.p99),
        ("p99.9", |latency| latency.p999),
        ("p99.99", |latency| latency.p9999),
        ("max", |latency| latency.max),
    ];
    let words = |value: f64| duration(value as u64);
    for (name, of) in percentiles {
        row(name, (of(&first.latency_ns) as f64, of(&second.latency_ns) as f64), &words);
    }
    let late = |run: &Run| run.lateness_ns.p99 as f64;
    row("handed over late, p99", (late(first), late(second)), &words);
    out.push_str("</table>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    #[test]
    fn two_runs_stand_beside_each_other() {
        let one = report::tests::good();
        let mut other = report::tests::good();
        other.latency_ns.p99 *= 2;
        other.target = "a <b>".to_owned();
        let (first, second) = (Run::read(&one.json()).unwrap(), Run::read(&other.json()).unwrap());
        let page = html(&first, &second);
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("<td>p99</td>") && page.contains("<td>2.00</td>"));
        assert!(page.contains("a &lt;b&gt;") && !page.contains("The machines differ"));
        for outside in ["http:", "https:", "<script", "<link", "url(", "NaN"] {
            assert!(!page.contains(outside), "{outside}");
        }
        other.machine.cores += 1;
        assert!(html(&first, &Run::read(&other.json()).unwrap()).contains("The machines differ"));
    }

    #[test]
    fn something_else_is_refused() {
        assert!(Run::read("{}").is_err());
    }
}
