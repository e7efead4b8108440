//! Lines of a page: labels, sentences behind them, and distributions as rows of figures.

use std::fmt::Write as _;

use anstyle::Style;

use crate::bench::figure::{time, time_or_none};
use crate::bench::quantiles::Quantiles;
use crate::report::Look;
use crate::report::text::{pad, width};

/// Columns of what a line is about.
pub(super) const LABEL: usize = 12;

/// Columns of a figure.
const FIGURE: usize = 8;

/// The percentiles of the table.
const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "p99.99"];

/// What has been written so far.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) look: Look,
}

impl Page {
    pub(super) fn new(look: Look) -> Page {
        Page { text: String::new(), look }
    }

    pub(super) fn styled(&self, text: &str, style: Style) -> String {
        format!("{}{text}{}", style.render(), style.render_reset())
    }

    /// A label and sentences behind it, which go on below each other.
    pub(super) fn line(&mut self, label: &str, style: Style, rest: &str) {
        let label = self.styled(&pad(label, LABEL, false), style);
        let mut lines = wrap(rest, self.look.width - LABEL).into_iter();
        let _ = writeln!(self.text, "{label}{}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(self.text, "{}{line}", " ".repeat(LABEL));
        }
    }

    pub(super) fn dim(&mut self, label: &str, rest: &str) {
        self.line(label, self.look.theme.dim, rest);
    }

    pub(super) fn heads(&mut self) {
        let heads = ["min", "mean"].into_iter().chain(PERCENTILES).chain(["max"]);
        let heads: String = heads.map(|head| pad(head, FIGURE, true)).collect();
        self.dim("", &heads);
    }

    pub(super) fn distribution(&mut self, label: &str, quantiles: &Quantiles, style: Style) {
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

/// Holds a page against what it should be.
#[cfg(test)]
#[track_caller]
pub(super) fn check(shown: &str, expected: snapbox::data::Inline) {
    use snapbox::IntoData as _;
    assert!(shown.lines().all(|line| width(line) <= 80), "{shown}");
    snapbox::assert_data_eq!(shown, expected.raw());
}
