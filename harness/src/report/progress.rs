//! How far a run is, in one line at the bottom of a terminal, and whose business that is.
//!
//! The line is no report: it shows what goes on right now and is gone when the run is. Whatever else is written to the terminal
//! meanwhile goes through [`Bar::above`], so that the line is never in the way. Nothing here decides whether there is a
//! terminal.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::{cut, escape, number, width};
use super::{CaseRecord, Look, Progress, Reporter};
use crate::event::{Event, EventKind};

/// How wide the bar itself is, in columns.
const BAR: u64 = 20;

/// The most columns a case's name takes.
const NAME_MAX: usize = 60;

/// The fewest that are worth it.
const NAME_MIN: usize = 12;

/// Columns that stay free at the end: a terminal shows `^C` there, and in a full line would begin another one.
const MARGIN: usize = 3;

/// The line at the bottom.
#[derive(Clone, Debug)]
pub struct Bar {
    bar: ProgressBar,
    look: Look,
}

impl Bar {
    /// A line on stderr, which is a terminal.
    pub fn on_stderr(look: Look) -> Bar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // It cuts the line where the terminal ends, if that is narrower than any line can be.
        bar.set_style(ProgressStyle::with_template("{wide_msg}").expect("the template is sound"));
        Bar { bar, look }
    }

    /// What is written there, above the line.
    pub fn above(&self, writer: impl Write + Send + 'static) -> Box<dyn Write + Send> {
        Box::new(Above { bar: self.bar.clone(), writer })
    }
}

impl Reporter for Bar {
    fn case(&mut self, _: &CaseRecord<'_>) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let EventKind::RunFinished { .. } = event.kind {
            self.bar.finish_and_clear();
        }
        Ok(())
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        let size = terminal_size::terminal_size_of(io::stderr());
        let width = size.map_or(self.look.width, |(width, _)| usize::from(width.0));
        self.bar.set_message(line(progress, &self.look, width.saturating_sub(MARGIN)));
    }
}

/// Writes while the line is away.
struct Above<W> {
    bar: ProgressBar,
    writer: W,
}

impl<W: Write> Write for Above<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let writer = &mut self.writer;
        self.bar.suspend(|| writer.write(bytes).and_then(|written| writer.flush().map(|()| written)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// `    Running [   1.2s] ━━━━━━────── 12/40, 1 failed: echo: waits (1.1s), +2`.
fn line(progress: &Progress<'_>, look: &Look, columns: usize) -> String {
    let Progress { at, planned, summary, running } = *progress;
    let (strong, good, bad, note, dim) =
        (look.theme.strong, look.theme.good, look.theme.bad, look.theme.note, look.theme.dim);
    let failed = summary.failed + summary.crashed + summary.unreachable;
    let done = summary.cases() - summary.interrupted;
    let planned = planned.max(done);
    let full = (done * BAR).checked_div(planned).unwrap_or(BAR) as usize;
    let (full, empty) = ("━".repeat(full), "─".repeat(BAR as usize - full));
    let time = show_tenths(Duration::from_nanos(at.as_nanos()));
    let bar = if failed > 0 { bad } else { good };
    let mut line = format!(
        "{strong}{:>11}{strong:#} [{time:>8}] {bar}{full}{bar:#}{dim}{empty}{dim:#} {}/{}",
        "Running",
        number(done),
        number(planned)
    );
    for (count, word, style) in [(failed, "failed", bad), (summary.flaky, "flaky", note)] {
        if count > 0 {
            line.push_str(&format!(", {style}{} {word}{style:#}", number(count)));
        }
    }
    // The one that has been going on for longest is the one that somebody waits for.
    if let Some((title, time)) = running.first() {
        let title = escape(title);
        let more = if running.len() > 1 { format!(", +{}", running.len() - 1) } else { String::new() };
        let rest = format!("({}){more}", show_tenths(*time));
        let used = width(&anstream::adapter::strip_str(&line).to_string()) + ": ".len() + 1 + width(&rest);
        let room = columns.saturating_sub(used).min(NAME_MAX);
        if room >= NAME_MIN.min(width(&title)) {
            let shown = if width(&title) > room { format!("{}…", cut(&title, room - 1)) } else { title };
            line.push_str(&format!(": {shown} {dim}{rest}{dim:#}"));
        }
    }
    line
}

/// A duration that does not flicker: `1.2s`, `62s`.
fn show_tenths(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}.{}s", duration.subsec_millis() / 100) } else { format!("{seconds}s") }
}

#[cfg(test)]
mod tests {
    use snapbox::{IntoData as _, assert_data_eq, str};

    use super::*;
    use crate::event::Summary;
    use crate::time::Time;

    fn show(summary: &Summary, planned: u64, running: &[(&str, Duration)]) -> String {
        let at = Time::from_nanos(12_345_678_901);
        line(&Progress { at, planned, summary, running }, &Look::plain(80), 90) + "\n"
    }

    #[test]
    fn a_line_says_how_far_the_run_is() {
        let summary = Summary { passed: 9, skipped: 1, ..Summary::default() };
        let waits = ("echo: waits", Duration::from_millis(1_250));
        assert_data_eq!(
            show(&Summary::default(), 40, &[waits])
                + &show(&summary, 40, &[waits, ("b", Duration::ZERO)])
                + &show(&Summary { failed: 1, unreachable: 1, flaky: 1, ..summary.clone() }, 1_300, &[])
                + &show(
                    &summary,
                    10,
                    &[("\x1b[2J a name that is longer than what is shown of it", Duration::from_secs(61))]
                ),
            str![[r#"
    Running [   12.3s] ──────────────────── 0/40: echo: waits (1.2s)
    Running [   12.3s] ━━━━━─────────────── 10/40: echo: waits (1.2s), +1
    Running [   12.3s] ──────────────────── 13/1,300, 2 failed, 1 flaky
    Running [   12.3s] ━━━━━━━━━━━━━━━━━━━━ 10/10: \x1b[2J a name that is longer th… (61s)

"#]]
            .raw()
        );
    }

    #[test]
    fn a_line_fits_in_colour_or_not() {
        let summary = Summary { passed: 9, failed: 1, flaky: 2, ..Summary::default() };
        let running = [("서버: 답을 오래 기다립니다", Duration::from_secs(7)), ("b", Duration::ZERO)];
        for columns in 72..120 {
            for look in [Look::plain(80), Look::colored(80)] {
                let progress = Progress { at: Time::ZERO, planned: 40, summary: &summary, running: &running };
                let line = line(&progress, &look, columns);
                let shown = anstream::adapter::strip_str(&line).to_string();
                assert!(width(&shown) <= columns, "{columns}: {shown}");
                assert_eq!(shown.contains("서버"), columns >= 93, "{columns}: {shown}");
            }
        }
    }

    #[test]
    fn numbers_that_do_not_fit_together_are_shown_all_the_same() {
        let many = Summary { passed: 50, interrupted: 7, ..Summary::default() };
        assert!(show(&many, 40, &[]).contains(" 50/50"));
        assert!(show(&Summary::default(), 0, &[]).contains(" 0/0"));
    }
}
