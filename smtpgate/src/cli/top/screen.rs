//! What is on the screen, and how it changes: a value, what happens to it, and what the daemon is to be asked then. Pure.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use ratatui::crossterm::event::KeyEvent;

use super::keys;
use crate::{
    cli::{
        explain,
        output::{prefix, when},
    },
    daemon::{
        failure::Failure,
        protocol::Request,
        report::{Banned, Explanation, Top, Unbanned},
    },
};

/// The whole screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    /// The last good answer.
    pub(super) top: Option<Top>,
    /// Why there is none that is newer.
    pub(super) lost: Option<String>,
    /// The list that the keys are for.
    pub(super) list: List,
    /// The source that is chosen; none is the first.
    pub(super) source: Option<IpAddr>,
    /// The ban that is chosen; none is the first.
    pub(super) ban: Option<IpNet>,
    /// What lies over the lists.
    pub(super) over: Over,
    /// What the last act came to, until the next key.
    pub(super) said: Option<Said>,
}

/// A list of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum List {
    /// The heaviest sources.
    #[default]
    Sources,
    /// The newest bans.
    Bans,
}

/// What takes the keys before the lists do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing.
    #[default]
    Nothing,
    /// The keys and what the words mean.
    Help,
    /// Something that wants a yes.
    Question(Question),
    /// A page of text, and how many of its lines are above the window.
    Page {
        /// Whom it is about.
        title: String,
        /// As it came.
        text: String,
        /// Lines above the window.
        above: u16,
    },
}

/// Something that wants a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `b`
    Ban {
        /// Whom.
        prefix: IpNet,
        /// How long: one of [`TIMES`].
        time: usize,
    },
    /// `u`
    Unban {
        /// Whom.
        prefix: IpNet,
    },
}

/// How long a ban may be, in seconds and in words; the second is offered first.
pub(super) const TIMES: [(Option<u64>, &str); 6] = [
    (Some(600), "10 min"),
    (Some(3600), "1 h"),
    (Some(86_400), "1 day"),
    (Some(7 * 86_400), "7 days"),
    (Some(30 * 86_400), "30 days"),
    (None, "until unban"),
];

/// One line for the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// In words.
    pub(super) text: String,
    /// Whether it is about a failure.
    pub(super) bad: bool,
}

/// What happens to a screen.
#[derive(Debug)]
pub(super) enum Happening {
    /// A key was pressed.
    Key(KeyEvent),
    /// The daemon answered.
    Answer(Answer),
}

/// What the daemon answered, by what it was asked.
#[derive(Debug)]
pub(super) enum Answer {
    Top(Result<Box<Top>, Failure>),
    Banned(Result<Banned, Failure>),
    Unbanned(Result<Unbanned, Failure>),
    Explained(Result<Explanation, Failure>),
}

/// What is to be done beyond the screen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Do {
    /// Nothing.
    Nothing,
    /// To ask the daemon.
    Ask(Request),
    /// To draw every cell anew, as somebody else wrote on the terminal.
    Redraw,
    /// To end.
    Quit,
}

/// The screen after what happens to it, and what is to be done.
pub(super) fn update(screen: Screen, happening: Happening) -> (Screen, Do) {
    match happening {
        Happening::Key(key) => keys::press(screen, key),
        Happening::Answer(answer) => (answered(screen, answer), Do::Nothing),
    }
}

fn answered(screen: Screen, answer: Answer) -> Screen {
    let failed = |failure: &Failure| {
        Some(Said {
            text: failure.to_string(),
            bad: true,
        })
    };
    match answer {
        Answer::Top(Ok(top)) => Screen {
            top: Some(*top),
            lost: None,
            ..screen
        },
        Answer::Top(Err(failure)) => Screen {
            lost: Some(failure.to_string()),
            ..screen
        },
        Answer::Banned(Ok(banned)) => Screen {
            said: Some(good(banned_text(&banned), &banned.notes)),
            ..screen
        },
        Answer::Unbanned(Ok(unbanned)) => Screen {
            said: Some(good(unbanned_text(&unbanned), &unbanned.notes)),
            ..screen
        },
        Answer::Explained(Ok(explanation)) => Screen {
            over: Over::Page {
                title: explanation.address.to_string(),
                text: explain::text(&explanation),
                above: 0,
            },
            ..screen
        },
        Answer::Banned(Err(failure)) | Answer::Unbanned(Err(failure)) | Answer::Explained(Err(failure)) => Screen {
            said: failed(&failure),
            ..screen
        },
    }
}

fn good(mut text: String, notes: &[String]) -> Said {
    for note in notes {
        text.push_str("; ");
        text.push_str(note);
    }
    Said { text, bad: false }
}

fn banned_text(banned: &Banned) -> String {
    let who: Vec<String> = banned.banned.iter().map(prefix).collect();
    let until = banned.until.map_or_else(|| "unban".to_owned(), when);
    let mut text = format!("banned {} until {until}", who.join(" "));
    if banned.cut > 0 {
        text.push_str(&format!(", {} open connection(s) cut", banned.cut));
    }
    if !banned.in_kernel {
        text.push_str("; the gate is not loaded: it counts from the next load on");
    }
    text
}

fn unbanned_text(unbanned: &Unbanned) -> String {
    if unbanned.unbanned.is_empty() {
        return "nothing was banned".to_owned();
    }
    let who: Vec<String> = unbanned.unbanned.iter().map(prefix).collect();
    format!("no longer banned: {}", who.join(" "))
}

impl Screen {
    /// The place of the chosen source in its list. Who is gone from it leaves the first.
    pub(super) fn source_place(&self) -> usize {
        let Some(top) = &self.top else { return 0 };
        let chosen = |source: IpAddr| top.sources.iter().position(|seen| seen.source == source);
        self.source.and_then(chosen).unwrap_or(0)
    }

    /// The same for the bans.
    pub(super) fn ban_place(&self) -> usize {
        let Some(top) = &self.top else { return 0 };
        let chosen = |prefix: IpNet| top.bans.iter().position(|ban| ban.prefix == prefix);
        self.ban.and_then(chosen).unwrap_or(0)
    }

    /// Whom the keys are about.
    pub(super) fn chosen(&self) -> Option<IpNet> {
        let top = self.top.as_ref()?;
        match self.list {
            List::Sources => top.sources.get(self.source_place()).map(|seen| customer(seen.source)),
            List::Bans => top.bans.get(self.ban_place()).map(|ban| ban.prefix),
        }
    }

    /// The address that stands for whom the keys are about.
    pub(super) fn chosen_address(&self) -> Option<IpAddr> {
        let top = self.top.as_ref()?;
        match self.list {
            List::Sources => top.sources.get(self.source_place()).map(|seen| seen.source),
            List::Bans => top.bans.get(self.ban_place()).map(|ban| ban.prefix.addr()),
        }
    }

    /// The narrowest of the listed bans that holds an address.
    pub(super) fn ban_of(&self, address: IpAddr) -> Option<IpNet> {
        let bans = self.top.iter().flat_map(|top| &top.bans);
        bans.map(|ban| ban.prefix)
            .filter(|prefix| prefix.contains(&address))
            .max_by_key(IpNet::prefix_len)
    }
}

/// The address, or of IPv6 the /64: a customer has all of it, and would come back from the next address.
fn customer(source: IpAddr) -> IpNet {
    match source {
        IpAddr::V4(_) => source.into(),
        IpAddr::V6(address) => Ipv6Net::new(address, 64).map_or_else(|_| source.into(), |net| net.trunc().into()),
    }
}
