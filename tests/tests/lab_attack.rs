//! Postfix and Dovecot under attack: who is banned on the wire, and that nobody is whom an attacker writes about.
//!
//! Every attacker has an address of its own, in Japan: it gets through the allow policy, and only its acts can ban it. One
//! that blames another address does so with one text, over and over. As long as the text works the attacker itself is
//! not banned, so a parser that is fooled by it bans the victim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;
use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog, POSTSCREEN};
use smtpgate_tests::lab::imap::Imap;
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::probe::{self, Stream};
use smtpgate_tests::lab::root::{PASSWORD, Suite};
use smtpgate_tests::lab::smtp::Smtp;

const PORTS: [u16; 4] = [25, 465, 587, POSTSCREEN];
/// How often an attacker who is not banned comes back. A mistyped password counts 1, and 5 are a ban.
const ROUNDS: usize = 8;
/// Attackers at work at the same time.
const HANDS: usize = 12;
/// After it a connection that is not answered is given up.
const SILENCE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(60);
/// Addresses that try one password each, all on one account.
const BESIEGERS: u32 = 12;

/// What one attacker does in one visit.
type Act = fn(&Attacker<'_>) -> Result<()>;

/// Attackers that blame nobody.
const PLAIN: [(&str, Act); 14] = [
    ("PLAIN on 587", |who| who.guess(587, "taro", Smtp::auth_plain)),
    ("LOGIN on 587", |who| who.guess(587, "taro", Smtp::auth_login)),
    ("PLAIN on 465", |who| who.guess(465, "taro", Smtp::auth_plain)),
    ("LOGIN on 465", |who| who.guess(465, "taro", Smtp::auth_login)),
    ("unknown user on 587", |who| who.guess(587, "admin", Smtp::auth_plain)),
    ("IMAP on 143", |who| who.guess_imap(143, "taro")),
    ("IMAP on 993", |who| who.guess_imap(993, "taro")),
    ("IMAP unknown user", |who| who.guess_imap(143, "nobody-such")),
    ("relay", |who| {
        who.mail("client.example.net", "a@example.org", "b@example.net", "")
    }),
    ("bytes that are no SMTP", |who| {
        who.smtp(25)?.say("\u{1}\u{2}").map(drop)
    }),
    ("junk commands", |who| {
        let mut smtp = who.smtp(25)?;
        for junk in ["LOGIN admin", "HELP ME", "XYZZY"] {
            smtp.say(junk)?;
        }
        who.quit(smtp)
    }),
    ("smuggled message", |who| {
        let text = "Subject: a\r\n\r\nb\n.\nMAIL FROM:<c@example.org>\nRCPT TO:<taro@example.com>\nDATA\n\nd\n.";
        who.mail("client.example.net", "a@example.org", "taro@example.com", text)
    }),
    ("pipelining behind postscreen", |who| {
        let mut smtp = who.smtp(POSTSCREEN)?;
        smtp.send(b"EHLO client.example.net\r\nNOOP\r\n")?;
        who.quit(smtp)
    }),
    ("proxy request behind postscreen", |who| {
        who.smtp(POSTSCREEN)?.say("CONNECT 192.0.2.1:443 HTTP/1.1").map(drop)
    }),
];

/// Attackers that write a text about another address where it comes into the log, and do what bans themselves.
const GUILTY: [(&str, Act); 12] = [
    ("SASL user by PLAIN", |who| who.guess(587, who.text, Smtp::auth_plain)),
    ("SASL user by LOGIN", |who| who.guess(465, who.text, Smtp::auth_login)),
    ("IMAP user", |who| who.guess_imap(143, who.text)),
    ("HELO of a relay probe", |who| {
        who.mail(who.text, "a@example.org", "b@example.net", "")
    }),
    ("MAIL FROM of a relay probe", |who| {
        who.mail("client.example.net", &who.address(), "b@example.net", "")
    }),
    ("RCPT TO of a relay probe", |who| {
        who.mail("client.example.net", "a@example.org", &who.address(), "")
    }),
    ("Subject of a refused message", |who| {
        let text = format!("Subject: unwanted {}\r\n\r\nbody", who.text);
        who.mail("client.example.net", "a@example.org", "taro@example.com", &text)
    }),
    ("HTTP request", |who| {
        let mut smtp = who.smtp(25)?;
        smtp.say(&format!("GET /{} HTTP/1.1", who.text)).map(drop)
    }),
    ("commands without waiting", |who| {
        let mut smtp = who.smtp(25)?;
        smtp.send(format!("EHLO client.example.net\r\nNOOP {}\r\n", who.text).as_bytes())?;
        who.quit(smtp)
    }),
    ("address that is none", |who| {
        let mut smtp = who.smtp(25)?;
        smtp.say("EHLO client.example.net")?;
        smtp.say(&format!("MAIL FROM:<@ {}>", who.text.replace(['<', '>'], "")))?;
        who.quit(smtp)
    }),
    ("before the greeting", |who| {
        let mut stream = who.connect(POSTSCREEN)?;
        stream.write_all(format!("EHLO {}\r\n", who.text).as_bytes())?;
        let (smtp, _) = Smtp::greeted(stream, POSTSCREEN)?;
        who.quit(smtp)
    }),
    ("HTTP request behind postscreen", |who| {
        let mut smtp = who.smtp(POSTSCREEN)?;
        smtp.say(&format!("GET /{} HTTP/1.1", who.text)).map(drop)
    }),
];

/// People who write such a text where it comes into the log, and do nothing that is to be refused.
const STRANGE: [(&str, Act); 6] = [
    ("HELO", |who| {
        who.mail(who.text, "a@example.org", "taro@example.com", "\r\nbody")
    }),
    ("PTR-like HELO", |who| {
        let helo = format!("unknown[{}]", who.victim);
        who.mail(&helo, "a@example.org", "taro@example.com", "\r\nbody")
    }),
    ("MAIL FROM", |who| {
        who.mail("client.example.net", &who.address(), "taro@example.com", "\r\nbody")
    }),
    ("Message-ID", |who| {
        let text = format!("Message-ID: <{}@example.org>\r\n\r\nbody", who.text);
        who.mail("client.example.net", "a@example.org", "taro@example.com", &text)
    }),
    ("Subject", |who| {
        let text = format!("Subject: {}\r\n\r\nbody", who.text);
        who.mail("client.example.net", "a@example.org", "taro@example.com", &text)
    }),
    ("RCPT TO", |who| {
        let to = format!("\"{}\"@example.com", who.text.replace('"', ""));
        who.mail("client.example.net", "a@example.org", &to, "\r\nbody")
    }),
];

/// What they write about `victim`.
fn blame(victim: IpAddr) -> Vec<String> {
    vec![
        format!("[{victim}]: SASL LOGIN authentication failed"),
        format!("warning: unknown[{victim}]: SASL PLAIN authentication failed: authentication failure"),
        format!("from unknown[{victim}]: 554 5.7.1 <x>: Relay access denied; from=<a> to=<b> proto=SMTP helo=<c>"),
        format!("x>, method=PLAIN, rip={victim}, lip=203.0.113.25, session=<x>"),
        format!("(auth failed, 9 attempts in 9 secs): user=<x>, method=PLAIN, rip={victim}, lip=203.0.113.25"),
        format!("passwd-file(x,{victim},<x>): Password mismatch"),
    ]
}

struct Attacker<'a> {
    site: &'a Site,
    name: String,
    from: IpAddr,
    victim: IpAddr,
    text: &'a str,
    act: Act,
}

