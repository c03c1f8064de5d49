//! Line charts as inline SVG: no script, no font, no network. Colours are CSS variables of the page, so that light and dark both read well.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 42.0;

/// How values become distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten.
    Log,
}

/// A tick and its words.
pub type Tick = (f64, String);

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name for the legend.
    pub name: &'static str,
    /// CSS class, which gives the colour.
    pub class: &'static str,
    /// Points, x ascending.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows, for those who cannot see it.
    pub title: &'static str,
    /// Below the x axis.
    pub x_label: &'static str,
    /// Scale of x.
    pub x_scale: Scale,
    /// Scale of y.
    pub y_scale: Scale,
    /// Ticks of x; none: even ones.
    pub x_ticks: Vec<Tick>,
    /// Words for a y value.
    pub y_words: fn(f64) -> String,
    /// Stretches of x to shade.
    pub shaded: Vec<(f64, f64)>,
    /// The lines.
    pub series: Vec<Series>,
}

/// Maps a range of values to a range of pixels.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        self.from + share * (self.to - self.from)
    }
}

fn range(values: impl Iterator<Item = f64> + Clone, scale: Scale) -> (f64, f64) {
    let high = values.clone().fold(0.0, f64::max);
    match scale {
        Scale::Linear => (0.0, if high > 0.0 { nice_above(high) } else { 1.0 }),
        Scale::Log => {
            let low = values.filter(|&value| value > 0.0).fold(f64::MAX, f64::min);
            if high <= 0.0 {
                return (1.0, 10.0);
            }
            let low = 10f64.powf(low.log10().floor());
            (low, 10f64.powf(high.log10().ceil()).max(low * 10.0))
        }
    }
}

/// The next of 1, 2, 5 times a power of ten, or a simple multiple of it.
fn nice_above(value: f64) -> f64 {
    let step = nice_step(value);
    (value / step).ceil() * step
}

fn nice_step(high: f64) -> f64 {
    let raw = high / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    let lead = raw / power;
    power
        * if lead <= 1.0 {
            1.0
        } else if lead <= 2.0 {
            2.0
        } else if lead <= 5.0 {
            5.0
        } else {
            10.0
        }
}

fn ticks(low: f64, high: f64, scale: Scale) -> Vec<f64> {
    match scale {
        Scale::Linear => {
            let step = nice_step(high - low);
            let count = ((high - low) / step).round() as usize;
            (0..=count).map(|at| low + at as f64 * step).collect()
        }
        Scale::Log => {
            let mut ticks = Vec::new();
            let mut value = low;
            while value <= high * 1.000_001 {
                ticks.push(value);
                value *= 10.0;
            }
            ticks
        }
    }
}

impl Chart {
    /// The chart as an `<svg>` element with its legend below.
    pub fn svg(&self) -> String {
        let points = self.series.iter().flat_map(|series| series.points.iter());
        let (y_low, y_high) = range(points.clone().map(|point| point.1), self.y_scale);
        let (mut x_low, mut x_high) = range(points.map(|point| point.0), self.x_scale);
        if let (Some(first), Some(last)) = (self.x_ticks.first(), self.x_ticks.last()) {
            (x_low, x_high) = (first.0, last.0);
        }
        let x = Axis { scale: self.x_scale, low: x_low, high: x_high, from: LEFT, to: WIDTH - RIGHT };
        let y = Axis { scale: self.y_scale, low: y_low, high: y_high, from: HEIGHT - BOTTOM, to: TOP };
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\"><title>{}</title>",
            self.title, self.title
        );
        for &(from, to) in &self.shaded {
            let (from, to) = (x.at(from), x.at(to));
            let _ = write!(
                out,
                "<rect class=\"shade\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                to - from,
                HEIGHT - BOTTOM - TOP
            );
        }
        for tick in ticks(y_low, y_high, self.y_scale) {
            let at = y.at(tick);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0,
                (self.y_words)(tick)
            );
        }
        let x_ticks = if self.x_ticks.is_empty() {
            ticks(x_low, x_high, self.x_scale).into_iter().map(|tick| (tick, trimmed(tick))).collect()
        } else {
            self.x_ticks.clone()
        };
        for (tick, words) in x_ticks {
            let at = x.at(tick);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/><text x=\"{at:.1}\" y=\"{:.1}\" class=\"mid\">{words}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 17.0
            );
        }
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"mid label\">{}</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT - 6.0,
            self.x_label
        );
        for series in &self.series {
            let mut path = String::new();
            for &(value_x, value_y) in &series.points {
                let _ = write!(path, "{:.1},{:.1} ", x.at(value_x), y.at(value_y));
            }
            let _ = write!(out, "<polyline class=\"line {}\" points=\"{}\"/>", series.class, path.trim_end());
        }
        out.push_str("</svg>");
        if self.series.len() > 1 {
            out.push_str("<div class=\"legend\">");
            for series in &self.series {
                let _ = write!(out, "<span><i class=\"{}\"></i>{}</span>", series.class, series.name);
            }
            out.push_str("</div>");
        }
        out
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        assert_eq!(
            ticks(0.0, nice_above(93_000.0), Scale::Linear),
            [0.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0, 100_000.0]
        );
        assert_eq!(range([40.0, 7_000.0].into_iter(), Scale::Log), (10.0, 10_000.0));
        assert_eq!(ticks(10.0, 10_000.0, Scale::Log).len(), 4);
        assert_eq!(range([0.0].into_iter(), Scale::Linear), (0.0, 1.0));
        assert_eq!(range([0.0].into_iter(), Scale::Log), (1.0, 10.0));
        assert_eq!((trimmed(10.0), trimmed(2.5)), ("10".into(), "2.5".into()));
    }

    #[test]
    fn points_stay_inside_the_frame() {
        let chart = Chart {
            title: "t",
            x_label: "s",
            x_scale: Scale::Linear,
            y_scale: Scale::Log,
            x_ticks: vec![],
            y_words: trimmed,
            shaded: vec![(1.0, 2.0)],
            series: vec![Series { name: "a", class: "c1", points: vec![(0.0, 0.0), (1.0, 5.0), (3.0, 5_000.0)] }],
        };
        let svg = chart.svg();
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x.parse().unwrap()), "{point}");
            assert!((TOP..=HEIGHT - BOTTOM).contains(&y.parse().unwrap()), "{point}");
        }
        assert!(svg.starts_with("<svg") && !svg.contains("NaN"));
    }
}
