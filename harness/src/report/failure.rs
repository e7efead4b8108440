//! A case that did not hold, told to somebody who has never seen the tool: where, what was expected and received,
//! what had happened, what the target said, how to see it again.
//!
//! This is a function from a case to text. The terminal shows it, `JUnit` carries it without colour.

use super::hexdump::{first_difference, push_comparison, push_dump};
use super::place::{push_place, push_remark};
use super::text::{self, count, escape, escape_bytes, is_text, show_start, width};
use super::timeline::{Detail, push_timeline};
use super::{CaseRecord, Look, Settings, Verbosity};
use crate::event::{Event, EventKind, Failure, OutputLine, Place, Verdict};

/// How many lines of a target's output are shown.
const OUTPUT_LINES_MAX: usize = 20;

/// A case that did not hold, without its status line.
pub fn render(case: &CaseRecord<'_>, settings: &Settings) -> String {
    let look = &settings.look;
    let mut output = String::new();
    let mut first = None;
    for (step, failure) in case.failures() {
        first.get_or_insert(failure);
        push_place(&mut output, &failure.place, &failure.message, look);
        let note = step.and_then(|step| case.started.steps.get(step as usize)).and_then(|step| step.note.as_ref());
        if let Some(note) = note {
            push_remark(&mut output, "  ", "step", note, look);
        }
        push_expectation(&mut output, failure, look);
        push_blank(&mut output);
        failure.notes.iter().for_each(|note| push_remark(&mut output, "  ", "note", note, look));
        if let Some(hint) = &failure.hint {
            push_remark(&mut output, "  ", "hint", hint, look);
        }
        push_blank(&mut output);
    }
    let reason = case.finished.reason.as_deref();
    let before = output.len();
    super::stored::push_stored(&mut output, case, look);
    if output.len() > before {
        push_blank(&mut output);
    }
    let Some(message) = first.map(|failure| failure.message.as_str()).or(reason) else {
        push_end(&mut output, case, verdict_words(case.finished.verdict), settings);
        return output;
    };
    if first.is_none() {
        let place =
            Place { file: case.started.file.as_str().into(), line: case.started.line, column: 1, ..Place::default() };
        push_place(&mut output, &place, message, look);
        output.push('\n');
    }

    let mut timeline = String::new();
    let detail = if settings.verbosity == Verbosity::Verbose { Detail::Everything } else { Detail::Failure };
    push_timeline(&mut timeline, case, detail, look);
    if !timeline.is_empty() {
        let strong = look.theme.strong;
        output.push_str(&format!("  {strong}what happened{strong:#} (since the case began; → sent, ← received):\n"));
        output.push_str(&timeline);
        output.push('\n');
    }
    let targets = output.len();
    case.events.iter().for_each(|event| push_target(&mut output, event, look));
    if output.len() > targets {
        output.push('\n');
    }
    push_end(&mut output, case, message, settings);
    output
}

/// What differed, how to play it again and where its capture lies, of a case that did not hold.
pub fn ending(case: &CaseRecord<'_>, settings: &Settings) -> String {
    let mut output = String::new();
    let reason = case.finished.reason.as_deref();
    let message = case.failure().map(|failure| failure.message.as_str()).or(reason);
    push_end(&mut output, case, message.unwrap_or(verdict_words(case.finished.verdict)), settings);
    output
}

/// What a verdict means, where nothing else says why.
fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed | Verdict::ExpectedFailure | Verdict::Flaky | Verdict::Skipped => "nothing",
        Verdict::Failed | Verdict::Retried => "the case failed",
        Verdict::Crashed => "the target crashed",
        Verdict::Unreachable => "the target could not be reached",
        Verdict::UnexpectedPass => "the case held although `xfail` says that it does not",
        Verdict::Interrupted => "the run ended before the case did",
    }
}

/// The last lines: what differed, how to play it again, where its capture lies.
fn push_end(output: &mut String, case: &CaseRecord<'_>, message: &str, settings: &Settings) {
    let look = &settings.look;
    push_remark(output, "  ", "what differed", message, look);
    let finished = case.finished;
    if let Some(command) = &finished.reproduce {
        push_remark(output, "  ", "reproduce", command, look);
    }
    if let Some(capture) = &finished.capture {
        let path = settings.path_of(capture);
        let shown = match finished.frame {
            Some(frame) => {
                format!("{path}, failing frame {frame} (wireshark -g {frame} {})", text::shell_word(&path))
            }
            None => path,
        };
        push_remark(output, "  ", "capture", &shown, look);
    }
}

/// Ends a paragraph.
fn push_blank(output: &mut String) {
    if !output.ends_with("\n\n") {
        output.push('\n');
    }
}

/// What stands in front of what was expected, and of what was received.
const LABEL: usize = "  expected: ".len();

