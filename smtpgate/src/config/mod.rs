//! The configuration: TOML files to validated values. Reads files; knows no kernel and no clock.
