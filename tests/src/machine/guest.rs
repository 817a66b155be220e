//! What runs in the machine, as the service `guest`: it makes the internet around it, and then does to the host what its
//! admin would, part by part, while it looks at it from outside.
//!
//! The first boot installs, starts, bans, upgrades and ends by a reboot; the second looks what is left and removes it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::image::LAB;
use crate::kernels::guest::{say, say_done};
use crate::lab::internet::{Internet, Site};
use crate::lab::netns::Netns;
use crate::lab::probe::Stream;
use crate::lab::smtp::Smtp;

/// Is there from the first boot's end on.
const REBOOTED: &str = "/var/lib/lab-rebooted";
const PORTS: [u16; 3] = [25, 465, 587];
/// After it a connection that is not answered is given up. Emulated, an answer takes a while.
const SILENCE: Duration = Duration::from_secs(4);
/// How long something may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(900);
/// The address in Japan that guesses passwords; both boots know it.
const GUESSER: u16 = 66;
/// What a new user reads, with the commands that it names.
const README: &str = include_str!("../../../README.md");
const CONFIG_FILE: &str = "/etc/smtpgate/config.toml";
const CONFIG: &str = r#"
mode = "enforce"

[gate.submission]
ports = [465, 587]
allow = ["country:JP", "private"]

[gate.mx]
ports = [25]
allow = ["country:JP", "private"]
"#;

type Act = fn(&Internet) -> Result<String>;

/// What the first boot does, in this order.
pub const FIRST: [(&str, Act); 12] = [
    ("mail host", mail_host),
    ("install", install),
    ("no configuration", no_configuration),
    ("unit", unit),
    ("start", start),
    ("guesser", guesser),
    ("upgrade", upgrade),
    ("restart", restart),
    ("killed", killed),
    ("reload", reload),
    ("readme", readme),
    ("journal", journal),
];
/// What the second does.
pub const SECOND: [(&str, Act); 4] = [
    ("rebooted", rebooted),
    ("remove", remove),
    ("install again", install_again),
    ("purge", purge),
];

/// The whole life of the service. It ends with the machine's.
pub fn main() -> Result<()> {
    let internet = Internet::around(Netns::own("mail")?)?;
    sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
    let second = Path::new(REBOOTED).exists();
    let parts: &[(&str, Act)] = if second { &SECOND } else { &FIRST };
    for (name, act) in parts {
        let start = Instant::now();
        match act(&internet) {
            Ok(text) => say("ok", name, format!("{text} ({:.1?})", start.elapsed())),
            // What comes after it would only fail, too.
            Err(error) => {
                let said = run(
                    "journalctl",
                    &["--unit=smtpgate", "--lines=60", "--output=cat", "--no-pager"],
                );
                say("failed", name, format!("{error:#}\n{}", said.unwrap_or_default()));
                break;
            }
        }
    }
    fs::write(REBOOTED, "")?;
    say_done();
    run("systemctl", &[if second { "poweroff" } else { "reboot" }])?;
    Ok(())
}

/// systemd has started everything, Postfix and Dovecot greet, and nobody is refused.
fn mail_host(internet: &Internet) -> Result<String> {
    until("the boot", || {
        Ok(run("systemctl", &["is-active", "multi-user.target"]).is_ok())
    })?;
    until("Postfix", || {
        Ok(greeted(&internet.tokyo)? && greeted(&internet.america)?)
    })?;
    run("systemctl", &["list-units", "--failed", "--plain", "--no-legend"])
}

/// Installing refuses nothing, starts nothing, and says what to do.
fn install(internet: &Internet) -> Result<String> {
    let said = run("dpkg", &["--install", &format!("{LAB}/1.deb")])?;
    ensure!(
        said.contains("systemctl enable --now smtpgate"),
        "no next steps:\n{said}"
    );
    is("is-enabled", "disabled")?;
    is("is-active", "inactive")?;
    let status = output("smtpgate", &["status"])?;
    ensure!(status.status.code() == Some(3), "status: {status:?}");
    ensure!(greeted(&internet.america)?, "America is not greeted any more");
    run("getent", &["group", "smtpgate"])?;
    version()
}

