//! A result as a person reads it on a terminal, with what he needs to understand it.
//!
//! `page` is how lines are set; `result`, `rates` and `comparison` are what stands on them. Everything fits 80 columns. Nothing
//! is judged here: `judge` and `threshold` have done that.

mod checks;
mod comparison;
mod page;
mod rates;
mod result;

use std::fmt::Write as _;

use anstyle::Style;

use self::page::{LABEL, Page};
use super::environment::{Environment, OTHERS_MAX};
use super::figure::{rate, seconds, share, time};
use super::outcome::{Bench, Mode, Outcome, Slice};
use super::quantiles::Quantiles;
use super::self_test::Check;
use crate::report::Look;
use crate::report::text::{count, escape, number, width};

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
    if !bench.baseline.is_empty() {
        page.text.push('\n');
        page.unpaired(&bench.baseline);
    }
    page.text
}

/// The heads of a self-test's rows.
pub fn check_heads(look: Look) -> String {
    let mut page = Page::new(look);
    let heads = format!("{:<8}{:<20}{:<28}measured", "", "check", "expected");
    page.text = format!("{}\n", page.styled(&heads, look.theme.dim));
    page.text
}

/// One row of a self-test.
pub fn check(check: &Check, look: Look) -> String {
    let mut page = Page::new(look);
    page.check(check);
    page.text
}

/// What all rows of a self-test come to.
pub fn checked(checks: &[Check], look: Look) -> String {
    let mut page = Page::new(look);
    page.checked(checks);
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

impl Page {
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
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, sweep};
    use super::page::check;
    use super::*;
    use snapbox::str;

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
