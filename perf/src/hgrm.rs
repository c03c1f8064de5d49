//! The percentile table that HdrHistogram's plotters read (`.hgrm`), in microseconds.

use hdrhistogram::Histogram;
use std::fmt::Write;

const TICKS_PER_HALF: u32 = 5;

/// The table of `latency` (nanoseconds).
pub fn text(latency: &Histogram<u64>) -> String {
    let mut out = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in latency.iter_quantiles(TICKS_PER_HALF) {
        let quantile = step.quantile_iterated_to();
        let upto = step.value_iterated_to();
        total += step.count_since_last_iteration();
        let value = upto as f64 / 1000.0;
        // Writing to a string cannot fail.
        let _ = if quantile < 1.0 {
            writeln!(out, "{value:12.3} {quantile:2.12} {total:10} {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {total:10}")
        };
    }
    let micros = |value: f64| value / 1000.0;
    let _ = writeln!(
        out,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        micros(latency.mean()),
        micros(latency.stdev())
    );
    let _ = writeln!(out, "#[Max     = {:12.3}, Total count    = {:12}]", micros(latency.max() as f64), latency.len());
    let _ = writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", latency.buckets(), 2048);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_the_maximum_with_every_count() {
        let mut latency = crate::settle::latency_histogram();
        for value in 1..=10_000u64 {
            latency.record(value * 1000).unwrap();
        }
        let text = text(&latency);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("Value") && !line.trim().is_empty())
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.len() > 20);
        assert!(rows.windows(2).all(|pair| pair[0][1] <= pair[1][1] && pair[0][2] <= pair[1][2]));
        assert_eq!(rows.last().unwrap()[2], 10_000.0);
        assert!((rows.last().unwrap()[0] - 10_000.0).abs() < 10.0);
        assert!(text.contains("Total count    =        10000"));
    }
}
