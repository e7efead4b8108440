//! The page of a finding: what it is, what of it matters, and what is said.

use super::super::case::Case;
use super::super::oracle::Symptom;
use super::super::triage::Verdict;
use super::Finding;
use crate::runner::process::Frame;
use crate::testcase::Class;

/// How many bytes of a message the page shows.
const SHOWN_MAX: usize = 512;

/// How many calls of a stack the page shows.
const FRAMES_MAX: usize = 24;

/// The page of a finding.
///
/// `shown` is how often it came again as the scenario that is left of it.
pub fn page(
    finding: &Finding,
    symptom: &Symptom,
    (case, shown): (&Case, usize),
    told: &[String],
    stack: &[Frame],
) -> String {
    let mut page = format!("# {}\n\n{symptom}.\n\n", finding.bucket);
    page.push_str(&format!(
        "Found after {:.1} s and {} cases. {}\n\n```\nharness run {}\n```\n\n{}.\n",
        finding.seconds,
        finding.cases,
        match finding.verdict {
            Verdict::Deterministic => "It shows each time, on a fresh target.",
            Verdict::Flaky if shown == 0 => "It was seen once, and has not come again since.",
            Verdict::Flaky => "It shows now and then.",
            Verdict::NeedsHistory =>
                "It shows each time, on a fresh target, after what several connections have said before.",
        },
        finding.path.join("repro.toml").display(),
        match shown {
            0 => "says what was said last, and has not failed: what was said before that is in `signs`",
            _ => "fails as long as it is there",
        },
    ));
    if finding.kind == Class::Leak {
        page.push_str(
            "\nWhat is kept may be given back later, by a timer of the target's: that was not waited for. It grows with each play \
             until then.\n",
        );
    }
    if !told.is_empty() {
        page.push_str("\n## What matters\n\n");
        told.iter().for_each(|line| page.push_str(&format!("- {line}\n")));
    }
    if !stack.is_empty() {
        page.push_str("\n## Where\n\n```\n");
        for (at, frame) in stack.iter().take(FRAMES_MAX).enumerate() {
            page.push_str(&format!("#{at:<3} {frame}\n"));
        }
        if stack.len() > FRAMES_MAX {
            page.push_str(&format!("… {} more\n", stack.len() - FRAMES_MAX));
        }
        page.push_str("```\n");
    }
    page.push_str(&format!(
        "\n## What is said\n\n{}, {}, {}.\n",
        crate::text::count(finding.connections, "connection"),
        crate::text::count(finding.messages, "message"),
        crate::text::count(finding.bytes, "byte"),
    ));
    for (at, message) in case.messages() {
        let bytes = message.bytes();
        let cuts = match message.cuts.len() {
            0 => String::new(),
            cuts => format!(", in {} writes", cuts + 1),
        };
        page.push_str(&format!("\nStep {}, connection {}{cuts}:\n\n```\n", at + 1, message.link));
        page.push_str(&dump(&bytes[..bytes.len().min(SHOWN_MAX)]));
        if bytes.len() > SHOWN_MAX {
            page.push_str(&format!("… {}\n", crate::text::count(bytes.len(), "byte")));
        }
        page.push_str("```\n");
    }
    page
}

/// Bytes in hexadecimal, with what of them is text.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, line) in bytes.chunks(16).enumerate() {
        let hex: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let shown: String =
            line.iter().map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' }).collect();
        text.push_str(&format!("{:04x}  {hex:<48} {shown}\n", at * 16));
    }
    text
}
