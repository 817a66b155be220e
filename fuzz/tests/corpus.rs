//! What the fuzzer begins with, and what it once found, without a fuzzer: every input of every target.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use smtpgate_fuzz::TARGETS;

#[test]
fn fuzz_corpus_finds_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut known = 0;
    for folder in fs::read_dir(&corpus).expect("fuzz/corpus is there") {
        let folder = folder.expect("it can be read").path();
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect(&name);
        let mut inputs = 0;
        for input in fs::read_dir(&folder).expect("it can be read") {
            let input = input.expect("it can be read").path();
            // Which one it is that fails, says the test's output.
            println!("{}", input.display());
            target(&fs::read(&input).expect("it can be read"));
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no inputs");
        known += 1;
    }
    assert_eq!(known, TARGETS.len(), "a target without a folder in fuzz/corpus");
}
