//! Rates that were tried one after another, as one table, and what a search among them has found.

use std::fmt::Write as _;

use anstyle::Style;

use super::page::Page;
use crate::bench::figure::{rate, time, time_or_none};
use crate::bench::knee::knee;
use crate::bench::outcome::{Found, Mode, Outcome};
use crate::report::text::{escape, number, pad};

impl Page {
    /// Rates that were tried one after another.
    pub(super) fn rows(&mut self, outcomes: &[Outcome]) {
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

    pub(super) fn found(&mut self, found: &Found) {
        let objective = escape(&found.objective);
        let rest = match (found.rate_per_s, found.fails_at_per_s) {
            (Some(held), Some(failed)) => {
                format!("{objective} holds up to {}/s; at {}/s it does not", rate(held), rate(failed))
            }
            (Some(held), None) => format!("{objective} holds at {}/s, the highest rate that was tried", rate(held)),
            (None, Some(failed)) => format!("{objective} does not hold, down to {}/s", rate(failed)),
            (None, None) => format!("{objective}: nothing was tried"),
        };
        let late = "; the load generator itself was late there, so a quieter machine may find more";
        let rest = rest + if found.was_late { late } else { "" };
        let style = if found.rate_per_s.is_some() { self.look.theme.good } else { self.look.theme.bad };
        self.line("found", style, &rest);
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench;
    use super::super::page::check;
    use super::*;
    use crate::bench::fixture::{self, sweep};
    use crate::report::Look;
    use snapbox::str;

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
        found.found = Some(Found {
            objective: "p99<100us".into(),
            rate_per_s: Some(50_000.0),
            fails_at_per_s: Some(100_000.0),
            was_late: true,
        });
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
found       p99<100us holds up to 50,000/s; at 100,000/s it does not; the load
            generator itself was late there, so a quieter machine may find more

"#]],
        );
    }
}
