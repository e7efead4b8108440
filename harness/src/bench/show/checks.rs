//! Rows of a self-test: what had to be, what was, and whether that is the same.

use anstyle::Style;

use super::page::Page;
use crate::bench::self_test::{Check, Found};
use crate::report::text::{count, pad};

/// Columns of what became of a check, of its name, and of what it expects.
const WIDTHS: [usize; 3] = [8, 20, 28];

impl Page {
    pub(super) fn check(&mut self, check: &Check) {
        let theme = self.look.theme;
        let (word, style) = match check.found {
            Found::Unknown => ("n/a", theme.note),
            Found::Wrong => ("not ok", theme.bad),
            Found::Right => ("ok", theme.good),
        };
        let [word, name, expected] = [(word, 0), (check.name.as_str(), 1), (check.expected.as_str(), 2)]
            .map(|(text, at)| pad(text, WIDTHS[at], false));
        let word = self.styled(&word, style);
        self.text.push_str(&format!("{word}{name}{expected}{}\n", check.measured));
        if let Some(why) = &check.why {
            self.text.push_str(&format!("{}{}\n", " ".repeat(WIDTHS[0]), self.styled(why, theme.dim)));
        }
    }

    pub(super) fn checked(&mut self, checks: &[Check]) {
        let of = |found: Found| checks.iter().filter(|check| check.found == found).count() as u64;
        let (right, wrong, unknown) = (of(Found::Right), of(Found::Wrong), of(Found::Unknown));
        let mut text = format!("\n{} as it should be", count(right, "check"));
        if wrong > 0 {
            text.push_str(&format!(", {wrong} not"));
        }
        if unknown > 0 {
            text.push_str(&format!(", {unknown} not to be told while the machine is busy"));
        }
        let style = if wrong > 0 { self.look.theme.bad } else { Style::new() };
        let line = self.styled(text.trim_start(), style);
        self.text.push_str(&format!("\n{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::check;
    use crate::bench::self_test::{Check, Found};
    use crate::report::Look;
    use snapbox::str;

    #[test]
    fn checks_are_rows_and_a_sum() {
        let row = |name: &str, measured: &str, found, why: Option<&str>| Check {
            name: name.into(),
            expected: "10.0ms +-1 %".into(),
            measured: measured.into(),
            is_of_time: true,
            found,
            why: why.map(str::to_owned),
        };
        let busy = Some("machine too busy: others used 97.1 % of it");
        let checks = [
            row("delay: p50", "10.1ms", Found::Right, None),
            row("delay: p90", "13.1ms", Found::Unknown, busy),
            row("delay: p99", "17.0ms", Found::Wrong, None),
        ];
        let look = Look::plain(80);
        let rows: String = checks.iter().map(|row| super::super::check(row, look)).collect();
        check(
            &(super::super::check_heads(look) + &rows + &super::super::checked(&checks, look)),
            str![[r#"
        check               expected                    measured
ok      delay: p50          10.0ms +-1 %                10.1ms
n/a     delay: p90          10.0ms +-1 %                13.1ms
        machine too busy: others used 97.1 % of it
not ok  delay: p99          10.0ms +-1 %                17.0ms

1 check as it should be, 1 not, 1 not to be told while the machine is busy

"#]],
        );
    }
}
