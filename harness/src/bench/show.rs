//! A result as a person reads it on a terminal, with what he needs to understand it.
//!
//! Everything fits 80 columns. Nothing is judged here: `judge` and `threshold` have done that.

use std::fmt::Write as _;

use anstyle::Style;

use super::compare::{Comparison, Unpaired, Verdict};
use super::environment::Environment;
use super::figure::{bytes_rate, rate, seconds, share, time, time_or_none};
use super::knee::knee;
use super::outcome::{Bench, Found, Mode, Outcome, Slice, Steady};
use super::quantiles::Quantiles;
use crate::event::TlsSession;
use crate::report::Look;
use crate::report::text::{count, cut, escape, number, pad, width};

/// Columns of what a line is about.
const LABEL: usize = 12;

/// Columns of a figure.
const FIGURE: usize = 8;

/// The percentiles of the table.
const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "p99.99"];

/// The share of all processors' time that others may use before figures suffer.
const OTHERS_MAX: f64 = 0.05;

/// A whole benchmark: the machine, and each result. Rates that were tried one after another are one table.
pub fn bench(bench: &Bench, look: Look) -> String {
    let mut page = Page::new(look);
    page.environment(&bench.environment);
    let is_row = |outcome: &Outcome| matches!(outcome.mode, Mode::Find | Mode::Ramp | Mode::Sweep);
    let same = |one: &Outcome, other: &Outcome| is_row(one) && one.mode == other.mode && one.case == other.case;
    for group in bench.results.chunk_by(same) {
        page.text.push('\n');
        match group {
            [outcome] if !is_row(outcome) => page.outcome(outcome),
            rows => page.rows(rows),
        }
    }
    if let Some(found) = &bench.found {
        page.found(found);
    }
    for comparison in &bench.comparisons {
        page.text.push('\n');
        page.comparison(comparison);
    }
    page.text
}

/// A comparison of two stored logs.
pub fn unpaired(series: &[Unpaired], look: Look) -> String {
    let mut page = Page::new(look);
    page.dim("unpaired", "drift not removed: what the machine did between the two is in the difference");
    for found in series {
        let _ = writeln!(page.text, "{}", page.styled(&escape(&found.tag), look.theme.strong));
        let percent = |ratio: f64| format!("{:+.2} %", (ratio - 1.0) * 100.0);
        let (p50, p99) = (percent(found.p50_ratio), percent(found.p99_ratio));
        let (style, word) = page.verdict(found.verdict);
        let rest = format!("p50 {p50} (p = {:.4}), p99 {p99} (p = {:.4})", found.p50_p_value, found.p99_p_value);
        page.line(word, style, &rest);
        let above = share(found.superiority);
        page.dim("", &format!("a sample of the second is above one of the first in {above} of all pairs of samples"));
    }
    page.text
}

/// One result.
pub fn outcome(outcome: &Outcome, look: Look) -> String {
    let mut page = Page::new(look);
    page.outcome(outcome);
    page.text
}

/// Distributions of which nothing is known but their names.
pub fn series(series: &[(String, Quantiles)], look: Look) -> String {
    let mut page = Page::new(look);
    page.heads();
    for (name, quantiles) in series {
        let name = escape(if name.is_empty() { "(no tag)" } else { name });
        if width(&name) < LABEL {
            page.distribution(&name, quantiles, look.theme.strong);
        } else {
            let _ = writeln!(page.text, "{}", page.styled(&name, look.theme.strong));
            page.distribution("", quantiles, Style::new());
        }
    }
    page.text
}

/// An interval in a line, for somebody who waits.
pub fn interval(slice: &Slice) -> String {
    let per_s = slice.iterations as f64 / slice.length_s.max(1e-9);
    let failed = if slice.failed > 0 { format!(", {} failed", number(slice.failed)) } else { String::new() };
    let [p50, p99, max] = [slice.p50, slice.p99, slice.max].map(|nanos| time(nanos as f64));
    format!("{:>6}  {}/s, p50 {p50}, p99 {p99}, max {max}{failed}", seconds(slice.t_s + slice.length_s), rate(per_s))
}

struct Page {
    text: String,
    look: Look,
}

impl Page {
    fn new(look: Look) -> Page {
        Page { text: String::new(), look }
    }

