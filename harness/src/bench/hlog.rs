//! Histograms in a file that other tools read: the log format of `HdrHistogram`, version 1.3, a line an interval and tag.
//!
//! Reading takes what anybody wrote, so everything read has a limit.

use std::fmt;
use std::io::{BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::packed::Packed;

/// The longest line that is read: a histogram of 65,000 different values takes a tenth of it.
pub const LINE_LEN_MAX: usize = 4 << 20;

/// The most lines of a log: eleven days, a second each.
pub const LINES_MAX: usize = 1_000_000;

/// The most bytes of the histograms of a log, unpacked as they are kept.
pub const LOG_LEN_MAX: usize = 512 << 20;

/// A histogram of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is of.
    pub tag: String,
    /// When the interval began, in milliseconds from the log's beginning.
    pub begins_ms: u64,
    /// How long it was, in milliseconds.
    pub length_ms: u64,
    /// The histogram.
    pub histogram: Packed,
}

/// What is in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// When it began, in milliseconds since 1970 (UTC); 0 where it does not say.
    pub start_ms: u64,
    /// The histograms, in the order of the file.
    pub lines: Vec<Line>,
}

/// Why something is no log.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// It cannot be read.
    Io(std::io::Error),
    /// It has too many lines, or they are too long.
    TooLong {
        /// What of.
        what: &'static str,
        /// How much there may be.
        max: usize,
    },
    /// A line is none of a log.
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Io(error) => error.fmt(f),
            LogError::TooLong { what, max } => write!(f, "more {what} than {max}"),
            LogError::Line { line, why } => write!(f, "line {line}: {why}"),
        }
    }
}

impl std::error::Error for LogError {}

impl From<std::io::Error> for LogError {
    fn from(error: std::io::Error) -> LogError {
        LogError::Io(error)
    }
}

/// Writes a log.
pub fn write(log: &Log, output: &mut impl Write) -> std::io::Result<()> {
    let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
    writeln!(output, "#[Histogram log format version 1.3]")?;
    writeln!(output, "#[StartTime: {} (seconds since epoch)]", seconds(log.start_ms))?;
    writeln!(output, r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#)?;
    for line in &log.lines {
        let (begins, length) = (seconds(line.begins_ms), seconds(line.length_ms));
        // The maximum is for people, and in nanoseconds as everything.
        let max = line.histogram.histogram().max();
        let packed = BASE64.encode(line.histogram.compressed());
        writeln!(output, "Tag={},{begins},{length},{max}.000,{packed}", line.tag)?;
    }
    Ok(())
}

/// Reads a log.
pub fn read(mut input: impl BufRead) -> Result<Log, LogError> {
    let mut log = Log::default();
    let (mut text, mut kept) = (Vec::new(), 0);
    // A number that reaches a week stands for a time since 1970 rather than since the beginning; the format says so.
    let mut base_ms = 0;
    for number in 1.. {
        text.clear();
        let len = input.by_ref().take(LINE_LEN_MAX as u64 + 1).read_until(b'\n', &mut text)?;
        if len == 0 {
            break;
        }
        let wrong = |why| LogError::Line { line: number, why };
        if len > LINE_LEN_MAX {
            return Err(wrong("it is longer than any line of a log"));
        }
        let line = str::from_utf8(&text).map_err(|_| wrong("it is no text"))?.trim_end();
        if let Some(start) = line.strip_prefix("#[StartTime: ") {
            log.start_ms =
                millis(start.split(' ').next().unwrap_or_default()).ok_or_else(|| wrong("it has no time"))?;
            continue;
        }
        if let Some(base) = line.strip_prefix("#[BaseTime: ") {
            base_ms = millis(base.split(' ').next().unwrap_or_default()).ok_or_else(|| wrong("it has no time"))?;
            continue;
        }
        if line.is_empty() || line.starts_with(['#', '"']) {
            continue;
        }
        if log.lines.len() == LINES_MAX {
            return Err(LogError::TooLong { what: "lines", max: LINES_MAX });
        }
        let mut parsed = parse(line).map_err(wrong)?;
        let since_1970 = base_ms.saturating_add(parsed.begins_ms);
        if log.start_ms > 0 && since_1970 >= log.start_ms {
            parsed.begins_ms = since_1970 - log.start_ms;
        }
        kept += parsed.histogram.bytes().len();
        if kept > LOG_LEN_MAX {
            return Err(LogError::TooLong { what: "bytes of histograms", max: LOG_LEN_MAX });
        }
        log.lines.push(parsed);
    }
    Ok(log)
}

fn parse(line: &str) -> Result<Line, &'static str> {
    let (tag, rest) = match line.strip_prefix("Tag=") {
        Some(tagged) => tagged.split_once(',').ok_or("nothing stands behind the tag")?,
        None => ("", line),
    };
    let fields: Vec<&str> = rest.split(',').map(str::trim).collect();
    let [begins, length, _, histogram] = fields[..] else {
        return Err("a line has four fields, and a tag before them");
    };
    let begins_ms = millis(begins).ok_or("its beginning is no time in seconds")?;
    let length_ms = millis(length).ok_or("its length is no time in seconds")?;
    let histogram = BASE64.decode(histogram).map_err(|_| "its histogram is no base64")?;
    Ok(Line { tag: tag.to_owned(), begins_ms, length_ms, histogram: Packed::read(&histogram)? })
}

