//! A plot as SVG: axes with ticks, curves, and points that tell their values when a pointer is on them.

use std::fmt::Write as _;

use super::super::figure::significant;
use super::escape;

/// Colours that there are, as the style names them.
pub(super) const COLORS: usize = 8;

/// The most points of a curve; where there are more, the highest of each few stands for them.
pub(super) const POINTS_MAX: usize = 600;

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// One curve.
pub(super) struct Curve {
    /// What it is called.
    pub(super) name: String,
    /// Which of the colours it has.
    pub(super) color: usize,
    /// Where it goes, by rising x, in nanoseconds of y.
    pub(super) points: Vec<(f64, f64)>,
    /// From which x on there is too little to be sure of it.
    pub(super) sure_to: f64,
}

/// A plot of times over something.
pub(super) struct Plot {
    /// What x is.
    pub(super) x_name: &'static str,
    /// Where x has a tick, and what stands there.
    pub(super) x_ticks: Vec<(f64, String)>,
    /// How a point's x is told.
    pub(super) x_shown: fn(f64) -> String,
    /// The curves.
    pub(super) curves: Vec<Curve>,
    /// A place that is marked, and what it is.
    pub(super) mark: Option<(f64, String)>,
}

impl Plot {
    /// The plot with its legend; nothing where there is nothing to see.
    pub(super) fn svg(mut self, label: &str) -> String {
        for curve in &mut self.curves {
            curve.points.retain(|(x, y)| x.is_finite() && *y > 0.0);
            curve.points = thin(&curve.points);
        }
        self.curves.retain(|curve| !curve.points.is_empty());
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let fold = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (mut x_low, mut x_high) = fold(&mut points().map(|(x, _)| *x));
        let (y_low, y_high) = fold(&mut points().map(|(_, y)| *y));
        if !x_low.is_finite() {
            return String::new();
        }
        if x_low == x_high {
            (x_low, x_high) = (x_low - 0.5, x_high + 0.5);
        }
        let y_ticks = log_ticks(y_low, y_high);
        let (bottom, top) = (y_ticks[0].ln(), y_ticks[y_ticks.len() - 1].ln());
        let x = |value: f64| LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - (value.ln() - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#, escape(label));
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &y_ticks {
            let at = y(*tick);
            let _ = write!(svg, r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}"/>"#);
            let shown = significant(*tick, 1);
            let _ = write!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{shown}</text>"#, LEFT - 8.0, at + 4.0);
        }
        for (value, shown) in self.x_ticks.iter().filter(|(value, _)| (x_low..=x_high).contains(value)) {
            let at = x(*value);
            let _ = write!(svg, r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{floor}"/>"#);
            let _ =
                write!(svg, r#"<text x="{at:.1}" y="{}" text-anchor="middle">{}</text>"#, floor + 18.0, escape(shown));
        }
        let middle = (LEFT + right) / 2.0;
        let _ = write!(svg, r#"<text x="{middle}" y="{}" text-anchor="middle">{}</text>"#, HEIGHT - 6.0, self.x_name);
        if let Some((value, shown)) = &self.mark {
            let at = x(*value);
            let _ = write!(svg, r#"<line class="mark" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{floor}"/>"#);
            let (anchor, aside) = if at > middle { ("end", -6.0) } else { ("start", 6.0) };
            let (left, shown) = (at + aside, escape(shown));
            let _ = write!(svg, r#"<text x="{left:.1}" y="{}" text-anchor="{anchor}">{shown}</text>"#, TOP + 12.0);
        }
        for curve in &self.curves {
            let color = curve.color % COLORS;
            let sure = curve.points.iter().take_while(|(x, _)| *x <= curve.sure_to).count();
            // The second part begins where the first one ends.
            let parts = [(&curve.points[..sure], "curve"), (&curve.points[sure.saturating_sub(1)..], "curve unsure")];
            for (points, class) in parts.into_iter().filter(|(points, _)| points.len() > 1) {
                let points: Vec<String> =
                    points.iter().map(|(at, nanos)| format!("{:.1},{:.1}", x(*at), y(*nanos))).collect();
                let points = points.join(" ");
                let _ = write!(svg, r#"<polyline class="{class}" style="stroke:var(--c{color})" points="{points}"/>"#);
            }
            for (at, nanos) in &curve.points {
                let (left, height) = (x(*at), y(*nanos));
                let shown = format!("{}, {}: {}", curve.name, (self.x_shown)(*at), significant(*nanos, 4));
                // A curve of a single point is nothing but that.
                let class = if curve.points.len() > 1 { "hit" } else { "" };
                let _ = write!(
                    svg,
                    r#"<circle class="{class}" style="fill:var(--c{color})" cx="{left:.1}" cy="{height:.1}" r="4"><title>{}</title></circle>"#,
                    escape(&shown)
                );
            }
        }
        svg.push_str("</svg>\n<p class=\"legend\">");
        for curve in &self.curves {
            let (color, name) = (curve.color % COLORS, escape(&curve.name));
            let _ = write!(svg, r#"<span><i style="background:var(--c{color})"></i>{name}</span>"#);
        }
        svg.push_str("</p>\n");
        svg
    }
}

fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS_MAX).max(1);
    points.chunks(each).filter_map(|few| few.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))).collect()
}

/// Ticks at 1, 2 and 5 times powers of ten that enclose what there is; over many decades the powers alone.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let factors: &[f64] = if high / low > 1e3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let all: Vec<f64> =
        powers.flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power))).collect();
    let first = all.iter().rposition(|tick| *tick <= low * 1.000_001).unwrap_or(0);
    let last = all.iter().position(|tick| *tick >= high * 0.999_999).unwrap_or(all.len() - 1);
    // What lies on a tick has a neighbour all the same.
    all[first..=last.max(first + 1).min(all.len() - 1)].to_vec()
}

/// Some eight ticks at round numbers.
pub(super) fn linear_ticks(low: f64, high: f64, shown: fn(f64) -> String) -> Vec<(f64, String)> {
    let rough = (high - low) / 8.0;
    if !rough.is_finite() || rough <= 0.0 {
        return vec![(low, shown(low))];
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil();
    (0..20)
        .map(|at| (first + f64::from(at)) * step)
        .filter(|tick| *tick <= high * 1.000_001)
        .map(|tick| (tick, shown(tick)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_enclose_what_there_is() {
        assert_eq!(log_ticks(1_500.0, 4_000.0), [1_000.0, 2_000.0, 5_000.0]);
        assert_eq!(log_ticks(1_000.0, 1_000.0), [1_000.0, 2_000.0]);
        assert_eq!(log_ticks(900.0, 60_000_000_000.0).first(), Some(&100.0));
        let values =
            |low, high| linear_ticks(low, high, |_| String::new()).into_iter().map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(values(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(values(3.0, 3.0), [3.0]);
    }

    #[test]
    fn many_points_become_few_and_the_highest_stay() {
        let points: Vec<_> = (0..100_000).map(|at| (f64::from(at), if at == 77_777 { 9.0 } else { 1.0 })).collect();
        let few = thin(&points);
        assert!(few.len() <= POINTS_MAX);
        assert!(few.contains(&(77_777.0, 9.0)));
    }

    #[test]
    fn a_curve_of_nothing_is_no_plot() {
        let curve = Curve { name: "x".into(), color: 0, points: vec![(1.0, 0.0), (f64::NAN, 1.0)], sure_to: 1.0 };
        let plot = Plot { x_name: "x", x_ticks: vec![], x_shown: |_| String::new(), curves: vec![curve], mark: None };
        assert_eq!(plot.svg("nothing"), "");
    }
}
