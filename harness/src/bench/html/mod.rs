//! A benchmark as one page of HTML that needs nothing else: no network, no script, in light and dark.
//!
//! Each figure of a plot is told where a pointer rests on it. What the figures mean is told by docs/bench.md.

mod plot;

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use self::plot::{COLORS, Curve, Plot, linear_ticks};
use super::figure::{rate, seconds, share, significant, time, time_or_none};
use super::knee::knee;
use super::measure::Measured;
use super::outcome::{Bench, Mode, Outcome, Slice};
use super::quantiles::BEYOND_MIN;
use crate::report::text::{count, number};

const STYLE: &str = include_str!("style.css");

/// The most results that have a plot over time of their own.
const TIMELINES_MAX: usize = 12;

/// The most warnings that are shown without being asked for.
const WARNINGS_OPEN_MAX: usize = 5;

/// Points of a percentile curve between two halvings of what is above it.
const TICKS_PER_HALF: u32 = 8;

/// A figure's name and where it is found; `None` where there is none.
type Figure<T> = (&'static str, fn(&T) -> Option<u64>);

/// The page. The measurements are those of the results, in their order.
pub fn page(bench: &Bench, measured: &[&Measured]) -> String {
    let scenario = escape(&bench.scenario);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{scenario}: benchmark</title>\n<style>\n{STYLE}</style>\n<h1>{scenario}</h1>\n"
    );
    environment(&mut page, bench);
    let mut cases: Vec<&str> = bench.results.iter().map(|outcome| outcome.case.as_str()).collect();
    cases.dedup();
    for case in cases {
        let pairs = || bench.results.iter().zip(measured).filter(|(outcome, _)| outcome.case == case);
        let outcomes: Vec<&Outcome> = pairs().map(|(outcome, _)| outcome).collect();
        let _ = writeln!(page, "<h2>{}</h2>", escape(case));
        remarks(&mut page, &outcomes);
        let rates: Vec<Outcome> =
            outcomes.iter().filter(|outcome| outcome.asked_per_s.is_some()).map(|outcome| (*outcome).clone()).collect();
        let is_sweep = rates.len() > 1 && rates.len() == outcomes.len();
        let knee = if is_sweep && rates[0].mode != Mode::Find { knee(&rates) } else { None };
        table(&mut page, &outcomes, knee);
        warnings(&mut page, &outcomes);
        if is_sweep {
            page.push_str(&sweep(&rates, knee));
        }
        let curves: Vec<(&Outcome, &Histogram<u64>)> =
            pairs().map(|(outcome, measured)| (outcome, &measured.total.latency)).collect();
        page.push_str(&percentiles(&curves, knee));
        for outcome in outcomes.iter().filter(|outcome| outcome.intervals.len() > 1).take(TIMELINES_MAX) {
            page.push_str(&timeline(outcome, outcomes.len() > 1));
        }
    }
    page.push_str("</html>\n");
    page
}

fn environment(page: &mut String, bench: &Bench) {
    let e = &bench.environment;
    let cores = count(e.cores.len() as u64, "core");
    let machine = if e.virtual_machine { ", a virtual machine" } else { "" };
    let line = format!(
        "{cores} of {}{machine}; Linux {}, clock {}, idle {}; TCP {}; others used {}, steal {}",
        e.processor,
        e.kernel,
        e.clock,
        e.idle,
        e.congestion_control,
        share(e.others),
        share(e.steal)
    );
    let command: Vec<String> = bench.command.iter().map(|word| crate::report::text::shell_word(word)).collect();
    let when =
        jiff::Timestamp::from_nanosecond(i128::from(bench.unix_ns)).map(|at| at.strftime("%F %T UTC").to_string());
    let _ = writeln!(page, "<p class=\"dim\">{}</p>", escape(&line));
    let when = when.unwrap_or_default();
    let _ = writeln!(
        page,
        "<p class=\"dim\"><code>{}</code> with harness {}, {when}</p>",
        escape(&command.join(" ")),
        escape(&bench.harness)
    );
    if let Some(found) = &bench.found {
        let objective = escape(&found.objective);
        let text = match found.rate_per_s {
            Some(held) => format!("<p class=\"good\">{objective} holds up to {}/s</p>", rate(held)),
            None => format!("<p class=\"bad\">{objective} does not hold at any rate that was tried</p>"),
        };
        let _ = writeln!(page, "{text}");
    }
}

/// What a reader has to know before he believes a figure.
fn remarks(page: &mut String, outcomes: &[&Outcome]) {
    let is_closed = outcomes.iter().any(|outcome| outcome.arrivals.is_none());
    page.push_str(match is_closed {
        true => {
            "<p class=\"dim\">A connection waits for its answer before it asks again, so a slow server is asked less often: \
             not an open-loop latency.</p>\n"
        }
        false => "<p class=\"dim\">Latency counts from when an iteration was due.</p>\n",
    });
    for outcome in outcomes {
        let label = if outcomes.len() > 1 { format!("{}: ", outcome.label()) } else { String::new() };
        for why in &outcome.invalid {
            let _ = writeln!(page, "<p class=\"bad\">invalid: {}{}</p>", escape(&label), escape(why));
        }
        for judged in &outcome.thresholds {
            let (class, held) = if judged.held { ("good", "held") } else { ("bad", "not held") };
            let (label, text, shown) = (escape(&label), escape(&judged.text), escape(&judged.shown));
            let _ = writeln!(page, "<p class=\"{class}\">{held}: {label}{text}, it is {shown}</p>");
        }
    }
}

