use super::*;

#[test]
fn every_description_that_comes_with_the_harness_is_right() {
    for entry in PROTOCOLS {
        match load(entry.name, entry.text()) {
            Ok(protocol) => assert_eq!(&*protocol.name, entry.name),
            Err(mistakes) => panic!("{}: {:#?}", entry.name, mistakes),
        }
    }
    assert!(PROTOCOLS.is_sorted_by(|a, b| a.name < b.name));
}
