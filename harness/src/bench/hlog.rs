//! Histograms in a file that other tools read: the log format of `HdrHistogram`, version 1.3, a line an interval and tag.
//!
//! Reading takes what anybody wrote, so everything read has a limit. A line keeps its histogram as it stood in the file until
//! somebody wants it: decoded it takes forty times as much.

use std::fmt;
use std::io::{BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

/// The longest line that is read: a histogram of 65,000 different values takes a tenth of it.
pub const LINE_LEN_MAX: usize = 4 << 20;

/// The most lines of a log: eleven days, a second each.
pub const LINES_MAX: usize = 1_000_000;

/// The most bytes of the histograms of a log, as they stand there.
pub const LOG_LEN_MAX: usize = 512 << 20;

/// The most bytes of one histogram that is no longer compressed.
pub const HISTOGRAM_LEN_MAX: usize = 32 << 20;

/// The most significant digits of a histogram; each takes ten times the memory.
pub const HISTOGRAM_DIGITS_MAX: u32 = 4;

/// What a compressed histogram begins with, and what one that is not.
const COMPRESSED: u32 = 0x1c84_9314;
const PLAIN: u32 = 0x1c84_9313;

/// Bytes before the counts of a histogram that is not compressed.
const HEADER_LEN: usize = 40;

/// A histogram of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is of.
    pub tag: String,
    /// When the interval began, in milliseconds from the log's beginning.
    pub begins_ms: u64,
    /// How long it was, in milliseconds.
    pub length_ms: u64,
    /// The histogram, in any of the forms of `HdrHistogram` V2.
    pub histogram: Vec<u8>,
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

/// A histogram as a log has it.
pub fn encode(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).expect("a vector takes everything");
    bytes
}

/// The histogram in some bytes, or what is wrong with them.
pub fn decode(bytes: &[u8]) -> Result<Histogram<u64>, &'static str> {
    let word =
        |at: usize| bytes.get(at..at + 4).map(|word| u32::from_be_bytes(word.try_into().expect("they are four")));
    let inflated;
    let plain = match (word(0), word(4)) {
        (Some(PLAIN), _) => bytes,
        (Some(COMPRESSED), Some(len)) => {
            let compressed = &bytes[8..];
            let compressed = compressed.get(..len as usize).ok_or("its histogram is cut off")?;
            let mut whole = Vec::new();
            let mut reader = ZlibDecoder::new(compressed).take(HISTOGRAM_LEN_MAX as u64);
            reader.read_to_end(&mut whole).map_err(|_| "its histogram is damaged")?;
            inflated = whole;
            &inflated
        }
        _ => return Err("its histogram is of no version that is known"),
    };
    // What follows is what the library does not see, and would take memory or an overflow for.
    if plain.len() < HEADER_LEN {
        return Err("its histogram is cut off");
    }
    let word = |at: usize| u32::from_be_bytes(plain[at..at + 4].try_into().expect("they are four"));
    let (is_plain, counts_len, digits) = (word(0) == PLAIN, word(4) as usize, word(12));
    let highest = u64::from_be_bytes(plain[24..32].try_into().expect("they are eight"));
    if !is_plain || plain.len() - HEADER_LEN < counts_len {
        return Err("its histogram is cut off");
    }
    if digits > HISTOGRAM_DIGITS_MAX || i64::try_from(highest).is_err() {
        return Err("its histogram is larger than any that is read");
    }
    if !are_sound(&plain[HEADER_LEN..HEADER_LEN + counts_len]) {
        return Err("its histogram is damaged");
    }
    Deserializer::new().deserialize(&mut &plain[..]).map_err(|_| "its histogram is damaged")
}

