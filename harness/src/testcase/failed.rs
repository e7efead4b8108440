//! What went wrong in a case that was played, in words by which the same failure is known again.
//!
//! A failure has a *class*, and a *place*: where and how, in words that stay the same while the case is made smaller. A wrong
//! answer is the answer as well: where it was the same each time a case was played, only the same answer is the same failure.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{Event, EventKind, Failure, FailureKind, Verdict};
use crate::text::quote;

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The target's process ended as it should not.
    Crash,
    /// The target does not answer what it has answered before.
    Hang,
    /// It used more than its limits allow.
    Leak,
    /// A thread of it panicked, whether or not that was its end.
    Panic,
    /// It violates a property.
    Property,
    /// A step did not hold.
    WrongAnswer,
}

impl Class {
    /// Its name in files.
    pub fn word(self) -> &'static str {
        match self {
            Class::Crash => "crash",
            Class::Hang => "hang",
            Class::Leak => "leak",
            Class::Panic => "panic",
            Class::Property => "property",
            Class::WrongAnswer => "wrong-answer",
        }
    }

    /// The class with a name.
    pub fn named(word: &str) -> Option<Class> {
        [Class::Crash, Class::Hang, Class::Leak, Class::Panic, Class::Property, Class::WrongAnswer]
            .into_iter()
            .find(|class| class.word() == word)
    }

    /// Whether it tells of the target and not of what a step wanted: then it is a finding wherever it is met.
    pub fn is_targets(self) -> bool {
        matches!(self, Class::Crash | Class::Hang | Class::Leak | Class::Panic)
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What kind of failure.
    pub class: Class,
    /// Where and how: `signal SIGSEGV`, `panicked at src/main.rs:12`, `expect mismatch`.
    pub place: String,
    /// What came instead, where something did.
    pub received: Option<Bytes>,
    /// One line for people.
    pub message: String,
}

impl Failed {
    /// A failure that somebody else has found: a property, a probe.
    pub fn new(class: Class, place: impl Into<String>, message: impl Into<String>) -> Failed {
        Failed { class, place: place.into(), received: None, message: message.into() }
    }

    /// Whether it is the same failure. `steady` says that what was received is part of it.
    pub fn is_same(&self, other: &Failed, steady: bool) -> bool {
        self.class == other.class && self.place == other.place && (!steady || self.received == other.received)
    }

    /// Where and how, and with `steady` what came instead, as a stored case has it.
    pub fn fingerprint(&self, steady: bool) -> String {
        match self.received.as_ref().filter(|_| steady) {
            Some(received) => format!("{}, received {}", self.place, quote(received)),
            None => self.place.clone(),
        }
    }

    /// Reads it off what a run told: the events of the case, and what its targets wrote to stderr. `None` if all is well.
    pub fn of(events: &[Event], verdict: Verdict, stderr: &str) -> Option<Failed> {
        let failure = events.iter().find_map(|event| match &event.kind {
            EventKind::StepFailed { step, failure, .. } => Some((*step, failure)),
            _ => None,
        });
        let message = || failure.map_or_else(String::new, |(_, failure)| failure.message.clone());
        let exit = events.iter().find_map(|event| match &event.kind {
            EventKind::TargetExited { status, crash: true, .. } => Some(status.clone()),
            _ => None,
        });
        // What a sanitizer or a panic says tells more than the signal that follows it.
        if let Some(place) = sanitizer(stderr) {
            return Some(Failed { class: Class::Crash, received: None, message: first(message(), &place), place });
        }
        if let Some(place) = panic(stderr) {
            let place = format!("panicked at {place}");
            return Some(Failed { class: Class::Panic, received: None, message: first(message(), &place), place });
        }
        if verdict == Verdict::Crashed {
            let status = exit.or_else(|| message().rsplit_once("crashed: ").map(|(_, status)| status.to_owned()));
            // Whether a core was dumped is the system's business.
            let status = status.unwrap_or_else(|| "crashed".into());
            let status = status.split(" (").next().unwrap_or_default().to_owned();
            let place = traceback(stderr).map_or(status.clone(), |place| format!("{status}, {place}"));
            return Some(Failed { class: Class::Crash, received: None, message: first(message(), &place), place });
        }
        if !matches!(verdict, Verdict::Failed | Verdict::UnexpectedPass) {
            return None;
        }
        let (step, failure) = failure?;
        if failure.kind == FailureKind::TargetLimit {
            let limit = failure.message.rsplit_once("and `").and_then(|(_, rest)| rest.split_once('`'));
            let place = limit.map_or_else(|| failure.message.clone(), |(limit, _)| limit.to_owned());
            return Some(Failed { class: Class::Leak, place, received: None, message: failure.message.clone() });
        }
        let verb = step.and_then(|step| verb_of(events, step)).unwrap_or_else(|| "end".into());
        let place = format!("{verb} {}", kind(failure));
        let received = failure.received.clone().filter(|received| !received.is_empty());
        Some(Failed { class: Class::WrongAnswer, place, received, message: failure.message.clone() })
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.word(), self.place)
    }
}

