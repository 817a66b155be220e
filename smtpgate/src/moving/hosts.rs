//! hosts.allow and hosts.deny, as hosts_access(5) and hosts_options(5) have them: the first file's rules come before the
//! second's, and whoever is in neither is let in.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{
    Left, Place,
    ports::{self, Ports},
    rules::{Action, Net, Rule, Who},
};
use crate::sources::net;

/// The rules of one of the two files.
pub(super) fn parse(file: usize, text: &str, deny: bool, left: &mut Vec<Left>) -> Vec<Rule> {
    let mut rules = Vec::new();
    // What a refusal of everyone else lets in is let in only after all other rules.
    let mut last = Vec::new();
    for (line, entry) in super::joined_lines(text) {
        let entry = entry.trim();
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        let place = Place { file, line };
        let mut leave = |text: &str, why: String| left.push(Left::new(place, text, why));
        let fields = fields(entry);
        let [daemons, clients, options @ ..] = fields.as_slice() else {
            leave(entry, "it has no colon, so hosts_access(5) skips it".to_owned());
            continue;
        };
        let action = match verdict(options, deny) {
            Ok(action) => action,
            Err(why) => {
                leave(entry, why);
                continue;
            }
        };
        let ports = match daemons_of(daemons) {
            Ok(ports) => ports,
            Err(why) => {
                leave(entry, why);
                continue;
            }
        };
        let clients = words(clients);
        let mut parts = clients.split(|word| word.eq_ignore_ascii_case("EXCEPT"));
        let first = parts.next().unwrap_or_default();
        let (mut except, mut doubt) = (Vec::new(), None);
        // `a EXCEPT b EXCEPT c` is `a EXCEPT (b EXCEPT c)`.
        match parts.collect::<Vec<_>>().as_slice() {
            [] => {}
            [one] => {
                for word in *one {
                    match client(word) {
                        Ok(Some(net)) => except.push(net),
                        Ok(None) => doubt = Some("it is for nobody: EXCEPT ALL".to_owned()),
                        Err(why) => doubt = Some(format!("its EXCEPT names `{word}`: {why}")),
                    }
                }
            }
            _ => doubt = Some("EXCEPT stands in it more than once: write it as rules of its own".to_owned()),
        }
        let rule = |who, except| Rule {
            place,
            text: entry.to_owned(),
            who,
            except,
            ports: ports.clone(),
            action: action.clone(),
            doubt: doubt.clone(),
        };
        let mut nets = Vec::new();
        for word in first {
            match client(word) {
                Ok(Some(net)) if net.prefix_len() > 0 => nets.push(Net {
                    net,
                    until: None,
                    place,
                }),
                Ok(_) => {
                    rules.push(rule(Who::Everyone, except.clone()));
                    if action == Action::Refuse && !except.is_empty() && doubt.is_none() {
                        let nets = except.iter().map(|net| Net {
                            net: *net,
                            until: None,
                            place,
                        });
                        last.push(Rule {
                            action: Action::Accept,
                            ..rule(Who::Nets(nets.collect()), Vec::new())
                        });
                    }
                }
                Err(why) => leave(word, why),
            }
        }
        if !nets.is_empty() {
            rules.push(rule(Who::Nets(nets), except));
        }
    }
    rules.extend(last);
    rules
}

/// Splits at colons, but for those in brackets and those behind a backslash.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut bracket, mut escaped) = (false, false);
    for char in line.chars() {
        match char {
            ':' if !bracket && !escaped => {
                fields.push(String::new());
                continue;
            }
            '[' => bracket = true,
            ']' => bracket = false,
            _ => {}
        }
        escaped = char == '\\';
        if let Some(field) = fields.last_mut() {
            field.push(char);
        }
    }
    fields
}

fn words(list: &str) -> Vec<&str> {
    list.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect()
}

/// What the rule does, with its options.
fn verdict(options: &[String], deny: bool) -> Result<Action, String> {
    let mut refuse = deny;
    for option in options {
        let word = option.split_whitespace().next().unwrap_or_default();
        match word.to_ascii_lowercase().as_str() {
            "deny" => refuse = true,
            "allow" => refuse = false,
            // They change what happens beside the verdict.
            "" | "severity" | "spawn" | "setenv" | "nice" | "banners" | "keepalive" | "linger" | "rfc931" | "umask"
            | "user" => {}
            "twist" | "aclexec" => return Err(format!("`{word}` decides by a program of its own")),
            // Without options compiled in, the third field is a shell command, whatever it is.
            _ => {}
        }
    }
    Ok(if refuse { Action::Refuse } else { Action::Accept })
}

fn daemons_of(list: &str) -> Result<Ports, String> {
    let mut sides = [Ports::none(), Ports::none()];
    let mut unknown = Vec::new();
    let words = words(list);
    let mut lists = words.split(|word| word.eq_ignore_ascii_case("EXCEPT"));
    for (side, list) in sides.iter_mut().zip(lists.by_ref()) {
        for word in list {
            if word.contains('@') {
                return Err(format!("`{word}` is for one of this host's addresses only"));
            }
            match ports::daemon(word) {
                Some(ports) => side.join(&ports),
                None => unknown.push(*word),
            }
        }
    }
    if lists.next().is_some() {
        return Err("EXCEPT stands in it more than once: write it as rules of its own".to_owned());
    }
    let [named, except] = sides;
    let ports = named.without(&except);
    if ports == Ports::none() {
        return Err(match unknown.as_slice() {
            [] => "it is for no service".to_owned(),
            unknown => format!("`{}` is no mail service that is known here", unknown.join(" ")),
        });
    }
    Ok(ports)
}