    fn styled(&self, text: &str, style: Style) -> String {
        format!("{}{text}{}", style.render(), style.render_reset())
    }

    /// A label and sentences behind it, which go on below each other.
    fn line(&mut self, label: &str, style: Style, rest: &str) {
        let label = self.styled(&pad(label, LABEL, false), style);
        let mut lines = wrap(rest, self.look.width - LABEL).into_iter();
        let _ = writeln!(self.text, "{label}{}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(self.text, "{}{line}", " ".repeat(LABEL));
        }
    }

    fn dim(&mut self, label: &str, rest: &str) {
        self.line(label, self.look.theme.dim, rest);
    }

    fn environment(&mut self, environment: &Environment) {
        let Environment { kernel, processor, cores, idle, virtual_machine, clock, .. } = environment;
        let machine = if *virtual_machine { ", a virtual machine" } else { "" };
        let cores = count(cores.len() as u64, "core");
        let processor = if processor.is_empty() { "unknown processor" } else { processor };
        let machine = format!("{cores} of {processor}{machine}; Linux {kernel}, clock {clock}, idle {idle}");
        self.dim("machine", &escape(&machine));
        let governor =
            environment.governor.as_ref().map(|governor| format!(", governor {governor}")).unwrap_or_default();
        let (others, steal) = (share(environment.others), share(environment.steal));
        let control = &environment.congestion_control;
        let rest = format!("TCP {control} without delay{governor}; meanwhile others used {others}, steal {steal}");
        self.dim("", &escape(&rest));
        if environment.others > OTHERS_MAX || environment.steal > OTHERS_MAX {
            self.line("warning", self.look.theme.note, "others kept this machine busy: measure again when it is quiet");
        }
    }

    fn head(&mut self, outcome: &Outcome) {
        let how = match outcome.mode {
            Mode::Bulk => "bulk",
            Mode::Churn => "closed loop, a connection each",
            Mode::Closed => "closed loop",
            Mode::Find => "open loop, searching for the highest rate",
            Mode::Open => "open loop",
            Mode::Ramp => "open loop, rising",
            Mode::SlowReader => "closed loop, reading slowly",
            Mode::Sweep => "open loop, rate by rate",
        };
        let arrivals = outcome.arrivals.as_ref().filter(|arrivals| *arrivals != "constant");
        let arrivals = arrivals.map(|arrivals| format!(" ({arrivals} arrivals)")).unwrap_or_default();
        let connections = count(outcome.connections as u64, "connection");
        let depth = if outcome.depth > 1 { format!(" with {} under way", outcome.depth) } else { String::new() };
        let name = escape(&outcome.case);
        let _ = writeln!(self.text, "{}", self.styled(cut(&name, self.look.width), self.look.theme.strong));
        let cores = match (outcome.cores.server, outcome.cores.client.as_slice()) {
            (_, []) => "wherever the system liked".to_owned(),
            (server, client) => {
                let client: Vec<String> = client.iter().take(outcome.threads).map(usize::to_string).collect();
                let server = server.map(|core| format!("server on core {core}, ")).unwrap_or_default();
                format!("{server}load from core {}", client.join(", "))
            }
        };
        let verify = if outcome.verify { "answers verified" } else { "answers not verified" };
        let matched = outcome.correlate.as_ref().map(|name| format!(" and matched by `{}`", escape(name)));
        let verify = format!("{verify}{}", matched.unwrap_or_default());
        let target = escape(&outcome.target);
        self.dim("", &format!("{how}{arrivals}, {connections}{depth} to {target}; {cores}; {verify}"));
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.head(outcome);
        self.totals(outcome);
        for why in &outcome.invalid {
            self.line("invalid", self.look.theme.bad, &format!("{why}; do not quote the latency"));
        }
        self.text.push('\n');
        self.heads();
        match outcome.valid {
            true => self.distribution("latency", &outcome.latency_ns, self.look.theme.strong),
            false => self.distribution("latency (!)", &outcome.latency_ns, self.look.theme.bad),
        }
        if outcome.arrivals.is_some() {
            self.distribution("service", &outcome.service_ns, Style::new());
            self.distribution("lateness", &outcome.lateness_ns, Style::new());
        }
        if outcome.connect_ns.count > 0 && outcome.fresh {
            self.distribution("connect", &outcome.connect_ns, Style::new());
        }
        if outcome.handshake_ns.count > 0 && outcome.fresh {
            self.distribution("handshake", &outcome.handshake_ns, Style::new());
        }
        if outcome.steps.len() > 1 {
            for (at, step) in outcome.steps.iter().enumerate() {
                self.distribution(&format!("step {}", at + 1), &step.ns, self.look.theme.dim);
            }
        }
        self.text.push('\n');
        if outcome.steps.len() > 1 {
            for (at, step) in outcome.steps.iter().enumerate() {
                self.dim(&format!("step {}", at + 1), &escape(&step.name));
            }
        }
        self.reading(outcome);
        self.remarks(outcome);
    }

