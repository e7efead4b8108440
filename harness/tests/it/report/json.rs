//! The stored stream: what is written reads back, whatever became of the writer.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use harness::event::*;
use harness::report::stream::{ReplayError, replay};
use harness::report::{CaseRecord, Output, REPORTERS, Reporter, Settings};

use super::stream::*;

/// Hears a run again.
#[derive(Default)]
struct Heard(Vec<Event>);

impl Reporter for Heard {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        self.0.extend_from_slice(case.events);
        Ok(())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.push(event.clone());
        Ok(())
    }
}

fn two_cases() -> Vec<Event> {
    let case = |number, name| Case::new(number, name).connected().sent(&b"\xff\x00"[..]).finished(Verdict::Passed);
    run(vec![case(0, "one"), case(1, "two")])
}

fn stored(stream: &[Event]) -> String {
    report("json", &Settings::plain(80), stream)
}

fn again(text: &str) -> Result<Vec<Event>, ReplayError> {
    let mut heard = Heard::default();
    replay(text.as_bytes(), &mut heard).map(|()| heard.0)
}

#[test]
fn an_event_is_a_line() {
    let lines = stored(&two_cases());
    assert_eq!(lines.lines().count(), two_cases().len());
    assert!(lines.starts_with(r#"{"at_ns":0,"type":"run_started","v":1,"#), "{lines}");
    assert!(lines.ends_with("}\n"), "{lines}");
}

#[test]
fn a_stored_run_is_told_again_as_it_was() {
    assert_eq!(again(&stored(&two_cases())).unwrap(), two_cases());
}

#[test]
fn a_stored_run_renders_as_the_run_did() {
    let settings = Settings::plain(80);
    for entry in REPORTERS {
        let caught = Caught::default();
        let mut reporter = (entry.open)(caught.output(), &settings).unwrap();
        replay(stored(&two_cases()).as_bytes(), &mut *reporter).unwrap();
        assert_eq!(caught.text(), report(entry.name, &settings, &two_cases()), "{}", entry.name);
    }
}

#[test]
fn a_run_that_was_killed_is_told_as_incomplete() {
    let text = stored(&two_cases());
    let second = text.match_indices("case_started").nth(1).unwrap().0;
    let heard = again(&text[..second + 40]).unwrap();
    let EventKind::RunFinished { summary, exit_code } = &heard.last().unwrap().kind else { panic!("{heard:?}") };
    assert_eq!((summary.passed, *exit_code), (1, 9));
    assert_eq!(heard.len(), 2 + two_cases().iter().filter(|event| event.case == Some(0)).count());
}

#[test]
fn what_is_no_stream_is_refused_with_its_line() {
    assert!(matches!(again("").unwrap_err(), ReplayError::NoStart));
    assert!(matches!(
        again("{\"at_ns\":1,\"type\":\"warning\",\"message\":\"\"}\n").unwrap_err(),
        ReplayError::NoStart
    ));
    let text = stored(&[run_started()]);
    assert!(matches!(again(&(text.clone() + "{}\n")).unwrap_err(), ReplayError::NotAnEvent { line: 2, .. }));
    let newer = text.replace("\"v\":1", "\"v\":2");
    assert_eq!(again(&newer).unwrap_err().to_string(), "expected version 1 of the stream, found 2");
}

/// Counts writes.
struct Writes(Arc<Mutex<Vec<usize>>>);

impl io::Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_case_is_one_write_however_long_it_is() {
    let mut case = Case::new(0, "long").connected();
    for _ in 0..100 {
        case = case.received(Bytes::from(vec![b'a'; 1000]));
    }
    let writes = Arc::new(Mutex::new(Vec::new()));
    let entry = REPORTERS.iter().find(|entry| entry.name == "json").unwrap();
    let mut reporter = (entry.open)(Output::Writer(Box::new(Writes(writes.clone()))), &Settings::plain(80)).unwrap();
    tell(&case.finished(Verdict::Passed), &mut *reporter).unwrap();
    assert_eq!(writes.lock().unwrap().len(), 1);
}

/// Fails at every write, as a closed pipe does.
struct Closed;

impl Reporter for Closed {
    fn case(&mut self, _: &CaseRecord<'_>) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn event(&mut self, _: &Event) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_reporter_that_fails_takes_nothing_from_the_others() {
    let caught = Caught::default();
    let entry = REPORTERS.iter().find(|entry| entry.name == "json").unwrap();
    let json = (entry.open)(caught.output(), &Settings::plain(80)).unwrap();
    let mut all: Vec<Box<dyn Reporter>> = vec![Box::new(Closed), json];
    for event in [run_started(), run_finished(&[])] {
        assert_eq!(all.event(&event).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
    assert_eq!(caught.text().lines().count(), 2);
}
