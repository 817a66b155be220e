//! What each key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::screen::{Do, List, Over, Question, Said, Screen, TIMES};
use crate::{cli::output::prefix, daemon::protocol::Request};

/// What a page key moves by, in a list whose height the keys do not know.
const PAGE: usize = 10;
/// What bans of this screen give as their reason.
const REASON: &str = "banned by the operator, in top";

/// The screen after a key, and what is to be done.
pub(super) fn press(screen: Screen, key: KeyEvent) -> (Screen, Do) {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => (screen, Do::Quit),
            KeyCode::Char('l') => (screen, Do::Redraw),
            _ => (screen, Do::Nothing),
        };
    }
    let screen = Screen { said: None, ..screen };
    match screen.over.clone() {
        Over::Nothing => lists(screen, key.code),
        Over::Help => match key.code {
            KeyCode::Char('q') => (screen, Do::Quit),
            _ => (back(screen), Do::Nothing),
        },
        Over::Question(question) => asked(screen, question, key.code),
        Over::Page { title, text, above } => page(screen, key.code, title, text, above),
    }
}

fn back(screen: Screen) -> Screen {
    Screen {
        over: Over::Nothing,
        ..screen
    }
}

fn lists(screen: Screen, key: KeyCode) -> (Screen, Do) {
    let screen = match key {
        KeyCode::Char('q') => return (screen, Do::Quit),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Screen {
            over: Over::Help,
            ..screen
        },
        KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right => Screen {
            list: match screen.list {
                List::Sources => List::Bans,
                List::Bans => List::Sources,
            },
            ..screen
        },
        KeyCode::Up | KeyCode::Char('k') => go(screen, |place| place.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => go(screen, |place| place + 1),
        KeyCode::PageUp => go(screen, |place| place.saturating_sub(PAGE)),
        KeyCode::PageDown => go(screen, |place| place + PAGE),
        KeyCode::Home => go(screen, |_| 0),
        KeyCode::End => go(screen, |_| usize::MAX),
        KeyCode::Char('b') => question(screen, |screen| {
            let prefix = screen.chosen()?;
            Some(Question::Ban { prefix, time: 1 })
        }),
        KeyCode::Char('u') => question(screen, |screen| {
            let prefix = match screen.list {
                List::Bans => screen.chosen()?,
                List::Sources => {
                    let address = screen.chosen_address()?;
                    screen.ban_of(address).or_else(|| screen.chosen())?
                }
            };
            Some(Question::Unban { prefix })
        }),
        KeyCode::Char('e') | KeyCode::Enter => {
            return match screen.chosen_address() {
                Some(address) => (screen, Do::Ask(Request::Explain { address })),
                None => (nobody(screen), Do::Nothing),
            };
        }
        _ => screen,
    };
    (screen, Do::Nothing)
}

fn question(screen: Screen, about: impl FnOnce(&Screen) -> Option<Question>) -> Screen {
    match about(&screen) {
        Some(question) => Screen {
            over: Over::Question(question),
            ..screen
        },
        None => nobody(screen),
    }
}

fn nobody(screen: Screen) -> Screen {
    let list = match screen.list {
        List::Sources => "no source has been refused yet",
        List::Bans => "there are no bans",
    };
    Screen {
        said: Some(Said {
            text: format!("{list}: nothing is chosen"),
            bad: true,
        }),
        ..screen
    }
}

/// Chooses another one of the list. The choice stays with who was chosen, wherever the next answer lists them.
fn go(screen: Screen, to: impl FnOnce(usize) -> usize) -> Screen {
    let Some(top) = &screen.top else { return screen };
    match screen.list {
        List::Sources => {
            let place = to(screen.source_place()).min(top.sources.len().saturating_sub(1));
            let source = top.sources.get(place).map(|seen| seen.source);
            Screen { source, ..screen }
        }
        List::Bans => {
            let place = to(screen.ban_place()).min(top.bans.len().saturating_sub(1));
            let ban = top.bans.get(place).map(|ban| ban.prefix);
            Screen { ban, ..screen }
        }
    }
}

/// Anything but a yes is a no; only another time asks again.
fn asked(screen: Screen, question: Question, key: KeyCode) -> (Screen, Do) {
    match (key, question) {
        (KeyCode::Char('y' | 'Y'), Question::Ban { prefix, time }) => {
            let request = Request::Ban {
                prefixes: vec![prefix],
                seconds: TIMES.get(time).and_then(|(seconds, _)| *seconds),
                reason: REASON.to_owned(),
            };
            (back(screen), Do::Ask(request))
        }
        (KeyCode::Char('y' | 'Y'), Question::Unban { prefix }) => {
            let request = Request::Unban {
                prefixes: vec![prefix],
                all: false,
                missing_ok: false,
            };
            (back(screen), Do::Ask(request))
        }
        (KeyCode::Char('t'), Question::Ban { prefix, time }) => {
            let question = Question::Ban {
                prefix,
                time: (time + 1) % TIMES.len(),
            };
            let over = Over::Question(question);
            (Screen { over, ..screen }, Do::Nothing)
        }
        (_, Question::Ban { prefix: who, .. } | Question::Unban { prefix: who }) => {
            let said = Some(Said {
                text: format!("nothing was changed for {}", prefix(&who)),
                bad: false,
            });
            (Screen { said, ..back(screen) }, Do::Nothing)
        }
    }
}

fn page(screen: Screen, key: KeyCode, title: String, text: String, above: u16) -> (Screen, Do) {
    let above = match key {
        KeyCode::Up | KeyCode::Char('k') => above.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => above.saturating_add(1),
        KeyCode::PageUp => above.saturating_sub(10),
        KeyCode::PageDown | KeyCode::Char(' ') => above.saturating_add(10),
        KeyCode::Home => 0,
        KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter | KeyCode::Char('e') => return (back(screen), Do::Nothing),
        _ => return (screen, Do::Nothing),
    };
    // Not beyond the last line, however it is wrapped.
    let last = u16::try_from(text.lines().count().saturating_sub(1)).unwrap_or(u16::MAX);
    let over = Over::Page {
        title,
        text,
        above: above.min(last),
    };
    (Screen { over, ..screen }, Do::Nothing)
}

#[cfg(test)]
mod tests {
    use super::super::{
        fixture,
        screen::{Answer, Happening, update},
    };
    use super::*;
    use crate::daemon::{
        failure::Failure,
        report::{Banned, Top},
    };

    fn screen(top: Top) -> Screen {
        Screen {
            top: Some(top),
            ..Screen::default()
        }
    }

    /// `b`, `^c`, `Tab`, …
    fn key(name: &str) -> KeyEvent {
        let code = match name {
            "Tab" => KeyCode::Tab,
            "Up" => KeyCode::Up,
            "Down" => KeyCode::Down,
            "PgDn" => KeyCode::PageDown,
            "Home" => KeyCode::Home,
            "End" => KeyCode::End,
            "Enter" => KeyCode::Enter,
            "Esc" => KeyCode::Esc,
            _ => KeyCode::Char(name.chars().last().unwrap()),
        };
        let modifiers = if name.starts_with('^') {
            KeyModifiers::CONTROL
        } else {
            KeyModifiers::NONE
        };
        KeyEvent::new(code, modifiers)
    }

    fn pressed(mut screen: Screen, keys: &str) -> (Screen, Do) {
        let mut last = Do::Nothing;
        for name in keys.split_whitespace() {
            (screen, last) = update(screen, Happening::Key(key(name)));
        }
        (screen, last)
    }

    fn ban(prefix: &str, seconds: Option<u64>) -> Do {
        Do::Ask(Request::Ban {
            prefixes: vec![prefix.parse().unwrap()],
            seconds,
            reason: REASON.to_owned(),
        })
    }

    fn unban(prefix: &str) -> Do {
        Do::Ask(Request::Unban {
            prefixes: vec![prefix.parse().unwrap()],
            all: false,
            missing_ok: false,
        })
    }

    fn explain(address: &str) -> Do {
        Do::Ask(Request::Explain {
            address: address.parse().unwrap(),
        })
    }

    #[test]
    fn top_keys_do_what_help_says() {
        for (keys, expected) in [
            ("q", Do::Quit),
            ("^c", Do::Quit),
            ("? ^c", Do::Quit),
            ("b ^c", Do::Quit),
            ("? q", Do::Quit),
            ("Esc", Do::Nothing),
            ("? Esc", Do::Nothing),
            ("^l", Do::Redraw),
            ("x", Do::Nothing),
            ("b", Do::Nothing),
            ("b y", ban("203.0.113.77/32", Some(3600))),
            ("b Y", ban("203.0.113.77/32", Some(3600))),
            ("b n y", Do::Nothing),
            ("b Enter", Do::Nothing),
            ("b Esc y", Do::Nothing),
            ("Down b y", ban("198.51.100.9/32", Some(3600))),
            ("j j k b y", ban("198.51.100.9/32", Some(3600))),
            ("b t y", ban("203.0.113.77/32", Some(86_400))),
            ("b t t t t y", ban("203.0.113.77/32", None)),
            ("b t t t t t t y", ban("203.0.113.77/32", Some(3600))),
            // An IPv6 customer has a /64.
            ("Down Down Down b y", ban("2001:db8:7::/64", Some(3600))),
            ("Down Down Down e", explain("2001:db8:7::9")),
            ("End b y", ban("203.0.113.6/32", Some(3600))),
            ("PgDn Down b y", ban("203.0.113.6/32", Some(3600))),
            ("End Home Up b y", ban("203.0.113.77/32", Some(3600))),
            ("e", explain("203.0.113.77")),
            ("Enter", explain("203.0.113.77")),
            ("Tab u", Do::Nothing),
            ("Tab u y", unban("192.0.2.201/32")),
            ("Tab Down u y", unban("192.0.2.0/28")),
            ("Tab Down u n", Do::Nothing),
            ("Tab Tab b y", ban("203.0.113.77/32", Some(3600))),
            ("Tab End e", explain("2001:db8:5:6::")),
            // A refused source that is banned: the narrowest ban that holds it.
            ("Down Down u y", unban("192.0.2.201/32")),
            ("u y", unban("203.0.113.77/32")),
        ] {
            assert_eq!(pressed(screen(fixture::night()), keys).1, expected, "{keys}");
        }
    }

    #[test]
    fn top_keys_without_anybody_to_choose_say_so() {
        for keys in ["b", "u", "e", "Tab b", "Tab u", "Tab Enter", "Down b", "b y"] {
            let (screen, last) = pressed(screen(fixture::quiet()), keys.trim_end_matches(" y"));
            assert_eq!(last, Do::Nothing, "{keys}");
            assert!(
                screen
                    .said
                    .is_some_and(|said| said.bad && said.text.contains("nothing is chosen")),
                "{keys}"
            );
            let (empty, last) = pressed(Screen::default(), keys);
            assert_eq!((last, empty.over), (Do::Nothing, Over::Nothing), "{keys}");
        }
    }

    #[test]
    fn top_choice_stays_with_who_was_chosen() {
        let (screen, _) = pressed(screen(fixture::night()), "Down");
        let mut top = fixture::night();
        top.sources.reverse();
        let (screen, _) = update(screen, Happening::Answer(Answer::Top(Ok(Box::new(top)))));
        assert_eq!(pressed(screen.clone(), "b y").1, ban("198.51.100.9/32", Some(3600)));
        // Who was asked about is banned, also when the list has changed since.
        let (asked, _) = pressed(screen, "b");
        let (asked, _) = update(asked, Happening::Answer(Answer::Top(Ok(Box::new(fixture::quiet())))));
        assert_eq!(pressed(asked, "y").1, ban("198.51.100.9/32", Some(3600)));
    }

    #[test]
    fn top_tells_what_an_act_came_to_until_the_next_key() {
        let failed = Failure::Failed("198.51.100.9 is trusted: nothing was changed".to_owned());
        let (after, _) = update(screen(fixture::night()), Happening::Answer(Answer::Banned(Err(failed))));
        let said = after.said.clone().unwrap();
        assert_eq!(
            (said.text.as_str(), said.bad),
            ("198.51.100.9 is trusted: nothing was changed", true)
        );
        assert_eq!(pressed(after, "Down").0.said, None);

        let banned = Banned {
            banned: vec!["198.51.100.9/32".parse().unwrap()],
            until: None,
            cut: 2,
            in_kernel: true,
            notes: vec!["a note".to_owned()],
        };
        let (after, _) = update(screen(fixture::night()), Happening::Answer(Answer::Banned(Ok(banned))));
        assert_eq!(
            after.said.unwrap().text,
            "banned 198.51.100.9 until unban, 2 open connection(s) cut; a note"
        );
    }

    #[test]
    fn top_goes_on_with_what_it_had_while_the_daemon_is_away() {
        let away = Answer::Top(Err(Failure::Failed("the daemon has ended".to_owned())));
        let (after, _) = update(screen(fixture::night()), Happening::Answer(away));
        assert!(after.top.is_some() && after.lost.is_some());
        let back = Answer::Top(Ok(Box::new(fixture::quiet())));
        assert_eq!(update(after, Happening::Answer(back)).0.lost, None);
    }

    #[test]
    fn top_pages_scroll_within_their_text() {
        let over = Over::Page {
            title: "192.0.2.1".to_owned(),
            text: "line\n".repeat(5),
            above: 0,
        };
        let at = |keys| match pressed(
            Screen {
                over: over.clone(),
                ..screen(fixture::night())
            },
            keys,
        )
        .0
        .over
        {
            Over::Page { above, .. } => Some(above),
            _ => None,
        };
        for (keys, above) in [
            ("Down Down Up", Some(1)),
            ("Up", Some(0)),
            ("PgDn PgDn", Some(4)),
            ("PgDn Home", Some(0)),
            ("b", Some(0)),
            ("q", None),
            ("Esc", None),
        ] {
            assert_eq!(at(keys), above, "{keys}");
        }
    }
}
