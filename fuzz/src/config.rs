//! Any text as a configuration: it is refused by file and line, or read; what is read is within what the rest relies on,
//! and laid over itself it is the same.

use std::sync::LazyLock;

use smtpgate::config::{Config, MAX_GATES, Paths};
use smtpgate::sources::Spec;

use crate::folder::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// See the module.
pub(crate) fn run(text: &[u8]) {
    let path = FOLDER.write("config.toml", text);
    let config = Config::load(Some(&path));
    let peeked = Paths::peek(Some(&path));
    let config = match config {
        Ok(config) => config,
        Err(refused) => {
            assert!(!refused.problems.is_empty());
            assert!(refused.problems.iter().all(|problem| problem.file == path));
            return;
        }
    };
    assert_eq!(peeked, config.paths);
    let gates = &config.gates;
    assert!((1..=MAX_GATES).contains(&gates.len()));
    let mut ports: Vec<u16> = gates.iter().flat_map(|gate| &gate.ports).copied().collect();
    assert!(
        gates
            .iter()
            .all(|gate| gate.ports.is_sorted() && !gate.ports.is_empty())
    );
    ports.sort_unstable();
    assert!(ports.windows(2).all(|two| two[0] < two[1]), "a port is in two gates");
    assert_ne!(ports.first(), Some(&0));
    let allow = gates.iter().flat_map(|gate| &gate.allow);
    for spec in config.trust.iter().chain(&config.block).chain(allow) {
        assert_eq!(
            spec.to_string().parse::<Spec>().as_ref(),
            Ok(spec),
            "written and read again"
        );
    }

    let over = FOLDER.write("config.d/over.toml", text);
    let again = Config::load(Some(&path)).expect("what is right is right twice");
    std::fs::remove_file(&over).expect("it was written");
    assert_eq!(
        Config {
            written: config.written.clone(),
            ..again
        },
        config
    );
}
