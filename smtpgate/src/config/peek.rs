//! The folders of a configuration that may be wrong otherwise.

use std::path::{Path, PathBuf};

use super::{Config, DEFAULT_PATH, Paths};

impl Paths {
    /// `[paths]` of a configuration, as far as it can be read; the defaults else. For what must work while the file is
    /// wrong: reaching the daemon that runs, and taking the gate down.
    pub fn peek(path: Option<&Path>) -> Self {
        if let Ok(config) = Config::load(path) {
            return config.paths;
        }
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        let folder = std::path::absolute(file)
            .ok()
            .and_then(|file| file.parent().map(PathBuf::from));
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let table: toml::Table = text.parse().or_else(|_| section(&text).parse()).unwrap_or_default();
        let mut paths = Self::default();
        for (key, place) in [
            ("state", &mut paths.state),
            ("run", &mut paths.run),
            ("pins", &mut paths.pins),
        ] {
            if let Some(text) = table
                .get("paths")
                .and_then(|paths| paths.get(key))
                .and_then(toml::Value::as_str)
            {
                *place = folder.clone().unwrap_or_default().join(text);
            }
        }
        paths
    }
}

/// `[paths]` by itself, of a file that is no TOML elsewhere.
fn section(text: &str) -> String {
    let from = text.lines().skip_while(|line| line.trim() != "[paths]");
    let lines = from.enumerate();
    let section = lines.take_while(|(number, line)| *number == 0 || !line.trim_start().starts_with('['));
    section.map(|(_, line)| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_a_file_that_is_wrong_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        for (case, text) in [
            (
                "an unknown key",
                "mod = \"enforce\"\n[paths]\nrun = \"/run/other\"\nstate = \"state\"\n",
            ),
            (
                "no TOML",
                "mode = enforce\n[paths]\nrun = \"/run/other\" # ours\nstate = \"state\"\n\n[gate.mx\nports = [25\n",
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            assert!(Config::load(Some(&file)).is_err(), "{case}: the file is to be wrong");
            let paths = Paths::peek(Some(&file));
            assert_eq!(paths.run, Path::new("/run/other"), "{case}");
            assert_eq!(paths.state, folder.path().join("state"), "{case}");
            assert_eq!(paths.pins, Paths::default().pins, "{case}");
        }
    }
}
