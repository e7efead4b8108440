//! The contract of the scenario language, row by row: `scenarios/contract/`, and what needs a look from outside.

use super::run::{Folder, Story, harness, ran, root};

#[test]
fn every_row_of_the_contract_holds() {
    let out = Folder::new();
    let ran = ran(harness(root()).args(["run", "scenarios/contract", "--out"]).arg(out.path()));
    ran.exits(0);
    let verdicts = Story::read(out.path()).verdicts();
    assert!(verdicts.len() > 150, "{} cases", verdicts.len());
}