fn first(message: String, otherwise: &str) -> String {
    if message.is_empty() { otherwise.to_owned() } else { message }
}

/// The verb of a step.
fn verb_of(events: &[Event], step: u32) -> Option<String> {
    events.iter().find_map(|event| match &event.kind {
        EventKind::CaseStarted(started) => started.steps.get(step as usize).map(|info| info.verb.clone()),
        _ => None,
    })
}

/// The kind of a failure, by its name in the stream.
fn kind(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Closed => "closed",
        FailureKind::Command => "command",
        FailureKind::Crash => "crash",
        FailureKind::Deadlock => "deadlock",
        FailureKind::Leftover => "leftover",
        FailureKind::Limit => "limit",
        FailureKind::Mismatch => "mismatch",
        FailureKind::Refused => "refused",
        FailureKind::Reset => "reset",
        FailureKind::Script => "script",
        FailureKind::System => "system",
        FailureKind::TargetLimit => "target_limit",
        FailureKind::Timeout => "timeout",
        FailureKind::Tls => "tls",
        FailureKind::UnexpectedPass => "unexpected_pass",
    }
}

/// Where a thread panicked, as the first panic on stderr says: file and line.
///
/// `thread 'main' panicked at src/main.rs:12:5:`, and before Rust 1.73 `thread 'main' panicked at 'why', src/main.rs:12:5`.
pub(super) fn panic(stderr: &str) -> Option<String> {
    let line = stderr.lines().find(|line| {
        line.starts_with("thread '") && line.contains("' panicked at ")
            || line.starts_with("thread '") && line.contains(") panicked at ")
    })?;
    let (_, place) = line.split_once(" panicked at ")?;
    let place = place.trim_end_matches(':');
    let place = place.rsplit_once("', ").map_or(place, |(_, place)| place);
    // The column is of no use to anybody.
    let (place, _column) = place.rsplit_once(':')?;
    Some(place.to_owned())
}

/// What a sanitizer has found: its name, what, and in which function of the program.
///
/// `==7==ERROR: AddressSanitizer: heap-buffer-overflow on address ..`, then `    #1 0x55 in parse_header /src/http.c:71:5`;
/// `src/a.c:7:3: runtime error: signed integer overflow: ..` of the undefined behaviour sanitizer.
fn sanitizer(stderr: &str) -> Option<String> {
    let lines: Vec<&str> = stderr.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if let Some((place, what)) = line.split_once(": runtime error: ") {
            let place = place.rsplit_once(':').map_or(place, |(place, _column)| place);
            let what: Vec<&str> = what.split(':').next().unwrap_or_default().split(' ').take(4).collect();
            return Some(format!("UndefinedBehaviorSanitizer {} at {place}", what.join(" ")));
        }
        let Some((_, rest)) = line.split_once("ERROR: ").filter(|(_, rest)| rest.contains("Sanitizer: ")) else {
            continue;
        };
        let (name, what) = rest.split_once(": ")?;
        let what = what.split([' ', '(']).next().unwrap_or_default();
        let frames = lines[at..].iter().map(|line| line.trim_start()).skip_while(|line| !line.starts_with("#0 "));
        let frames = frames.take_while(|line| line.starts_with('#'));
        let functions = frames.filter_map(|line| line.split_once(" in ")?.1.split(' ').next());
        let own = |function: &&str| {
            let inner = ["__interceptor", "__asan", "__sanitizer", "__msan", "__tsan", "__ubsan", "__libc", "operator"];
            let plain =
                ["abort", "free", "malloc", "memcpy", "memmove", "memset", "raise", "realloc", "strcpy", "strlen"];
            !inner.iter().any(|name| function.starts_with(name)) && !plain.contains(function)
        };
        let function = functions.into_iter().find(own);
        return Some(match function {
            Some(function) => format!("{name} {what} in {function}"),
            None => format!("{name} {what}"),
        });
    }
    None
}

