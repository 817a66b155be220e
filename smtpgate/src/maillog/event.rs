//! What an understood log line says. Borrowed from the line: reading a line allocates nothing.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::time::LogTime;

/// The server that wrote the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Daemon {
    /// Postfix, any of its programs.
    Postfix,
    /// Dovecot, any of its processes.
    Dovecot,
    /// Exim 4.
    Exim,
    /// Sendmail 8.
    Sendmail,
    /// OpenSMTPD.
    Opensmtpd,
    /// Cyrus SASL's password daemon.
    Saslauthd,
    /// Cyrus IMAP.
    Cyrus,
    /// Courier, any of its servers.
    Courier,
    /// qmail, and vpopmail and rblsmtpd with it.
    Qmail,
    /// Roundcube.
    Roundcube,
    /// Perdition.
    Perdition,
    /// The University of Washington's IMAP toolkit.
    Uwimap,
    /// Solid POP3 server.
    SolidPop3d,
    /// SOGo.
    Sogo,
    /// Horde and IMP.
    Horde,
    /// SquirrelMail.
    Squirrelmail,
    /// Open WebMail.
    Openwebmail,
    /// Group-Office.
    Groupoffice,
    /// Kerio Connect.
    Kerio,
    /// HCL Domino.
    Domino,
    /// ASSP.
    Assp,
    /// Oracle Communications Messaging Server.
    Oracleims,
    /// Zimbra's mailbox server.
    Zimbra,
    /// Any other, as a pattern in the configuration reads it.
    Pattern,
}

/// What happened. The names are part of the contract of `test-log --json` and of the ledger: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// SMTP AUTH failed.
    SaslAuthFailed,
    /// A login elsewhere (IMAP, POP3, web mail) failed.
    AuthFailed,
    /// Somebody wanted to send through us to a third party.
    RelayDenied,
    /// A recipient was refused for another reason.
    RejectedRcpt,
    /// The recipient does not exist.
    UnknownUser,
    /// Refused because a DNS list names the client.
    Rbl,
    /// A DNS list names the client, and nothing was refused yet.
    Dnsbl,
    /// The client's HELO name was refused.
    HeloReject,
    /// Not SMTP, or SMTP out of order.
    ProtocolAbuse,
    /// Failed AUTH commands that only the counters at the end of the session show.
    DisconnectAuthFail,
    /// Connections that come to nothing, or too many of them.
    DdosConnect,
    /// A login succeeded.
    AuthOk,
    /// A message left for its recipient: one event a recipient.
    Delivered,
    /// A message came in. The line that completes it, once a message, has the sender and the number of recipients.
    Received,
    /// A client connected.
    Connect,
}

impl Kind {
    /// The name as it is in JSON and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::SaslAuthFailed => "sasl_auth_failed",
            Self::AuthFailed => "auth_failed",
            Self::RelayDenied => "relay_denied",
            Self::RejectedRcpt => "rejected_rcpt",
            Self::UnknownUser => "unknown_user",
            Self::Rbl => "rbl",
            Self::Dnsbl => "dnsbl",
            Self::HeloReject => "helo_reject",
            Self::ProtocolAbuse => "protocol_abuse",
            Self::DisconnectAuthFail => "disconnect_auth_fail",
            Self::DdosConnect => "ddos_connect",
            Self::AuthOk => "auth_ok",
            Self::Delivered => "delivered",
            Self::Received => "received",
            Self::Connect => "connect",
        }
    }

    /// The kind that [`Kind::name`] names.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Nothing that could be held against a client.
    pub fn is_good(self) -> bool {
        matches!(self, Self::AuthOk | Self::Delivered | Self::Received | Self::Connect)
    }

    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::SaslAuthFailed,
        Self::AuthFailed,
        Self::RelayDenied,
        Self::RejectedRcpt,
        Self::UnknownUser,
        Self::Rbl,
        Self::Dnsbl,
        Self::HeloReject,
        Self::ProtocolAbuse,
        Self::DisconnectAuthFail,
        Self::DdosConnect,
        Self::AuthOk,
        Self::Delivered,
        Self::Received,
        Self::Connect,
    ];
}

/// Where a line stands in the session that it belongs to. Several lines may tell of the same failure (the failure
/// itself, the counters when the session ends, the password backend); this is what lets detection count it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The session begins.
    Open,
    /// One AUTH command is accounted for by this line: its failure counts here, or must not count at all.
    Answered,
    /// The server could not reach its own password backend: the AUTH command under way fails, whatever was typed.
    BackendDown,
    /// The session ends; the event's weight is the number of all its failed AUTH commands.
    Close,
    /// A password backend tells of a failed login by any of its servers, which may tell of it, too. The number is the
    /// witness: an attempt may be tried with several backends.
    Backend(u8),
    /// A server other than Postfix' smtpd tells of failed logins, which a backend may have told of before.
    Login,
}

/// The session that a line belongs to: one server process on one host serves one client at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Hash of the host's name and the process id. Without meaning for [`Step::Backend`] and [`Step::Login`].
    pub id: u64,
    /// What the line means for it.
    pub step: Step,
}

/// One understood line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When, as the line has it; [`super::Clock::resolve`] makes an instant of it.
    pub time: LogTime<'a>,
    /// Who wrote it.
    pub daemon: Daemon,
    /// What happened.
    pub kind: Kind,
    /// The client, from where the daemon itself writes it. An IPv4-mapped address is its IPv4 address.
    pub address: Option<IpAddr>,
    /// The login name that the client gave: free text, cut and with control characters replaced by the daemon.
    pub user: Option<&'a [u8]>,
    /// The SASL mechanism that the client asked for: free text too.
    pub mechanism: Option<&'a [u8]>,
    /// The message that the line is about, by its queue id.
    pub queue_id: Option<&'a [u8]>,
    /// The envelope sender, as the client gave it: free text. Empty = a bounce.
    pub sender: Option<&'a [u8]>,
    /// Recipients of a message that came in, on the line that completes it; else 0.
    pub recipients: u32,
    /// How much it counts against the client, in mistyped passwords; 0 = no offence. From [`super::weight`].
    pub weight: u16,
    /// The SMTP session, where the daemon's lines tell.
    pub session: Option<Session>,
}

impl Event<'_> {
    /// A hostile act, as far as this line alone can tell.
    pub fn is_offence(&self) -> bool {
        self.weight > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_kind_names_are_the_serialised_ones() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("nothing"), None);
    }
}
