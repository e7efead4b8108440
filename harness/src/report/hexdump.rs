//! Bytes as rows of hex: one dump, or expected and received side by side.
//!
//! Differing bytes stand in brackets as well as in colour, and `--` is a byte that is not there. Long data is cut around
//! the first difference. What the bytes mean is not known here.

use std::fmt::Write as _;

use super::text::{count, pad};
use super::theme::Look;
use anstyle::Style;

/// Columns of a dump, where they fit.
const COLUMNS_MAX: usize = 16;
/// Up to so many rows are shown whole.
const ROWS_MAX: usize = 9;
/// Rows in front of the one with the first difference.
const ROWS_BEFORE: usize = 2;
/// Rows from the one with the first difference on.
const ROWS_FROM: usize = 4;
/// Bytes of padding and frames: what stands in front of every line.
const INDENT: usize = 2;

/// Appends the dump of `data`, with the bytes from `mark` to the end of its row in brackets.
pub fn push_dump(output: &mut String, data: &[u8], mark: Option<usize>, look: &Look) {
    let rows = Rows { columns: COLUMNS_MAX, len: data.len(), offset_width: offset_width(data.len()), look };
    let mark = mark.filter(|at| *at < data.len());
    rows.push(output, mark, |row, line| {
        let cells = Cells { data, from: row, columns: COLUMNS_MAX, theme: look.theme.bad };
        line.push_str(&cells.show(|at| mark == Some(at)));
    });
}

/// Appends `expected` and `received` side by side, or above each other where the line is too narrow for that.
///
/// `first` is the first byte that differs; without it, it is looked for.
pub fn push_comparison(output: &mut String, expected: &[u8], received: &[u8], first: Option<usize>, look: &Look) {
    let len = expected.len().max(received.len());
    let first = first.filter(|at| *at < len).or_else(|| first_difference(expected, received));
    let offset_width = offset_width(len);
    let side_by_side = |columns: usize| INDENT + offset_width + 1 + 2 * cells_width(columns) + 3;
    let columns = if side_by_side(COLUMNS_MAX) <= look.width { COLUMNS_MAX } else { COLUMNS_MAX / 2 };
    // Bytes behind the end of what was expected are marked where they are what is wrong: an expectation may be one of a
    // beginning.
    let end = if first.is_some_and(|first| first < expected.len()) { expected.len() } else { len };
    let differs =
        |at: usize| first.is_some_and(|first| (first..end).contains(&at)) && expected.get(at) != received.get(at);
    let show = |data, row, columns, theme| Cells { data, from: row, columns, theme }.show(differs);

    let title = |word: &str, data: &[u8]| format!("{word}, {}", count(data.len() as u64, "byte"));
    let (good, bad) = (look.theme.good, look.theme.bad);
    if side_by_side(columns) <= look.width {
        let left = pad(&title("expected", expected), cells_width(columns), false);
        let indent = " ".repeat(INDENT + offset_width + 2);
        writeln!(output, "{indent}{left}| {}", title("received", received)).expect(INFALLIBLE);
        let rows = Rows { columns, len, offset_width, look };
        rows.push(output, first, |row, line| {
            write!(line, "{} |{}", show(expected, row, columns, good), show(received, row, columns, bad))
                .expect(INFALLIBLE);
        });
    } else {
        for (word, data, theme) in [("expected", expected, good), ("received", received, bad)] {
            writeln!(output, "{}{}", " ".repeat(INDENT), title(word, data)).expect(INFALLIBLE);
            let rows = Rows { columns: COLUMNS_MAX, len, offset_width, look };
            rows.push(output, first, |row, line| line.push_str(&show(data, row, COLUMNS_MAX, theme)));
        }
    }
}

/// The first byte where two strings of bytes differ: the shorter one's length, where one begins with the other.
pub fn first_difference(left: &[u8], right: &[u8]) -> Option<usize> {
    let shared = left.iter().zip(right).position(|(left, right)| left != right);
    shared.or_else(|| (left.len() != right.len()).then(|| left.len().min(right.len())))
}

const INFALLIBLE: &str = "a string takes whatever is written";

/// How many hex digits every offset has.
fn offset_width(len: usize) -> usize {
    (len.max(1).ilog2() as usize / 4 + 1).max(4)
}

/// How many columns of the terminal a row's bytes take in hex and in characters.
fn cells_width(columns: usize) -> usize {
    3 * columns + 1 + 1 + columns
}

