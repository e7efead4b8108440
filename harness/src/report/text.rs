//! Text that is safe to show, and how wide it is.
//!
//! Received data, a target's output and names from files are hostile: a terminal obeys escape
//! sequences, and bidirectional controls make a line read differently from what it says. Whatever
//! is not printable is shown as an escape instead. Nothing here knows about colour or layout.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// Whether a character shows as itself, and as nothing else: no controls, no invisible or combining characters,
/// no directions, no spaces that look like another space.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~') || (c > '\u{a0}' && c.escape_debug().len() == 1)
}

/// Appends `c`, escaped where it is not printable.
fn push(output: &mut String, c: char) {
    match c {
        '\n' => output.push_str("\\n"),
        '\r' => output.push_str("\\r"),
        '\t' => output.push_str("\\t"),
        c if is_printable(c) => output.push(c),
        c if c.is_ascii() => push_byte(output, c as u8),
        c => output.extend(c.escape_unicode()),
    }
}

/// Appends `byte` in the form `\x1b`.
fn push_byte(output: &mut String, byte: u8) {
    write!(output, "\\x{byte:02x}").expect("a string takes whatever is written");
}

/// One line of text as it may be shown: what is not printable becomes `\n`, `\x1b` or `\u{202e}`.
pub fn escape(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut output, c));
    output
}

/// Bytes as they would stand between quotes: `\"` and `\\` are escaped too, and `\xff` is a byte that is no UTF-8.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut output = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if matches!(c, '"' | '\\') {
                output.push('\\');
            }
            push(&mut output, c);
        }
        chunk.invalid().iter().for_each(|byte| push_byte(&mut output, *byte));
    }
    output
}

/// The first bytes in at most `columns` columns: in quotes, or as hex where most of them are no text. `…` stands behind
/// them where there are more.
pub fn show_start(bytes: &[u8], columns: usize) -> String {
    // No byte takes less than half a column: two columns for three bytes of Korean are the densest text.
    let head = &bytes[..bytes.len().min(columns.saturating_mul(2))];
    let strange = pieces(head).filter(|piece| !is_text(piece)).map(<[u8]>::len).sum::<usize>();
    let is_hex = strange > head.len() / 2;
    let mut output = String::from(if is_hex { "" } else { "\"" });
    let mut used = if is_hex { 0 } else { 2 };
    let mut shown = 0;
    for piece in pieces(head) {
        let piece = if is_hex { &head[shown..=shown] } else { piece };
        let text = match (is_hex, shown) {
            (true, 0) => format!("{:02x}", piece[0]),
            (true, _) => format!(" {:02x}", piece[0]),
            (false, _) => escape_bytes(piece),
        };
        // One column is kept for the sign that there is more, unless this is the end.
        let more = usize::from(shown + piece.len() < bytes.len());
        if used + width(&text) + more > columns {
            break;
        }
        (used, shown) = (used + width(&text), shown + piece.len());
        output.push_str(&text);
    }
    output.push_str(if is_hex { "" } else { "\"" });
    output.push_str(if shown < bytes.len() { "…" } else { "" });
    output
}

/// Characters, and bytes that belong to none.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid();
        let characters = valid.char_indices().map(|(at, c)| &valid.as_bytes()[at..at + c.len_utf8()]);
        characters.chain(chunk.invalid().chunks(1))
    })
}

/// Whether bytes are text that a person would read as such: printable UTF-8 in lines.
pub fn is_text(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| text.chars().all(|c| is_printable(c) || matches!(c, '\n' | '\r' | '\t')))
}

/// How many columns of a terminal printable text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The start of printable `text` that fits `columns`.
pub fn cut(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

/// The end of printable `text` that fits `columns`.
pub fn cut_start(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let start = text.char_indices().rev().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    &text[start.map_or(0, |(at, c)| at + c.len_utf8())..]
}

/// Printable text filled with spaces up to `columns`; the fill stands in front where `right` is set.
pub fn pad(text: &str, columns: usize, right: bool) -> String {
    let fill = " ".repeat(columns.saturating_sub(width(text)));
    if right { fill + text } else { text.to_owned() + &fill }
}

pub use crate::text::number;

/// A number with its noun: `1 byte`, `70,000 bytes`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// A word of a shell's command line, quoted where the shell would not take it as it is.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, shown) in [
            ("plain \\ \"text\"", "plain \\ \"text\""),
            ("안녕, 세계", "안녕, 세계"),
            ("\x1b[31mred", "\\x1b[31mred"),
            ("a\r\n\tb\0", "a\\r\\n\\tb\\x00"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{7f}", "\\x7f"),
            ("ab\u{202e}dc", "ab\\u{202e}dc"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("no-break\u{a0}space", "no-break\\u{a0}space"),
            ("\u{fffe}\u{2028}", "\\u{fffe}\\u{2028}"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn bytes_are_escaped_so_that_they_can_be_told_apart() {
        assert_eq!(escape_bytes(b"a\\n\"\n\xff\xec\x95\x88\xec"), r#"a\\n\"\n\xff안\xec"#);
    }

    #[test]
    fn korean_takes_two_columns_a_character() {
        assert_eq!(width("안녕 a"), 6);
        assert_eq!(cut("안녕 a", 3), "안");
        assert_eq!(cut_start("안녕 a", 5), "녕 a");
        assert_eq!(cut_start("안녕 a", 3), " a");
        assert_eq!(pad("안녕", 6, false), "안녕  ");
        assert_eq!(pad("1", 3, true), "  1");
    }

    #[test]
    fn the_start_of_text_is_cut_between_characters() {
        for (bytes, columns, shown) in [
            (&b"hello"[..], 7, "\"hello\""),
            (b"hello!", 7, "\"hell\"…"),
            (b"", 2, "\"\""),
            (b"line\n\n", 8, "\"line\"…"),
            ("안녕하세요".as_bytes(), 8, "\"안녕\"…"),
            ("안녕하".as_bytes(), 8, "\"안녕하\""),
            (b"\0\0\0\x05hello", 40, "\"\\x00\\x00\\x00\\x05hello\""),
        ] {
            assert_eq!(show_start(bytes, columns), shown);
        }
    }

    #[test]
    fn the_start_of_what_is_no_text_is_hex() {
        assert_eq!(show_start(b"\xff\0a", 8), "ff 00 61");
        assert_eq!(show_start(&[0; 1000], 9), "00 00 00…");
        assert_eq!(show_start("안\u{200b}".as_bytes(), 40), "\"안\\u{200b}\"");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(0, "byte"), "0 bytes");
        assert_eq!(count(1, "byte"), "1 byte");
        assert_eq!(count(999, "byte"), "999 bytes");
        assert_eq!(count(70_000, "byte"), "70,000 bytes");
        assert_eq!(number(1_234_567), "1,234,567");
    }

    #[test]
    fn a_word_with_a_space_is_quoted_for_the_shell() {
        assert_eq!(shell_word("reports/latest/a.pcapng"), "reports/latest/a.pcapng");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
        assert_eq!(shell_word(""), "''");
    }
}
