//! A file's text, and places in it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::Place;

/// The longest part of a line that a place carries, in characters.
const LINE_LEN_MAX: usize = 200;

/// A file that was read, and whatever it includes: spans count on from one to the next.
#[derive(Debug)]
pub struct Source {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    file: Arc<str>,
    text: Arc<str>,
    /// Where each line begins.
    lines: Arc<[usize]>,
    /// Where its spans begin.
    base: usize,
}

impl Source {
    /// The text of `file`, as it was named by its user.
    pub fn new(file: &str, text: impl Into<String>) -> Arc<Source> {
        let text = text.into();
        let lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Arc::new(Source { parts: vec![Part { file: file.into(), text: text.into(), lines, base: 0 }] })
    }

    /// This source with one more file, and where that one's spans begin.
    pub fn with(&self, other: &Source) -> (Arc<Source>, usize) {
        let last = self.parts.last().expect("a source has a file");
        // The end of a file is a place, too: no two files share one.
        let base = last.base + last.text.len() + 1;
        let mut parts = self.parts.clone();
        parts.extend(other.parts.iter().map(|part| Part { base: base + part.base, ..part.clone() }));
        (Arc::new(Source { parts }), base)
    }

    /// The first file's name.
    pub fn file(&self) -> &Arc<str> {
        &self.parts[0].file
    }

    /// The first file's text.
    pub fn text(&self) -> &str {
        &self.parts[0].text
    }

    /// Whether these words stand anywhere in it.
    pub fn mentions(&self, words: &str) -> bool {
        self.parts.iter().any(|part| part.text.contains(words))
    }

    /// The text of a span.
    pub fn get(&self, span: Range<usize>) -> Option<&str> {
        let part = self.part(span.start);
        part.text.get(span.start - part.base..span.end.checked_sub(part.base)?)
    }

    /// The folder of the file that a span stands in: where its relative paths start.
    pub fn folder(&self, span: &Range<usize>) -> PathBuf {
        Path::new(&*self.part(span.start).file).parent().map(Path::to_path_buf).unwrap_or_default()
    }

    fn part(&self, at: usize) -> &Part {
        self.parts.iter().rev().find(|part| part.base <= at).expect("the first begins at 0")
    }

    /// The place of `span`, which is in bytes. Of a span over several lines it is the part in the first.
    pub fn place(&self, span: Range<usize>) -> Place {
        let part = self.part(span.start);
        part.place(span.start - part.base..span.end.saturating_sub(part.base))
    }
}

impl Part {
    fn place(&self, span: Range<usize>) -> Place {
        let start = self.floor(span.start);
        let line = self.lines.partition_point(|begin| *begin <= start) - 1;
        let begin = self.lines[line];
        let end = self.text[begin..].find('\n').map_or(self.text.len(), |len| begin + len);
        let text = self.text[begin..end].trim_end_matches('\r');
        let width = self.text[start..self.floor(span.end.clamp(start, end.max(start)))].chars().count().max(1);
        let column = self.text[begin..start].chars().count();
        // A place far out in a very long line is shown with what stands around it.
        let text: String = if column + width <= LINE_LEN_MAX {
            text.chars().take(LINE_LEN_MAX).collect()
        } else {
            text.chars().take(column + width.min(LINE_LEN_MAX)).collect()
        };
        Place {
            file: Arc::clone(&self.file),
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
            width: u32::try_from(width).unwrap_or(u32::MAX),
            text: text.into(),
        }
    }

    /// The nearest character boundary at or before `at`.
    fn floor(&self, at: usize) -> usize {
        (0..=at.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, span: Range<usize>, expected: (u32, u32, u32, &str)) {
        let place = Source::new("f", text).place(span);
        assert_eq!((place.line, place.column, place.width, &*place.text), expected);
    }

    #[test]
    fn a_place_counts_characters_from_one() {
        check("ab\ncd", 3..5, (2, 1, 2, "cd"));
        check("서버 = x", 9..10, (1, 6, 1, "서버 = x"));
    }

    #[test]
    fn a_span_is_cut_at_its_first_line() {
        check("a = [\n1]\n", 4..8, (1, 5, 1, "a = ["));
    }

    #[test]
    fn the_end_of_a_file_is_a_place() {
        check("a\n", 2..2, (2, 1, 1, ""));
        check("", 0..0, (1, 1, 1, ""));
    }

    #[test]
    fn a_carriage_return_is_not_shown() {
        check("a\r\nb", 0..1, (1, 1, 1, "a"));
    }
}
