//! Charts as SVG: lines over a linear axis below and a linear or logarithmic one beside it.
//!
//! Colours come from classes, so that the page decides them for light and dark.

use std::fmt::Write as _;

use super::html::escaped;
use super::number::measured;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
/// Room for the axes: left, right, top, bottom.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 36.0;
/// Most points of a line; of more that fall together the largest is drawn.
const POINTS_MAX: usize = 600;

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// Class of its colour: `c1` to `c4`.
    pub(crate) class: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether each point gets a dot.
    pub(crate) dots: bool,
}

/// A chart.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) x_label: &'static str,
    pub(crate) y_label: &'static str,
    /// Powers of ten beside it instead of equal steps; values must be positive.
    pub(crate) is_log: bool,
    pub(crate) series: Vec<Series>,
    /// A line across with its text.
    pub(crate) mark: Option<(f64, String)>,
}

/// From values to places.
struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    fn place(&self, value: f64) -> f64 {
        let (low, high, value) = match self.is_log {
            true => (
                self.low.log10(),
                self.high.log10(),
                value.max(self.low).log10(),
            ),
            false => (self.low, self.high, value),
        };
        let part = (value - low) / (high - low).max(f64::MIN_POSITIVE);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Values beside which something is written.
    fn ticks(&self) -> Vec<f64> {
        match self.is_log {
            true => log_ticks(self.low, self.high),
            false => linear_ticks(self.high),
        }
    }
}

/// 1, 2 or 5 times a power of ten, about five of them, up to `high`.
fn linear_ticks(high: f64) -> Vec<f64> {
    let step = nice(high / 5.0);
    let count = (high / step + 1e-9).floor().clamp(0.0, 20.0) as u32;
    (0..=count).map(|index| f64::from(index) * step).collect()
}

/// The least of 1, 2, 5 times a power of ten that is not smaller.
fn nice(number: f64) -> f64 {
    let power = 10_f64.powf(number.max(1e-9).log10().floor());
    let found = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let fits = found.iter().find(|nice| **nice >= number * (1.0 - 1e-9));
    *fits.unwrap_or(&found[3])
}

fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let first = low.log10().round() as i32;
    let last = high.log10().round() as i32;
    (first..=last).map(|power| 10_f64.powi(power)).collect()
}

/// Fewer points, the largest of each part, so that no peak is lost.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS_MAX).max(1);
    let largest = |part: &[(f64, f64)]| part.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(size).filter_map(largest).collect()
}

impl Chart {
    fn scales(&self) -> (Scale, Scale) {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(0.0, f64::max);
        let marked = self.mark.as_ref().map_or(0.0, |(at, _)| *at);
        let x_high = most(|point| point.0).max(marked).max(1e-6);
        let y_high = most(|point| point.1).max(1e-6) * 1.05;
        let (y_low, y_high) = match self.is_log {
            false => (0.0, y_high),
            true => {
                let positive = all().map(|point| point.1).filter(|value| *value > 0.0);
                let least = positive.fold(f64::INFINITY, f64::min).min(y_high).max(1e-3);
                let decade = |value: f64, round: fn(f64) -> f64| 10_f64.powf(round(value.log10()));
                let low = decade(least, f64::floor);
                (low, decade(y_high, f64::ceil).max(low * 10.0))
            }
        };
        let x = Scale {
            low: 0.0,
            high: x_high,
            is_log: false,
            from: LEFT,
            to: WIDTH - RIGHT,
        };
        let y = Scale {
            low: y_low,
            high: y_high,
            is_log: self.is_log,
            from: HEIGHT - BOTTOM,
            to: TOP,
        };
        (x, y)
    }

    /// The chart as an SVG element with a heading and a legend.
    pub(crate) fn draw(&self) -> String {
        let (x, y) = self.scales();
        let mut svg = String::new();
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            svg,
            "<figure>\n<figcaption>{} <span class=\"unit\">{}</span>",
            escaped(self.title),
            escaped(self.y_label)
        );
        for series in &self.series {
            let _ = write!(
                svg,
                " <span class=\"key {}\">{}</span>",
                series.class,
                escaped(series.name)
            );
        }
        let _ = writeln!(
            svg,
            "</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}, {}\">",
            escaped(self.title),
            escaped(self.y_label)
        );
        self.axes(&x, &y, &mut svg);
        for series in &self.series {
            line(series, &x, &y, &mut svg);
        }
        if let Some((at, text)) = &self.mark {
            let place = x.place(*at);
            let (anchor, shift) = if place > WIDTH / 2.0 {
                ("end", -4.0)
            } else {
                ("start", 4.0)
            };
            let _ = writeln!(
                svg,
                "<line class=\"mark\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                HEIGHT - BOTTOM,
                place + shift,
                TOP + 4.0,
                escaped(text)
            );
        }
        svg.push_str("</svg>\n</figure>\n");
        svg
    }

    fn axes(&self, x: &Scale, y: &Scale, svg: &mut String) {
        for tick in y.ticks() {
            let place = y.place(tick);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{place:.1}\" y2=\"{place:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                place + 4.0,
                tick_text(tick)
            );
        }
        for tick in x.ticks() {
            let place = x.place(tick);
            let _ = writeln!(
                svg,
                "<text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - BOTTOM + 16.0,
                tick_text(tick)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" class=\"unit\">{}</text>",
            WIDTH - RIGHT,
            HEIGHT - 4.0,
            escaped(self.x_label)
        );
    }
}

