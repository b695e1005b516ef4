//! Replays the corpus of the fuzz targets on stable Rust: seeds, and every input that was ever a finding.
#![allow(clippy::unwrap_used, clippy::panic)]

mod checks;

use std::fs;
use std::path::Path;

/// One test for all: memory is counted for the whole process.
#[test]
fn no_input_is_fatal_or_takes_too_much_memory() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for (name, check) in checks::ALL {
        let mut files: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("no corpus for {name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "no corpus for {name}");
        for file in files {
            // Shown if the check fails.
            println!("{}", file.display());
            check(&fs::read(&file).unwrap());
        }
        for (what, input) in checks::bombs(name) {
            println!("{name}: {what}");
            check(input.as_bytes());
        }
    }
    checks::clean_up();
}