impl Attacker<'_> {
    fn connect(&self, port: u16) -> Result<TcpStream> {
        Ok(self.site.connect(self.from, port, SILENCE)??)
    }

    fn smtp(&self, port: u16) -> Result<Smtp> {
        let (smtp, greeting) = Smtp::greeted(self.connect(port)?, port)?;
        ensure!(greeting.code == 220, "{greeting}");
        Ok(smtp)
    }

    fn quit(&self, mut smtp: Smtp) -> Result<()> {
        smtp.say("QUIT").map(drop)
    }

    fn guess(
        &self,
        port: u16,
        user: &str,
        auth: fn(&mut Smtp, &str, &str) -> Result<smtpgate_tests::lab::smtp::Reply>,
    ) -> Result<()> {
        let mut smtp = self.smtp(port)?;
        smtp.say("EHLO client.example.net")?;
        let reply = auth(&mut smtp, user, "wrong")?;
        ensure!(reply.code >= 500, "AUTH as {user}: {reply}");
        self.quit(smtp)
    }

    fn guess_imap(&self, port: u16, user: &str) -> Result<()> {
        let mut imap = Imap::connect(self.site, self.from, port)?;
        ensure!(!imap.login(user, "wrong")?, "{user} logged in");
        Ok(())
    }

    /// The text as an address' local part (a quoted string, RFC 5321, section 4.1.2).
    fn address(&self) -> String {
        format!("\"{}\"@example.org", self.text.replace('"', ""))
    }

    fn mail(&self, helo: &str, from: &str, to: &str, text: &str) -> Result<()> {
        let mut smtp = self.smtp(25)?;
        smtp.say(&format!("EHLO {helo}"))?;
        smtp.mail(from, to, text)?;
        self.quit(smtp)
    }

    /// Comes back until it is banned; what ended it.
    fn attack(&self) -> String {
        let mut end = String::new();
        for round in 1..=ROUNDS {
            end = match (self.act)(self) {
                Ok(()) => format!("came through {round} times"),
                Err(error) => {
                    let end = format!("visit {round}: {error:#}");
                    // The network's word; a server that only hangs up can be called again.
                    match error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind) {
                        Some(io::ErrorKind::TimedOut | io::ErrorKind::ConnectionReset) => return end,
                        _ => end,
                    }
                }
            };
        }
        end
    }
}

