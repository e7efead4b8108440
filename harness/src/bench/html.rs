//! A benchmark as one page of HTML that needs nothing else.

use super::measure::Measured;
use super::outcome::Bench;

/// The page. The measurements are those of the results, in their order.
pub fn page(bench: &Bench, _measured: &[&Measured]) -> String {
    format!("<!doctype html><meta charset=\"utf-8\"><title>{} results</title>\n", bench.results.len())
}