/// A service that nobody has told what to refuse does not start.
fn no_configuration(internet: &Internet) -> Result<String> {
    let start = output("systemctl", &["start", "smtpgate"])?;
    ensure!(!start.status.success(), "it started without a configuration");
    ensure!(greeted(&internet.america)?, "America is not greeted any more");
    run("smtpgate", &["setup", "--write"])?;
    let proposed = fs::read_to_string(CONFIG_FILE)?;
    ensure!(proposed.contains("\nmode = \"observe\""), "it proposes:\n{proposed}");
    run("smtpgate", &["check"])?;
    // What is asked below needs to know whom it lets in.
    fs::write(CONFIG_FILE, CONFIG)?;
    run("smtpgate", &["check"])?;
    Ok(String::from_utf8_lossy(&start.stderr).into_owned())
}

/// systemd has nothing to say against the unit.
fn unit(_: &Internet) -> Result<String> {
    let said = run("systemd-analyze", &["verify", "--man=no", "smtpgate.service"])?;
    ensure!(!said.contains("smtpgate"), "systemd-analyze verify:\n{said}");
    let said = run("systemd-analyze", &["security", "--no-pager", "smtpgate.service"])?;
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

fn start(internet: &Internet) -> Result<String> {
    run("systemctl", &["enable", "--now", "smtpgate"])?;
    in_force(internet)?;
    let socket = run("stat", &["--format=%a %G", "/run/smtpgate/control.sock"])?;
    ensure!(socket.trim() == "660 smtpgate", "control socket: {socket}");
    run("smtpgate", &["status"])
}

/// One wrong password after the other from Japan, through Postfix and Dovecot: banned, and another in Japan is not.
fn guesser(internet: &Internet) -> Result<String> {
    for address in internet.tokyo.both(GUESSER) {
        until(&format!("the ban of {address}"), || {
            // Cut off in the middle is what it shall be.
            if let Ok(mut smtp) = Smtp::connect(&internet.tokyo, address, 587) {
                let _ = smtp.say("EHLO client.example.net");
                let _ = smtp.auth_plain("taro", "wrong");
            }
            silent(&internet.tokyo, address, 587)
        })?;
    }
    still_banned(internet)
}

/// A newer package, while a foreign SYN goes out every millisecond.
fn upgrade(internet: &Internet) -> Result<String> {
    let before = main_process()?;
    let sent = gapless(internet, || {
        run("dpkg", &["--install", &format!("{LAB}/2.deb")]).map(drop)
    })?;
    in_force(internet)?;
    still_banned(internet)?;
    ensure!(main_process()? != before, "the daemon was not replaced");
    let version = version()?;
    ensure!(version.ends_with("-2"), "version {version}");
    Ok(format!("{version}; {sent}"))
}

fn restart(internet: &Internet) -> Result<String> {
    let sent = gapless(internet, || run("systemctl", &["restart", "smtpgate"]).map(drop))?;
    in_force(internet)?;
    still_banned(internet)?;
    Ok(sent)
}

/// `kill -9`: systemd starts it again.
fn killed(internet: &Internet) -> Result<String> {
    let before = main_process()?;
    let sent = gapless(internet, || {
        let daemon = Pid::from_raw(before.parse()?).context("no daemon")?;
        kill_process(daemon, Signal::KILL)?;
        until("another daemon", || {
            Ok(main_process()? != before && is("is-active", "active").is_ok())
        })
    })?;
    in_force(internet)?;
    Ok(sent)
}

/// A wrong configuration is refused by `systemctl reload`, and what is in force stays; a good one is taken.
fn reload(internet: &Internet) -> Result<String> {
    let config = Path::new(CONFIG_FILE);
    fs::write(config, format!("colour = \"red\"\n{CONFIG}"))?;
    let reload = output("systemctl", &["reload", "smtpgate"])?;
    ensure!(!reload.status.success(), "a wrong configuration was taken");
    in_force(internet)?;
    fs::write(config, CONFIG.replace("country:JP", "country:JP,US"))?;
    run("systemctl", &["reload", "smtpgate"])?;
    ensure!(greeted(&internet.america)?, "the new configuration lets America in");
    fs::write(config, CONFIG)?;
    run("systemctl", &["reload", "smtpgate"])?;
    in_force(internet)?;
    Ok(String::new())
}

/// Every `smtpgate` and `systemctl` command that the README shows, in its order, as root types it.
fn readme(internet: &Internet) -> Result<String> {
    fs::write("/etc/hosts.allow", "ALL: 198.51.100.0/24\n")?;
    let shown = README.lines().filter_map(|line| line.strip_prefix("    "));
    let shown = shown.filter(|line| line.starts_with("smtpgate ") || line.starts_with("systemctl "));
    let mut done = 0;
    for line in shown {
        // The proposal is for a host without a configuration.
        if line.starts_with("smtpgate setup") {
            fs::remove_file(CONFIG_FILE).ok();
        }
        let verb = line.split_whitespace().nth(1).unwrap_or_default();
        match verb {
            "watch" => goes_on(line)?,
            "top" => goes_on("TERM=linux script --quiet --return --command 'smtpgate top' /dev/null")?,
            _ => drop(run("sh", &["-c", line])?),
        }
        if verb == "setup" {
            fs::write(CONFIG_FILE, CONFIG)?;
        }
        done += 1;
    }
    ensure!(done > 20, "only {done} commands found in the README");
    in_force(internet)?;
    still_banned(internet)?;
    Ok(format!("{done} commands"))
}

/// It does not end by itself.
fn goes_on(line: &str) -> Result<()> {
    let out = output("timeout", &["10", "sh", "-c", line])?;
    ensure!(out.status.code() == Some(124), "{line} ended: {out:?}");
    Ok(())
}

/// What an admin reads in the journal.
fn journal(_: &Internet) -> Result<String> {
    run("journalctl", &["--unit=smtpgate", "--output=short", "--no-pager"])
}

/// Up by itself, with the bans of before.
fn rebooted(internet: &Internet) -> Result<String> {
    until("the boot", || {
        Ok(run("systemctl", &["is-active", "multi-user.target"]).is_ok())
    })?;
    in_force(internet)?;
    still_banned(internet)?;
    run("smtpgate", &["status"])
}

/// The gate goes down; what was learnt and what was configured stays.
fn remove(internet: &Internet) -> Result<String> {
    let said = run("dpkg", &["--remove", "smtpgate"])?;
    gone(internet)?;
    for kept in ["/var/lib/smtpgate/ledger.db", CONFIG_FILE] {
        ensure!(Path::new(kept).exists(), "{kept} was not left:\n{said}");
    }
    Ok(said)
}

/// It goes on where it was: enabled as before, the ban still known.
fn install_again(internet: &Internet) -> Result<String> {
    run("dpkg", &["--install", &format!("{LAB}/2.deb")])?;
    is("is-enabled", "enabled")?;
    run("systemctl", &["start", "smtpgate"])?;
    in_force(internet)?;
    still_banned(internet)
}

fn purge(internet: &Internet) -> Result<String> {
    let said = run("dpkg", &["--purge", "smtpgate"])?;
    gone(internet)?;
    for path in [
        "/var/lib/smtpgate",
        "/etc/smtpgate",
        "/run/smtpgate",
        "/usr/bin/smtpgate",
    ] {
        ensure!(!Path::new(path).exists(), "{path} was left:\n{said}");
    }
    let units = run("systemctl", &["list-unit-files", "--no-legend", "smtpgate*"]).unwrap_or_default();
    ensure!(units.trim().is_empty(), "left: {units}");
    Ok(said)
}

/// The service is active and nothing is wrong with it; foreign SYNs get no answer, Japan's a greeting.
fn in_force(internet: &Internet) -> Result<()> {
    is("is-active", "active")?;
    let result = run("systemctl", &["show", "--property=Result", "--value", "smtpgate"])?;
    ensure!(result.trim() == "success", "result: {result}");
    ensure!(greeted(&internet.tokyo)?, "Tokyo is not greeted");
    for address in internet.america.both(1) {
        for port in PORTS {
            ensure!(
                silent(&internet.america, address, port)?,
                "{address} is answered on {port}"
            );
        }
    }
    Ok(())
}

/// No gate in the kernel, and no pin.
fn gone(internet: &Internet) -> Result<()> {
    ensure!(greeted(&internet.america)?, "America is still refused");
    let pins = Path::new("/sys/fs/bpf/smtpgate");
    ensure!(!pins.exists(), "{} is still there", pins.display());
    let link = run("ip", &["link", "show", "eth0"])?;
    ensure!(!link.contains("xdp"), "still attached: {link}");
    Ok(())
}

fn still_banned(internet: &Internet) -> Result<String> {
    for address in internet.tokyo.both(GUESSER) {
        ensure!(silent(&internet.tokyo, address, 587)?, "{address} is answered");
    }
    run("smtpgate", &["list"])
}

/// Does it while a refused SYN goes out every millisecond. None may be answered.
fn gapless(internet: &Internet, act: impl FnOnce() -> Result<()>) -> Result<String> {
    let sources: Vec<IpAddr> = (1..=20).flat_map(|n| internet.america.both(n)).collect();
    let stream = Stream::start(&internet.america, sources, PORTS.to_vec())?;
    let acted = act();
    std::thread::sleep(Duration::from_millis(500));
    let refused = stream.stop()?;
    acted?;
    ensure!(refused.sent > 100, "only {} SYNs: too few to see a gap", refused.sent);
    ensure!(refused.answered.is_empty(), "passed: {:?}", refused.answered);
    Ok(format!("{} SYNs, none passed", refused.sent))
}

/// Whether both families of a site are greeted on 25.
fn greeted(site: &Site) -> Result<bool> {
    for address in site.both(1) {
        let Ok(stream) = site.connect(address, 25, SILENCE)? else {
            return Ok(false);
        };
        if Smtp::greeted(stream, 25).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn silent(site: &Site, from: IpAddr, port: u16) -> Result<bool> {
    let connected = site.connect(from, port, SILENCE)?;
    Ok(connected.is_err_and(|error| error.kind() == std::io::ErrorKind::TimedOut))
}

/// `systemctl is-…` answers this word.
fn is(verb: &str, word: &str) -> Result<()> {
    let out = output("systemctl", &[verb, "smtpgate"])?;
    let said = String::from_utf8_lossy(&out.stdout);
    ensure!(said.trim() == word, "systemctl {verb} smtpgate: {said}");
    Ok(())
}

fn main_process() -> Result<String> {
    let pid = run("systemctl", &["show", "--property=MainPID", "--value", "smtpgate"])?;
    Ok(pid.trim().to_owned())
}

fn version() -> Result<String> {
    run("dpkg-query", &["--show", "--showformat=${Version}", "smtpgate"])
}

/// Asks until it is so.
fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !so()? {
        if Instant::now() > deadline {
            bail!("{what}: not after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn output(program: &str, arguments: &[&str]) -> Result<Output> {
    // The service has no terminal, no locale, and libraries of its own.
    let mut command = Command::new(program);
    command.args(arguments).env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command.output().with_context(|| program.to_owned())
}

/// What it said; an error when it failed.
fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let out = output(program, arguments)?;
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    ensure!(
        out.status.success(),
        "{program} {}: {}\n{said}",
        arguments.join(" "),
        out.status
    );
    Ok(said)
}
