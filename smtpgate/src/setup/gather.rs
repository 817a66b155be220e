//! Looks at the host: kernel, interfaces, mail, country data, other guards. Reads, and changes nothing.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::tz::TimeZone;
use rustix::system::uname;

use super::drivers::expect;
use super::firewall::{self, Firewall};
use super::{Facts, Home, Log, Nic, PORTS, Table};
use crate::config::Paths;
use crate::daemon::maillog::auto_log;
use crate::dataplane::{self, Dataplane, Interface, Kernel};
use crate::sources::{Sources, host::Host};

/// Programs of mail daemons, by the name that the kernel has for them, and what people call them.
const DAEMONS: [(&str, &str); 12] = [
    ("master", "Postfix"),
    ("dovecot", "Dovecot"),
    ("exim4", "Exim"),
    ("exim", "Exim"),
    ("sendmail", "Sendmail"),
    ("sendmail-mta", "Sendmail"),
    ("smtpd", "OpenSMTPD"),
    ("cyrus-master", "Cyrus"),
    ("cyrmaster", "Cyrus"),
    ("couriertcpd", "Courier"),
    ("qmail-send", "qmail"),
    ("saslauthd", "saslauthd"),
];

/// How the last rotated copy of a log is called, packed or not, and the log itself.
const ROTATED: [&str; 3] = [".1", ".1.gz", ""];

/// All that can be found out. The gate would have its pins where `paths` says, and its countries from `sources`.
pub fn facts(paths: &Paths, sources: &Sources) -> Facts {
    let kernel = dataplane::release();
    let processes = processes();
    Facts {
        host: uname().nodename().to_string_lossy().into_owned(),
        trouble: dataplane::trouble(&paths.pins)
            .iter()
            .map(ToString::to_string)
            .collect(),
        interfaces: interfaces(dataplane::version(&kernel)),
        listening: listening(),
        daemons: running(&processes),
        log: log(),
        countries: sources.countries().ok().map(|table| Table {
            origin: table.origin.clone(),
            date: table.date.strftime("%Y-%m-%d").to_string(),
        }),
        home: home(sources),
        admin: admin(env::var("SSH_CONNECTION").ok().as_deref()),
        firewall: look_at_firewall(&processes),
        loaded: Kernel::probe().is_ok_and(|kernel| Dataplane::open(&paths.pins, kernel).is_ok()),
        kernel,
    }
}

fn interfaces(version: (u32, u32)) -> Vec<Nic> {
    let routes = dataplane::default_routes().unwrap_or_default();
    let all = dataplane::interfaces().unwrap_or_default();
    let nic = |interface: &Interface| {
        let driver = driver(interface);
        let others: Vec<String> = interface
            .xdp
            .iter()
            .map(|xdp| dataplane::whose(xdp.program))
            .filter(|name| !name.contains("(smtpgate"))
            .collect();
        let (mode, because) = expect(interface, driver.as_deref(), version, &others);
        Nic {
            name: interface.name.clone(),
            driver,
            mtu: interface.mtu,
            state: interface.state.clone(),
            default_route: routes.contains(&interface.index),
            others,
            expect: mode,
            because,
        }
    };
    all.iter().filter(|interface| interface.name != "lo").map(nic).collect()
}

/// By sysfs; a virtual interface has no device there, and is known by its kind.
fn driver(interface: &Interface) -> Option<String> {
    let link = fs::read_link(Path::new("/sys/class/net").join(&interface.name).join("device/driver")).ok();
    let name = link.as_deref().and_then(Path::file_name);
    interface
        .kind
        .clone()
        .or_else(|| name.map(|name| name.to_string_lossy().into_owned()))
}

/// What listens at mail ports for others than this host (proc(5), `/proc/net/tcp`).
fn listening() -> Vec<u16> {
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        ports.extend(text.lines().filter_map(listener).filter(|port| PORTS.contains(port)));
    }
    ports.into_iter().collect()
}

/// The port of a line of `/proc/net/tcp` that listens, and not on loopback alone.
fn listener(line: &str) -> Option<u16> {
    let mut words = line.split_whitespace().skip(1);
    let (address, port) = words.next()?.split_once(':')?;
    let state = words.nth(1)?;
    // Addresses are words of four bytes in the machine's order: 127.0.0.1, and ::1.
    let loopback = ["0100007F", "00000000000000000000000001000000"];
    (state == "0A" && !loopback.contains(&address)).then(|| u16::from_str_radix(port, 16).ok())?
}

/// Names of all processes, as the kernel has them (15 bytes), with the paths of their programs where those can be read.
fn processes() -> Vec<(String, Option<PathBuf>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    pids.filter_map(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((name.trim().to_owned(), fs::read_link(entry.path().join("exe")).ok()))
    })
    .collect()
}

