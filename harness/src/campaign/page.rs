//! A campaign as a page: what was covered over time, what was found, and what came of each mutator.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::schedule::Yield;
use super::state::{State, Summary};
use crate::mutator::MUTATORS;
use crate::text::count;

/// A moment of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// When, in seconds.
    pub seconds: f64,
    /// How many cases had been played.
    pub cases: u64,
    /// How many edges had been taken.
    pub edges: usize,
    /// How many states had been seen.
    pub states: usize,
}

/// The most moments that are kept; with more, every second one is dropped.
pub const POINTS_MAX: usize = 1_200;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 220.0;

/// The page. `why` says where the time went.
pub(super) fn page(summary: &Summary, state: &State, why: &str) -> String {
    let (points, yields, counts) = (state.points.as_slice(), state.schedule.yields(), &state.counts);
    let mut html = String::from(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>harness fuzz</title>\n<style>\nbody { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; \
         margin: 2rem auto; padding: 0 1rem }\ntable { border-collapse: collapse }\ntd, th { text-align: left; padding: 0.1rem 1rem 0.1rem 0 }\n\
         svg { background: #f6f6f6 }\n@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } svg { background: #222 } }\n</style>\n",
    );
    let _ = writeln!(
        html,
        "<h1>Fuzzing</h1>\n<p>{}, {}, {} in {:.1} s; {}; seed {}.</p>",
        count(summary.cases as usize, "case"),
        count(summary.sessions as usize, "connection"),
        count(summary.messages as usize, "message"),
        summary.seconds,
        edges(summary.edges, summary.edges_total),
        summary.seed
    );
    let since = counts.cases - counts.news_at.min(counts.cases);
    let each = counts.started.as_secs_f64() * 1e3 / counts.starts.max(1) as f64;
    let _ = writeln!(
        html,
        "<p>Of the time, {why}. The target was started {}, {each:.1} ms each; the last {} have shown nothing new; {} and {} of answers were told \
         apart.</p>",
        count(counts.starts as usize, "time"),
        count(since as usize, "case"),
        count(state.novelty.states(), "state"),
        count(state.novelty.answers(), "kind"),
    );
    html.push_str("<h2>Findings</h2>\n");
    if summary.findings.is_empty() {
        html.push_str("<p>None.</p>\n");
    } else {
        html.push_str("<table>\n<tr><th>bucket<th>kind<th>verdict<th>after<th>messages<th>bytes</tr>\n");
        for finding in &summary.findings {
            let _ = writeln!(
                html,
                "<tr><td><a href=\"findings/{0}/report.md\">{0}</a><td>{1}<td>{2:?}<td>{3:.1} s<td>{4}<td>{5}</tr>",
                escape(&finding.bucket),
                finding.kind.word(),
                finding.verdict,
                finding.seconds,
                finding.messages,
                finding.bytes
            );
        }
        html.push_str("</table>\n");
    }
    if summary.edges > 0 {
        html.push_str("<h2>Edges over time</h2>\n");
        html.push_str(&curve(points, |point| point.edges as f64));
    }
    html.push_str("<h2>States over time</h2>\n");
    html.push_str(&curve(points, |point| point.states as f64));
    html.push_str("<h2>Corpus</h2>\n<table>\n<tr><th>admitted by<th>cases</tr>\n");
    let mut admitted: BTreeMap<&str, usize> = BTreeMap::new();
    state.corpus.entries().iter().for_each(|entry| *admitted.entry(&entry.feedback).or_default() += 1);
    for (feedback, cases) in admitted {
        let _ = writeln!(html, "<tr><td>{}<td>{cases}</tr>", escape(feedback));
    }
    html.push_str("</table>\n");
    html.push_str("<h2>Mutators</h2>\n<table>\n<tr><th>name<th>level<th>cases<th>new</tr>\n");
    for (entry, Yield { tries, news }) in MUTATORS.iter().zip(yields) {
        let _ = writeln!(html, "<tr><td>{}<td>{}<td>{tries}<td>{news}</tr>", entry.name, entry.level);
    }
    html.push_str("</table>\n");
    html
}

/// How many edges were taken, and of how many.
pub(super) fn edges(taken: usize, total: Option<usize>) -> String {
    match total.filter(|total| *total > 0) {
        None => count(taken, "edge"),
        Some(total) => {
            let share = taken as f64 / total as f64 * 100.0;
            format!("{} of {} ({share:.0} %)", count(taken, "edge"), total)
        }
    }
}

fn curve(points: &[Point], of: fn(&Point) -> f64) -> String {
    let (Some(last), most) = (points.last(), points.iter().map(of).fold(1.0, f64::max)) else { return String::new() };
    let end = last.seconds.max(0.001);
    let place = |point: &Point| {
        format!("{:.1},{:.1}", point.seconds / end * WIDTH, HEIGHT - of(point) / most * (HEIGHT - 10.0))
    };
    let line: Vec<String> = points.iter().map(place).collect();
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"100%\"><polyline fill=\"none\" stroke=\"#3273dc\" stroke-width=\"2\" \
         points=\"{}\"/><text x=\"4\" y=\"14\" fill=\"#888\">{most}</text><text x=\"{:.0}\" y=\"{:.0}\" fill=\"#888\" \
         text-anchor=\"end\">{end:.0} s</text></svg>\n",
        line.join(" "),
        WIDTH - 4.0,
        HEIGHT - 4.0
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_told_with_how_many_there_are() {
        assert_eq!(edges(1, None), "1 edge");
        assert_eq!(edges(123, Some(741)), "123 edges of 741 (17 %)");
    }

    #[test]
    fn the_page_shows_the_curve_from_its_beginning_to_its_end() {
        let points = [Point::default(), Point { seconds: 2.0, cases: 9, edges: 50, states: 3 }];
        let text = curve(&points, |point| point.edges as f64);
        assert!(text.contains("points=\"0.0,220.0 760.0,10.0\""), "{text}");
        assert!(text.contains(">50<") && text.contains(">2 s<"), "{text}");
    }
}