    fn totals(&mut self, outcome: &Outcome) {
        let asked = outcome.asked_per_s.map(|asked| format!(" of {}/s asked for", rate(asked))).unwrap_or_default();
        let (sent, received) = (bytes_rate(outcome.sent_bytes_per_s), bytes_rate(outcome.received_bytes_per_s));
        let rate = self.styled(&format!("{}/s", rate(outcome.rate_per_s)), self.look.theme.strong);
        // The style has no width of its own, so this is not wrapped.
        let label = self.styled(&pad("rate", LABEL, false), self.look.theme.strong);
        let _ = writeln!(self.text, "{label}{rate}{asked}; {sent} sent, {received} received");
        let (held, counts) = (number(outcome.counts.iterations), &outcome.counts);
        let warmup = match outcome.warmup_s {
            0.0 => String::new(),
            warmup => format!(" after {} of warming up", seconds(warmup)),
        };
        let mut sentence = format!("{held} in {}{warmup}", seconds(outcome.duration_s));
        if outcome.failed > 0 {
            let all = (counts.iterations + outcome.failed) as f64;
            let failed = number(outcome.failed);
            let _ = write!(sentence, "; {failed} failed ({}): ", share(outcome.failed as f64 / all));
            let kinds =
                [(counts.timeouts, "unanswered"), (counts.mismatches, "answered wrongly"), (counts.broken, "cut off")];
            let kinds = kinds.iter().filter(|(of, _)| *of > 0).map(|(of, what)| format!("{} {what}", number(*of)));
            sentence.push_str(&kinds.collect::<Vec<_>>().join(", "));
        } else {
            sentence.push_str("; none failed");
        }
        self.dim("iterations", &sentence);
        let oddities = [
            (counts.duplicates, "duplicate"),
            (counts.reordered, "reordered"),
            (counts.late, "too late"),
            (counts.unasked, "unasked for"),
            (counts.overflows, "lost in this side's own socket"),
            (counts.server_overflows, "lost in the server's socket"),
        ];
        let oddities: Vec<String> =
            oddities.iter().filter(|(of, _)| *of > 0).map(|(of, what)| format!("{} {what}", number(*of))).collect();
        if !oddities.is_empty() {
            self.line("messages", self.look.theme.note, &oddities.join(", "));
        }
    }

    fn heads(&mut self) {
        let heads = ["min", "mean"].into_iter().chain(PERCENTILES).chain(["max"]);
        let heads: String = heads.map(|head| pad(head, FIGURE, true)).collect();
        self.dim("", &heads);
    }

    fn distribution(&mut self, label: &str, quantiles: &Quantiles, style: Style) {
        if quantiles.count == 0 {
            return self.line(label, style, &pad("n/a", FIGURE, true));
        }
        let percentiles = quantiles.percentiles();
        let shown = |name: &&str| percentiles.iter().find(|(known, _)| known == name).and_then(|(_, value)| *value);
        let figures = [time(quantiles.min as f64), time(quantiles.mean)]
            .into_iter()
            .chain(PERCENTILES.iter().map(|name| time_or_none(shown(name))))
            .chain([time(quantiles.max as f64)]);
        let figures: String = figures.map(|figure| pad(&figure, FIGURE, true)).collect();
        let label = self.styled(&pad(label, LABEL, false), style);
        let _ = writeln!(self.text, "{label}{figures}");
    }

