//! What the daemon's process can no longer do, each tried; and what it must still be able to do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::Internet;

/// With the word that the refusal must have: by landlock (EACCES), or for want of a capability (EPERM).
const REFUSED: [(&str, &str); 16] = [
    ("read /etc/shadow", "os error 13"),
    ("read beside its folders", "os error 13"),
    ("write the configuration", "os error 13"),
    ("write the log", "os error 13"),
    ("write /etc", "os error 13"),
    ("write /tmp", "os error 13"),
    ("run a shell", "os error 13"),
    ("run ip", "os error 13"),
    ("connect", "os error 13"),
    ("read another's memory", "os error 13"),
    ("load a module", "os error 1)"),
    ("mount", "os error 1)"),
    ("set the host name", "os error 1)"),
    ("leave its root", "os error 1)"),
    ("give a file away", "os error 1)"),
    ("listen on a low port", "os error 13"),
];
const POSSIBLE: [&str; 4] = [
    "read the rotated log",
    "read the replaced configuration",
    "write state",
    "remove state",
];
/// CAP_DAC_READ_SEARCH (2), CAP_NET_ADMIN (12), CAP_PERFMON (38), CAP_BPF (39): linux/capability.h.
const KEPT: u64 = 1 << 2 | 1 << 12 | 1 << 38 | 1 << 39;

#[test]
#[ignore = "root: cargo xtask test"]
fn sandbox_refuses_what_the_daemon_does_not_need() {
    refuses().unwrap();
}

fn refuses() -> Result<()> {
    let top = tempfile::tempdir_in("/var/tmp")?;
    let at = |name: &str| top.path().join(name);
    for folder in ["conf", "conf/log", "conf/state", "conf/run", "conf/pins", "secret"] {
        fs::create_dir(at(folder))?;
    }
    fs::create_dir(at("gate"))?;
    fs::create_dir(at("gate/secret"))?;
    fs::write(at("gate/secret/key"), "")?;
    // The configuration's folder is readable with all that is in it, so the probe's secret lies elsewhere.
    let folder = at("conf");
    fs::write(folder.join("log/mail.log"), "old\n")?;
    let config = folder.join("config.toml");
    let text = format!(
        "[gate.mx]\nports = [25]\nallow = [\"world\"]\n[maillog]\nfollow = [\"{0}/log/mail.log\"]\n\
         [paths]\nstate = \"{0}/state\"\nrun = \"{0}/run\"\npins = \"{0}/pins\"\n",
        folder.display()
    );
    fs::write(&config, &text)?;
    std::os::unix::fs::symlink(at("gate/secret"), folder.join("secret"))?;

    let mut probe = Command::new(env!("CARGO_BIN_EXE_sandbox-probe"))
        .arg(&config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(probe.stdout.take().context("stdout")?).lines();
    ensure!(lines.next().context("the probe ended")?? == "entered");
    fs::rename(folder.join("log/mail.log"), folder.join("log/mail.log.1"))?;
    fs::write(folder.join("log/mail.log"), "new\n")?;
    fs::write(folder.join("config.new"), &text)?;
    fs::rename(folder.join("config.new"), &config)?;
    probe.stdin.take().context("stdin")?.write_all(b"go\n")?;
    let mut told = BTreeMap::new();
    for line in lines {
        let line = line?;
        let (name, outcome) = line.split_once(": ").context("a line of the probe")?;
        println!("{name}: {outcome}");
        told.insert(name.to_owned(), outcome.to_owned());
    }
    ensure!(probe.wait()?.success(), "the probe failed");
    for name in POSSIBLE {
        ensure!(
            told.get(name).is_some_and(|outcome| outcome == "done"),
            "{name}: {told:?}"
        );
    }
    for (name, word) in REFUSED {
        // A kernel built without modules has nobody to ask.
        if name == "load a module" && told.get(name).is_some_and(|outcome| outcome.contains("os error 38")) {
            continue;
        }
        ensure!(
            told.get(name).is_some_and(|outcome| outcome.contains(word)),
            "{name}: {told:?}"
        );
    }
    ensure!(told.len() == POSSIBLE.len() + REFUSED.len(), "{told:?}");
    Ok(())
}

#[test]
#[ignore = "root: cargo xtask test"]
fn sandbox_holds_every_thread_of_the_daemon() {
    holds().unwrap();
}

fn holds() -> Result<()> {
    let internet = Internet::new()?;
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339)?;
    let mut gate = Gate::new(&host, &Gate::japan(&host, ""))?;
    gate.start()?;
    let pid = gate.json(&["status"])?["daemon"]["pid"].as_u64().context("its pid")?;
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
            let has = u64::from_str_radix(field(set).context("capabilities")?, 16)?;
            ensure!(has == KEPT, "{set} {has:#x}, not {KEPT:#x}, in\n{status}");
        }
        ensure!(field("NoNewPrivs:") == Some("1"), "{status}");
        threads += 1;
    }
    ensure!(threads > 2, "only {threads} threads");
    // And it still does its work: a new generation, and a change in place.
    let banned = gate.json(&["ban", "192.0.2.7"])?;
    ensure!(banned["in_kernel"] == true, "{banned}");
    let reloaded = gate.cli(&["reload"])?;
    ensure!(
        reloaded.status.success(),
        "{}",
        String::from_utf8_lossy(&reloaded.stderr)
    );
    ensure!(!gate.said().contains("more rights"), "{}", gate.said());

    // A folder that it has given up reading is named, and nothing changes; started again, it knows it.
    let beyond = tempfile::tempdir_in("/var/tmp")?;
    let list = beyond.path().join("partners");
    fs::write(&list, "192.0.2.0/24\n")?;
    let further = format!("trust = [\"file:{}\"]\n{}", list.display(), Gate::japan(&host, ""));
    gate.configure(&further)?;
    let refused = gate.cli(&["reload"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(2), "{}: {said}", refused.status);
    ensure!(
        said.contains("restart needed") && said.contains(&beyond.path().display().to_string()),
        "{said}"
    );
    gate.stop()?;
    gate.start()?;
    let reloaded = gate.cli(&["reload"])?;
    ensure!(
        reloaded.status.success(),
        "{}",
        String::from_utf8_lossy(&reloaded.stderr)
    );
    Ok(())
}