/// Whether counts are whole, and none is the one number that cannot be turned around.
fn are_sound(mut counts: &[u8]) -> bool {
    while !counts.is_empty() {
        // Seven bits a byte, and eight in the ninth.
        let last = counts.iter().take(8).position(|byte| byte & 0x80 == 0).unwrap_or(8);
        let Some((number, rest)) = counts.split_at_checked(last + 1) else { return false };
        if number.len() == 9 && number.iter().all(|byte| *byte == 0xff) {
            return false;
        }
        counts = rest;
    }
    true
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
        let max = decode(&line.histogram).map(|histogram| histogram.max()).unwrap_or_default();
        writeln!(output, "Tag={},{begins},{length},{max}.000,{}", line.tag, BASE64.encode(&line.histogram))?;
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
        kept += parsed.histogram.len();
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
    decode(&histogram)?;
    Ok(Line { tag: tag.to_owned(), begins_ms, length_ms, histogram })
}

/// Milliseconds from `1441812279.474`.
fn millis(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.parse().ok()?;
    // The year 5138.
    (0.0..=1e11).contains(&seconds).then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::measure::serialized;
    use super::super::tally::histogram;
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram<u64> {
        let mut all = histogram();
        values.iter().for_each(|value| all.saturating_record(*value));
        all
    }

    fn line(tag: &str, begins_ms: u64, values: &[u64]) -> Line {
        Line { tag: tag.into(), begins_ms, length_ms: 1000, histogram: encode(&of(values)) }
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
        let histogram = decode(&log.lines[0].histogram).expect("it was read");
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

    /// A histogram that is not compressed, with some bytes changed.
    fn changed(at: usize, bytes: &[u8]) -> Result<Histogram<u64>, &'static str> {
        let mut plain = serialized(&of(&[1, 5, 9, 70_000]));
        plain[at..at + bytes.len()].copy_from_slice(bytes);
        decode(&plain)
    }

    #[test]
    fn a_histogram_that_lies_about_its_size_takes_no_memory() {
        assert_eq!(changed(4, &[0x7f; 4]), Err("its histogram is cut off"));
        assert_eq!(changed(12, &[0, 0, 0, 5]), Err("its histogram is larger than any that is read"));
        assert_eq!(changed(24, &[0xff; 8]), Err("its histogram is larger than any that is read"));
        assert_eq!(changed(8, &[1; 4]), Err("its histogram is damaged"));
        // A number of zeros that cannot be turned around.
        let mut plain = serialized(&of(&[1]));
        plain.truncate(HEADER_LEN);
        plain[4..8].copy_from_slice(&9_u32.to_be_bytes());
        plain.extend([0xff; 9]);
        assert_eq!(decode(&plain), Err("its histogram is damaged"));
    }

    #[test]
    fn what_unpacks_without_end_is_cut() {
        let zeros = std::io::Read::take(std::io::repeat(0), 10 * HISTOGRAM_LEN_MAX as u64);
        let mut packed = Vec::new();
        flate2::read::ZlibEncoder::new(zeros, flate2::Compression::fast()).read_to_end(&mut packed).expect("it packs");
        let mut bytes = COMPRESSED.to_be_bytes().to_vec();
        bytes.extend((packed.len() as u32).to_be_bytes());
        bytes.extend(packed);
        assert_eq!(decode(&bytes), Err("its histogram is cut off"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn histograms_survive_the_way(values in prop::collection::vec(1_u64..60_000_000_000, 0..200)) {
            let all = of(&values);
            let back = decode(&encode(&all)).expect("just made");
            prop_assert_eq!(&back, &all);
            prop_assert_eq!(decode(&serialized(&all)).expect("just made"), all);
        }

        #[test]
        fn damage_is_an_error_or_another_histogram(
            values in prop::collection::vec(1_u64..1_000_000, 1..20), at in 0_usize..200, byte: u8,
        ) {
            let mut plain = serialized(&of(&values));
            let at = at % plain.len();
            plain[at] = byte;
            let _ = decode(&plain);
        }

        #[test]
        fn any_text_is_a_log_or_an_error(text in "(Tag=[a-z]{0,3},)?[0-9.,e+-]{0,20}[A-Za-z0-9+/=,\n#\\[]{0,80}") {
            let _ = read(text.as_bytes());
        }
    }
}