/// Which rows are shown.
struct Rows<'a> {
    columns: usize,
    len: usize,
    offset_width: usize,
    look: &'a Look,
}

impl Rows<'_> {
    /// Appends the rows around `focus`, each as `show` writes it.
    fn push(&self, output: &mut String, focus: Option<usize>, show: impl Fn(usize, &mut String)) {
        let total = self.len.div_ceil(self.columns);
        let shown = match focus.map(|at| at / self.columns) {
            _ if total <= ROWS_MAX => 0..total,
            Some(row) => row.saturating_sub(ROWS_BEFORE)..(row + ROWS_FROM).min(total),
            None => 0..ROWS_BEFORE + ROWS_FROM,
        };
        self.push_gap(output, shown.start * self.columns);
        let dim = self.look.theme.dim;
        for row in shown.clone() {
            let at = row * self.columns;
            let mut line = format!("{}{dim}{at:0width$x}{dim:#} ", " ".repeat(INDENT), width = self.offset_width);
            show(at, &mut line);
            output.push_str(line.trim_end());
            output.push('\n');
        }
        self.push_gap(output, self.len.saturating_sub(shown.end * self.columns));
    }

    fn push_gap(&self, output: &mut String, bytes: usize) {
        let dim = self.look.theme.dim;
        if bytes > 0 {
            let indent = " ".repeat(INDENT);
            writeln!(output, "{indent}{dim}… {} not shown …{dim:#}", count(bytes as u64, "byte")).expect(INFALLIBLE);
        }
    }
}

/// One row's bytes.
struct Cells<'a> {
    data: &'a [u8],
    from: usize,
    columns: usize,
    theme: Style,
}

impl Cells<'_> {
    /// The bytes in hex and as characters, marked ones in brackets and colour.
    fn show(&self, marked: impl Fn(usize) -> bool) -> String {
        let mut hex = String::new();
        let mut characters = String::new();
        let mut before = false;
        for at in self.from..self.from + self.columns {
            let marked = marked(at);
            let style = if marked { self.theme } else { Style::new() };
            let bracket = match (before, marked) {
                (false, true) => '[',
                (true, false) => ']',
                _ => ' ',
            };
            before = marked;
            let cell = match self.data.get(at) {
                Some(byte) => format!("{byte:02x}"),
                None if marked => "--".to_owned(),
                None => "  ".to_owned(),
            };
            let character = match self.data.get(at) {
                Some(byte @ 0x20..=0x7e) => char::from(*byte),
                Some(_) => '.',
                None => ' ',
            };
            write!(hex, "{bracket}{style}{cell}{style:#}").expect(INFALLIBLE);
            write!(characters, "{style}{character}{style:#}").expect(INFALLIBLE);
        }
        hex.push(if before { ']' } else { ' ' });
        format!("{hex} {characters}")
    }
}

#[cfg(test)]
mod tests {
    use snapbox::data::Inline;
    use snapbox::{IntoData as _, assert_data_eq, str};

    use super::*;

    #[track_caller]
    fn check(expected: &[u8], received: &[u8], columns: usize, shown: Inline) {
        let mut output = String::new();
        push_comparison(&mut output, expected, received, None, &Look::plain(columns));
        for line in output.lines() {
            assert!(line.chars().count() <= columns, "{line}");
        }
        assert_data_eq!(output, shown.raw());
    }