/// The people who use the mail host, or send to it, while it is attacked.
struct Users<'a> {
    site: &'a Site,
    /// Its people log in and send.
    offices: Vec<IpAddr>,
    /// Mail servers of others.
    servers: Vec<IpAddr>,
    /// A server that mail is sent to and that refuses it.
    remote: IpAddr,
}

impl Users<'_> {
    fn office(&self, from: IpAddr, port: u16, to: &str) -> Result<()> {
        let mut smtp = Smtp::connect(self.site, from, port)?;
        smtp.say("EHLO client.example.net")?;
        if port == 587 {
            smtp = smtp.starttls()?;
            smtp.say("EHLO client.example.net")?;
        }
        ensure!(smtp.auth_plain("hanako", PASSWORD)?.code == 235, "the right password");
        let sent = smtp.mail("hanako@example.com", to, "Subject: x\r\n\r\nbody")?;
        ensure!(sent.code == 250, "mail to {to}: {sent}");
        smtp.say("QUIT")?;
        ensure!(
            Imap::connect(self.site, from, 993)?.login("hanako", PASSWORD)?,
            "IMAP login"
        );
        Ok(())
    }

    /// Somebody mistypes the password of the very account that is besieged.
    fn mistype(&self) -> Result<()> {
        for from in &self.offices {
            let mut smtp = Smtp::connect(self.site, *from, 587)?;
            smtp.say("EHLO client.example.net")?;
            ensure!(
                smtp.auth_plain("hanako", "rihgt-password")?.code == 535,
                "the wrong password"
            );
            smtp.say("QUIT")?;
        }
        Ok(())
    }

    fn day(&self) -> Result<()> {
        for from in &self.offices {
            self.office(*from, 465, "taro@example.com")
                .with_context(|| format!("{from}"))?;
            self.office(*from, 587, &format!("x@[{}]", self.remote))
                .with_context(|| format!("{from}"))?;
        }
        for from in &self.servers {
            let mut smtp = Smtp::connect(self.site, *from, 25)?;
            smtp.say("EHLO mail.example.org")?;
            let sent = smtp.mail("a@example.org", "hanako@example.com", "Subject: x\r\n\r\nbody")?;
            ensure!(sent.code == 250, "{from}: {sent}");
            smtp.say("QUIT")?;
        }
        Ok(())
    }
}

/// A mail server that refuses every recipient, with one text after the other, until `over`.
fn refuse(listener: &TcpListener, texts: &[String], over: &AtomicBool) -> Result<usize> {
    listener.set_nonblocking(true)?;
    let mut refused = 0;
    while !over.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"220 mail.example.net\r\n")?;
        for line in BufReader::new(stream.try_clone()?).lines() {
            let line = line?;
            let text = texts.get(refused % texts.len()).context("texts")?;
            let reply = match line.get(..4) {
                Some("RCPT") => {
                    refused += 1;
                    format!("550 5.1.1 {text}")
                }
                Some("QUIT") => "221 bye".to_owned(),
                _ => "250 ok".to_owned(),
            };
            stream.write_all(format!("{reply}\r\n").as_bytes())?;
            if reply.starts_with("221") {
                break;
            }
        }
    }
    Ok(refused)
}