/// Milliseconds from `1441812279.474`.
fn millis(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.parse().ok()?;
    // The year 5138.
    (0.0..=1e11).contains(&seconds).then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::counted;
    use super::*;
    use proptest::prelude::*;

    fn line(tag: &str, begins_ms: u64, values: &[u64]) -> Line {
        Line { tag: tag.into(), begins_ms, length_ms: 1000, histogram: Packed::of(&counted(values)) }
    }

    fn written(log: &Log) -> String {
        let mut text = Vec::new();
        write(log, &mut text).expect("a vector takes everything");
        String::from_utf8(text).expect("it is text")
    }

    #[test]
    fn a_log_reads_as_it_was_written() {
        let lines = vec![line("a/latency", 0, &[1, 2, 3]), line("a/latency", 1500, &[]), line("", 0, &[70_000])];
        let log = Log { start_ms: 1_790_000_000_250, lines };
        let text = written(&log);
        assert!(
            text.starts_with(
                "#[Histogram log format version 1.3]\n#[StartTime: 1790000000.250 (seconds since epoch)]\n"
            )
        );
        assert!(text.contains("\nTag=a/latency,1.500,1.000,0.000,"), "{text}");
        assert_eq!(read(text.as_bytes()).expect("just written"), log);
    }

    #[test]
    fn a_log_of_another_implementation_is_read() {
        // Written by HdrHistogram for Python 0.10.8: 1000 values up to 1,000,000, with times since 1970.
        let log = read(&include_bytes!("python.hlog")[..]).expect("it is one");
        let shown: Vec<(&str, u64, u64)> =
            log.lines.iter().map(|line| (line.tag.as_str(), line.begins_ms, line.length_ms)).collect();
        assert_eq!(shown, [("", 0, 1000), ("", 1000, 1000)]);
        let histogram = log.lines[0].histogram.histogram();
        assert_eq!((histogram.len(), histogram.value_at_quantile(0.5)), (1000, 500_223));
    }

    #[track_caller]
    fn refuse(text: &str, message: &str) {
        let error = read(text.as_bytes()).expect_err("it is none");
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn what_is_no_log_is_told_with_its_line() {
        refuse("hello\n", "line 1: a line has four fields, and a tag before them");
        refuse("# fine\n\nTag=x\n", "line 3: nothing stands behind the tag");
        refuse("soon,1,1,AAAA", "line 1: its beginning is no time in seconds");
        refuse("1,inf,1,AAAA", "line 1: its length is no time in seconds");
        refuse("1,-1,1,AAAA", "line 1: its length is no time in seconds");
        refuse("1,1,1,*", "line 1: its histogram is no base64");
        refuse("1,1,1,AAAA", "line 1: its histogram is of no version that is known");
        refuse("#[StartTime: never]\n", "line 1: it has no time");
        refuse(&"x".repeat(LINE_LEN_MAX + 1), "line 1: it is longer than any line of a log");
        assert_eq!(read(&b""[..]).expect("nothing is a log of nothing"), Log::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_a_log_or_an_error(text in "(Tag=[a-z]{0,3},)?[0-9.,e+-]{0,20}[A-Za-z0-9+/=,\n#\\[]{0,80}") {
            let _ = read(text.as_bytes());
        }
    }
}