    /// What the figures mean, and what they can be held against.
    fn reading(&mut self, outcome: &Outcome) {
        match outcome.arrivals {
            None => self.dim(
                "",
                "A connection waits for its answer before it asks again, so a slow server is asked less often: not an \
                 open-loop latency. `--rate` measures what clients see who do not wait for each other.",
            ),
            Some(_) => self.dim(
                "",
                "Latency counts from when an iteration was due, service from when it began; lateness is the load \
                 generator's own.",
            ),
        }
        let shown = |bounds: Option<[u64; 2]>| bounds.map(|bounds| bounds.map(|nanos| time(nanos as f64)).join(" to "));
        let (p50, p99) = (shown(outcome.latency_ns.p50_interval), shown(outcome.latency_ns.p99_interval));
        let bounds: Vec<String> = [("p50", p50), ("p99", p99)]
            .into_iter()
            .filter_map(|(name, bounds)| Some(format!("{name} is {}", bounds?)))
            .collect();
        if !bounds.is_empty() {
            self.dim("95 % sure", &bounds.join(", "));
        }
        if outcome.latency_ns.count > 0 && outcome.latency_ns.p9999.is_none() {
            self.dim("n/a", "fewer than 10 samples lie beyond it: measure longer");
        }
        if let Some(floor) = &outcome.floor {
            let p50 = time(floor.p50_ns as f64);
            let ratio = floor.ratio.map(|ratio| format!("p50 is {ratio:.2} times the floor: ")).unwrap_or_default();
            let sizes = match floor.request == floor.response {
                true => format!("{} bytes each way", floor.request),
                false => format!("{} bytes there and {} back", floor.request, floor.response),
            };
            self.dim("floor", &format!("{ratio}{p50} for {sizes} between two processes that do nothing else"));
        }
        if let Some(TlsSession { version, cipher, alpn, .. }) = &outcome.tls {
            let alpn = alpn.as_ref().map(|name| format!(", {}", escape(name))).unwrap_or_default();
            self.dim("tls", &format!("{version}, {}{alpn}; every handshake is a full one", escape(cipher)));
        }
        if let Some(little) = &outcome.little {
            let slots = rate(little.slots);
            self.dim("under way", &format!("{:.2} on the average, of {slots} (rate times mean)", little.under_way));
        }
        let calls = outcome.syscalls_per_message.map(|calls| format!("{calls:.3} system calls a message, "));
        let share = outcome.processor_share;
        self.dim("cost", &format!("{}{share:.2} cores for making the load", calls.unwrap_or_default()));
        if let Some(Steady { ratio, holds: true, .. }) = outcome.steady {
            self.dim("steady", &format!("p50 of the second half is {:+.1} %", (ratio - 1.0) * 100.0));
        }
    }

    fn remarks(&mut self, outcome: &Outcome) {
        let theme = self.look.theme;
        for judged in &outcome.thresholds {
            let (label, style) = if judged.held { ("held", theme.good) } else { ("not held", theme.bad) };
            self.line(label, style, &format!("{}: it is {}", escape(&judged.text), judged.shown));
        }
        for warning in &outcome.warnings {
            self.line("warning", theme.note, warning);
        }
        for failure in &outcome.failures {
            self.line("failed", theme.bad, &escape(failure));
        }
    }

