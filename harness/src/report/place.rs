//! A place in a file with its line and a caret: how every mistake and every failed step begins.

use super::text;
use super::theme::Look;
use crate::event::{Mistake, Place};

/// How wide a tab is shown.
const TAB: &str = "    ";
/// The most characters of a line that are looked at on either side of the caret's beginning.
const CONTEXT_MAX: usize = 400;

/// Appends a mistake: place and message, the line, a caret, and the hint.
pub fn push_mistake(output: &mut String, mistake: &Mistake, look: &Look) {
    push_place(output, &mistake.place, &mistake.message, look);
    if let Some(hint) = &mistake.hint {
        push_remark(output, "", "hint", hint, look);
    }
}

/// Appends a remark: `hint: did you mean …`.
pub fn push_remark(output: &mut String, indent: &str, word: &str, remark: &str, look: &Look) {
    let strong = look.theme.strong;
    output.push_str(&format!("{indent}{strong}{}:{strong:#} {}\n", text::escape(word), text::escape(remark)));
}

/// Appends `FILE:LINE:COLUMN: message`, the line, and a caret under what is meant.
///
/// A place with line 0 means the whole file, one without text has no line to show.
pub fn push_place(output: &mut String, place: &Place, message: &str, look: &Look) {
    let (strong, bad, dim) = (look.theme.strong, look.theme.bad, look.theme.dim);
    let file = text::escape(&place.file);
    let at = if place.line == 0 { file } else { format!("{file}:{}:{}", place.line, place.column) };
    output.push_str(&format!("{strong}{at}:{strong:#} {bad}{}{bad:#}\n", text::escape(message)));
    if place.line == 0 || place.text.is_empty() {
        return;
    }
    let number = place.line.to_string();
    let (line, before, carets) = excerpt(place, look.width.saturating_sub(number.len() + 3));
    let gutter = " ".repeat(number.len());
    output.push_str(&format!("{dim}{number} |{dim:#} {line}\n"));
    let (indent, carets) = (" ".repeat(before), "^".repeat(carets));
    output.push_str(&format!("{dim}{gutter} |{dim:#} {indent}{bad}{carets}{bad:#}\n"));
}

/// The part of the line around the place that fits `columns`, how many columns stand before the caret, and how
/// many the caret takes.
fn excerpt(place: &Place, columns: usize) -> (String, usize, usize) {
    let first = (place.column.max(1) - 1) as usize;
    let covered = (place.width.max(1)) as usize;
    let skipped = first.saturating_sub(CONTEXT_MAX);
    let mut chars = place.text.chars().skip(skipped);
    let mut show = |count: usize| -> String { chars.by_ref().take(count).map(show_char).collect() };
    let (before, under, after) = (show(first - skipped), show(covered.min(CONTEXT_MAX)), show(CONTEXT_MAX));

    // Where the line is too long, what stands in front of the caret gives way first, to a third of the columns.
    let room = columns.saturating_sub(text::width(&under) + text::width(&after)).max(columns / 3);
    let (start, before) = if skipped > 0 || text::width(&before) > room {
        ("…", text::cut_start(&before, room.saturating_sub(1)))
    } else {
        ("", &*before)
    };
    let indent = text::width(start) + text::width(before);
    let line = format!("{start}{before}{under}{after}");
    // A caret may stand behind the line's end, where something is missing.
    let carets = text::width(&under).max(1).min(columns.saturating_sub(indent + 1).max(1));
    let shown = if text::width(&line) > columns {
        format!("{}…", text::cut(&line, columns.saturating_sub(1)))
    } else {
        line.trim_end().to_owned()
    };
    (shown, indent, carets)
}

/// One character of a source line as it is shown.
fn show_char(c: char) -> String {
    if c == '\t' { TAB.to_owned() } else { text::escape(c.encode_utf8(&mut [0; 4])) }
}

#[cfg(test)]
mod tests {
    use snapbox::{IntoData as _, assert_data_eq, str};

    use super::*;

    fn show(text: &str, column: u32, covered: u32, columns: usize) -> String {
        let place = Place { file: "a.toml".into(), line: 12, column, width: covered, text: text.into() };
        let mut output = String::new();
        push_place(&mut output, &place, "unknown matcher `prefx`", &Look::plain(columns));
        output
    }

    #[test]
    fn the_caret_stands_under_what_is_meant() {
        assert_data_eq!(
            show(r#"expect = { prefx = "220 " }"#, 12, 5, 80),
            str![[r#"
a.toml:12:12: unknown matcher `prefx`
12 | expect = { prefx = "220 " }
   |            ^^^^^

"#]]
            .raw()
        );
    }

    #[test]
    fn the_caret_lines_up_behind_korean_text_tabs_and_control_characters() {
        assert_data_eq!(
            show("\t\"안녕\" \x1b[0m = prefx", 14, 5, 80),
            str![[r#"
a.toml:12:14: unknown matcher `prefx`
12 |     "안녕" \x1b[0m = prefx
   |                      ^^^^^

"#]]
            .raw()
        );
    }

    #[test]
    fn the_caret_may_stand_behind_the_end_of_the_line() {
        assert_data_eq!(
            show("steps = [", 10, 1, 80),
            str![[r#"
a.toml:12:10: unknown matcher `prefx`
12 | steps = [
   |          ^

"#]]
            .raw()
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}prefx{}", "a".repeat(2_000), "b".repeat(2_000));
        let shown = show(&line, 2_001, 5, 40);
        assert_data_eq!(
            shown,
            str![[r#"
a.toml:12:2001: unknown matcher `prefx`
12 | …aaaaaaaaaaprefxbbbbbbbbbbbbbbbbbb…
   |            ^^^^^

"#]]
            .raw()
        );
    }

    #[test]
    fn carets_do_not_leave_the_terminal() {
        for line in show(&"x".repeat(500), 3, 498, 80).lines().skip(1) {
            assert!(text::width(line) <= 80, "{line}");
        }
    }

    #[test]
    fn a_place_without_a_line_is_its_file() {
        let mut output = String::new();
        let place = Place { file: "a.toml".into(), ..Place::default() };
        push_place(&mut output, &place, "no such file", &Look::plain(80));
        assert_eq!(output, "a.toml: no such file\n");
    }

    #[test]
    fn numbers_from_elsewhere_do_not_panic() {
        show("", 0, 0, 0);
        show("x", 0, 0, 0);
        show("x", u32::MAX, u32::MAX, 1);
        show("안", 1, u32::MAX, 3);
    }
}
