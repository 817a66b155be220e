//! What the command line says above the configuration. It is kept with what is in force: whoever changes the gate later (a
//! verb after the daemon was killed, say) must not turn an observed gate into an enforced one.

use serde::{Deserialize, Serialize};

use crate::config::{Config, Mode};

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
}
