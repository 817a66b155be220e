//! Has the peers measured, keeps the figures in `target/`, and makes the page of them when asked.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::figures::Figures;
use super::{Args, build, page, plot};
use crate::tools;

pub(super) fn run(args: &Args) -> Result<()> {
    let file = tools::target().join("bench-peers.json");
    if !args.only_write {
        measure(args, &file)?;
    }
    let text = fs::read(&file).with_context(|| format!("{}: run without --only-write first", file.display()))?;
    let figures = Figures::new(serde_json::from_slice(&text)?);
    println!("{}", page::summary(&figures));
    if args.write {
        let docs = tools::workspace().join("docs");
        for (name, svg) in plot::all(&figures)? {
            fs::write(docs.join("pictures").join(name), svg)?;
        }
        fs::write(docs.join("performance.md"), page::page(&figures))?;
        println!("docs/performance.md is written");
    }
    println!("all figures: {}", file.display());
    Ok(())
}

fn measure(args: &Args, file: &PathBuf) -> Result<()> {
    tools::install(&[tools::LAB, tools::PEERS].concat())?;
    build(&["bench-peers", "bench-testrun", "bench-daemon"])?;
    let release = tools::target().join("release");
    let smtpgate = release.join("smtpgate");
    let mut peers = tools::with_bpffs(release.join("bench-peers"))?;
    peers.arg(&smtpgate);
    if args.quick {
        peers.arg("quick");
    } else {
        peers.arg(args.repeats.to_string());
    }
    tools::succeed(peers.arg(file))?;
    let mut found: Value = serde_json::from_slice(&fs::read(file)?)?;
    found["machine"] = machine()?;
    if !args.quick {
        let mut daemon = tools::with_bpffs(release.join("bench-daemon"))?;
        found["daemon"] = json!(tools::said(daemon.arg(&smtpgate))?.lines().collect::<Vec<_>>());
        let mut kinds = tools::with_bpffs(release.join("bench-testrun"))?;
        found["kinds"] = json!(tools::said(kinds.arg(args.rounds.to_string()))?);
    }
    Ok(fs::write(file, serde_json::to_vec_pretty(&found)?)?)
}

/// What the figures depend on, and nothing that names the machine.
fn machine() -> Result<Value> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let line = |name: &str| cpu.lines().find(|line| line.starts_with(name));
    let model = line("model name")
        .and_then(|line| line.split_once(": "))
        .map(|(_, model)| model.trim());
    Ok(json!({
        "kernel": rustix::system::uname().release().to_string_lossy(),
        "processors": std::thread::available_parallelism()?,
        "model": model,
        "virtual": line("flags").is_some_and(|flags| flags.contains(" hypervisor")),
        "nftables": tools::said(Command::new("nft").arg("--version"))?.trim(),
        "ipset": tools::said(Command::new("ipset").arg("--version"))?.lines().next(),
        "iptables": tools::said(Command::new("iptables").arg("--version"))?.trim(),
    }))
}
