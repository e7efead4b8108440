//! What is wrong: signs in what a play has shown, and what they are called.

use std::fmt;
use std::time::Duration;

use super::growth::Grows;
use super::limits::Limit;
use super::player::Trace;
use crate::event::OutputLine;
use crate::runner::process::{Exit, Frame};
use crate::testcase::{Class, Failed};

/// What of a target grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Open file descriptors.
    Descriptors,
    /// Resident memory.
    Memory,
    /// Threads.
    Threads,
}

/// A sign that something is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Symptom {
    /// A processor is used up, although there is nothing to do.
    Busy,
    /// A process ended; with the place that it names, if it does.
    Ended {
        /// Which target's.
        target: String,
        /// How.
        exit: Exit,
        /// Where, in the target's own words.
        place: Option<String>,
    },
    /// A process that a target has started ended by a signal, and the target goes on; with the place, if that was seen.
    Child {
        /// Which target's.
        target: String,
        /// How.
        exit: Exit,
        /// Where.
        place: Option<String>,
    },
    /// Another server answers the same messages otherwise.
    Differs,
    /// What more and more of one thing takes grows faster than that: what, and the sizes, in words.
    Grows(Grows, String),
    /// What a valid conversation says is not answered.
    Hang,
    /// Something grows.
    Leak(Resource),
    /// What a valid conversation says is answered, but only after so long.
    Late(Duration),
    /// A limit of the scenario's is broken: which, and how, in words.
    Limit(Limit, String),
    /// A panic or a sanitizer's report at a place, and the process goes on.
    Panic(String),
    /// The same messages, cut or timed otherwise, are answered otherwise.
    Wrong,
}

impl Symptom {
    /// What a play shows by itself. `normal` are the ends that valid conversations lead to as well.
    pub fn of(trace: &Trace, normal: &[Exit]) -> Option<Symptom> {
        // Who has a handler for a fault may go on.
        let has_ended = trace.ended.is_some() || trace.child.is_some();
        let place = place(&trace.lines).or_else(|| of_stack(&trace.stack).filter(|_| has_ended));
        match (&trace.ended, place) {
            (Some((target, exit)), place) if !normal.contains(exit) => {
                Some(Symptom::Ended { target: target.clone(), exit: *exit, place })
            }
            (None, place) if let Some((target, exit)) = &trace.child => {
                Some(Symptom::Child { target: target.clone(), exit: *exit, place })
            }
            (None, Some(place)) => Some(Symptom::Panic(place)),
            _ => None,
        }
    }

    /// Whether a signal has ended a process, and nothing says where.
    pub fn is_untraced(&self) -> bool {
        matches!(self, Symptom::Ended { exit: Exit::Signal { .. }, place: None, .. })
    }

    /// What it counts as.
    pub fn kind(&self) -> Class {
        match self {
            Symptom::Busy | Symptom::Hang | Symptom::Late(_) => Class::Hang,
            Symptom::Child { .. } | Symptom::Ended { .. } => Class::Crash,
            Symptom::Grows(Grows::Work, _) => Class::Hang,
            Symptom::Grows(Grows::Memory, _) | Symptom::Leak(_) | Symptom::Limit(..) => Class::Leak,
            Symptom::Panic(_) => Class::Panic,
            Symptom::Differs | Symptom::Wrong => Class::WrongAnswer,
        }
    }

    /// What went wrong, in words by which the same failure is known again.
    pub fn failed(&self) -> Failed {
        let place = match self {
            Symptom::Busy => "busy".to_owned(),
            Symptom::Ended { exit, place, .. } => {
                // Whether a core was dumped is the system's business.
                let exit = match exit {
                    Exit::Signal { number, .. } => format!("signal {number}"),
                    exit => exit.to_string(),
                };
                place.as_ref().map_or(exit.clone(), |place| format!("{exit}, {place}"))
            }
            Symptom::Child { exit, place, .. } => {
                format!("child {exit}, {}", place.as_deref().unwrap_or_default())
            }
            Symptom::Differs => "difference".to_owned(),
            Symptom::Grows(grows, _) => grows.to_string(),
            Symptom::Hang | Symptom::Late(_) => "silence".to_owned(),
            Symptom::Leak(resource) => format!("{resource:?}").to_lowercase(),
            Symptom::Limit(limit, _) => limit.to_string(),
            Symptom::Panic(place) => format!("panicked at {place}"),
            Symptom::Wrong => "cuts".to_owned(),
        };
        Failed::new(self.kind(), place, self.to_string())
    }

    /// What kind of sign it is where it says nothing of where it happened; `None` where it does.
    pub fn placeless(&self) -> Option<String> {
        match self {
            // Whoever works without an end does not answer either, and which of the two is seen first is chance.
            Symptom::Busy | Symptom::Hang => Some("hang".into()),
            Symptom::Ended { exit: Exit::Signal { number, .. }, place: None, .. } => Some(format!("signal {number}")),
            Symptom::Ended { exit, place: None, .. } => Some(exit.to_string()),
            Symptom::Differs => Some("difference".into()),
            Symptom::Grows(grows, _) => Some(grows.to_string()),
            Symptom::Late(_) => Some("late answer".into()),
            Symptom::Leak(resource) => Some(format!("leak of {resource:?}").to_lowercase()),
            Symptom::Limit(limit, _) => Some(format!("limit of {limit}")),
            Symptom::Child { exit, place: None, .. } => Some(format!("child {exit}")),
            Symptom::Child { .. } | Symptom::Ended { place: Some(_), .. } | Symptom::Panic(_) => None,
            Symptom::Wrong => Some("wrong answer".into()),
        }
    }

