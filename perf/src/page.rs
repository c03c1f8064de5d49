//! The run as one HTML page that needs nothing else: no script, no network, light and dark.

use crate::chart::{Chart, Scale, Series};
use crate::report::{self, PhaseReport, Report, duration, grouped};
use crate::schedule::{Phase, Schedule};
use hdrhistogram::Histogram;
use std::fmt::Write;

pub(crate) const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fcfcfa;--ink:#1d2126;--soft:#646c76;--rule:#dde0e3;--shade:#f3ead7;--c1:#2563a8;--c2:#c2571a;--c3:#5d7d2b;--good:#2b7a3d;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e5e8eb;--soft:#98a1ab;--rule:#2f353c;--shade:#2b261b;--c1:#6fa8e6;--c2:#ef9a5f;--c3:#a3c66b;--good:#6cc683;--bad:#f2857c}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:920px;margin:0 auto;padding:32px 20px 64px}h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:36px 0 8px}
p,.soft{color:var(--soft)}p{margin:4px 0 10px}.verdict{font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:12px;margin:20px 0}
.tile{border:1px solid var(--rule);border-radius:8px;padding:10px 14px}.tile b{display:block;font-size:20px;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:5px 10px;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}th{font-weight:600}th:first-child,td:first-child{text-align:left}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:12px}svg .end{text-anchor:end}svg .mid{text-anchor:middle}.grid{stroke:var(--rule);stroke-width:1}.shade{fill:var(--shade)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.line.c1{stroke:var(--c1)}.line.c2{stroke:var(--c2)}.line.c3{stroke:var(--c3)}
.legend{display:flex;gap:18px;color:var(--soft);font-size:13px}.legend i{display:inline-block;width:14px;height:3px;margin-right:6px;vertical-align:middle}i.c1{background:var(--c1)}i.c2{background:var(--c2)}i.c3{background:var(--c3)}
ul{margin:6px 0;padding-left:20px}code{font:13px ui-monospace,monospace}
";

/// The page of a report. `total` and, where there was one, `control` are the latencies of the whole runs.
pub fn html(report: &Report, total: &Histogram<u64>, control: Option<&Histogram<u64>>) -> String {
    let mut out = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str(
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>Lotbook under load</title><style>",
    );
    out.push_str(STYLE);
    out.push_str("</style></head><body><main>");
    head(&mut out, report);
    tiles(&mut out, report);
    section(
        &mut out,
        "Latency by percentile",
        "From the time each message was due to its answer, over the whole run. The control is an echo without an engine.",
    );
    out.push_str(&percentiles(total, control).svg());
    section(
        &mut out,
        "Throughput over time",
        "Messages a second, a point each quarter of a second. Shaded: the burst.",
    );
    out.push_str(&throughput(report).svg());
    section(&mut out, "Latency over time", "Of the answers within each quarter of a second.");
    out.push_str(&latency(report).svg());
    section(&mut out, "Phases", "A stretch lasts until its last answer, if that comes after its scheduled end.");
    phases(&mut out, report);
    section(
        &mut out,
        "Integrity",
        "Every acknowledged trade against the log, and every position against an independent recomputation.",
    );
    integrity(&mut out, report);
    section(&mut out, "Counts", "");
    counts(&mut out, report);
    out.push_str("</main></body></html>\n");
    out
}

// Writing to a string cannot fail, which is why the results of `write!` are dropped below.

pub(crate) fn section(out: &mut String, title: &str, words: &str) {
    let _ = write!(out, "<h2>{title}</h2>");
    if !words.is_empty() {
        let _ = write!(out, "<p>{words}</p>");
    }
}

fn head(out: &mut String, report: &Report) {
    let plan = &report.plan;
    let (class, word) = if report.pass { ("good", "passed") } else { ("bad", "failed") };
    let _ = write!(out, "<h1>Load: {} <span class=\"{class}\">{word}</span></h1>", plan.profile.as_str());
    let _ = write!(out, "<p>{}</p>", escaped(&report.target));
    let _ = write!(
        out,
        "<p>{} messages/s, up to {}/s, {} s, {} positions, {} accounts, {} instruments, {} senders, seed {}, acknowledged when {}.</p>",
        grouped(plan.rate),
        grouped(plan.rate * plan.burst_multiplier),
        plan.seconds,
        grouped(u64::from(plan.positions)),
        grouped(u64::from(plan.accounts)),
        plan.instruments,
        plan.sessions,
        plan.seed,
        escaped(&report.ack)
    );
    let _ = write!(out, "<p>{}</p>", escaped(&report.machine.line()));
    list(out, "bad", &report.reasons);
    list(out, "soft", &report.notes);
}

fn list(out: &mut String, class: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = write!(out, "<ul class=\"{class}\">");
        for line in lines {
            let _ = write!(out, "<li>{}</li>", escaped(line));
        }
        out.push_str("</ul>");
    }
}