/// What the ban of `address` is by default: IPv6 by /64.
fn offender(address: IpAddr) -> IpNet {
    IpNet::new(address, if address.is_ipv4() { 32 } else { 64 })
        .unwrap()
        .trunc()
}

/// Prefixes banned, with the rule.
fn banned(gate: &Gate<'_>) -> Vec<(IpNet, String)> {
    let list = gate.json(&["list"]).unwrap();
    let bans = list["bans"].as_array().unwrap().iter();
    bans.map(|ban| {
        let prefix = ban["prefix"].as_str().unwrap();
        (prefix.parse().unwrap(), ban["rule"].as_str().unwrap().to_owned())
    })
    .collect()
}

/// Runs all attackers, some at a time; what became of each.
fn run(attackers: &[Attacker<'_>]) -> Vec<(IpAddr, String)> {
    let next = Mutex::new(attackers.iter());
    let ends = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(|| {
                loop {
                    let Some(attacker) = next.lock().unwrap().next() else {
                        return;
                    };
                    let end = format!("{} (`{}`): {}", attacker.name, attacker.text, attacker.attack());
                    ends.lock().unwrap().push((attacker.from, end));
                }
            });
        }
    });
    ends.into_inner().unwrap()
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_attack_debian12_bans_the_attackers_and_nobody_whom_they_blame() {
    attack(Suite::Bookworm);
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_attack_debian13_bans_the_attackers_and_nobody_whom_they_blame() {
    attack(Suite::Trixie);
}

/// One try each.
fn besiege(site: &Site, besiegers: &[IpAddr]) {
    for from in besiegers {
        let attacker = Attacker {
            site,
            name: "siege".to_owned(),
            from: *from,
            victim: *from,
            text: "",
            act: |_| Ok(()),
        };
        // Who comes when it is known as a siege may be cut off before the reply.
        let _ = attacker.guess(587, "hanako", Smtp::auth_plain);
    }
}

fn attack(suite: Suite) {
    let internet = Internet::new().unwrap();
    let site = &internet.tokyo;
    let host = MailHost::boot_suite(&internet.mail, suite, MailLog::Rfc3339).unwrap();
    let config = format!(
        "{}[gate.postscreen]\nports = [{POSTSCREEN}]\nallow = [\"country:JP\"]\n",
        Gate::japan(&host, "")
    );
    let mut gate = Gate::new(&host, &config).unwrap();
    gate.start().unwrap();

    // Nobody shares a /24, or a /64: no ban here is wider than one address.
    let mut places = 0u32..;
    let mut place = || site.v4(256 * places.next().unwrap() + 9).into();
    let victims: Vec<IpAddr> = vec![place(), place(), site.v6(0x5151).into()];
    let users = Users {
        site,
        offices: vec![place(), site.v6(0x7171).into()],
        servers: vec![place()],
        remote: place(),
    };
    let texts: Vec<(IpAddr, String)> = victims
        .iter()
        .flat_map(|victim| blame(*victim).into_iter().map(|text| (*victim, text)))
        .collect();

    let attacker = |from| Attacker {
        site,
        name: String::new(),
        from,
        victim: from,
        text: "",
        act: |_| Ok(()),
    };
    let mut attackers = Vec::new();
    let (mut guilty, mut strangers) = (Vec::new(), Vec::new());
    for (number, (name, act)) in PLAIN.into_iter().enumerate() {
        let mut from = vec![place()];
        if number == 0 {
            from.push(site.v6(0x1111).into());
        }
        for from in from {
            guilty.push(from);
            attackers.push(Attacker {
                name: name.to_owned(),
                act,
                ..attacker(from)
            });
        }
    }
    for (kinds, who) in [(&GUILTY[..], &mut guilty), (&STRANGE[..], &mut strangers)] {
        for (number, (name, act)) in kinds.iter().enumerate() {
            // Each field with every text, about one of the victims.
            let about = victims[number % victims.len()];
            for (victim, text) in texts.iter().filter(|(victim, _)| *victim == about) {
                let from = place();
                who.push(from);
                attackers.push(Attacker {
                    name: (*name).to_owned(),
                    victim: *victim,
                    text,
                    act: *act,
                    ..attacker(from)
                });
            }
        }
    }
    let besiegers: Vec<IpAddr> = (0..BESIEGERS).map(|_| place()).collect();

    let listener = site
        .ns
        .run(|| Ok(TcpListener::bind(SocketAddr::new(users.remote, 25))?))
        .unwrap();
    let replies: Vec<String> = texts.iter().map(|(_, text)| text.clone()).collect();
    // Those who have connections of their own are seen to be greeted by these: a probe may meet the port of one of them.
    let greeted = Stream::start(site, victims.clone(), PORTS.to_vec()).unwrap();
    let over = AtomicBool::new(false);
    let (ends, days, refused) = std::thread::scope(|scope| {
        let remote = scope.spawn(|| refuse(&listener, &replies, &over));
        let daily = scope.spawn(|| {
            let mut days = 0;
            while !over.load(Ordering::Relaxed) {
                users.day()?;
                days += 1;
            }
            anyhow::Ok(days)
        });
        // Whatever fails below, the others must end.
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // They are known before it begins.
            users.day().unwrap();
            let ends = run(&attackers);
            users.mistype().unwrap();
            besiege(site, &besiegers);
            users.mistype().unwrap();
            ends
        }));
        over.store(true, Ordering::Relaxed);
        let days = daily.join().unwrap();
        let refused = remote.join().unwrap();
        (attacked.unwrap(), days.unwrap(), refused.unwrap())
    });
    assert!(refused >= texts.len(), "{suite:?}: {refused} replies with texts");

    let want: BTreeSet<IpNet> = guilty.iter().chain(&besiegers).map(|from| offender(*from)).collect();
    let start = Instant::now();
    let found = |gate: &Gate<'_>| -> BTreeSet<IpNet> { banned(gate).into_iter().map(|(prefix, _)| prefix).collect() };
    while !found(&gate).is_superset(&want) && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(200));
    }
    // Whoever comes last is banned when all that was written before is read.
    let last = place();
    for _ in 0..ROUNDS {
        let _ = attacker(last).guess(465, "taro", Smtp::auth_plain);
    }
    while !found(&gate).contains(&offender(last)) && start.elapsed() < 2 * PATIENCE {
        std::thread::sleep(Duration::from_millis(200));
    }
    let got = found(&gate);
    let want: BTreeSet<IpNet> = want.into_iter().chain([offender(last)]).collect();
    let about = |prefix: &IpNet| {
        let end = ends.iter().find(|(from, _)| offender(*from) == *prefix);
        let log = host.read_maillog().unwrap();
        let address = prefix.addr().to_string();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&address)).collect();
        format!("{prefix}: {end:?}\n{}", lines.join("\n"))
    };
    let spared: Vec<String> = want.difference(&got).map(about).collect();
    let wronged: Vec<String> = got.difference(&want).map(about).collect();
    assert!(
        spared.is_empty() && wronged.is_empty(),
        "{suite:?}: not banned:\n{}\n\nbanned and should not be:\n{}\n{}",
        spared.join("\n"),
        wronged.join("\n"),
        gate.said()
    );
    let by_siege = banned(&gate).into_iter().filter(|(_, rule)| rule == "siege");
    let by_siege: BTreeSet<IpNet> = by_siege.map(|(prefix, _)| prefix).collect();
    for from in &besiegers {
        assert!(
            by_siege.contains(&offender(*from)),
            "{suite:?}: {from} is banned by another rule"
        );
    }

    // On the wire.
    let greeted = greeted.stop().unwrap();
    assert_eq!(greeted.silent, [], "{suite:?}: {} probes", greeted.sent);
    let out: Vec<IpAddr> = guilty.into_iter().chain(besiegers).collect();
    let count = u32::try_from(out.len() * PORTS.len()).unwrap();
    let probes = probe::volley(site, out, PORTS.to_vec(), count).unwrap();
    assert_eq!((probes.sent, probes.answered), (count, vec![]), "{suite:?}");
    for person in [victims, users.offices, users.servers, strangers].concat() {
        for port in [25, 465, 587] {
            Smtp::connect(site, person, port).unwrap().say("QUIT").unwrap();
        }
    }
    println!(
        "{suite:?}: {} attackers, {days} days of the users, {} probes",
        want.len(),
        greeted.sent
    );
}
