//! How fast scenario files are read: text to checked scripts.
//!
//! The floor is the TOML parser alone. A second file has a mistake in each case: those that are
//! told have their place, their line and their hint.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::document::MISTAKES_MAX;
use harness::scenario::{Known, load};
use toml::de::DeTable;

/// The smallest file that ships.
const ECHO: &str = include_str!("../scenarios/echo.toml");

/// Cases of a large file.
const CASES: usize = 1_000;

/// A file of cases that use much of the language; with `step` in each.
fn large(step: &str) -> String {
    let mut text = String::from(
        "[vars]\nuser = 'alice'\n[target]\nbuiltin = 'tcp-echo'\n[actor.client]\nconnect = 'target'\nframing = 'crlf'\n",
    );
    for case in 0..CASES {
        write!(
            text,
            "[[case]]\nname = 'case {case}'\ntags = ['fast']\nsteps = [\n\
             \x20 {{ send = 'HELLO ${{user}} {case}', split = [1, 3], within = '2s' }},\n\
             \x20 {{ expect = {{ regex = '^(?<code>[0-9]{{3}}) ' }}, note = 'greeting' }},\n\
             \x20 {{ repeat = {{ times = 3, steps = [{{ send = 'n ${{i}}' }}, {{ expect = {{ prefix = 'n ${{i}}' }} }}] }} }},\n\
             \x20 {{ expect = {{ all = [{{ contains = 'x' }}, {{ length = {{ min = 1, max = 64 }} }}] }}, save = 'last' }},\n\
             \x20 {step},\n]\n"
        )
        .expect("a string grows");
    }
    text
}

fn scenario(criterion: &mut Criterion) {
    let known = Known::default();
    let mut group = criterion.benchmark_group("scenario");
    let valid = large("{ expect_eof = true }");
    let wrong = large("{ exepct_eof = true }");
    load("large.toml", &valid, &known).expect("it is valid");
    assert_eq!(load("wrong.toml", &wrong, &known).map_err(|mistakes| mistakes.len()).err(), Some(MISTAKES_MAX));
    for (name, text) in [("echo", ECHO), ("1000 cases", &valid), ("1000 mistakes", &wrong)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{name}/toml alone"), |bencher| bencher.iter(|| DeTable::parse(black_box(text))));
        group.bench_function(name, |bencher| bencher.iter(|| load("bench.toml", black_box(text), &known)));
    }
    group.finish();
}

criterion_group!(benches, scenario);
criterion_main!(benches);
