//! The stream itself, one JSON object a line: `events.ndjson`, described in `docs/events.md`.

use std::io::{self, Write};

use super::{CaseRecord, Entry, Reporter};
use crate::event::Event;

/// The row of this reporter.
pub const ENTRY: Entry = Entry {
    name: "json",
    about: "every event as a JSON object on a line of its own",
    file: Some("events.ndjson"),
    talk: false,
    open: |output, _| Ok(Box::new(Json { writer: output.stream()?, lines: Vec::new() })),
};

/// Writes the stream.
struct Json {
    writer: Box<dyn Write + Send>,
    /// What is written next; kept for its memory.
    lines: Vec<u8>,
}

impl Json {
    /// Writes `events` in one write, so that a harness that is killed leaves whole cases.
    fn write(&mut self, events: &[Event]) -> io::Result<()> {
        self.lines.clear();
        for event in events {
            serde_json::to_writer(&mut self.lines, event)?;
            self.lines.push(b'\n');
        }
        self.writer.write_all(&self.lines)?;
        self.writer.flush()
    }
}

impl Reporter for Json {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        self.write(case.events)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.write(std::slice::from_ref(event))
    }
}
