//! `cargo xtask demo`: the lab, told to whoever watches. It ends with an error if anything is not as it says.

use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, MAIL4, MAIL6, Site};
use smtpgate_tests::lab::probe;
use smtpgate_tests::lab::root::{PASSWORD, USERS};
use smtpgate_tests::lab::smtp::Smtp;

/// How long a client waits before it calls the answer silence.
const SILENCE: Duration = Duration::from_secs(2);
const PORTS: [u16; 3] = [25, 465, 587];

fn main() -> Result<()> {
    heading("A throw-away internet: network namespaces with no route out");
    let internet = Internet::new()?;
    println!("  mail     {MAIL4} and {MAIL6}: Postfix on 25, 465 and 587, passwords by Dovecot");
    for (name, site) in [
        ("tokyo", &internet.tokyo),
        ("america", &internet.america),
        ("russia", &internet.russia),
    ] {
        println!("  {name:8} {} and {}", site.net4, site.net6);
    }
    println!("  (the first time, a Debian root folder for Postfix is made under target/lab; that takes a minute)");
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339)?;
    let _web = internet.mail.run(|| Ok(TcpListener::bind("[::]:80")?))?;

    heading("The gate goes up on the mail host: Japan may connect to 25, 465 and 587");
    let mut gate = Gate::new(&host, &Gate::japan(&host, "maxretry = 5\nbantime = \"10s\""))?;
    gate.start()?;
    let lines_before = host.read_maillog()?.lines().count();

    heading("Tokyo is greeted");
    for from in internet.tokyo.both(1) {
        for port in PORTS {
            greeted("tokyo", &internet.tokyo, from, port)?;
        }
    }

    heading("Everyone else hears nothing");
    for (name, site) in [("america", &internet.america), ("russia", &internet.russia)] {
        for from in site.both(1) {
            silence(name, site, from, 587)?;
        }
    }
    let web = internet.russia.connect(internet.russia.v4(1).into(), 80, SILENCE)?;
    web.context("port 80 is in no gate and must answer")?;
    println!(
        "  russia   {:24} port  80   answers: it is in no gate",
        internet.russia.v4(1)
    );
    let sources = (0..100).flat_map(|n| internet.russia.both(n)).collect();
    let volley = probe::volley(&internet.russia, sources, PORTS.to_vec(), 1000)?;
    ensure!(
        volley.answered.is_empty(),
        "{} of {} SYNs were answered",
        volley.answered.len(),
        volley.sent
    );
    println!("  russia   {} more SYNs from 200 addresses: none answered", volley.sent);

    heading("A guesser in Tokyo has five tries");
    let guesser = internet.tokyo.v4(66).into();
    guess(&internet.tokyo, guesser)?;
    silence("tokyo", &internet.tokyo, guesser, 587)?;
    greeted("tokyo", &internet.tokyo, internet.tokyo.v4(1).into(), 587)?;

    heading("What the gate says about the guesser");
    show(&gate, &["explain", &guesser.to_string()])?;

    heading("What the maillog says");
    let log = host.read_maillog()?;
    let new: Vec<&str> = log.lines().skip(lines_before).collect();
    let about = |site: &Site| {
        let told = |line: &&&str| {
            let address = line
                .rsplit_once('[')
                .and_then(|(_, rest)| rest.split(']').next()?.parse().ok());
            match address {
                Some(IpAddr::V4(address)) => site.net4.contains(&address),
                Some(IpAddr::V6(address)) => site.net6.contains(&address),
                None => false,
            }
        };
        new.iter().filter(told).count()
    };
    for (name, site) in [
        ("tokyo", &internet.tokyo),
        ("america", &internet.america),
        ("russia", &internet.russia),
    ] {
        println!("  {:4} lines about {name}", about(site));
    }
    ensure!(
        about(&internet.america) + about(&internet.russia) == 0,
        "the maillog is not silent"
    );

    heading("Ten seconds later the ban is over");
    let start = Instant::now();
    while internet.tokyo.connect(guesser, 587, SILENCE)?.is_err() {
        ensure!(start.elapsed() < Duration::from_secs(60), "the ban does not end");
    }
    greeted("tokyo", &internet.tokyo, guesser, 587)?;

    heading("What the gate has done");
    show(&gate, &["status"])?;
    heading("Everything is taken down; nothing of it is left on this machine");
    Ok(())
}

fn greeted(name: &str, site: &Site, from: IpAddr, port: u16) -> Result<()> {
    let stream = site
        .connect(from, port, SILENCE)?
        .with_context(|| format!("{from} to port {port}"))?;
    let (mut smtp, greeting) = Smtp::greeted(stream, port)?;
    println!("  {name:8} {:24} port {port:3}   {greeting}", from.to_string());
    smtp.say("QUIT")?;
    Ok(())
}

fn silence(name: &str, site: &Site, from: IpAddr, port: u16) -> Result<()> {
    match site.connect(from, port, SILENCE)? {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            println!("  {name:8} {:24} port {port:3}   silence", from.to_string());
            Ok(())
        }
        Err(error) => bail!("{from} to port {port}: {error}, where silence was due"),
        Ok(_) => bail!("{from} to port {port}: connected, where silence was due"),
    }
}

fn guess(site: &Site, from: IpAddr) -> Result<()> {
    let mut smtp = Smtp::connect(site, from, 587)?;
    smtp.say("EHLO guesser.example.net")?;
    for password in ["123456", "password", "qwerty", "taro1", "letmein"] {
        ensure!(password != PASSWORD);
        let said = smtp.auth_plain(USERS[0], password)?;
        println!("  tokyo    {:24} password {password:9} {said}", from.to_string());
    }
    let start = Instant::now();
    match smtp.ended(Duration::from_secs(10))? {
        Some(Err(error)) => {
            println!(
                "  tokyo    its connection was cut {} ms later: {error}",
                start.elapsed().as_millis()
            );
            Ok(())
        }
        Some(Ok(())) => bail!("the guesser's connection ended in good order; it was to be cut"),
        None => bail!("the guesser's connection is still open"),
    }
}

fn show(gate: &Gate<'_>, words: &[&str]) -> Result<()> {
    let out = gate.cli(words)?;
    println!("  $ smtpgate {}", words.join(" "));
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        println!("  {line}");
    }
    ensure!(
        out.status.success(),
        "smtpgate {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

fn heading(text: &str) {
    if io::stdout().is_terminal() {
        println!("\n\x1b[1m{text}\x1b[0m");
    } else {
        println!("\n{text}");
    }
}