fn tiles(out: &mut String, report: &Report) {
    out.push_str("<div class=\"tiles\">");
    let verdict = if report.integrity.exact() { "good" } else { "bad" };
    let tile = |out: &mut String, class: &str, value: &str, words: &str| {
        let _ = write!(out, "<div class=\"tile\"><b class=\"{class}\">{value}</b><span>{words}</span></div>");
    };
    tile(out, verdict, report.integrity.verdict, "integrity");
    tile(out, "", &grouped(report.acknowledged), "trades acknowledged");
    tile(out, "", &grouped(report.base.rate_achieved.round() as u64), "messages/s in the base");
    tile(out, "", &grouped(report.burst.rate_achieved.round() as u64), "messages/s in the burst");
    tile(out, "", &duration(report.latency_ns.p50), "median latency");
    tile(out, "", &duration(report.latency_ns.p99), "p99 latency");
    out.push_str("</div>");
}

pub(crate) fn nanoseconds(value: f64) -> String {
    duration(value.round() as u64)
}

fn percentile_points(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    report::percentiles(latency).into_iter().map(|(x, ns)| (x, ns as f64)).collect()
}

fn percentiles(total: &Histogram<u64>, control: Option<&Histogram<u64>>) -> Chart {
    let mut series = vec![Series { name: "this run", class: "c1", points: percentile_points(total) }];
    if let Some(control) = control {
        series.push(Series { name: "control", class: "c2", points: percentile_points(control) });
    }
    let longest = total.len().max(control.map_or(0, Histogram::len)).max(10) as f64;
    percentile_chart(series, longest)
}

/// The curve of latencies up to 1/(1 - quantile) of `longest`.
pub(crate) fn percentile_chart(series: Vec<Series>, longest: f64) -> Chart {
    let mut x_ticks = vec![(1.0, "min".to_owned()), (2.0, "50 %".to_owned())];
    let mut x = 10.0;
    for words in ["90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"] {
        if x < longest {
            x_ticks.push((x, words.to_owned()));
        }
        x *= 10.0;
    }
    x_ticks.push((longest, "max".to_owned()));
    Chart {
        title: "Latency by percentile",
        x_label: "percentile",
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        x_ticks,
        y_words: nanoseconds,
        shaded: vec![],
        series,
    }
}

fn seconds(at_ms: u64) -> f64 {
    at_ms as f64 / 1000.0
}

fn bursts(report: &Report) -> Vec<(f64, f64)> {
    let schedule = Schedule::of(&report.plan);
    let bursts = schedule.segments().iter().filter(|segment| segment.phase == Phase::Burst);
    bursts.map(|segment| (segment.start_ns as f64 / 1e9, (segment.start_ns + segment.length_ns) as f64 / 1e9)).collect()
}

fn throughput(report: &Report) -> Chart {
    let points = |count: fn(&crate::settle::Interval) -> u64| {
        let lines = report.intervals.iter();
        lines.map(|line| (seconds(line.at_ms), count(line) as f64 * 1000.0 / line.length_ms)).collect()
    };
    Chart {
        title: "Throughput over time",
        x_label: "seconds",
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        x_ticks: vec![],
        y_words: |value| grouped(value.round() as u64),
        shaded: bursts(report),
        series: vec![
            Series { name: "offered", class: "c2", points: points(|line| line.offered) },
            Series { name: "answered", class: "c1", points: points(|line| line.answered) },
        ],
    }
}

fn latency(report: &Report) -> Chart {
    let points = |value: fn(&crate::settle::Interval) -> u64| {
        let lines = report.intervals.iter().filter(|line| line.answered > 0);
        lines.map(|line| (seconds(line.at_ms), value(line) as f64)).collect()
    };
    Chart {
        title: "Latency over time",
        x_label: "seconds",
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
        x_ticks: vec![],
        y_words: nanoseconds,
        shaded: bursts(report),
        series: vec![
            Series { name: "median", class: "c1", points: points(|line| line.p50_ns) },
            Series { name: "p99", class: "c2", points: points(|line| line.p99_ns) },
            Series { name: "max", class: "c3", points: points(|line| line.max_ns) },
        ],
    }
}