    /// Rates that were tried one after another.
    fn rows(&mut self, outcomes: &[Outcome]) {
        let first = &outcomes[0];
        self.head(first);
        let heads = ["asked/s", "reached/s", "p50", "p90", "p99", "p99.9", "max", "late", "failed"];
        let widths = [10, 11, 8, 8, 8, 8, 8, 8, 8];
        let row = |cells: &[String]| -> String {
            cells.iter().zip(widths).map(|(cell, columns)| pad(cell, columns, true)).collect()
        };
        self.text.push('\n');
        let heads = row(&heads.map(str::to_owned));
        let _ = writeln!(self.text, "{}", self.styled(&heads, self.look.theme.dim));
        let knee = if first.mode == Mode::Find { None } else { knee(outcomes) };
        for (at, outcome) in outcomes.iter().enumerate() {
            let quantiles = &outcome.latency_ns;
            let max = if quantiles.count > 0 { time(quantiles.max as f64) } else { "n/a".to_owned() };
            let cells = [
                outcome.asked_per_s.map_or_else(|| "-".to_owned(), rate),
                rate(outcome.rate_per_s),
                time_or_none(quantiles.p50),
                time_or_none(quantiles.p90),
                time_or_none(quantiles.p99),
                time_or_none(quantiles.p999),
                max,
                time_or_none(outcome.lateness_ns.p99),
                number(outcome.failed),
            ];
            let is_fine = outcome.valid && outcome.held();
            let mark = if knee == Some(at) {
                "*"
            } else if is_fine {
                ""
            } else {
                "!"
            };
            let style = if knee == Some(at) {
                self.look.theme.strong
            } else if is_fine {
                Style::new()
            } else {
                self.look.theme.bad
            };
            let line = row(&cells) + mark;
            let _ = writeln!(self.text, "{}", self.styled(&line, style));
        }
        self.text.push('\n');
        self.dim(
            "",
            "Latency counts from when an iteration was due; late is the p99 of the load generator's own lateness.",
        );
        match knee {
            Some(at) => {
                let known = rate(outcomes[at].rate_per_s);
                let rest = format!(
                    "{known}/s: beyond it p99 is more than twice the lowest, or the rate is not reached any more"
                );
                self.line("* knee", self.look.theme.strong, &rest);
            }
            None if first.mode == Mode::Find => {}
            None if outcomes.iter().any(|outcome| outcome.valid && outcome.failed == 0) => {
                self.dim("knee", "none: go on to higher rates to find it");
            }
            None => self.dim("knee", "none: at no rate was everything as it should be"),
        }
        let mut told: Vec<&str> = Vec::new();
        for outcome in outcomes {
            let asked = outcome.asked_per_s.map(rate).unwrap_or_default();
            for judged in outcome.thresholds.iter().filter(|judged| !judged.held) {
                let rest = format!("at {asked}/s: {} is {}", escape(&judged.text), judged.shown);
                self.line("! not held", self.look.theme.bad, &rest);
            }
            for why in &outcome.invalid {
                self.line("! invalid", self.look.theme.bad, &format!("at {asked}/s: {why}"));
            }
            for failure in outcome.failures.iter().filter(|failure| !told.contains(&failure.as_str())) {
                self.line("failed", self.look.theme.bad, &escape(failure));
            }
            told.extend(outcome.failures.iter().map(String::as_str));
        }
    }

    fn verdict(&self, verdict: Verdict) -> (Style, &'static str) {
        let theme = self.look.theme;
        match verdict {
            Verdict::Better => (theme.good, "better"),
            Verdict::Same => (theme.good, "same"),
            Verdict::Unclear => (theme.note, "unclear"),
            Verdict::Worse => (theme.bad, "worse"),
        }
    }

    fn found(&mut self, found: &Found) {
        let objective = escape(&found.objective);
        let rest = match (found.rate_per_s, found.fails_at_per_s) {
            (Some(held), Some(failed)) => {
                format!("{objective} holds up to {}/s; at {}/s it does not", rate(held), rate(failed))
            }
            (Some(held), None) => format!("{objective} holds at {}/s, the highest rate that was tried", rate(held)),
            (None, Some(failed)) => format!("{objective} does not hold, down to {}/s", rate(failed)),
            (None, None) => format!("{objective}: nothing was tried"),
        };
        let style = if found.rate_per_s.is_some() { self.look.theme.good } else { self.look.theme.bad };
        self.line("found", style, &rest);
    }
}

impl Page {
    fn comparison(&mut self, comparison: &Comparison) {
        let Comparison { case, first, second, pairs, band, .. } = comparison;
        let title = format!("{}: {} against {}", escape(case), escape(second), escape(first));
        self.line("compared", self.look.theme.strong, &title);
        let figures =
            [("p50", comparison.p50, "slower"), ("p99", comparison.p99, "slower"), ("rate", comparison.rate, "lower")];
        for (name, change, worse) in figures {
            let [low, high] = change.interval.map(|ratio| (ratio - 1.0) * 100.0);
            let (word, style) = match change.verdict {
                Verdict::Better => ("better".to_owned(), self.look.theme.good),
                Verdict::Same => ("the same".to_owned(), self.look.theme.dim),
                Verdict::Unclear => {
                    ("not to be told: measure longer, or on a quieter machine".to_owned(), self.look.theme.dim)
                }
                Verdict::Worse => (worse.to_owned(), self.look.theme.bad),
            };
            let percent = (change.ratio - 1.0) * 100.0;
            let sure = crate::bench::compare::CONFIDENCE * 100.0;
            self.line(name, style, &format!("{percent:+.2} % ({low:+.2} to {high:+.2} %, {sure:.0} % sure): {word}"));
        }
        let band = band * 100.0;
        self.dim(
            "",
            &format!("median ratio of {pairs} pairs that were measured in turn; under {band:.0} % is no difference"),
        );
    }
}