/// What a reader should know besides.
fn warnings(page: &mut String, outcomes: &[&Outcome]) {
    let label = |outcome: &Outcome| if outcomes.len() > 1 { format!("{}: ", outcome.label()) } else { String::new() };
    let lines = |outcome: &Outcome| -> Vec<String> {
        outcome.warnings.iter().map(|warning| label(outcome) + warning).collect()
    };
    let lines: Vec<String> = outcomes.iter().flat_map(|outcome| lines(outcome)).collect();
    let many = lines.len() > WARNINGS_OPEN_MAX;
    if many {
        let _ = writeln!(page, "<details><summary>{}</summary>", count(lines.len() as u64, "warning"));
    }
    for line in lines {
        let _ = writeln!(page, "<p class=\"dim\">{}</p>", escape(&line));
    }
    page.push_str(if many { "</details>\n" } else { "" });
}

fn table(page: &mut String, outcomes: &[&Outcome], knee: Option<usize>) {
    page.push_str("<div class=\"wide\"><table><tr><th>load<th>rate");
    page.push_str(
        "<th>min<th>mean<th>p50<th>p90<th>p99<th>p99.9<th>p99.99<th>max<th>late p99<th>failed<th>× floor</tr>\n",
    );
    for (at, outcome) in outcomes.iter().enumerate() {
        let q = &outcome.latency_ns;
        let told = |nanos: f64| if q.count > 0 { time(nanos) } else { "n/a".to_owned() };
        let floor = outcome.floor.as_ref().and_then(|floor| floor.ratio);
        let cells = [
            format!("{}/s", rate(outcome.rate_per_s)),
            told(q.min as f64),
            told(q.mean),
            time_or_none(q.p50),
            time_or_none(q.p90),
            time_or_none(q.p99),
            time_or_none(q.p999),
            time_or_none(q.p9999),
            told(q.max as f64),
            if outcome.arrivals.is_some() { time_or_none(outcome.lateness_ns.p99) } else { "–".into() },
            number(outcome.failed),
            floor.map_or_else(|| "–".to_owned(), rate),
        ];
        let class = if knee == Some(at) {
            " class=\"knee\""
        } else if !outcome.valid {
            " class=\"bad\""
        } else {
            ""
        };
        let mark = if knee == Some(at) { " (knee)" } else { "" };
        let _ = write!(page, "<tr{class}><td>{}{mark}", escape(&outcome.label()));
        cells.iter().for_each(|cell| {
            let _ = write!(page, "<td>{cell}");
        });
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

/// Latency over the part of all samples that are slower: each step to the right is ten times as rare.
fn percentiles(results: &[(&Outcome, &Histogram<u64>)], knee: Option<usize>) -> String {
    let chosen = choose(results.len(), knee);
    let mut rarest = 1.0_f64;
    let mut curves = Vec::new();
    for (color, at) in chosen.iter().enumerate() {
        let (outcome, latency) = results[*at];
        let len = latency.len() as f64;
        let points = latency.iter_quantiles(TICKS_PER_HALF).filter(|_| !latency.is_empty()).map(|point| {
            // The last sample of all is one in as many as there are.
            let above = (1.0 - point.quantile_iterated_to()).max(1.0 / len);
            (-above.log10(), point.value_iterated_to() as f64)
        });
        let points: Vec<(f64, f64)> = points.collect();
        rarest = points.last().map_or(rarest, |(x, _)| rarest.max(*x));
        let sure_to = (len / BEYOND_MIN).max(1.0).log10();
        curves.push(Curve { name: outcome.label(), color, points, sure_to });
    }
    let percent = |x: f64| {
        // 99.9 and not 99.90000001.
        let nines = (x.ceil() as usize).saturating_sub(2);
        let shown = format!("{:.*}", nines + 1, (1.0 - 10_f64.powf(-x)) * 100.0);
        format!("p{}", shown.trim_end_matches('0').trim_end_matches('.'))
    };
    let mut x_ticks = vec![(0.0, "0".to_owned()), (0.5_f64.log10().abs(), "p50".to_owned())];
    x_ticks.extend((1..=rarest.ceil() as i32).map(|power| (f64::from(power), percent(f64::from(power)))));
    let plot = Plot {
        x_name: "percentile of latency; dashed where fewer than 10 samples lie beyond",
        x_ticks,
        x_shown: percent,
        curves,
        mark: None,
    };
    plot.svg("latency by percentile")
}

/// At most as many results as there are colours, over all of them, and the one at the knee.
fn choose(len: usize, knee: Option<usize>) -> Vec<usize> {
    let mut chosen: Vec<usize> = match len {
        ..=COLORS => (0..len).collect(),
        _ => (0..COLORS).map(|at| at * (len - 1) / (COLORS - 1)).collect(),
    };
    if let Some(knee) = knee.filter(|knee| !chosen.contains(knee)) {
        let nearest = (1..chosen.len() - 1).min_by_key(|at| chosen[*at].abs_diff(knee)).unwrap_or(0);
        chosen[nearest] = knee;
    }
    chosen
}

fn sweep(rates: &[Outcome], knee: Option<usize>) -> String {
    let asked = |outcome: &Outcome| outcome.asked_per_s.unwrap_or_default();
    let mut by_rate: Vec<&Outcome> = rates.iter().collect();
    by_rate.sort_by(|one, other| asked(one).total_cmp(&asked(other)));
    let (low, high) = (asked(by_rate[0]), asked(by_rate[by_rate.len() - 1]));
    let figures: [Figure<Outcome>; 4] = [
        ("p50", |outcome| outcome.latency_ns.p50),
        ("p99", |outcome| outcome.latency_ns.p99),
        ("p99.9", |outcome| outcome.latency_ns.p999),
        ("max", |outcome| (outcome.latency_ns.count > 0).then_some(outcome.latency_ns.max)),
    ];
    let curve = |(color, (name, figure)): (usize, Figure<Outcome>)| Curve {
        name: name.to_owned(),
        color,
        points: by_rate.iter().filter_map(|outcome| Some((asked(outcome), figure(outcome)? as f64))).collect(),
        sure_to: f64::INFINITY,
    };
    let plot = Plot {
        x_name: "iterations asked for, a second",
        x_ticks: linear_ticks(low, high, rate),
        x_shown: |x| format!("{}/s", rate(x)),
        curves: figures.into_iter().enumerate().map(curve).collect(),
        mark: knee.map(|at| (asked(&rates[at]), format!("knee: {}/s", rate(asked(&rates[at]))))),
    };
    plot.svg("latency by rate")
}

fn timeline(outcome: &Outcome, is_named: bool) -> String {
    let figures: [Figure<Slice>; 3] =
        [("p50", |slice| Some(slice.p50)), ("p99", |slice| Some(slice.p99)), ("max", |slice| Some(slice.max))];
    let curve = |(color, (name, figure)): (usize, Figure<Slice>)| Curve {
        name: name.to_owned(),
        color,
        points: outcome
            .intervals
            .iter()
            .filter_map(|slice| Some((slice.t_s + slice.length_s / 2.0, figure(slice)? as f64)))
            .collect(),
        sure_to: f64::INFINITY,
    };
    let plot = Plot {
        x_name: "seconds since it began to count",
        x_ticks: linear_ticks(0.0, outcome.duration_s, |x| {
            significant(x * 1e9, 3).replace(".00s", "s").replace(".0s", "s")
        }),
        x_shown: seconds,
        curves: figures.into_iter().enumerate().map(curve).collect(),
        mark: None,
    };
    let drawn = plot.svg(&format!("latency over time, {}", outcome.label()));
    let title =
        if is_named && !drawn.is_empty() { format!("<p>{}</p>\n", escape(&outcome.label())) } else { String::new() };
    title + &drawn
}

/// Text that is nothing but text.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{bench, measured, outcome, plan, sweep, with};
    use super::*;

    #[test]
    fn a_page_needs_nothing_else_and_obeys_nobody() {
        let mut hostile = outcome(|_, _| (), |_| ());
        hostile.case = "<script>alert(1)</script>".into();
        hostile.warnings = vec!["\"><img src=x onerror=alert(1)>".into()];
        let page = page(&bench(vec![hostile]), &[&measured(&plan())]);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
        assert!(!page.contains("<img") && !page.contains("http://") && !page.contains("https://"), "{page}");
    }

    #[test]
    fn a_sweep_has_its_plot_with_the_knee() {
        let rows = sweep(&[67, 68, 72, 107, 431, 501]);
        let all: Vec<Measured> = rows.iter().map(|_| measured(&plan())).collect();
        let page = page(&bench(rows), &all.iter().collect::<Vec<_>>());
        assert!(page.contains("latency by rate") && page.contains("knee: 200,000/s"), "{page}");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn nothing_measured_is_a_page_without_plots() {
        let nothing = outcome(|_, _| (), |tally| with::latencies(tally, []));
        let mut counted = measured(&plan());
        with::latencies(&mut counted.total, []);
        let page = page(&bench(vec![nothing]), &[&counted]);
        assert!(page.contains("no iteration ended as it should") && !page.contains("<svg"), "{page}");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }

    #[test]
    fn of_many_results_some_are_drawn_and_the_knee_is_among_them() {
        assert_eq!(choose(3, Some(1)), [0, 1, 2]);
        let chosen = choose(100, Some(50));
        assert_eq!((chosen.len(), chosen[0], chosen[COLORS - 1]), (COLORS, 0, 99));
        assert!(chosen.contains(&50) && chosen.is_sorted(), "{chosen:?}");
    }
}