    /// The name of its bucket; `fallback` tells apart what says nothing of where it happened.
    pub fn bucket(&self, fallback: &str) -> String {
        let name = match self {
            Symptom::Busy => format!("busy-{fallback}"),
            Symptom::Child { exit, place, .. } | Symptom::Ended { exit, place, .. } => {
                let exit = match exit {
                    Exit::Code(code) => format!("exit-{code}"),
                    exit => exit.to_string().split([' ', ',']).nth(1).unwrap_or("signal").to_lowercase(),
                };
                format!("{exit}-{}", place.as_deref().unwrap_or(fallback))
            }
            Symptom::Differs => format!("differs-{fallback}"),
            Symptom::Grows(Grows::Memory, _) => format!("memory-burst-{fallback}"),
            Symptom::Grows(Grows::Work, _) => format!("busy-square-{fallback}"),
            Symptom::Hang => format!("silence-{fallback}"),
            Symptom::Late(_) => format!("late-{fallback}"),
            Symptom::Leak(Resource::Descriptors) => format!("descriptors-{fallback}"),
            Symptom::Leak(Resource::Memory) => format!("memory-{fallback}"),
            Symptom::Leak(Resource::Threads) => format!("threads-{fallback}"),
            Symptom::Limit(limit, _) => format!("limit-{limit}-{fallback}"),
            Symptom::Panic(place) => place.clone(),
            Symptom::Wrong => fallback.to_owned(),
        };
        let name = format!("{}-{name}", self.kind().word());
        let mut safe = String::new();
        for c in name.chars() {
            match c {
                c if c.is_ascii_alphanumeric() => safe.push(c.to_ascii_lowercase()),
                '_' | '.' => safe.push(c),
                _ if safe.ends_with('-') => {}
                _ => safe.push('-'),
            }
        }
        safe.truncate(BUCKET_LEN_MAX);
        safe.trim_end_matches(['-', '.']).to_owned()
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Symptom::Busy => f.write_str("the target uses up a processor, although nothing is asked of it"),
            Symptom::Ended { target, exit, place: None } => write!(f, "the target `{target}` ended: {exit}"),
            Symptom::Ended { target, exit, place: Some(place) } => {
                write!(f, "the target `{target}` ended: {exit}, at {place}")
            }
            Symptom::Child { target, exit, place } => {
                write!(f, "a process that the target `{target}` has started ended: {exit}")?;
                place.as_ref().map_or(Ok(()), |place| write!(f, ", at {place}"))
            }
            Symptom::Differs => f.write_str("another server answers the same messages otherwise"),
            Symptom::Grows(_, told) | Symptom::Limit(_, told) => f.write_str(told),
            Symptom::Hang => f.write_str("a valid conversation is not answered any more"),
            Symptom::Leak(Resource::Descriptors) => f.write_str("open descriptors grow with each play"),
            Symptom::Leak(Resource::Memory) => f.write_str("memory grows with each play"),
            Symptom::Leak(Resource::Threads) => f.write_str("threads grow with each play"),
            Symptom::Late(time) => {
                let time = time.as_millis();
                write!(f, "a valid conversation is answered only after {time} ms, and at once by a fresh target")
            }
            Symptom::Panic(place) => write!(f, "a panic at {place}, and the process goes on"),
            Symptom::Wrong => f.write_str("the same messages, sent in other pieces, are answered otherwise"),
        }
    }
}

/// The longest name of a bucket.
const BUCKET_LEN_MAX: usize = 100;

/// How many frames of a stack tell one from another.
const FRAMES: usize = 3;

/// Where a panic or a sanitizer's report says that it happened.
pub fn place(lines: &[OutputLine]) -> Option<String> {
    for (at, line) in lines.iter().enumerate() {
        let text = &line.text;
        if let Some((before, place)) = text.split_once("panicked at ")
            && before.contains("thread '")
        {
            // Before Rust 1.73 the message stood in front of the place, in quotes.
            let place = place.rsplit_once("', ").map_or(place, |(_, place)| place);
            return Some(short_path(place.trim_end_matches(':')));
        }
        if let Some(what) = report(text) {
            let what = what.split_whitespace().next();
            return Some(join(what.into_iter().chain(frames(&lines[at..]).iter().map(String::as_str))));
        }
        if let Some((place, what)) = text.split_once(": runtime error: ") {
            let what: Vec<&str> = what.split_whitespace().take(4).collect();
            return Some(format!("{} {}", short_path(place), what.join(" ")));
        }
    }
    None
}