/// Ticks are round: no digits behind the point that say nothing.
fn tick_text(tick: f64) -> String {
    let text = measured(tick);
    match text.split_once('.') {
        Some((front, behind)) if behind.bytes().all(|digit| digit == b'0') => front.to_owned(),
        Some(_) => text.trim_end_matches('0').to_owned(),
        None => text,
    }
}

fn line(series: &Series, x: &Scale, y: &Scale, svg: &mut String) {
    let points = thinned(&series.points);
    let _ = write!(svg, "<polyline class=\"line {}\" points=\"", series.class);
    for (index, (at, value)) in points.iter().enumerate() {
        let between = if index > 0 { " " } else { "" };
        let _ = write!(svg, "{between}{:.1},{:.1}", x.place(*at), y.place(*value));
    }
    svg.push_str("\"/>\n");
    if !series.dots {
        return;
    }
    for (at, value) in points {
        let _ = writeln!(
            svg,
            "<circle class=\"dot {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}: {} at {}</title></circle>",
            series.class,
            x.place(at),
            y.place(value),
            escaped(series.name),
            measured(value),
            measured(at)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn ticks_are_round() {
        assert_eq!(linear_ticks(1_050.0), [0.0, 500.0, 1_000.0]);
        assert_eq!(linear_ticks(99.0), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(log_ticks(1.0, 1_000.0), [1.0, 10.0, 100.0, 1_000.0]);
        let texts = [0.0, 0.5, 0.01, 20.0, 12.5, 5_000.0].map(tick_text);
        assert_eq!(texts, ["0", "0.5", "0.01", "20", "12.5", "5,000"]);
    }

    #[test]
    fn no_peak_is_lost() {
        let points: Vec<(f64, f64)> = (0..10_000)
            .map(|at| (f64::from(at), if at == 7_777 { 9.0 } else { 1.0 }))
            .collect();
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS_MAX && thin.contains(&(7_777.0, 9.0)));
        assert_eq!(thinned(&points[..3]), points[..3]);
        assert!(thinned(&[]).is_empty());
    }

    #[test]
    fn a_chart_is_drawn() {
        let chart = Chart {
            title: "Rate",
            x_label: "s",
            y_label: "requests/s",
            is_log: false,
            series: vec![Series {
                name: "a<b",
                class: "c1",
                points: vec![(0.0, 0.0), (10.0, 100.0)],
                dots: false,
            }],
            mark: Some((5.0, "knee".to_owned())),
        };
        expect![[r#"
            <figure>
            <figcaption>Rate <span class="unit">requests/s</span> <span class="key c1">a&lt;b</span></figcaption>
            <svg viewBox="0 0 720 240" role="img" aria-label="Rate, requests/s">
            <line class="grid" x1="64" x2="692.0" y1="204.0" y2="204.0"/><text x="58.0" y="208.0" text-anchor="end">0</text>
            <line class="grid" x1="64" x2="692.0" y1="114.5" y2="114.5"/><text x="58.0" y="118.5" text-anchor="end">50</text>
            <line class="grid" x1="64" x2="692.0" y1="25.0" y2="25.0"/><text x="58.0" y="29.0" text-anchor="end">100</text>
            <text x="64.0" y="220.0" text-anchor="middle">0</text>
            <text x="189.6" y="220.0" text-anchor="middle">2</text>
            <text x="315.2" y="220.0" text-anchor="middle">4</text>
            <text x="440.8" y="220.0" text-anchor="middle">6</text>
            <text x="566.4" y="220.0" text-anchor="middle">8</text>
            <text x="692.0" y="220.0" text-anchor="middle">10</text>
            <text x="692.0" y="236.0" text-anchor="end" class="unit">s</text>
            <polyline class="line c1" points="64.0,204.0 692.0,25.0"/>
            <line class="mark" x1="378.0" x2="378.0" y1="16" y2="204.0"/><text x="374.0" y="20.0" text-anchor="end">knee</text>
            </svg>
            </figure>
        "#]].assert_eq(&chart.draw());
        let empty = Chart {
            series: Vec::new(),
            mark: None,
            is_log: true,
            ..chart
        };
        assert!(!empty.draw().contains("NaN"));
    }
}
