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
        let table: toml::Table = std::fs::read_to_string(file)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_a_file_that_is_wrong_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(
            &file,
            "mod = \"enforce\"\n[paths]\nrun = \"/run/other\"\nstate = \"state\"\n",
        )
        .unwrap();
        assert!(Config::load(Some(&file)).is_err(), "the file is to be wrong");
        let paths = Paths::peek(Some(&file));
        assert_eq!(paths.run, Path::new("/run/other"));
        assert_eq!(paths.state, folder.path().join("state"));
        assert_eq!(paths.pins, Paths::default().pins);
    }
}
