//! `cargo xtask fuzz`: any bytes at everything that reads what others wrote.
//!
//! The targets and their seeds are in `fuzz/`. They are built by the pinned stable compiler with the coverage that
//! libFuzzer is steered by, and without a sanitizer, which would need a nightly one and could find only what is not
//! written here: our code has no `unsafe` where it reads foreign bytes. Overflows and debug assertions are findings.

mod coverage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools;

/// Reads any bytes as what others write to us: frames, logs, lists, databases, configurations, requests.
///
/// What is found lies in target/fuzz/found. New inputs are kept in target/fuzz/corpus, so that a later run goes on from
/// there; fuzz/corpus has the few that `cargo test` tries, too.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this target, as fuzz/fuzz_targets has them; without it, one after the other
    target: Option<String>,
    /// For each target
    #[arg(long, default_value_t = 1)]
    minutes: u32,
    /// At the end, put the smallest set of inputs that reaches as much into fuzz/corpus
    #[arg(long)]
    minimize: bool,
    /// Instead, say what of the code that a target is for the inputs that there are reach
    #[arg(long, conflicts_with_all = ["minutes", "minimize"])]
    coverage: bool,
}

/// An input that takes longer is a finding, in seconds.
const SLOW: &str = "-timeout=20";
/// Longer inputs are not tried.
const LONGEST: &str = "-max_len=4096";
/// Those that are kept in fuzz/corpus are shorter: it has to stay small.
const LONGEST_KEPT: u64 = 2048;
/// And they are not more than that for each target.
const MOST_KEPT: usize = 150;
/// Coverage as libFuzzer wants it, on everything that is built for the target.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing -Ccodegen-units=16";

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut targets = targets()?;
    if let Some(wanted) = &args.target {
        if !targets.contains(wanted) {
            bail!("there is no target `{wanted}`: there are {}", targets.join(", "));
        }
        targets = vec![wanted.clone()];
    }
    if args.coverage {
        for target in &targets {
            folder("corpus", target)?;
        }
        let known = |target: &str| vec![tools::target().join("fuzz/corpus").join(target), seeds().join(target)];
        return coverage::print(&targets, known);
    }
    tools::install(tools::FUZZ)?;
    let built = build()?;
    let mut found = Vec::new();
    for target in targets {
        println!("\n=== {target}");
        let (corpus, finds) = (folder("corpus", &target)?, folder("found", &target)?);
        let mut fuzz = Command::new(built.join(&target));
        // The first folder takes what is new, the second one is only read.
        fuzz.arg(&corpus).arg(seeds().join(&target));
        fuzz.arg(format!("-artifact_prefix={}/", finds.display()));
        fuzz.arg(format!("-max_total_time={}", u64::from(args.minutes) * 60));
        fuzz.args([SLOW, LONGEST, "-print_final_stats=1"]);
        if let Err(error) = tools::succeed(&mut fuzz) {
            println!("failed: {error:#}");
            found.push(target);
        } else if args.minimize {
            minimize(&built, &target, &corpus)?;
        }
    }
    if !found.is_empty() {
        bail!("found something, or did not run: {}", found.join(", "));
    }
    Ok(())
}

/// Builds all targets; returns where they are.
fn build() -> Result<PathBuf> {
    // With a target named, the flags are not for build scripts and macros.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target = tools::target().join("fuzz");
    let mut cargo = tools::cargo("build");
    cargo
        .env("RUSTFLAGS", COVERAGE)
        .args([
            "--package",
            "smtpgate-fuzz",
            "--features",
            "libfuzzer",
            "--profile",
            "fuzz",
        ])
        // Not the replaying one, which is built without the fuzzer that the coverage asks for.
        .args(targets()?.iter().map(|name| format!("--bin={name}")))
        .args(["--target", &triple, "--target-dir"])
        .arg(&target);
    tools::succeed(&mut cargo)?;
    Ok(target.join(triple).join("fuzz"))
}

/// Puts what reaches as much as all that is known into `fuzz/corpus`: the seeds there stay, the rest is made anew.
fn minimize(built: &Path, target: &str, corpus: &Path) -> Result<()> {
    let small = tempfile::tempdir()?;
    let seeds = seeds().join(target);
    let mut merge = Command::new(built.join(target));
    merge
        .args(["-merge=1", LONGEST])
        .arg(small.path())
        .arg(&seeds)
        .arg(corpus);
    tools::succeed(&mut merge)?;
    let known: Vec<Vec<u8>> = files(&seeds)?.iter().map(fs::read).collect::<Result<_, _>>()?;
    let mut kept: Vec<(u64, PathBuf)> = Vec::new();
    for file in files(small.path())? {
        let size = fs::metadata(&file)?.len();
        if size <= LONGEST_KEPT && !known.contains(&fs::read(&file)?) {
            kept.push((size, file));
        }
    }
    kept.sort();
    for (_, file) in kept.iter().take(MOST_KEPT.saturating_sub(known.len())) {
        fs::copy(file, seeds.join(file.file_name().context("a name")?))?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn folder(what: &str, target: &str) -> Result<PathBuf> {
    let folder = tools::target().join("fuzz").join(what).join(target);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn seeds() -> PathBuf {
    tools::workspace().join("fuzz/corpus")
}

/// Every target has seeds.
fn targets() -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for folder in files(&seeds())? {
        targets.push(folder.file_name().context("a name")?.to_string_lossy().into_owned());
    }
    targets.sort();
    Ok(targets)
}