/// Text in lines of so many columns, broken at spaces. Spaces at its beginning and between words stay.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last_mut().expect("there is one");
        if width(line) + width(word.trim_end()) > columns && !line.trim().is_empty() {
            line.truncate(line.trim_end().len());
            lines.push(word.to_owned());
        } else {
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, sweep, with};
    use super::super::floor::Floor;
    use super::super::tally::{Tally, histogram};
    use super::*;
    use snapbox::data::Inline;
    use snapbox::{IntoData as _, assert_data_eq, str};

    #[track_caller]
    fn check(shown: &str, expected: Inline) {
        assert!(shown.lines().all(|line| width(line) <= 80), "{shown}");
        assert_data_eq!(shown, expected.raw());
    }

    /// Latencies with a tail, in nanoseconds.
    fn tail(tally: &mut Tally) {
        with::latencies(tally, (1..=10_000).map(|rank| 4_000 + rank / 10 + if rank > 9_980 { rank * 12 } else { 0 }));
        with::lateness(tally, 120);
        (tally.counts.bytes_sent, tally.counts.bytes_received) = (640_000, 1_280_000);
        (tally.counts.messages, tally.counts.syscalls) = (20_000, 40_800);
    }

    #[test]
    fn a_closed_loop() {
        let floor = Floor { p50: 4_920, all: histogram(), request: 64, response: 64 };
        let shown = fixture::outcome(|_, window| *window = 46_000_000, tail).with_floor(&floor, None);
        check(
            &outcome(&shown, Look::plain(80)),
            str![[r#"
echoes a line
            closed loop, 1 connection to tcp://127.0.0.1:7001; server on core 0,
            load from core 1; answers verified
rate        217,391/s; 13.9 MB/s sent, 27.8 MB/s received
iterations  10,000 in 0.05 s after 0.5 s of warming up; none failed

                 min    mean     p50     p90     p99   p99.9  p99.99     max
latency       4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us

            A connection waits for its answer before it asks again, so a slow
            server is asked less often: not an open-loop latency. `--rate`
            measures what clients see who do not wait for each other.
95 % sure   p50 is 4.49us to 4.51us, p99 is 4.99us to 5.00us
n/a         fewer than 10 samples lie beyond it: measure longer
floor       p50 is 0.92 times the floor: 4.92us for 64 bytes each way between
            two processes that do nothing else
under way   1.03 on the average, of 1 (rate times mean)
cost        2.040 system calls a message, 0.55 cores for making the load

"#]],
        );
    }

    #[test]
    fn an_open_loop_that_has_gone_wrong() {
        let record = |tally: &mut Tally| {
            tail(tally);
            with::lateness(tally, 3_000);
            (tally.counts.timeouts, tally.counts.mismatches, tally.counts.reordered) = (12, 1, 3);
            tally.steps.push(tally.steps[0].clone());
        };
        let change = |plan: &mut super::super::engine::Plan, window: &mut u64| {
            with::poisson(plan, 12_000.0);
            (plan.connections, plan.depth, *window) = (64, 16, 1_000_000_000);
            plan.workload.steps.push("expect `\u{1b}[31m`".into());
        };
        let mut shown = fixture::outcome(change, record);
        shown.failures = vec!["nothing was answered within 1s".into()];
        let thresholds =
            ["p99<1ms", "errors<0.1%"].map(|text| super::super::threshold::Threshold::parse(text).expect("it is one"));
        shown.thresholds = thresholds.iter().map(|threshold| threshold.check(&shown)).collect();
        check(
            &outcome(&shown, Look::plain(80)),
            str![[r#"
echoes a line
            open loop (poisson arrivals), 64 connections with 16 under way to
            tcp://127.0.0.1:7001; server on core 0, load from core 1; answers
            verified
rate        10,000/s of 12,000/s asked for; 640 kB/s sent, 1.28 MB/s received
iterations  10,000 in 1 s after 0.5 s of warming up; 13 failed (0.1 %): 12
            unanswered, 1 answered wrongly
messages    3 reordered
invalid     the load generator was late itself: its p99 is 60 % of the
            latency's; do not quote the latency
invalid     only 83.3 % of the rate that was asked for was reached; do not quote
            the latency

                 min    mean     p50     p90     p99   p99.9  p99.99     max
latency (!)   4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us
service       4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us
lateness       120ns  1.56us   120ns  3.00us  3.00us  3.00us     n/a  3.00us
step 1        4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us
step 2        4.00us  4.74us  4.50us  4.90us  4.99us   125us     n/a   125us

step 1      expect `hello\n`
step 2      expect `\x1b[31m`
            Latency counts from when an iteration was due, service from when it
            began; lateness is the load generator's own.
95 % sure   p50 is 4.49us to 4.51us, p99 is 4.99us to 5.00us
n/a         fewer than 10 samples lie beyond it: measure longer
under way   0.05 on the average, of 1,024 (rate times mean)
cost        2.040 system calls a message, 0.20 cores for making the load
held        p99<1ms: it is 4.991us
not held    errors<0.1%: it is 0.130%
failed      nothing was answered within 1s

"#]],
        );
    }

    #[test]
    fn a_sweep_marks_its_knee() {
        let mut rows = sweep(&[67, 68, 72, 107, 431, 501]);
        rows[5].invalid = vec!["only 97.1 % of the rate that was asked for was reached".into()];
        rows[5].valid = false;
        check(
            &bench(&fixture::bench(rows), Look::plain(80)),
            str![[r#"
machine     2 cores of Xeon, a virtual machine; Linux 6.18.44, clock tsc, idle
            haltpoll, menu
            TCP cubic without delay; meanwhile others used 0 %, steal 0 %

echoes a line
            open loop, rate by rate, 16 connections to tcp://127.0.0.1:7001;
            server on core 0, load from core 1; answers verified

   asked/s  reached/s     p50     p90     p99   p99.9     max    late  failed
    50,000     50,000  18.5us  18.9us  67.0us     n/a  67.0us   100ns       0
   100,000    100,000  18.5us  18.9us  68.0us     n/a  68.0us   100ns       0
   150,000    150,000  18.5us  18.9us  72.1us     n/a  72.1us   100ns       0
   200,000    200,000  18.5us  18.9us   107us     n/a   107us   100ns       0*
   250,000    250,000  18.5us  18.9us   431us     n/a   431us   100ns       0
   300,000    300,000  18.5us  18.9us   501us     n/a   501us   100ns       0!

            Latency counts from when an iteration was due; late is the p99 of
            the load generator's own lateness.
* knee      200,000/s: beyond it p99 is more than twice the lowest, or the rate
            is not reached any more
! invalid   at 300,000/s: only 97.1 % of the rate that was asked for was reached

"#]],
        );
    }

    #[test]
    fn a_search_says_what_it_has_found() {
        let mut rows = sweep(&[67, 431]);
        rows.iter_mut().for_each(|row| row.mode = Mode::Find);
        let mut found = fixture::bench(rows);
        found.environment.others = 0.25;
        found.found =
            Some(Found { objective: "p99<100us".into(), rate_per_s: Some(50_000.0), fails_at_per_s: Some(100_000.0) });
        check(
            &bench(&found, Look::plain(80)),
            str![[r#"
machine     2 cores of Xeon, a virtual machine; Linux 6.18.44, clock tsc, idle
            haltpoll, menu
            TCP cubic without delay; meanwhile others used 25.0 %, steal 0 %
warning     others kept this machine busy: measure again when it is quiet

echoes a line
            open loop, searching for the highest rate, 16 connections to
            tcp://127.0.0.1:7001; server on core 0, load from core 1; answers
            verified

   asked/s  reached/s     p50     p90     p99   p99.9     max    late  failed
    50,000     50,000  18.5us  18.9us  67.0us     n/a  67.0us   100ns       0
   100,000    100,000  18.5us  18.9us   431us     n/a   431us   100ns       0

            Latency counts from when an iteration was due; late is the p99 of
            the load generator's own lateness.
found       p99<100us holds up to 50,000/s; at 100,000/s it does not

"#]],
        );
    }

    #[test]
    fn nothing_measured() {
        let shown = fixture::outcome(|_, _| (), |tally| with::latencies(tally, []));
        check(
            &outcome(&shown, Look::plain(80)),
            str![[r#"
echoes a line
            closed loop, 1 connection to tcp://127.0.0.1:7001; server on core 0,
            load from core 1; answers verified
rate        0/s; 0 B/s sent, 0 B/s received
iterations  0 in 1 s after 0.5 s of warming up; none failed
invalid     no iteration ended as it should; do not quote the latency

                 min    mean     p50     p90     p99   p99.9  p99.99     max
latency (!)      n/a

            A connection waits for its answer before it asks again, so a slow
            server is asked less often: not an open-loop latency. `--rate`
            measures what clients see who do not wait for each other.
cost        0.20 cores for making the load

"#]],
        );
    }

    #[test]
    fn series_of_which_only_the_names_are_known() {
        let known =
            |count| Quantiles { count, min: 900, mean: 1_050.5, p50: Some(1_000), max: 70_000, ..Quantiles::default() };
        let shown = [("", 20), ("a", 0), ("echoes-a-line/closed-1x1/latency", 25)]
            .map(|(tag, count)| (tag.to_owned(), known(count)));
        check(
            &series(&shown, Look::plain(80)),
            str![[r#"
                 min    mean     p50     p90     p99   p99.9  p99.99     max
(no tag)       900ns  1.05us  1.00us     n/a     n/a     n/a     n/a  70.0us
a                n/a
echoes-a-line/closed-1x1/latency
               900ns  1.05us  1.00us     n/a     n/a     n/a     n/a  70.0us

"#]],
        );
    }

    #[test]
    fn a_comparison_has_its_verdicts() {
        use super::super::compare::{BAND_SAME_CORE, Sample};
        let pair = |at: u32| {
            let noise = f64::from(at % 4) / 100.0;
            let first = Sample { p50: 5_000.0, p99: 9_000.0, rate: 100_000.0 };
            [first, Sample { p50: 5_200.0, p99: 9_000.0 * (0.98 + noise), rate: 100_100.0 }]
        };
        let compared = Comparison::of(["before", "after"], "echo", (0..16).map(pair).collect(), BAND_SAME_CORE, 1);
        let mut page = Page::new(Look::plain(80));
        page.comparison(&compared.expect("there are enough"));
        check(
            &page.text,
            str![[r#"
compared    echo: after against before
p50         +4.00 % (+4.00 to +4.00 %, 99 % sure): slower
p99         -0.50 % (-2.00 to +0.50 %, 99 % sure): not to be told: measure
            longer, or on a quieter machine
rate        +0.10 % (+0.10 to +0.10 %, 99 % sure): the same
            median ratio of 16 pairs that were measured in turn; under 1 % is no
            difference

"#]],
        );
        let stored = Unpaired {
            tag: "echo/open-1000/latency".into(),
            p50_ratio: 1.08,
            p99_ratio: 0.99,
            p50_p_value: 0.0002,
            p99_p_value: 0.42,
            superiority: 0.75,
            verdict: Verdict::Worse,
        };
        check(
            &unpaired(&[stored], Look::plain(80)),
            str![[r#"
unpaired    drift not removed: what the machine did between the two is in the
            difference
echo/open-1000/latency
worse       p50 +8.00 % (p = 0.0002), p99 -1.00 % (p = 0.4200)
            a sample of the second is above one of the first in 75.0 % of all
            pairs of samples

"#]],
        );
    }

    #[test]
    fn an_interval_is_a_line() {
        let slice =
            Slice { t_s: 3.0, length_s: 1.0, iterations: 98_765, failed: 2, p50: 9_100, p99: 31_000, max: 1_200_000 };
        assert_eq!(interval(&slice), "   4 s  98,765/s, p50 9.10us, p99 31.0us, max 1.20ms, 2 failed");
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let shown = fixture::bench(sweep(&[67, 68, 431]));
        let colored = bench(&shown, Look::colored(80));
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), bench(&shown, Look::plain(80)));
        assert!(colored.contains('\u{1b}'));
    }
}