fn running(processes: &[(String, Option<PathBuf>)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (program, name) in DAEMONS {
        let is_its = |path: &Option<PathBuf>| {
            let postfix = path.as_ref().map(|path| path.to_string_lossy().contains("postfix"));
            match program {
                // Many programs are called so.
                "master" => postfix == Some(true),
                // Postfix has one, too.
                "smtpd" => postfix == Some(false),
                _ => true,
            }
        };
        let runs = processes.iter().any(|(found, path)| found == program && is_its(path));
        if runs && names.iter().all(|known| known != name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn log() -> Log {
    let (files, because) = auto_log();
    let because = because.to_owned();
    match files {
        None => Log {
            name: "the systemd journal".to_owned(),
            because,
            files: Vec::new(),
            journal: true,
        },
        Some(files) => Log {
            name: files
                .iter()
                .find(|path| path.exists())
                .map_or_else(|| "none yet".to_owned(), |path| path.display().to_string()),
            because,
            files: files
                .iter()
                .flat_map(|path| ROTATED.map(|ending| PathBuf::from(format!("{}{ending}", path.display()))))
                .filter(|path| path.metadata().is_ok_and(|meta| meta.len() > 0))
                .collect(),
            journal: false,
        },
    }
}

/// By this host's public addresses, or else by its time zone.
fn home(sources: &Sources) -> Option<Home> {
    let table = sources.countries().ok();
    let own = Host::ask().map(|host| host.own).unwrap_or_default();
    // Some tables have a place for the documentation's addresses.
    let example = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_documentation(),
        IpAddr::V6(address) => address.segments().starts_with(&[0x2001, 0xdb8]),
    };
    for address in own.into_iter().filter(|address| !example(address)) {
        if let Some(country) = table.and_then(|table| table.country_of(address)) {
            return Some(Home {
                country: country.to_string(),
                because: format!("this host's address {address} is there"),
            });
        }
    }
    let zone = TimeZone::system();
    let zone = zone.iana_name()?;
    let places = fs::read_to_string("/usr/share/zoneinfo/zone.tab").ok()?;
    let country = place_of(zone, &places)?;
    Some(Home {
        country,
        because: format!("this host's time zone is {zone}"),
    })
}

/// The country of a time zone in `zone.tab`: code, coordinates, zone.
fn place_of(zone: &str, places: &str) -> Option<String> {
    let mut lines = places.lines().filter(|line| !line.starts_with('#'));
    lines.find_map(|line| {
        let mut fields = line.split('\t');
        let (country, found) = (fields.next()?, fields.nth(1)?);
        (found == zone).then(|| country.to_owned())
    })
}

/// `CLIENT PORT SERVER PORT` (ssh(1)).
fn admin(ssh: Option<&str>) -> Option<IpAddr> {
    ssh?.split(' ').next()?.parse().ok()
}

fn look_at_firewall(processes: &[(String, Option<PathBuf>)]) -> Firewall {
    let nft = output("nft", &["list", "ruleset"]);
    let iptables = [output("iptables-save", &[]), output("ip6tables-save", &[])];
    let rules = |text: &Option<String>| text.as_deref().map(firewall::iptables_rules);
    let mut redirects: Vec<(u16, u16)> = iptables
        .iter()
        .chain([&nft])
        .flatten()
        .flat_map(|text| firewall::redirects(text, &PORTS))
        .collect();
    redirects.sort_unstable();
    redirects.dedup();
    Firewall {
        nft_rules: nft.as_deref().map(firewall::nft_rules),
        iptables_rules: match iptables.each_ref().map(rules) {
            [None, None] => None,
            [four, six] => Some(four.unwrap_or(0) + six.unwrap_or(0)),
        },
        redirects,
        fail2ban: processes.iter().any(|(name, _)| name == "fail2ban-server"),
    }
}

/// What a program prints; none when it is not there or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_reads_what_listens() {
        for (line, port) in [
            ("  sl  local_address rem_address   st tx_queue", None),
            ("   0: 00000000:0019 00000000:0000 0A 00000000:00000000", Some(25)),
            ("   1: 0100007F:0019 00000000:0000 0A 00000000:00000000", None),
            ("   2: 1A0071CB:0019 01020304:D431 01 00000000:00000000", None),
            (
                "   0: 00000000000000000000000000000000:024B 00000000000000000000000000000000:0000 0A 0",
                Some(587),
            ),
            (
                "   1: 00000000000000000000000001000000:024B 00000000000000000000000000000000:0000 0A 0",
                None,
            ),
        ] {
            assert_eq!(listener(line), port, "{line}");
        }
    }

    #[test]
    fn gather_tells_mail_daemons_from_others_of_their_names() {
        for (name, path, daemon) in [
            ("master", "/usr/lib/postfix/sbin/master", Some("Postfix")),
            ("master", "/opt/other/master", None),
            ("smtpd", "/usr/lib/postfix/sbin/smtpd", None),
            ("smtpd", "/usr/sbin/smtpd", Some("OpenSMTPD")),
            ("exim4", "/usr/sbin/exim4", Some("Exim")),
        ] {
            let found = running(&[(name.to_owned(), Some(path.into()))]);
            assert_eq!(found.first().map(String::as_str), daemon, "{path}");
        }
    }

    #[test]
    fn gather_knows_versions_places_and_who_is_there() {
        assert_eq!(dataplane::version("6.1.0-50-cloud-amd64"), (6, 1));
        assert_eq!(dataplane::version("5.10.0-32"), (5, 10));
        let places = "# comment\nJP\t+353916+1394441\tAsia/Tokyo\nTW\t+2503+12130\tAsia/Taipei\n";
        assert_eq!(place_of("Asia/Tokyo", places).as_deref(), Some("JP"));
        assert_eq!(place_of("Etc/UTC", places), None);
        assert_eq!(
            admin(Some("198.51.100.7 50022 203.0.113.25 22")),
            "198.51.100.7".parse().ok()
        );
        assert_eq!(admin(None), None);
    }
}