/// A client pattern; none is everyone.
fn client(word: &str) -> Result<Option<IpNet>, String> {
    let by_name = || "it goes by name, and smtpgate decides before any name is known".to_owned();
    match word {
        "ALL" => return Ok(None),
        "LOCAL" | "KNOWN" | "UNKNOWN" | "PARANOID" => return Err(by_name()),
        _ => {}
    }
    if word.starts_with('/') {
        return Err(format!(
            "it names a file: import that one, too, by `smtpgate import --format cidr --as allow {word}` (or ban)"
        ));
    }
    if word.starts_with('@') {
        return Err("it is a netgroup, which goes by name".to_owned());
    }
    if word.contains('@') {
        return Err("it names a user, whom only the client's identd knows".to_owned());
    }
    if word.starts_with('.') {
        return Err(by_name());
    }
    if let Some(inner) = word.strip_prefix('[') {
        let inner = inner.replace(']', "");
        return masked(&inner).map(Some);
    }
    if let Some(octets) = word.strip_suffix('.').or_else(|| word.strip_suffix(".*"))
        && octets.split('.').count() < 4
        && octets.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return leading(octets).map(Some);
    }
    if word.contains(['*', '?']) {
        return Err("it has a wildcard in it, and smtpgate takes prefixes".to_owned());
    }
    if word.contains('/') {
        return masked(word).map(Some);
    }
    match word.parse::<IpAddr>() {
        Ok(address) => Ok(Some(net::unmapped(address).into())),
        Err(_) if word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => Err(format!(
            "it is no whole address, so it never matches; a network is written `{word}.`"
        )),
        Err(_) => Err(by_name()),
    }
}

fn leading(octets: &str) -> Result<IpNet, String> {
    let wrong = || format!("`{octets}.` does not begin an address");
    let mut address = [0_u8; 4];
    let mut count = 0;
    for (octet, place) in octets.split('.').zip(address.iter_mut()) {
        *place = octet.parse().map_err(|_| wrong())?;
        count += 8;
    }
    Ipv4Net::new(Ipv4Addr::from(address), count)
        .map(IpNet::from)
        .map_err(|_| wrong())
}

/// `net/mask` or `net/length`, as libwrap compares it: what has host bits never matches.
fn masked(word: &str) -> Result<IpNet, String> {
    let net = super::masked(word).ok_or_else(|| format!("`{word}` is no network"))?;
    if net.trunc() != net {
        return Err(format!(
            "it has host bits, so it never matches; the network would be {}",
            net.trunc()
        ));
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_hosts_client_patterns_are_networks_or_say_why_not() {
        for (word, expected) in [
            ("192.0.2.7", Ok("192.0.2.7/32")),
            ("192.0.2.", Ok("192.0.2.0/24")),
            ("192.", Ok("192.0.0.0/8")),
            ("192.0.2.*", Ok("192.0.2.0/24")),
            ("198.51.100.0/255.255.254.0", Ok("198.51.100.0/23")),
            ("198.51.100.0/23", Ok("198.51.100.0/23")),
            ("[2001:db8::]/32", Ok("2001:db8::/32")),
            ("[2001:db8::1]", Ok("2001:db8::1/128")),
            ("[::ffff:192.0.2.7]", Ok("192.0.2.7/32")),
            ("192.0.2.7/255.255.255.0", Err("host bits")),
            ("192.0.2.0/255.0.255.0", Err("no network")),
            ("192.0.2", Err("never matches")),
            ("192.0.300.", Err("does not begin")),
            (".example.com", Err("by name")),
            ("mail.example.com", Err("by name")),
            ("LOCAL", Err("by name")),
            ("@trusted", Err("netgroup")),
            ("root@192.0.2.1", Err("identd")),
            ("/etc/mail.allow", Err("names a file")),
            ("192.0.2.1?", Err("wildcard")),
        ] {
            match (client(word), expected) {
                (Ok(net), Ok(wanted)) => assert_eq!(net.unwrap().to_string(), wanted, "{word}"),
                (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{word}: {why}"),
                (found, wanted) => panic!("{word}: {found:?}, not {wanted:?}"),
            }
        }
        assert_eq!(client("ALL"), Ok(None));
    }

    #[test]
    fn moving_hosts_rules_have_daemons_clients_and_options() {
        let text = "# a comment\n\nsmtpd, sendmail: 192.0.2. 198.51.100.0/24, \\\n  203.0.113.7\nsshd : 192.0.2.9\n\
                    ALL EXCEPT sshd: [2001:db8::]/32 EXCEPT [2001:db8:1::]/48\nsubmission: 192.0.2.1 : spawn (echo %a) & : DENY\n\
                    smtpd@192.0.2.1: ALL\nnonsense\nweird-daemon: 192.0.2.3\nsmtpd: 192.0.2.4: twist /bin/echo\n";
        let mut left = Vec::new();
        let rules = parse(0, text, false, &mut left);
        let shown: Vec<_> = rules
            .iter()
            .map(|rule| {
                let nets = match &rule.who {
                    Who::Nets(nets) => nets.iter().map(|net| net.net.to_string()).collect::<Vec<_>>().join(" "),
                    _ => "everyone".to_owned(),
                };
                format!("{} {} {:?} {}", rule.place.line, nets, rule.action, rule.ports.shown())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "3 192.0.2.0/24 198.51.100.0/24 203.0.113.7/32 Accept 25,465,587",
                "5 192.0.2.9/32 Accept 22",
                "6 2001:db8::/32 Accept 0-21,23-65535",
                "7 192.0.2.1/32 Refuse 587",
            ]
        );
        assert_eq!(rules[2].except, ["2001:db8:1::/48".parse().unwrap()]);
        let lines: Vec<_> = left.iter().map(|left| left.place.line).collect();
        assert_eq!(lines, [8, 9, 10, 11], "{left:?}");
    }
}
