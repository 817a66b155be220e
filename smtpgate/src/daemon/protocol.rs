//! The control socket's language: one JSON request a line, one JSON answer a line.
//!
//! `{"v":1,"verb":"ban","prefixes":["203.0.113.5/32"],"seconds":864000,"reason":"spam"}` is answered by
//! `{"v":1,"ok":{…}}` or `{"v":1,"error":{"failure":"failed","message":"…"}}`. The same requests are what the command line
//! makes of its arguments, daemon or none.

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::failure::Failure;
use crate::sources::{Country, net};

/// Version of requests and answers. A daemon refuses another one, with both numbers.
pub const VERSION: u32 = 1;

/// Bytes of one request at the most: some 100,000 prefixes.
pub const REQUEST_MAX: usize = 4 << 20;

/// The longest time that a change may wait for its confirm: a day. Longer, and nobody remembers it.
pub const LONGEST_CONFIRM: u64 = 86_400;

/// A request, and for how long it may hold without a confirm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
    /// Seconds after which the change is undone unless `confirm` follows. Only `reload`, `ban`, `allow`, `disallow`
    /// and `import` take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<u64>,
}

impl From<Request> for Asked {
    fn from(request: Request) -> Self {
        Self { request, confirm: None }
    }
}

/// A request as it goes over the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// [`VERSION`].
    pub v: u32,
    /// The request.
    #[serde(flatten)]
    pub asked: Asked,
}

/// Reads one line of the socket.
///
/// # Errors
/// What is not a request of this version, down to a key that is not known: `secnods` must not ban for ever.
pub fn read(line: &[u8]) -> Result<Asked, Failure> {
    let not_ours = |error: serde_json::Error| Failure::Usage(format!("not a request: {error}"));
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).map_err(not_ours)?;
    // The version first: of another one, nothing else need be understood.
    match object.remove("v").as_ref().and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(Failure::Usage(format!(
                "the request speaks version {version}, this daemon version {VERSION}: restart the older one"
            )));
        }
        None => {
            return Err(Failure::Usage(format!(
                "the request has no version: write \"v\":{VERSION}"
            )));
        }
    }
    let confirm: Option<u64> = match object.remove("confirm") {
        None => None,
        Some(seconds) => serde_json::from_value(seconds).map_err(not_ours)?,
    };
    // serde lets unknown keys beside a verb without arguments pass.
    let surplus = object.keys().find(|key| *key != "verb").cloned();
    let request: Request = serde_json::from_value(object.into()).map_err(not_ours)?;
    if let Some(key) = surplus.filter(|_| request.takes_nothing()) {
        return Err(Failure::Usage(format!("not a request: unknown field `{key}`")));
    }
    match confirm {
        Some(_) if !request.takes_confirm() => Err(Failure::Usage(
            "`confirm` goes with reload, ban, allow, disallow and import only".to_owned(),
        )),
        Some(seconds) if !(1..=LONGEST_CONFIRM).contains(&seconds) => Err(Failure::Usage(format!(
            "`confirm` is from 1 to {LONGEST_CONFIRM} seconds"
        ))),
        confirm => Ok(Asked { request, confirm }),
    }
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Answered by [`super::report::Status`].
    Status,
    /// Answered by [`super::report::List`].
    List(Filter),
    /// Answered by [`super::report::Top`].
    Top,
    /// Answered by [`super::report::Period`].
    Report {
        /// From when.
        since: Timestamp,
    },
    /// Answered by `{"v":1,"ok":null}`, and after it by a line for each of [`super::report::News`], as long as the client
    /// listens.
    Watch,
    /// Answered by [`super::report::Explanation`].
    Explain {
        /// The source.
        address: std::net::IpAddr,
    },
    /// Answered by [`super::report::Banned`]. All or none.
    Ban {
        /// Addresses and prefixes.
        #[serde(deserialize_with = "prefixes")]
        prefixes: Vec<IpNet>,
        /// How long; none is until lifted.
        seconds: Option<u64>,
        /// Free text.
        #[serde(default = "operator")]
        reason: String,
    },
    /// Answered by [`super::report::Unbanned`].
    Unban {
        /// Exactly these bans.
        #[serde(default, deserialize_with = "prefixes")]
        prefixes: Vec<IpNet>,
        /// Every ban.
        #[serde(default)]
        all: bool,
        /// Those that are not banned are no error.
        #[serde(default)]
        missing_ok: bool,
    },
    /// Answered by [`super::report::Applied`].
    Allow {
        /// What to let in.
        #[serde(deserialize_with = "prefix")]
        prefix: IpNet,
        /// Only at this gate; none is every gate.
        gate: Option<String>,
        /// Free text.
        #[serde(default)]
        note: String,
    },
    /// Answered by [`super::report::Applied`].
    Disallow {
        /// What was let in.
        #[serde(deserialize_with = "prefix")]
        prefix: IpNet,
        /// As it was given.
        gate: Option<String>,
    },
    /// Ban and allow what other tools refused and let in: all of it at once. Answered by [`super::report::Imported`].
    Import {
        /// What comes from where.
        parts: Vec<Part>,
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// Take back what imports have brought. Answered by [`super::report::Withdrawn`].
    Withdraw {
        /// As the parts of the imports had it.
        from: Vec<String>,
    },
    /// What is in force, as prefixes. Answered by [`crate::moving::Leaving`].
    Export,
    /// Compare the kernel's maps with the policy, and put them right. Answered by [`super::report::Reconciled`].
    Reconcile,
    /// Answered by [`super::report::Applied`].
    Reload,
    /// Keep the change that waits. Answered by [`super::report::Settled`].
    Confirm {
        /// Take it back instead.
        #[serde(default)]
        undo: bool,
    },
    /// Take the gate down and end. Answered by [`super::report::Unloaded`].
    Unload,
}