/// What a sanitizer's report is of, where this line begins one.
fn report(line: &str) -> Option<&str> {
    let (_, report) = line.split_once("ERROR: ").or_else(|| line.split_once("WARNING: "))?;
    report.split_once("Sanitizer: ").map(|(_, what)| what)
}

/// Whether a sanitizer's report has begun and is not over: it looks for the names of functions, which takes time, mostly another
/// process's.
pub fn is_reporting(lines: &[OutputLine]) -> bool {
    let begun = lines.iter().rposition(|line| report(&line.text).is_some());
    begun.is_some_and(|at| !lines[at..].iter().any(|line| line.text.starts_with("SUMMARY: ")))
}

fn join<'t>(parts: impl Iterator<Item = &'t str>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

/// The program's functions at the top of a stack.
fn of_stack(stack: &[Frame]) -> Option<String> {
    let own = stack.iter().filter(|frame| !frame.of_system).map(|frame| &frame.function);
    let mut own: Vec<&str> = own.map(String::as_str).filter(|function| is_telling(function)).collect();
    // How deep what calls itself was says nothing.
    own.dedup();
    own.truncate(FRAMES);
    (!own.is_empty()).then(|| join(own.into_iter()))
}

/// Whether a function says something of the program: those of sanitizers and of the C library do not.
fn is_telling(function: &str) -> bool {
    !function.starts_with("__") && !matches!(function, "_start" | "free" | "malloc" | "memcpy" | "strcpy")
}

/// The functions at the top of a sanitizer's stack.
fn frames(lines: &[OutputLine]) -> Vec<String> {
    let frame = |line: &OutputLine| {
        let mut words = line.text.trim_start().strip_prefix('#')?.split_whitespace().skip(1);
        // ThreadSanitizer leaves out the address and the `in` behind it.
        match words.next()? {
            address if address.starts_with("0x") => {
                words.next().filter(|word| *word == "in").and_then(|_| words.next())
            }
            function => Some(function),
        }
        .map(str::to_owned)
    };
    lines.iter().take(64).filter_map(frame).filter(|function| is_telling(function)).take(FRAMES).collect()
}

/// A path without the folders of the machine that it was built on.
fn short_path(path: &str) -> String {
    let parts: Vec<&str> = path.rsplitn(4, '/').take(3).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<OutputLine> {
        text.lines().map(|text| OutputLine { stderr: true, text: text.to_owned() }).collect()
    }

    #[test]
    fn a_panic_names_its_place_in_old_words_and_new_ones() {
        let find = |text| place(&lines(text));
        let place = Some("src/main.rs:12:5".to_owned());
        assert_eq!(find("x\nthread 'tokio-runtime-worker' panicked at src/main.rs:12:5:\nindex out"), place);
        assert_eq!(
            find("thread 'main' (17) panicked at /build/a/b/x/src/main.rs:12:5:"),
            Some("x/src/main.rs:12:5".into())
        );
        assert_eq!(find("thread 'main' panicked at 'index out, of', src/main.rs:12:5"), place);
        assert_eq!(find("the user panicked at the sight"), None);
    }

    #[test]
    fn a_sanitizer_names_what_and_where() {
        let text = "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x6020\n    #0 0x1 in __interceptor_memcpy (x)\n    #1 0x2 in parse /src/a.c:7\n    #2 0x3 in serve /src/a.c:9\n";
        assert_eq!(place(&lines(text)), Some("heap-buffer-overflow parse serve".into()));
        let text = "WARNING: ThreadSanitizer: data race (pid=7)\n  Write of size 4\n    #0 count /src/a.c:7 (a+0x1)\n    #1 serve /src/a.c:9 (a+0x2)\n";
        assert_eq!(place(&lines(text)), Some("data count serve".into()));
        let text = "==7==WARNING: MemorySanitizer: use-of-uninitialized-value\n    #0 0x1 in parse /src/a.c:7\n";
        assert_eq!(place(&lines(text)), Some("use-of-uninitialized-value parse".into()));
        assert_eq!(place(&lines("==7==WARNING: AddressSanitizer failed to allocate 0x7 bytes")), None);
        let text = "a.c:3:7: runtime error: signed integer overflow: 1 + 2";
        assert_eq!(place(&lines(text)), Some("a.c:3:7 signed integer overflow: 1".into()));
    }

    #[test]
    fn a_report_is_over_with_its_summary() {
        let begun =
            "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n    #0 0x1 in parse /src/a.c:7\n";
        assert!(is_reporting(&lines(begun)));
        assert!(!is_reporting(&lines(&format!("{begun}SUMMARY: AddressSanitizer: heap-use-after-free\n"))));
        assert!(!is_reporting(&lines("listening")));
    }

    #[test]
    fn a_bucket_is_a_name_of_a_folder() {
        let ended = |place: Option<&str>| Symptom::Ended {
            target: "kv".into(),
            exit: Exit::Signal { number: 11, core: false },
            place: place.map(str::to_owned),
        };
        assert_eq!(ended(None).bucket("PUT"), "crash-sigsegv-put");
        assert_eq!(Symptom::Panic("src/main.rs:12:5".into()).bucket(""), "panic-src-main.rs-12-5");
    }
}
