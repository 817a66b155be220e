//! The ports that a rule is for, and the names by which files call them.

/// A set of TCP ports, as ranges with both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ports(Vec<(u16, u16)>);

impl Ports {
    pub(super) fn all() -> Self {
        Self(vec![(0, u16::MAX)])
    }

    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn of(ports: &[u16]) -> Self {
        Self(ports.iter().map(|port| (*port, *port)).collect())
    }

    pub(super) fn add(&mut self, low: u16, high: u16) {
        self.0.push((low, high));
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub(super) fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&port))
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        for (low, high) in &self.0 {
            for (other_low, other_high) in &other.0 {
                let (low, high) = (*low.max(other_low), *high.min(other_high));
                if low <= high {
                    both.push((low, high));
                }
            }
        }
        Self(both)
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        let mut left = self.0.clone();
        for (start, end) in &other.0 {
            let mut next = Vec::new();
            for (low, high) in left {
                if let Some(before) = start.checked_sub(1).filter(|before| low <= *before) {
                    next.push((low, before.min(high)));
                }
                if let Some(after) = end.checked_add(1).filter(|after| *after <= high) {
                    next.push((after.max(low), high));
                }
            }
            next.sort_unstable();
            next.dedup();
            left = next;
        }
        Self(left)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let mut ranges = self.0.clone();
        ranges.sort_unstable();
        ranges.dedup();
        let word = |(low, high): &(u16, u16)| {
            if low == high {
                low.to_string()
            } else {
                format!("{low}-{high}")
            }
        };
        ranges.iter().map(word).collect::<Vec<_>>().join(",")
    }
}

/// A port by number or by its name in /etc/services, as far as it is a mail port or often stands beside one.
pub(super) fn service(name: &str) -> Option<u16> {
    if let Ok(port) = name.parse() {
        return Some(port);
    }
    Some(match name {
        "smtp" | "mail" => 25,
        "smtps" | "submissions" | "ssmtp" | "urd" => 465,
        "submission" | "msa" => 587,
        "imap" | "imap2" => 143,
        "imaps" => 993,
        "pop3" | "pop-3" => 110,
        "pop3s" => 995,
        "sieve" => 4190,
        "ssh" => 22,
        "ftp" => 21,
        "telnet" => 23,
        "domain" => 53,
        "http" | "www" => 80,
        "https" => 443,
        _ => return None,
    })
}

/// The ports of a daemon, by the name under which hosts.allow knows it.
pub(super) fn daemon(name: &str) -> Option<Ports> {
    if name == "ALL" {
        return Some(Ports::all());
    }
    let name = name.to_ascii_lowercase();
    Some(Ports::of(match name.as_str() {
        // Whoever names the server means all that it serves.
        "smtpd" | "postfix/smtpd" | "postfix" | "postscreen" | "sendmail" | "sm-mta" | "exim" | "exim4"
        | "qmail-smtpd" | "tcp-env" | "opensmtpd" | "courieresmtpd" | "esmtpd" => &[25, 465, 587],
        "dovecot" => &[110, 143, 993, 995, 4190],
        "imapd" | "imap-login" | "imaplogin" | "imap4d" | "cyrus" => &[143, 993],
        "pop3d" | "pop3-login" | "ipop3d" | "popper" | "qpopper" => &[110, 995],
        "managesieve-login" => &[4190],
        "sshd" => &[22],
        "vsftpd" | "proftpd" | "in.ftpd" | "ftpd" => &[21],
        "in.telnetd" | "telnetd" => &[23],
        name => return service(name).map(|port| Ports::of(&[port])),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_ports_are_joined_cut_and_taken_away() {
        let mail = Ports::of(&[25, 465, 587]);
        assert_eq!(Ports::all().without(&mail).shown(), "0-24,26-464,466-586,588-65535");
        assert_eq!(mail.and(&Ports(vec![(400, 600)])).shown(), "465,587");
        assert_eq!(mail.without(&Ports::all()), Ports::none());
        assert!(daemon("ALL").unwrap().contains(25) && !daemon("sshd").unwrap().contains(25));
        assert_eq!(daemon("nobody-knows"), None);
    }
}