/// What an import brings from one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// A file's path, say: `list` and `explain` show it.
    pub from: String,
    /// Whom to let in.
    #[serde(default)]
    pub allow: Vec<Admission>,
    /// Whom to refuse.
    #[serde(default)]
    pub ban: Vec<Refused>,
}

/// Whom an import lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// Who.
    #[serde(deserialize_with = "prefix")]
    pub prefix: IpNet,
    /// Only at this gate; none is every gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
}

/// Whom an import refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Who.
    #[serde(deserialize_with = "prefix")]
    pub prefix: IpNet,
    /// To when; none is until lifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<jiff::Timestamp>,
}

/// As the command line reads it: also a bare address, and no host bits.
fn prefix<'de, D: Deserializer<'de>>(from: D) -> Result<IpNet, D::Error> {
    let text = String::deserialize(from)?;
    net::parse(&text).map_err(D::Error::custom)
}

fn prefixes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts
        .iter()
        .map(|text| net::parse(text).map_err(D::Error::custom))
        .collect()
}

/// The reason of a ban that was given none.
pub fn operator() -> String {
    "banned by the operator".to_owned()
}

impl Request {
    const fn takes_nothing(&self) -> bool {
        matches!(
            self,
            Self::Status | Self::Top | Self::Watch | Self::Export | Self::Reconcile | Self::Reload | Self::Unload
        )
    }

    /// Whether it may change anything.
    pub const fn changes(&self) -> bool {
        !matches!(
            self,
            Self::Status
                | Self::List(_)
                | Self::Top
                | Self::Report { .. }
                | Self::Watch
                | Self::Explain { .. }
                | Self::Export
                | Self::Import { dry_run: true, .. }
        )
    }

    /// The name of the verb.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::List(_) => "list",
            Self::Top => "top",
            Self::Report { .. } => "report",
            Self::Watch => "watch",
            Self::Explain { .. } => "explain",
            Self::Ban { .. } => "ban",
            Self::Unban { .. } => "unban",
            Self::Allow { .. } => "allow",
            Self::Disallow { .. } => "disallow",
            Self::Import { .. } => "import",
            Self::Withdraw { .. } => "withdraw",
            Self::Export => "export",
            Self::Reconcile => "reconcile",
            Self::Reload => "reload",
            Self::Confirm { .. } => "confirm",
            Self::Unload => "unload",
        }
    }

    const fn takes_confirm(&self) -> bool {
        matches!(
            self,
            Self::Reload
                | Self::Ban { .. }
                | Self::Allow { .. }
                | Self::Disallow { .. }
                | Self::Import { dry_run: false, .. }
        )
    }
}

/// Which bans, in which order. All conditions must hold; without any, it is every ban, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// In one of these countries, by ISO 3166 code.
    pub country: Vec<Country>,
    /// Inside this prefix, or around it.
    pub within: Option<IpNet>,
    /// The rule, or a part of the reason, without regard to capitals.
    pub reason: Option<String>,
    /// About this login name; without `@`, at any domain.
    pub user: Option<String>,
    /// That began then or later.
    pub since: Option<Timestamp>,
    /// The order.
    pub sort: Sort,
    /// The order turned round.
    pub reverse: bool,
}

/// The order of bans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The newest first.
    #[default]
    Since,
    /// Those that end soon first, those without an end last.
    Until,
    /// By address: IPv4 first.
    Prefix,
    /// By country.
    Country,
    /// Those that came back most often first.
    Times,
    /// By rule.
    Rule,
}

