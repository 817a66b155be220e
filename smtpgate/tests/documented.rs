//! What the documentation tells people to type is what the command line takes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test; clippy sees only its #[test] functions as such"
)]

use std::fs;
use std::path::{Path, PathBuf};

use smtpgate::cli;

/// Commands of a text: what is indented by four and begins with `smtpgate`, up to a comment or to what the shell does.
fn commands(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    let mut commands = Vec::new();
    for part in lines.flat_map(|line| line.split(" | ")) {
        let part = part.trim_start().trim_start_matches("sudo ");
        if !part.starts_with("smtpgate ") {
            continue;
        }
        let words = shlex::split(part).unwrap_or_else(|| panic!("a quote is open: {part}"));
        commands.push(words.into_iter().take_while(|word| word != ">").collect());
    }
    commands
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    docs.chain([root.join("README.md"), root.join("README.ja.md")])
        .collect()
}

#[test]
fn documented_commands_are_taken() {
    let mut seen = 0;
    for document in documents() {
        for words in commands(&fs::read_to_string(&document).unwrap()) {
            let taken = cli::command().try_get_matches_from(&words);
            assert!(
                taken.is_ok(),
                "{}: {words:?}\n{}",
                document.display(),
                taken.unwrap_err()
            );
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} commands found");
}

#[test]
fn documented_commands_are_the_same_in_both_languages() {
    let read = |name: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap();
        let verbs = commands(&text).into_iter();
        verbs.map(|words| words[1].clone()).collect::<Vec<_>>()
    };
    assert_eq!(read("README.md"), read("README.ja.md"));
}

/// Names in `docs/security.md` that are written as those of tests are, and of the fuzz targets.
#[test]
fn documented_defences_have_the_tests_that_are_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut sources = String::new();
    for folder in ["smtpgate/src", "tests/tests"] {
        for file in rust_files(&root.join(folder)) {
            sources.push_str(&fs::read_to_string(file).unwrap());
        }
    }
    let mut seen = 0;
    for row in text
        .lines()
        .filter(|line| line.starts_with("| ") || line.starts_with('`'))
    {
        let (tests, targets) = row.split_once("fuzz target").unwrap_or((row, ""));
        for target in targets.split('`').skip(1).step_by(2) {
            let file = root.join("fuzz/fuzz_targets").join(target).with_extension("rs");
            assert!(file.exists(), "no fuzz target {target}");
        }
        for name in tests.split('`').skip(1).step_by(2) {
            let named = name.matches('_').count() > 1 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if named {
                assert!(sources.contains(&format!("fn {name}(")), "no test {name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen} tests named");
}

/// All Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}
