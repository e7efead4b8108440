//! What a target writes: always read, kept up to a limit, and copied to files where that is wanted.
//!
//! The limits keep a target that floods its output from filling memory or a disk; it is never blocked.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regex_automata::meta::Regex;
use tokio::sync::Notify;

use crate::event::OutputLine;

/// One of the two streams that a process writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The last lines of both streams.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Kept,
    stderr: Kept,
    /// The number of the next line, over both streams, so that they merge in the order of their beginnings.
    next: u64,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Line>,
    cost: usize,
    /// The line that has begun and not ended.
    open: Option<Line>,
    log: Option<Log>,
    wanted: Option<(Regex, Arc<Notify>)>,
}

#[derive(Debug)]
struct Line {
    number: u64,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Log {
    file: File,
    room: u64,
}

impl Output {
    /// An empty one, that copies to `<stem>.stdout` and `<stem>.stderr` where a stem is given.
    pub(super) fn new(stem: Option<&Path>) -> Result<Output, (PathBuf, io::Error)> {
        let log = |suffix: &str| {
            stem.map(|stem| {
                let mut path = stem.as_os_str().to_owned();
                path.push(suffix);
                match File::create(&path) {
                    Ok(file) => Ok(Log { file, room: LOG_LEN_MAX }),
                    Err(source) => Err((PathBuf::from(path), source)),
                }
            })
            .transpose()
        };
        let stdout = Kept { log: log(".stdout")?, ..Kept::default() };
        let stderr = Kept { log: log(".stderr")?, ..Kept::default() };
        Ok(Output { stdout, stderr, next: 0 })
    }

    /// Notifies once a line of `stream` matches; a line counts as far as it has been written.
    pub(super) fn want(&mut self, stream: Stream, regex: Regex) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let kept = self.kept(stream);
        if kept.lines.iter().chain(&kept.open).any(|line| regex.is_match(line.without_end())) {
            notify.notify_one();
        } else {
            kept.wanted = Some((regex, Arc::clone(&notify)));
        }
        notify
    }

    /// Takes in what the process wrote.
    pub(super) fn handle_bytes(&mut self, stream: Stream, bytes: &[u8]) {
        let mut next = self.next;
        let kept = self.kept(stream);
        if let Some(log) = &mut kept.log
            && log.write(bytes).is_err()
        {
            // The disk is full or gone. The target is not to blame, and its last lines are still kept here.
            kept.log = None;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let line = kept.open.get_or_insert_with(|| {
                next += 1;
                Line { number: next, bytes: Vec::new() }
            });
            let room = rest.len().min(LINE_LEN_MAX - line.bytes.len());
            let end = memchr::memchr(b'\n', &rest[..room]).map(|at| at + 1);
            let (part, after) = rest.split_at(end.unwrap_or(room));
            line.bytes.extend_from_slice(part);
            rest = after;
            if end.is_some() || line.bytes.len() == LINE_LEN_MAX {
                kept.close();
            }
        }
        kept.look();
        self.next = next;
    }

    /// The last `count` lines of both streams, oldest first.
    pub(super) fn tail(&self, count: usize) -> Vec<OutputLine> {
        let lines = |kept: &'_ Kept, stderr| {
            let lines = kept.lines.iter().chain(&kept.open).rev().take(count);
            lines.map(|line| (line.number, OutputLine { stderr, text: line.text() })).collect::<Vec<_>>()
        };
        let mut both = lines(&self.stdout, false);
        both.append(&mut lines(&self.stderr, true));
        both.sort_by_key(|(number, _)| *number);
        let skipped = both.len().saturating_sub(count);
        both.into_iter().skip(skipped).map(|(_, line)| line).collect()
    }

    /// The lines that have begun after the one with this number, oldest first, and the number of the newest.
    pub(super) fn since(&self, number: u64) -> (u64, Vec<OutputLine>) {
        if number == self.next {
            return (number, Vec::new());
        }
        let lines = |kept: &'_ Kept, stderr| {
            let lines = kept.lines.iter().chain(&kept.open).rev().take_while(|line| line.number > number);
            lines.map(|line| (line.number, OutputLine { stderr, text: line.text() })).collect::<Vec<_>>()
        };
        let mut both = lines(&self.stdout, false);
        both.append(&mut lines(&self.stderr, true));
        both.sort_by_key(|(number, _)| *number);
        (self.next, both.into_iter().map(|(_, line)| line).collect())
    }

    /// All that is kept of one stream.
    pub(super) fn bytes(&self, stream: Stream) -> Vec<u8> {
        let kept = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        kept.lines.iter().chain(&kept.open).flat_map(|line| &line.bytes).copied().collect()
    }

    fn kept(&mut self, stream: Stream) -> &mut Kept {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl Kept {
    /// Ends the open line, and drops the oldest ones above the limit.
    fn close(&mut self) {
        self.look();
        let Some(line) = self.open.take() else { return };
        self.cost += line.cost();
        self.lines.push_back(line);
        while self.cost > KEPT_LEN_MAX {
            let oldest = self.lines.pop_front().expect("what costs something holds a line");
            self.cost -= oldest.cost();
        }
    }

    /// Looks for the wanted line in the open one.
    fn look(&mut self) {
        if let (Some((regex, notify)), Some(line)) = (&self.wanted, &self.open)
            && regex.is_match(line.without_end())
        {
            notify.notify_one();
            self.wanted = None;
        }
    }
}

impl Line {
    fn without_end(&self) -> &[u8] {
        let line = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.without_end()).into_owned()
    }

    /// What it takes, so that empty lines, too, are bounded.
    fn cost(&self) -> usize {
        self.bytes.len() + size_of::<Line>()
    }
}