/// Expected and received: in words, as text where they are text, and as hex.
fn push_expectation(output: &mut String, failure: &Failure, look: &Look) {
    let (expected, received) = (failure.expected_bytes.as_deref(), failure.received.as_deref());
    if failure.expected.is_none() && expected.is_none() && received.is_none() {
        return;
    }
    output.push('\n');
    let (good, bad) = (look.theme.good, look.theme.bad);
    // An exact expectation in words is the bytes once more.
    let words = failure.expected.as_ref().filter(|words| expected.is_none() || !words.starts_with('`'));
    if let Some(words) = words {
        output.push_str(&format!("  {good}expected:{good:#} {}\n", escape(words)));
    }
    // Where words said it already, the bytes stand below them.
    let label = if words.is_some() { " ".repeat(LABEL - 1) } else { format!("  {good}expected:{good:#}") };
    let at = failure.difference_at.map(|at| usize::try_from(at).unwrap_or(usize::MAX));
    let columns = look.width.saturating_sub(LABEL);
    match (expected, received) {
        (Some(expected), Some(received)) if !received.is_empty() => {
            let first = at.filter(|at| *at <= received.len()).or_else(|| first_difference(expected, received));
            if let Some(first) = first
                && is_text(expected)
            {
                push_texts(output, &label, expected, received, first, look);
            }
            push_comparison(output, expected, received, first, look);
        }
        (None, Some(received)) if !received.is_empty() => {
            let shown = show_start(received, columns.saturating_sub(16));
            let len = count(received.len() as u64, "byte");
            output.push_str(&format!("  {bad}received:{bad:#} {len}, {shown}\n"));
            push_dump(output, received, at, look);
        }
        (expected, _) => {
            match expected {
                Some(text) if is_text(text) => output.push_str(&format!("{label} {}\n", show_start(text, columns))),
                Some(data) => {
                    output.push_str(&format!("{label} {}\n", count(data.len() as u64, "byte")));
                    push_dump(output, data, None, look);
                }
                None => {}
            }
            if received.is_some() {
                output.push_str(&format!("  {bad}received:{bad:#} nothing\n"));
            }
        }
    }
}

/// Both as text above each other, cut around the first difference, with a caret under it.
fn push_texts(output: &mut String, label: &str, expected: &[u8], received: &[u8], first: usize, look: &Look) {
    let bad = look.theme.bad;
    let columns = look.width.saturating_sub(LABEL);
    // The two are the same up to the difference, so that one beginning serves both.
    let character = character_start(expected, first);
    let mut from = character;
    let mut before = 0;
    for (at, c) in str::from_utf8(&expected[..character]).unwrap_or_default().char_indices().rev() {
        let wider = before + width(&escape_bytes(c.encode_utf8(&mut [0; 4]).as_bytes()));
        if wider > columns / 3 {
            break;
        }
        (from, before) = (at, wider);
    }
    let start = if from > 0 { "…" } else { "" };
    for (label, data) in [(label, expected), (&*format!("  {bad}received:{bad:#}"), received)] {
        let rest = data.get(from..).unwrap_or_default();
        let shown = show_start(rest, columns.saturating_sub(width(start)));
        output.push_str(&format!("{label} {start}{shown}\n"));
    }
    let caret = " ".repeat(LABEL + width(start) + 1 + before);
    let what = match first {
        _ if first == received.len() => "missing from here on, from byte",
        _ if first == expected.len() => "too much from here on, from byte",
        _ => "first difference, at byte",
    };
    output.push_str(&format!("{caret}{bad}^ {what} {}{bad:#}\n", text::number(first as u64)));
}

/// Where the character begins that the byte at `at` belongs to.
fn character_start(data: &[u8], at: usize) -> usize {
    let at = at.min(data.len());
    (at.saturating_sub(3)..=at).rev().find(|at| data.get(*at).is_none_or(|byte| !is_continuation(*byte))).unwrap_or(at)
}

/// Whether a byte continues a character of UTF-8.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Appends a target's end and its last output, or its last output alone, if that is what the event tells.
pub fn push_target(output: &mut String, event: &Event, look: &Look) {
    let lines = match &event.kind {
        EventKind::TargetExited { target, status, crash, output: lines, .. } => {
            let style = if *crash { look.theme.bad } else { look.theme.strong };
            let what = if *crash { "crashed" } else { "ended" };
            let colon = if lines.is_empty() { ", it wrote nothing" } else { ", its last output:" };
            let (target, status) = (escape(target), escape(status));
            output.push_str(&format!("  {style}target `{target}` {what}:{style:#} {status}{colon}\n"));
            lines
        }
        EventKind::TargetOutput { target, output: lines, .. } => {
            let strong = look.theme.strong;
            output.push_str(&format!("  {strong}last output of the target `{}`:{strong:#}\n", escape(target)));
            lines
        }
        _ => return,
    };
    let skipped = lines.len().saturating_sub(OUTPUT_LINES_MAX);
    if skipped > 0 {
        output.push_str(&format!("    … {} not shown …\n", count(skipped as u64, "line")));
    }
    let dim = look.theme.dim;
    for line in &lines[skipped..] {
        let stream = if line.stderr { "stderr" } else { "stdout" };
        output.push_str(&format!("    {dim}{stream} |{dim:#} {}\n", output_line(line)));
    }
}

/// A target's line without its colours, printable.
pub fn output_line(line: &OutputLine) -> String {
    escape(anstream::adapter::strip_str(&line.text).to_string().trim_end())
}
