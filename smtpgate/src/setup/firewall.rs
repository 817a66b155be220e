//! Other guards of the host, from what their own programs print.

use serde::Serialize;

/// What else refuses or redirects packets here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Firewall {
    /// Rules in nftables; none where `nft` is not there or may not be asked.
    pub nft_rules: Option<usize>,
    /// Rules in iptables and ip6tables.
    pub iptables_rules: Option<usize>,
    /// Ports that are redirected to a mail port: `(from, to)`.
    pub redirects: Vec<(u16, u16)>,
    /// fail2ban runs.
    pub fail2ban: bool,
}

/// Rules in the output of `nft list ruleset`: what stands in a chain and is not its head.
pub fn nft_rules(ruleset: &str) -> usize {
    let mut inside = false;
    let mut rules = 0;
    for line in ruleset.lines().map(str::trim) {
        if line.starts_with("chain ") {
            inside = true;
        } else if line == "}" {
            inside = false;
        } else if inside && !line.starts_with("type ") && !line.starts_with("policy ") && !line.is_empty() {
            rules += 1;
        }
    }
    rules
}

/// Rules in the output of `iptables-save`.
pub fn iptables_rules(saved: &str) -> usize {
    saved.lines().filter(|line| line.starts_with("-A ")).count()
}

/// Redirections to a port of `mail`, in the output of either. A gate at the port that they lead to does not see them: XDP
/// comes before the redirection.
pub fn redirects(text: &str, mail: &[u16]) -> Vec<(u16, u16)> {
    let mut found: Vec<(u16, u16)> = text.lines().filter_map(|line| redirect(line, mail)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn redirect(line: &str, mail: &[u16]) -> Option<(u16, u16)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let behind = |word: &str| {
        let at = words.iter().position(|found| *found == word)?;
        words.get(at + 1).copied()
    };
    let port = |text: &str| text.rsplit_once(':').map_or(text, |(_, port)| port).parse::<u16>().ok();
    // `tcp dport 2525 redirect to :25`, `… dnat to 192.0.2.1:25`; `--dport 2525 -j REDIRECT --to-ports 25`, `--to-destination`
    let from = behind("dport").or_else(|| behind("--dport")).and_then(port)?;
    let to = behind("--to-ports")
        .or_else(|| behind("--to-destination"))
        .or_else(|| behind("to"))
        .and_then(port)?;
    (mail.contains(&to) && from != to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NFT: &str = "\
table inet filter {
\tchain input {
\t\ttype filter hook input priority filter; policy accept;
\t\ttcp dport { 25, 587 } accept
\t\tip saddr 192.0.2.0/24 drop
\t}
}
table ip nat {
\tchain prerouting {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\ttcp dport 2525 redirect to :587
\t\ttcp dport 8080 redirect to :80
\t\ttcp dport 26 dnat to 192.0.2.9:25
\t}
}
";
    const IPTABLES: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 2525 -j REDIRECT --to-ports 25
-A PREROUTING -p tcp -m tcp --dport 24 -j DNAT --to-destination 192.0.2.9:25
COMMIT
*filter
-A INPUT -s 198.51.100.0/24 -j DROP
COMMIT
";

    #[test]
    fn firewall_counts_rules_and_finds_redirections_to_mail() {
        assert_eq!(nft_rules(NFT), 5);
        assert_eq!(nft_rules(""), 0);
        assert_eq!(redirects(NFT, &[25, 587]), [(26, 25), (2525, 587)]);
        assert_eq!(iptables_rules(IPTABLES), 3);
        assert_eq!(redirects(IPTABLES, &[25]), [(24, 25), (2525, 25)]);
    }
}
