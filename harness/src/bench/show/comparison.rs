//! Comparisons, measured in turn or with something stored.

use std::fmt::Write as _;

use anstyle::Style;

use super::page::Page;
use crate::bench::compare::{Comparison, Unpaired, Verdict};
use crate::bench::figure::share;
use crate::report::text::escape;

impl Page {
    pub(super) fn comparison(&mut self, comparison: &Comparison) {
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

    /// What was stored, held against what is.
    pub(super) fn unpaired(&mut self, series: &[Unpaired]) {
        self.dim("baseline", "measured at another time: what the machine did in between is in the difference");
        for found in series {
            let _ = writeln!(self.text, "{}", self.styled(&escape(&found.tag), self.look.theme.strong));
            let percent = |ratio: f64| format!("{:+.2} %", (ratio - 1.0) * 100.0);
            let (p50, p99) = (percent(found.p50_ratio), percent(found.p99_ratio));
            let (style, word) = self.verdict(found.verdict);
            let rest = format!("p50 {p50} (p = {:.4}), p99 {p99} (p = {:.4})", found.p50_p_value, found.p99_p_value);
            self.line(word, style, &rest);
            let above = share(found.superiority);
            self.dim("", &format!("a sample of now is above one of the baseline in {above} of all pairs of samples"));
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
}

#[cfg(test)]
mod tests {
    use super::super::page::check;
    use super::*;
    use crate::bench::compare::{BAND_SAME_CORE, Sample};
    use crate::report::Look;
    use snapbox::str;

    #[test]
    fn a_comparison_has_its_verdicts() {
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
        let mut page = Page::new(Look::plain(80));
        page.unpaired(&[stored]);
        check(
            &page.text,
            str![[r#"
baseline    measured at another time: what the machine did in between is in the
            difference
echo/open-1000/latency
worse       p50 +8.00 % (p = 0.0002), p99 -1.00 % (p = 0.4200)
            a sample of now is above one of the baseline in 75.0 % of all pairs
            of samples

"#]],
        );
    }
}
