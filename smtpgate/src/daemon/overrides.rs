//! What the command line says above the configuration, remembered beside the lock: whoever changes the gate later (a verb
//! after the daemon was killed, say) must not turn an observed gate into an enforced one.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::config::{Config, Mode};

const FILE: &str = "gate.json";

/// Options of `run` and `load`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// `--interface`; empty: the configuration's.
    pub interfaces: Vec<String>,
    /// `--observe`.
    pub observe: bool,
}

impl Overrides {
    /// The configuration with these options above it.
    pub fn over(&self, mut config: Config) -> Config {
        if !self.interfaces.is_empty() {
            config.interfaces.clone_from(&self.interfaces);
        }
        if self.observe {
            config.mode = Mode::Observe;
            for gate in &mut config.gates {
                gate.mode = Mode::Observe;
            }
        }
        config
    }

    /// What the gate now loaded was loaded with.
    pub fn remembered(run: &Path) -> Self {
        fs::read(run.join(FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    pub(super) fn remember(&self, run: &Path) -> io::Result<()> {
        fs::write(run.join(FILE), serde_json::to_vec(self)?)
    }

    pub(super) fn forget(run: &Path) {
        let _ = fs::remove_file(run.join(FILE));
    }
}