    #[test]
    fn a_difference_stands_in_brackets_on_both_sides() {
        check(
            b"hello\n",
            b"hexxo\n",
            80,
            str![[r#"
        expected, 6 bytes                 | received, 6 bytes
  0000  68 65[6c 6c]6f 0a        hello.   | 68 65[78 78]6f 0a        hexxo.

"#]],
        );
    }

    #[test]
    fn a_byte_that_is_not_there_is_two_dashes() {
        check(
            b"hello world\n",
            b"hello",
            80,
            str![[r#"
        expected, 12 bytes                | received, 5 bytes
  0000  68 65 6c 6c 6f[20 77 6f] hello wo | 68 65 6c 6c 6f[-- -- --] hello
  0008 [72 6c 64 0a]             rld.     |[-- -- -- --]

"#]],
        );
    }

    #[test]
    fn bytes_that_are_too_many_are_marked_where_they_are_what_is_wrong() {
        check(
            b"220 ",
            b"220 hi",
            80,
            str![[r#"
        expected, 4 bytes                 | received, 6 bytes
  0000  32 32 30 20[-- --]       220      | 32 32 30 20[68 69]       220 hi

"#]],
        );
        check(
            b"220 ",
            b"250 hi",
            80,
            str![[r#"
        expected, 4 bytes                 | received, 6 bytes
  0000  32[32]30 20              220      | 32[35]30 20 68 69        250 hi

"#]],
        );
    }

    #[test]
    fn a_wide_line_has_sixteen_columns() {
        check(
            &(0..20).collect::<Vec<u8>>(),
            &(1..21).collect::<Vec<u8>>(),
            150,
            str![[r#"
        expected, 20 bytes                                                | received, 20 bytes
  0000 [00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f] ................ |[01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10] ................
  0010 [10 11 12 13]                                     ....             |[11 12 13 14]                                     ....

"#]],
        );
    }

    #[test]
    fn long_data_is_cut_around_the_first_difference() {
        let expected = vec![b'a'; 70_000];
        let mut received = expected.clone();
        received[35_000] = b'b';
        check(
            &expected,
            &received,
            80,
            str![[r#"
         expected, 70,000 bytes            | received, 70,000 bytes
  … 34,984 bytes not shown …
  088a8  61 61 61 61 61 61 61 61  aaaaaaaa | 61 61 61 61 61 61 61 61  aaaaaaaa
  088b0  61 61 61 61 61 61 61 61  aaaaaaaa | 61 61 61 61 61 61 61 61  aaaaaaaa
  088b8 [61]61 61 61 61 61 61 61  aaaaaaaa |[62]61 61 61 61 61 61 61  baaaaaaa
  088c0  61 61 61 61 61 61 61 61  aaaaaaaa | 61 61 61 61 61 61 61 61  aaaaaaaa
  088c8  61 61 61 61 61 61 61 61  aaaaaaaa | 61 61 61 61 61 61 61 61  aaaaaaaa
  088d0  61 61 61 61 61 61 61 61  aaaaaaaa | 61 61 61 61 61 61 61 61  aaaaaaaa
  … 34,968 bytes not shown …

"#]],
        );
    }

    #[test]
    fn where_offsets_take_too_much_room_the_dumps_stand_above_each_other() {
        let mut output = String::new();
        push_comparison(&mut output, b"hello", b"hallo", None, &Look::plain(70));
        assert_data_eq!(
            output,
            str![[r#"
  expected, 5 bytes
  0000  68[65]6c 6c 6f                                   hello
  received, 5 bytes
  0000  68[61]6c 6c 6f                                   hallo

"#]]
            .raw()
        );
    }

    #[test]
    fn equal_bytes_have_no_marks() {
        check(
            b"same",
            b"same",
            80,
            str![[r#"
        expected, 4 bytes                 | received, 4 bytes
  0000  73 61 6d 65              same     | 73 61 6d 65              same

"#]],
        );
    }

    #[test]
    fn a_long_dump_shows_its_beginning() {
        let mut output = String::new();
        push_dump(&mut output, &[0x1b; 200], None, &Look::plain(80));
        assert_data_eq!(
            output,
            str![[r#"
  0000  1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b  ................
  0010  1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b  ................
  0020  1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b  ................
  0030  1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b  ................
  0040  1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b  ................
  0050  1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b 1b  ................
  … 104 bytes not shown …

"#]]
            .raw()
        );
    }

    #[test]
    fn a_dump_marks_one_byte() {
        let mut output = String::new();
        push_dump(&mut output, b"hello", Some(4), &Look::plain(80));
        assert_data_eq!(
            output,
            str![[r#"
  0000  68 65 6c 6c[6f]                                  hello

"#]]
            .raw()
        );
    }

    #[test]
    fn a_mark_behind_the_end_is_no_mark() {
        let mut output = String::new();
        push_dump(&mut output, b"a", Some(usize::MAX), &Look::plain(80));
        push_comparison(&mut output, b"a", b"b", Some(usize::MAX), &Look::plain(80));
        push_comparison(&mut output, b"", b"", Some(0), &Look::plain(80));
        assert!(output.contains("[61]"), "{output}");
    }

    #[test]
    fn colour_changes_no_text() {
        let show = |look: &Look| {
            let mut output = String::new();
            push_comparison(&mut output, b"hello", b"hexlo!", None, look);
            output
        };
        let colored = show(&Look::colored(80));
        assert!(colored.contains('\x1b'));
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), show(&Look::plain(80)));
    }
}