fn phases(out: &mut String, report: &Report) {
    out.push_str("<div class=\"wide\"><table><tr><th></th><th>offered/s</th><th>achieved/s</th><th>p50</th><th>p95</th><th>p99</th><th>p99.9</th><th>p99.99</th><th>max</th></tr>");
    let row = |out: &mut String, name: &str, phase: &PhaseReport| {
        let latency = &phase.latency_ns;
        let _ = write!(
            out,
            "<tr><td>{name}</td><td>{}</td><td>{}</td>",
            grouped(phase.rate_offered.round() as u64),
            grouped(phase.rate_achieved.round() as u64)
        );
        for value in [latency.p50, latency.p95, latency.p99, latency.p999, latency.p9999, latency.max] {
            let _ = write!(out, "<td>{}</td>", duration(value));
        }
        out.push_str("</tr>");
    };
    row(out, "base", &report.base);
    row(out, "burst", &report.burst);
    for stretch in &report.stretches {
        row(out, &format!("<i>{}</i>", stretch.name), &stretch.figures);
    }
    if let Some(control) = &report.control {
        row(out, "control, base", &control.base);
        row(out, "control, burst", &control.burst);
    }
    out.push_str("</table></div>");
}

fn integrity(out: &mut String, report: &Report) {
    let seen = &report.integrity;
    let rows = [
        ("trades acknowledged", seen.acknowledged),
        ("trades in the log", seen.logged),
        ("missing", seen.missing),
        ("extra", seen.extra),
        ("positions recomputed", seen.positions),
        ("lots recomputed", seen.lots),
        ("wrong positions", seen.wrong_positions),
        ("contradictory answers", seen.wrong_answers),
        ("acknowledged before logged", seen.acknowledged_early),
    ];
    table(out, &rows);
    list(out, "bad", &seen.examples);
}

fn table(out: &mut String, rows: &[(&str, u64)]) {
    out.push_str("<table>");
    for (name, value) in rows {
        let _ = write!(out, "<tr><td>{name}</td><td>{}</td></tr>", grouped(*value));
    }
    out.push_str("</table>");
}

fn counts(out: &mut String, report: &Report) {
    let counts = &report.counts;
    let rows = [
        ("sent", counts.sent),
        ("acknowledged", counts.acknowledged),
        ("of these applied", counts.applied),
        ("of these provisional", counts.provisional),
        ("of these kept for a later date", counts.forward),
        ("backdated, sent", counts.backdated_sent),
        ("duplicates, sent", counts.duplicates_sent),
        ("duplicates, answered as such", counts.duplicates),
        ("invalid, sent", counts.invalid_sent),
        ("invalid, refused", counts.invalid_refused),
        ("valid, refused", counts.refused_valid),
        ("not answered", counts.unanswered),
    ];
    table(out, &rows);
    if !report.invalid_classes.is_empty() {
        section(out, "Planted invalid messages", "");
        out.push_str("<table><tr><th>class</th><th>sent</th><th>refused as expected</th><th>accepted</th></tr>");
        for class in &report.invalid_classes {
            let _ = write!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                class.name, class.sent, class.refused_as_expected, class.accepted
            );
        }
        out.push_str("</table>");
    }
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settle::latency_histogram;

    #[test]
    fn the_page_stands_alone() {
        let mut report = report::tests::good();
        report.reasons.push("a <b> & \"c\"".into());
        let mut latency = latency_histogram();
        (1..=100_000u64).for_each(|value| latency.record(value * 1000).unwrap());
        let page = html(&report, &latency, Some(&latency));
        assert!(page.starts_with("<!doctype html>"));
        assert_eq!(page.matches("<svg").count(), 3);
        for outside in ["http:", "https:", "<script", "<link", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("a &lt;b&gt; &amp; &quot;c&quot;"));
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn an_empty_run_draws_as_well() {
        let mut report = report::tests::good();
        report.intervals.clear();
        assert!(!html(&report, &latency_histogram(), None).contains("NaN"));
    }
}
