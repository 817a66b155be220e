//! How much each kind of act counts, in mistyped passwords; the one place where that is said. What adds up to `maxretry`
//! (5 by default) within `findtime` is banned.

/// A failed login.
pub const PASSWORD: u16 = 1;
/// A failed login under a name that is not there: people mistype passwords, guessers make up names.
pub const UNKNOWN_LOGIN: u16 = 2;
/// A recipient that does not exist: an old address book has some.
pub const UNKNOWN_RECIPIENT: u16 = 1;
/// Mail to a third party, refused: no client of ours does that by mistake, other than one that forgot to log in.
pub const RELAY: u16 = 3;
/// A client, sender or recipient that the local policy refuses for good.
pub const REJECTED: u16 = 1;
/// Refused because a DNS list names the client.
pub const LISTED: u16 = 2;
/// A DNS list names the client, and nothing was refused yet; the refusal counts again.
pub const RANKED: u16 = 1;
/// On the local access list of those who are never let in.
pub const DENYLISTED: u16 = 3;
/// A HELO name that no mail server has.
pub const HELO: u16 = 2;
/// Mail refused for its content, by header and body checks or by a milter.
pub const CONTENT: u16 = 1;
/// Not SMTP, HTTP, commands piped in before the server's answer, bare line feeds: no mail program does this.
pub const ABUSE: u16 = 3;
/// Spoke before the server's greeting.
pub const PREGREET: u16 = 3;
/// Errors without end within one session.
pub const ERRORS: u16 = 2;
/// A login that the server does not offer: without encryption, or by a mechanism that it does not have.
pub const NOT_OFFERED: u16 = 1;
/// Over a rate or connection limit.
pub const LIMIT: u16 = 1;
/// A connection that came to nothing.
pub const NOTHING: u16 = 1;

/// What an act of such a kind counts, as far as the kind alone tells.
pub fn of(kind: super::Kind) -> u16 {
    use super::Kind;
    match kind {
        Kind::SaslAuthFailed | Kind::AuthFailed | Kind::DisconnectAuthFail => PASSWORD,
        Kind::RelayDenied => RELAY,
        Kind::RejectedRcpt => REJECTED,
        Kind::UnknownUser => UNKNOWN_RECIPIENT,
        Kind::Rbl => LISTED,
        Kind::HeloReject => HELO,
        Kind::ProtocolAbuse => ABUSE,
        Kind::DdosConnect => NOTHING,
        Kind::Dnsbl | Kind::AuthOk | Kind::Delivered | Kind::Received | Kind::Connect => 0,
    }
}
