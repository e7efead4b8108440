//! The laws of framings, on the corpus and at random.

use std::fs;
use std::path::Path;

use harness::framing::laws::{self, Case};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn the_corpus_keeps_the_laws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/framing");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the project") {
        let path = entry.expect("the folder can be read").path();
        let bytes = fs::read(&path).expect("a seed can be read");
        assert!(Case::parse(&bytes).is_some(), "{}: too short to be a case", path.display());
        let kept = std::panic::catch_unwind(|| laws::check_bytes(&bytes));
        assert!(kept.is_ok(), "{}: breaks a law, see above", path.display());
        replayed += 1;
    }
    assert!(replayed >= 40, "expected at least the named seeds, found `{replayed}`");
}

proptest! {
    #[test]
    fn any_bytes_keep_the_laws(bytes in vec(any::<u8>(), 0..400)) {
        laws::check_bytes(&bytes);
    }

    // Bytes that mean something to some framing meet more often than among all 256.
    #[test]
    fn likely_bytes_keep_the_laws(
        head in any::<[u8; 3]>(),
        data in vec(prop::sample::select(b"\r\n\0\x01\x02\x03\x04\x80\xffa".as_slice()), 0..400),
    ) {
        laws::check_bytes(&[&head[..], &data].concat());
    }
}
