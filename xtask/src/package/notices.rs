//! Licences of everything that is linked into the binary: most ask that their text comes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::tools;

const HEAD: &str = "\
smtpgate's binary contains the Rust standard library (MIT or Apache-2.0, https://www.rust-lang.org/), musl libc (MIT,
Copyright 2005-2025 Rich Felker, et al., https://musl.libc.org/), and the crates below. Where a crate has several licences,
each is at your choice. The texts follow, each once.

";

/// How the names of files begin that hold licences and notices.
const FILES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// The list of crates and their licences, then the texts.
pub(super) fn all(triple: &str) -> Result<String> {
    let mut cargo = tools::cargo("metadata");
    cargo.args(["--format-version=1", "--locked", "--filter-platform", triple]);
    let out = cargo.stderr(Stdio::inherit()).output()?;
    ensure!(out.status.success(), "cargo metadata: {}", out.status);
    let metadata: Value = serde_json::from_slice(&out.stdout).context("cargo metadata")?;
    let mut list = String::from(HEAD);
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in linked(&metadata)? {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{} {}", text("name"), text("version"));
        writeln!(list, "{name}: {}; {}", text("license"), text("repository"))?;
        let folder = Path::new(text("manifest_path"))
            .parent()
            .context("a manifest in no folder")?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().to_ascii_uppercase();
            if FILES.iter().any(|start| file.starts_with(start)) && entry.file_type()?.is_file() {
                let licence = String::from_utf8_lossy(&fs::read(entry.path())?).trim().to_owned();
                texts.entry(licence).or_default().insert(name.clone());
            }
        }
    }
    for (licence, names) in texts {
        let names: Vec<String> = names.into_iter().collect();
        write!(list, "\n{}\n{}:\n\n{licence}\n", "-".repeat(78), names.join(", "))?;
    }
    Ok(list)
}

/// The packages of others that `smtpgate` links, by name. What only builds it (macros, build scripts) is not in it.
fn linked(metadata: &Value) -> Result<Vec<&Value>> {
    let array = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()
        .context("cargo metadata: no packages")?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let is_macro = |package: &Value| {
        array(&package["targets"])
            .iter()
            .any(|target| array(&target["kind"]).iter().any(|kind| kind == "proc-macro"))
    };
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata: no graph")?
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let (root, _) = packages
        .iter()
        .find(|(_, package)| package["name"] == "smtpgate")
        .context("cargo metadata: no smtpgate")?;
    let (mut seen, mut next) = (BTreeSet::new(), vec![*root]);
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).and_then(|node| node["deps"].as_array());
        for dependency in dependencies.into_iter().flatten() {
            let normal = array(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null());
            if let Some(id) = dependency["pkg"].as_str()
                && normal
                && !packages.get(id).is_some_and(|package| is_macro(package))
            {
                next.push(id);
            }
        }
    }
    let mut linked: Vec<&Value> = seen.iter().filter_map(|id| packages.get(id).copied()).collect();
    // Our own have no registry.
    linked.retain(|package| !package["source"].is_null());
    linked.sort_by_key(|package| package["name"].as_str().unwrap_or_default());
    Ok(linked)
}