impl Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.room == 0 {
            return Ok(());
        }
        let len = usize::try_from(self.room).map_or(bytes.len(), |room| bytes.len().min(room));
        self.file.write_all(&bytes[..len])?;
        self.room -= len as u64;
        if self.room == 0 {
            write!(self.file, "\n[harness: only the first {LOG_LEN_MAX} bytes are kept]\n")?;
        }
        Ok(())
    }
}

/// How much of each stream is kept in memory.
const KEPT_LEN_MAX: usize = 64 << 10;

/// A longer line is kept in pieces of this length.
const LINE_LEN_MAX: usize = 8 << 10;

/// How much of each stream is copied to its file.
const LOG_LEN_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> Output {
        Output::new(None).expect("without files nothing can fail")
    }

    fn texts(output: &Output, count: usize) -> Vec<String> {
        output.tail(count).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn the_tail_merges_both_streams_in_the_order_in_which_lines_began() {
        let mut output = output();
        output.handle_bytes(Stream::Stdout, b"one\ntw");
        output.handle_bytes(Stream::Stderr, b"three\r\n");
        output.handle_bytes(Stream::Stdout, b"o\nfour");
        assert_eq!(texts(&output, 9), ["one", "two", "three", "four"]);
        assert_eq!(texts(&output, 2), ["three", "four"]);
        assert!(output.tail(2)[0].stderr);
        assert_eq!(output.bytes(Stream::Stdout), b"one\ntwo\nfour");
    }

    #[test]
    fn a_flood_is_kept_up_to_the_limit_however_it_is_cut() {
        for flood in [&b"\n"[..], b"x", b"0123456789\n"] {
            let mut output = output();
            let chunk = flood.repeat(10_000);
            for _ in 0..100 {
                output.handle_bytes(Stream::Stderr, &chunk);
            }
            let kept = output.bytes(Stream::Stderr).len();
            assert!((1..=KEPT_LEN_MAX + LINE_LEN_MAX).contains(&kept), "{kept} bytes kept");
            assert!(output.stderr.cost <= KEPT_LEN_MAX);
        }
    }

    #[track_caller]
    fn check_wanted(regex: &str, pieces: &[&str], expected: bool) {
        let mut output = output();
        let notify = output.want(Stream::Stdout, Regex::new(regex).expect("a valid regex"));
        for piece in pieces {
            output.handle_bytes(Stream::Stdout, piece.as_bytes());
        }
        let mut waits = tokio_test_poll(&notify);
        assert_eq!(waits.take().is_some(), expected, "{regex} in {pieces:?}");
    }

    /// Whether the notification has come, without a runtime.
    fn tokio_test_poll(notify: &Notify) -> Option<()> {
        let mut future = std::pin::pin!(notify.notified());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        future.as_mut().poll(&mut context).is_ready().then_some(())
    }

    #[test]
    fn a_wanted_line_is_found_however_it_is_cut() {
        check_wanted("ready on [0-9]+$", &["rea", "dy o", "n 80\n"], true);
        check_wanted("^ready$", &["booting\nready\r\nmore\n"], true);
        check_wanted("prompt> ", &["prompt> "], true);
        check_wanted("^ready$", &["not ready\n"], false);
    }

    #[test]
    fn a_line_that_was_there_before_is_found() {
        let mut output = output();
        output.handle_bytes(Stream::Stderr, b"listening\nmore\n");
        let notify = output.want(Stream::Stderr, Regex::new("listening").expect("a valid regex"));
        assert!(tokio_test_poll(&notify).is_some());
    }

    #[test]
    fn files_hold_what_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let stem = folder.path().join("kv");
        let mut output = Output::new(Some(&stem)).expect("a writable folder");
        output.handle_bytes(Stream::Stdout, b"a\n");
        output.handle_bytes(Stream::Stderr, b"\xff");
        assert_eq!(std::fs::read(folder.path().join("kv.stdout")).expect("a log"), b"a\n");
        assert_eq!(std::fs::read(folder.path().join("kv.stderr")).expect("a log"), b"\xff");
    }

    #[test]
    fn a_log_that_cannot_be_made_is_named() {
        let (path, _) = Output::new(Some(Path::new("/proc/none/kv"))).expect_err("no such folder");
        assert_eq!(path, Path::new("/proc/none/kv.stdout"));
    }
}