/// Where a Python program ended: the exception, and the innermost line.
fn traceback(stderr: &str) -> Option<String> {
    let lines: Vec<&str> = stderr.lines().collect();
    let begin = lines.iter().rposition(|line| line.starts_with("Traceback (most recent call last)"))?;
    let place = lines[begin..].iter().rev().find_map(|line| {
        let (file, rest) = line.trim_start().strip_prefix("File \"")?.split_once("\", line ")?;
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("{file}:{number}"))
    })?;
    let error = lines[begin + 1..].iter().find(|line| !line.starts_with(' ') && !line.is_empty())?;
    Some(format!("{} at {place}", error.split(':').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stderr: &str, expected: Option<(Class, &str)>) {
        let failed = Failed::of(&[], Verdict::Passed, stderr);
        assert_eq!(failed.as_ref().map(|failed| (failed.class, failed.place.as_str())), expected);
    }

    #[test]
    fn a_panic_is_known_by_its_line() {
        let expected = Some((Class::Panic, "panicked at src/main.rs:12"));
        check("listening\nthread 'main' panicked at src/main.rs:12:5:\nindex out of bounds\n", expected);
        check("thread 'tokio-runtime-worker' (4711) panicked at src/main.rs:12:5:\nno\n", expected);
        check("thread 'main' panicked at 'it's no', src/main.rs:12:5\n", expected);
        check("somebody panicked at the disco\n", None);
    }

    #[test]
    fn a_sanitizer_is_known_by_what_and_where() {
        let report = "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x6020 at pc 0x1\nWRITE of size 9\n    \
            #0 0x4a in __interceptor_memcpy (/x+0x4a)\n    #1 0x55 in parse_header /src/http.c:71:5\n    #2 0x56 in main\n";
        check(report, Some((Class::Crash, "AddressSanitizer heap-buffer-overflow in parse_header")));
        let report = "src/a.c:7:3: runtime error: signed integer overflow: 2147483647 + 1 cannot be\n";
        check(report, Some((Class::Crash, "UndefinedBehaviorSanitizer signed integer overflow at src/a.c:7")));
    }

    #[test]
    fn a_traceback_is_known_by_its_innermost_line() {
        let stderr = "Traceback (most recent call last):\n  File \"s.py\", line 3, in <module>\n    f()\n  File \"s.py\", line 9, in f\n    1/0\nZeroDivisionError: no\n";
        let failed = Failed::of(&[], Verdict::Crashed, stderr).expect("it crashed");
        assert_eq!(failed.place, "crashed, ZeroDivisionError at s.py:9");
    }

    #[test]
    fn the_same_wrong_answer_is_the_same_failure() {
        let failed = |received: &'static str| Failed {
            received: Some(Bytes::from_static(received.as_bytes())),
            ..Failed::new(Class::WrongAnswer, "expect mismatch", "")
        };
        assert!(failed("BUG").is_same(&failed("BUG"), true));
        assert!(!failed("BUG").is_same(&failed("ERR"), true));
        assert!(failed("at 12:00").is_same(&failed("at 12:01"), false));
        assert_eq!(failed("BUG").fingerprint(true), "expect mismatch, received `BUG`");
    }
}
