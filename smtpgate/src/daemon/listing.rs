//! Bans that a filter lets through, in the order that it asks for.

use std::{cmp::Reverse, collections::HashSet, net::IpAddr};

use jiff::Timestamp;

use super::{
    engine::Engine,
    failure::Failure,
    protocol::{Filter, Sort},
    report::{BanState, Exception, List},
    views,
};

pub(super) fn list(engine: &Engine, filter: &Filter) -> Result<List, Failure> {
    let now = Timestamp::now();
    let offenders = match &filter.user {
        Some(user) => Some(engine.ledger.offenders_of(user).map_err(Failure::failed)?),
        None => None,
    };
    let all: Vec<BanState> = engine
        .bans
        .values()
        .filter(|ban| ban.in_force(now))
        .map(|ban| views::state(ban, engine.countries.of_address(ban.prefix.addr()), Vec::new()))
        .collect();
    let number = all.len() as u64;
    let exceptions = engine
        .assembled
        .exceptions
        .iter()
        .map(|exception| Exception {
            prefix: exception.prefix,
            gate: exception.gate.clone(),
            since: exception.since,
            note: exception.note.clone(),
        })
        .collect();
    Ok(List {
        bans: select(all, filter, offenders.as_ref()),
        all: number,
        exceptions,
    })
}

/// `offenders` are the addresses that offended against the filter's user.
fn select(mut bans: Vec<BanState>, filter: &Filter, offenders: Option<&HashSet<IpAddr>>) -> Vec<BanState> {
    let reason = filter.reason.as_ref().map(|reason| reason.to_lowercase());
    bans.retain(|ban| {
        let country = |code: &String| filter.country.iter().any(|wanted| wanted.as_str() == code);
        (filter.country.is_empty() || ban.country.as_ref().is_some_and(country))
            && filter
                .within
                .is_none_or(|wanted| wanted.contains(&ban.prefix) || ban.prefix.contains(&wanted))
            && reason
                .as_ref()
                .is_none_or(|wanted| ban.rule == *wanted || ban.reason.to_lowercase().contains(wanted))
            && offenders.is_none_or(|all| all.iter().any(|address| ban.prefix.contains(address)))
            && filter.since.is_none_or(|since| ban.since >= since)
    });
    // Ties are told by address, so that the same bans are in the same order each time.
    bans.sort_by_key(|ban| ban.prefix);
    match filter.sort {
        Sort::Since => bans.sort_by_key(|ban| Reverse(ban.since)),
        Sort::Until => bans.sort_by_key(|ban| (ban.until.is_none(), ban.until)),
        Sort::Prefix => {}
        Sort::Country => bans.sort_by_cached_key(|ban| (ban.country.is_none(), ban.country.clone())),
        Sort::Times => bans.sort_by_key(|ban| Reverse(ban.times)),
        Sort::Rule => bans.sort_by_cached_key(|ban| ban.rule.clone()),
    }
    if filter.reverse {
        bans.reverse();
    }
    bans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(prefix: &str, country: &str, since: i64, until: Option<i64>, rule: &str, times: u32) -> BanState {
        let at = |second| Timestamp::from_second(second).unwrap();
        BanState {
            prefix: prefix.parse().unwrap(),
            country: Some(country.to_owned()).filter(|country| !country.is_empty()),
            since: at(since),
            until: until.map(at),
            rule: rule.to_owned(),
            reason: format!("SASL login failed, by {rule}"),
            times,
            evidence: Vec::new(),
        }
    }

    fn bans() -> Vec<BanState> {
        vec![
            ban("203.0.113.9/32", "US", 10, Some(100), "maxretry", 1),
            ban("192.0.2.1/32", "RU", 30, None, "operator", 3),
            ban("2001:db8::/64", "", 20, Some(50), "siege", 2),
            ban("192.0.2.0/24", "RU", 5, Some(60), "wide", 1),
        ]
    }

    fn order(filter: &Filter, offenders: Option<&[&str]>) -> Vec<String> {
        let offenders = offenders.map(|all| all.iter().map(|address| address.parse().unwrap()).collect());
        let chosen = select(bans(), filter, offenders.as_ref());
        chosen.iter().map(|ban| ban.prefix.to_string()).collect()
    }

    const US: &str = "203.0.113.9/32";
    const ONE: &str = "192.0.2.1/32";
    const V6: &str = "2001:db8::/64";
    const WIDE: &str = "192.0.2.0/24";

    #[test]
    fn list_filters_choose() {
        let none = Filter::default();
        type Case<'a> = (&'a str, Filter, Option<&'a [&'a str]>, &'a [&'a str]);
        let cases: [Case<'_>; 9] = [
            (
                "nothing asked: the newest first",
                none.clone(),
                None,
                &[ONE, V6, US, WIDE],
            ),
            (
                "country",
                Filter {
                    country: vec!["RU".parse().unwrap(), "DE".parse().unwrap()],
                    ..none.clone()
                },
                None,
                &[ONE, WIDE],
            ),
            (
                "inside a prefix",
                Filter {
                    within: Some("192.0.0.0/16".parse().unwrap()),
                    ..none.clone()
                },
                None,
                &[ONE, WIDE],
            ),
            (
                "around an address",
                Filter {
                    within: Some("192.0.2.77/32".parse().unwrap()),
                    ..none.clone()
                },
                None,
                &[WIDE],
            ),
            (
                "by rule",
                Filter {
                    reason: Some("SIEGE".to_owned()),
                    ..none.clone()
                },
                None,
                &[V6],
            ),
            (
                "by a word of the reason",
                Filter {
                    reason: Some("sasl".to_owned()),
                    ..none.clone()
                },
                None,
                &[ONE, V6, US, WIDE],
            ),
            (
                "of a user",
                none.clone(),
                Some(&["192.0.2.5", "2001:db8::77"]),
                &[V6, WIDE],
            ),
            ("of a user whom nobody attacked", none.clone(), Some(&[]), &[]),
            (
                "since, from the old to the new",
                Filter {
                    since: Some(Timestamp::from_second(10).unwrap()),
                    reverse: true,
                    ..none
                },
                None,
                &[US, V6, ONE],
            ),
        ];
        for (name, filter, offenders, expected) in cases {
            assert_eq!(order(&filter, offenders), expected, "{name}");
        }
    }

    #[test]
    fn list_sorts() {
        for (sort, expected) in [
            (Sort::Since, [ONE, V6, US, WIDE]),
            (Sort::Until, [V6, WIDE, US, ONE]),
            (Sort::Prefix, [WIDE, ONE, US, V6]),
            (Sort::Country, [WIDE, ONE, US, V6]),
            (Sort::Times, [ONE, V6, WIDE, US]),
            (Sort::Rule, [US, ONE, V6, WIDE]),
        ] {
            let filter = Filter {
                sort,
                ..Filter::default()
            };
            assert_eq!(order(&filter, None), expected, "{sort:?}");
        }
    }
}
