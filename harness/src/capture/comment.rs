//! What a capture says in words.
//!
//! Each comment is for one reader: a sentence for people, and a line of `key=value` pairs for filters
//! such as `frame.comment contains "verdict=fail"`. Values with other than plain characters are quoted
//! as in Rust. Steps are numbered as in `events.ndjson`, from 0.

use std::fmt::{self, Write as _};

use super::flow::{Claim, Frame, NEAR, Shape};
use super::packet::flag;
use super::timeline::Timeline;
use crate::event::{CaseFinished, CaseStarted, RunStarted, StepInfo};

/// The longest comment, in bytes; the format's own limit is 65 535.
const COMMENT_LEN_MAX: usize = 8_192;
/// The longest value in a line of pairs.
const VALUE_LEN_MAX: usize = 512;

/// Several texts in one reused buffer.
#[derive(Debug, Default)]
pub(super) struct Comments {
    text: String,
    ends: Vec<usize>,
}

impl Comments {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| cut(&self.text[start..*end], COMMENT_LEN_MAX))
    }

    /// Adds a comment.
    fn add(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.push_str(part);
        }
        self.ends.push(self.text.len());
    }
}

/// The texts of one case that do not change from frame to frame.
#[derive(Debug)]
pub(super) struct Texts {
    /// `case=..`.
    case: String,
    /// ` actor=..`, by actor.
    actors: Vec<String>,
    /// ` step=..` and how a sentence names the step, by step.
    steps: Vec<(String, String)>,
}

impl Texts {
    pub(super) fn new(case: &CaseStarted, timeline: &Timeline<'_>) -> Texts {
        Texts {
            case: format!("case={}", Value(&case.name)),
            actors: timeline.actors.iter().map(|actor| format!(" actor={}", Value(actor))).collect(),
            steps: case.steps.iter().enumerate().map(|(index, step)| (format!(" step={index}"), name(step))).collect(),
        }
    }

    /// Says what there is to say about the frame at `index`.
    pub(super) fn frame(&self, timeline: &Timeline<'_>, index: usize, comments: &mut Comments) {
        let frame = &timeline.frames[index];
        let failing = timeline.failing.as_ref().filter(|failing| failing.frame as usize == index);
        let actors = timeline.flows[frame.flow as usize].actors;
        let actor = |end: usize| actors[end].map_or("", |actor| self.actors[actor as usize].as_str());
        for (end, claim) in frame.claims.iter().enumerate() {
            let Some(claim) = claim else { continue };
            let Some((number, name)) = self.steps.get(claim.step as usize) else { continue };
            comments.add(&[relation(frame, end, claim, name), name]);
            // The step that failed here says so below, and only there.
            if failing.is_none_or(|failing| failing.step != Some(claim.step)) {
                comments.add(&[&self.case, number, actor(end), if claim.passed { " verdict=pass" } else { "" }]);
            }
        }
        if let Some(part) = frame.part {
            let mut text = String::new();
            let _ = write!(text, "part {} of {} of {} bytes", part.index + 1, part.count, part.len);
            comments.add(&[&text]);
        }
        for note in &frame.notes {
            comments.add(&[note]);
        }
        if let Some(failing) = failing {
            comments.add(&["failed: ", &failing.message]);
            let step = failing.step.and_then(|step| self.steps.get(step as usize)).map_or("", |(number, _)| number);
            let end = frame.claims.iter().position(|claim| claim.is_some_and(|claim| Some(claim.step) == failing.step));
            comments.add(&[&self.case, step, actor(end.unwrap_or(NEAR)), " verdict=fail"]);
        } else if frame.claims == [None; 2] && !is_bare(frame) {
            comments.add(&[&self.case, actor(NEAR)]);
        }
    }
}

/// Whether a frame is only there because the transport needs it.
fn is_bare(frame: &Frame<'_>) -> bool {
    match frame.shape {
        Shape::Segment(segment) => {
            frame.payload.is_empty() && (segment.flags == flag::ACK || segment.flags == flag::SYN | flag::ACK)
        }
        Shape::Datagram | Shape::Unreachable => false,
    }
}

/// How a step has to do with a frame: the beginning of a sentence that its name ends.
fn relation(frame: &Frame<'_>, end: usize, claim: &Claim, name: &str) -> &'static str {
    match frame.shape {
        Shape::Segment(segment) if segment.flags & flag::SYN != 0 => "connection opened during ",
        _ if frame.from == end && name.starts_with("send ") => "sent by ",
        _ if frame.from == end => "sent during ",
        _ if claim.early => "came before the step that took it: ",
        _ => "came during ",
    }
}

/// A step in a sentence.
fn name(step: &StepInfo) -> String {
    let mut name = format!("{} at {}", step.verb, step.place);
    if let Some(note) = &step.note {
        let _ = write!(name, ": {}", cut(note, VALUE_LEN_MAX));
    }
    name
}

/// The comments of the whole file.
pub(super) fn section(
    run: &RunStarted,
    case: &CaseStarted,
    finished: Option<&CaseFinished>,
    timeline: &Timeline<'_>,
) -> Vec<String> {
    let mut comments = vec![format!(
        "Recorded by harness {} from socket reads and writes. Payload bytes, their order and times are real; Ethernet, \
         IP, TCP and UDP headers are invented. A handshake has the time when the connection was open.",
        run.harness
    )];
    let verdict = finished.map_or("running", |finished| finished.verdict.word());
    comments.push(format!(
        "recording=synthetic seed={} scenario={} case={} verdict={verdict} file={} harness={}",
        run.seed,
        Value(&case.scenario),
        Value(&case.name),
        Value(&format!("{}:{}", case.file, case.line)),
        Value(&run.harness),
    ));
    match finished {
        None => comments.push("The case was still going on when this was written.".to_owned()),
        Some(finished) => {
            comments.extend(finished.reason.as_ref().map(|reason| format!("verdict: {reason}")));
            comments.extend(finished.reproduce.as_ref().map(|command| format!("reproduce: {command}")));
        }
    }
    comments.extend(timeline.notes.iter().cloned());
    for comment in &mut comments {
        comment.truncate(cut(comment, COMMENT_LEN_MAX).len());
    }
    comments
}

/// The front of `text` that fits `len_max` bytes.
pub(super) fn cut(text: &str, len_max: usize) -> &str {
    &text[..text.floor_char_boundary(len_max)]
}

/// A value in a line of pairs.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = cut(self.0, VALUE_LEN_MAX);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:#[]@+,".contains(&byte);
        if !value.is_empty() && value.bytes().all(plain) { f.write_str(value) } else { write!(f, "{value:?}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_where_it_must_be() {
        for (value, shown) in [
            ("alice[0]", "alice[0]"),
            ("echoes a line", "\"echoes a line\""),
            ("a\"b\n", r#""a\"b\n""#),
            ("", "\"\""),
            ("a=b", "\"a=b\""),
        ] {
            assert_eq!(Value(value).to_string(), shown);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
