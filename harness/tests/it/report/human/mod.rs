//! What a person reads.

mod failure;
mod run;

use harness::event::*;
use harness::report::Settings;
use snapbox::data::Inline;
use snapbox::{IntoData as _, assert_data_eq};

use super::stream::*;

fn settings(width: usize) -> Settings {
    Settings { folder: Some("reports/latest".to_owned()), ..Settings::plain(width) }
}

#[track_caller]
fn check(case: Vec<Event>, shown: Inline) {
    let text = report("human", &settings(80), &run(vec![case]));
    assert_data_eq!(text, shown.raw());
}

/// A conversation of one line, up to the answer.
fn echo(name: &str) -> Case {
    Case::new(0, name)
        .step("send", place(10, 3, 20, r#"  { send = "hello\n" },"#))
        .step("expect", place(11, 3, 22, r#"  { expect = "hello\n" },"#))
        .connected()
        .sent("hello\n")
        .passed(0)
}

fn expect_hello(kind: FailureKind, message: &str) -> Failure {
    let mut failure = failure(kind, message, place(11, 14, 9, r#"  { expect = "hello\n" },"#));
    failure.expected_bytes = Some("hello\n".into());
    failure
}

fn exited() -> EventKind {
    EventKind::TargetExited {
        scenario: "echo".to_owned(),
        target: "kv".to_owned(),
        status: "signal SIGSEGV".to_owned(),
        crash: true,
        output: vec![
            OutputLine { stderr: false, text: "listening on 7001".to_owned() },
            OutputLine { stderr: true, text: "\x1b[31mERROR\x1b[0m index 9 out of bounds\r\n".to_owned() },
            OutputLine { stderr: true, text: "bell \x07 and title \x1b]0;owned\x07".to_owned() },
        ],
    }
}