/// An answer as it goes over the socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// [`VERSION`].
    pub v: u32,
    /// The report, or why there is none.
    #[serde(flatten)]
    pub result: Outcome,
}

/// The report, or why there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The report of the request's kind.
    Ok(serde_json::Value),
    /// What the command exits with.
    Error(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_requests_are_read_and_wrong_ones_say_why() {
        let ban = |seconds, confirm| Asked {
            request: Request::Ban {
                prefixes: vec!["203.0.113.5/32".parse().unwrap()],
                seconds,
                reason: operator(),
            },
            confirm,
        };
        let prefixes = r#""v":1,"verb":"ban","prefixes":["203.0.113.5/32"]"#;
        let good = [
            (r#"{"v":1,"verb":"status"}"#.to_owned(), Request::Status.into()),
            (format!("{{{prefixes}}}"), ban(None, None)),
            (
                r#"{"v":1,"verb":"ban","prefixes":["203.0.113.5"]}"#.to_owned(),
                ban(None, None),
            ),
            (
                format!(r#"{{{prefixes},"seconds":60,"confirm":300}}"#),
                ban(Some(60), Some(300)),
            ),
            (
                r#"{"v":1,"verb":"confirm"}"#.to_owned(),
                Request::Confirm { undo: false }.into(),
            ),
        ];
        for (line, asked) in good {
            assert_eq!(read(line.as_bytes()), Ok(asked), "{line}");
        }
        let bad = [
            ("", "not a request: EOF"),
            ("[1]", "not a request: invalid type"),
            ("\u{0}\u{1}", "not a request"),
            (r#"{"verb":"status"}"#, "the request has no version"),
            (r#"{"v":2,"verb":"hello"}"#, "speaks version 2, this daemon version 1"),
            (r#"{"v":1}"#, "missing field `verb`"),
            (r#"{"v":1,"verb":"band"}"#, "unknown variant `band`"),
            (r#"{"v":1,"verb":"status","all":true}"#, "unknown field `all`"),
            (
                r#"{"v":1,"verb":"ban","prefixes":["203.0.113.5/32"],"secnods":60}"#,
                "unknown field `secnods`",
            ),
            (
                r#"{"v":1,"verb":"ban","prefixes":["203.0.113.300"],"seconds":60}"#,
                "`203.0.113.300` is no address",
            ),
            (r#"{"v":1,"verb":"list","contry":["CN"]}"#, "unknown field `contry`"),
            (r#"{"v":1,"verb":"unload","confirm":60}"#, "`confirm` goes with"),
            (r#"{"v":1,"verb":"reload","confirm":0}"#, "from 1 to"),
        ];
        for (line, why) in bad {
            let said = read(line.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(why), "{line}: {said}");
        }
    }

    #[test]
    fn protocol_every_request_of_ours_is_read_as_what_was_sent() {
        let net = || "2001:db8::/64".parse().unwrap();
        let requests = [
            Request::Status,
            Request::List(Filter::default()),
            Request::List(Filter {
                country: vec!["CN".parse().unwrap()],
                within: Some(net()),
                since: Some(Timestamp::UNIX_EPOCH),
                sort: Sort::Times,
                ..Filter::default()
            }),
            Request::Top,
            Request::Report {
                since: Timestamp::UNIX_EPOCH,
            },
            Request::Watch,
            Request::Explain {
                address: "192.0.2.1".parse().unwrap(),
            },
            Request::Ban {
                prefixes: vec![net()],
                seconds: None,
                reason: "x".to_owned(),
            },
            Request::Unban {
                prefixes: vec![net()],
                all: false,
                missing_ok: true,
            },
            Request::Allow {
                prefix: net(),
                gate: Some("mx".to_owned()),
                note: String::new(),
            },
            Request::Disallow {
                prefix: net(),
                gate: None,
            },
            Request::Import {
                parts: vec![Part {
                    from: "/etc/hosts.allow".to_owned(),
                    allow: vec![Admission {
                        prefix: net(),
                        gate: None,
                    }],
                    ban: vec![Refused {
                        prefix: net(),
                        until: Some(jiff::Timestamp::UNIX_EPOCH),
                    }],
                }],
                dry_run: false,
            },
            Request::Withdraw {
                from: vec!["/etc/hosts.allow".to_owned()],
            },
            Request::Export,
            Request::Reconcile,
            Request::Reload,
            Request::Confirm { undo: true },
            Request::Unload,
        ];
        for request in requests {
            let confirm = request.takes_confirm().then_some(5);
            let asked = Asked { request, confirm };
            let envelope = Envelope {
                v: VERSION,
                asked: asked.clone(),
            };
            let line = serde_json::to_vec(&envelope).unwrap();
            assert_eq!(read(&line), Ok(asked));
        }
    }
}
