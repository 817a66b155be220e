use insta::assert_snapshot;
use ratatui::{Terminal, backend::TestBackend, style::Color};

use super::{
    super::{
        fixture,
        screen::Said,
        words::{ASCII, UNICODE},
    },
    *,
};

fn look() -> Look {
    Look {
        marks: &UNICODE,
        colour: true,
        zone: TimeZone::UTC,
        still: false,
    }
}

fn of(top: Top) -> Screen {
    Screen {
        top: Some(top),
        ..Screen::default()
    }
}

fn drawn(screen: &Screen, look: &Look, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame.area(), frame.buffer_mut(), screen, look))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The screen's text.
fn text(screen: &Screen, width: u16, height: u16) -> String {
    let buffer = drawn(screen, &look(), width, height);
    let rows = buffer.area().rows().map(|row| super::super::text_of(&buffer, row));
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn top_draws_a_quiet_host() {
    assert_snapshot!(text(&of(fixture::quiet()), 80, 24));
}

#[test]
fn top_draws_a_usual_night() {
    assert_snapshot!("night_80x24", text(&of(fixture::night()), 80, 24));
    assert_snapshot!("night_120x40", text(&of(fixture::night()), 120, 40));
    assert_snapshot!("night_60x15", text(&of(fixture::night()), 60, 15));
}

#[test]
fn top_draws_a_flood_of_long_addresses() {
    assert_snapshot!("flood_80x24", text(&of(fixture::flood()), 80, 24));
    assert_snapshot!("flood_120x40", text(&of(fixture::flood()), 120, 40));
}

#[test]
fn top_draws_many_bans_and_keeps_the_chosen_one_in_view() {
    let screen = Screen {
        list: List::Bans,
        ban: Some("203.0.113.17/32".parse().unwrap()),
        ..of(fixture::many_bans())
    };
    assert_snapshot!("bans_80x24", text(&screen, 80, 24));
    assert_snapshot!("bans_120x40", text(&screen, 120, 40));
    for (width, height) in [(80, 24), (120, 40), (60, 15), (40, 8)] {
        let text = text(&screen, width, height);
        assert!(text.contains("> 203.0.113.17 "), "{text}");
    }
}

#[test]
fn top_says_when_the_window_is_too_small() {
    for (width, height) in [(39, 24), (80, 7), (10, 3), (1, 1)] {
        let text = text(&of(fixture::night()), width, height);
        assert!(!text.contains("203.0.113.77"), "{text}");
    }
    assert_snapshot!(text(&of(fixture::night()), 39, 6));
}

#[test]
fn top_draws_every_size_without_a_wrong_place() {
    let over = Over::Page {
        title: "192.0.2.1".to_owned(),
        text: "a\n".repeat(50),
        above: 49,
    };
    for top in [
        fixture::quiet(),
        fixture::night(),
        fixture::flood(),
        fixture::many_bans(),
    ] {
        for over in [Over::Nothing, Over::Help, over.clone()] {
            let screen = Screen {
                over,
                ..of(top.clone())
            };
            for (width, height) in (1..12)
                .map(|n| (n * 13, n * 3))
                .chain((0..8).map(|n| (38 + n, 30 - 3 * n)))
            {
                drawn(&screen, &look(), width, height);
            }
        }
    }
}

#[test]
fn top_says_nothing_by_colour_alone() {
    let plain = Look {
        colour: false,
        ..look()
    };
    for top in [fixture::quiet(), fixture::night(), fixture::flood()] {
        let screen = of(top);
        let (coloured, plain) = (drawn(&screen, &look(), 80, 24), drawn(&screen, &plain, 80, 24));
        let signs = |buffer: &Buffer| {
            buffer
                .content()
                .iter()
                .map(|cell| cell.symbol().to_owned())
                .collect::<String>()
        };
        assert_eq!(signs(&coloured), signs(&plain));
        assert!(
            plain
                .content()
                .iter()
                .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
        );
    }
}

#[test]
fn top_draws_in_ascii_where_that_is_all_there_is() {
    let ascii = Look {
        marks: &ASCII,
        ..look()
    };
    for over in [Over::Nothing, Over::Help] {
        let screen = Screen {
            over,
            ..of(fixture::flood())
        };
        let buffer = drawn(&screen, &ascii, 120, 40);
        assert!(
            buffer.content().iter().all(|cell| cell.symbol().is_ascii()),
            "{buffer:?}"
        );
    }
}

#[test]
fn top_shows_text_of_a_log_as_text() {
    let mut top = fixture::night();
    let evil = "\u{1b}[2Jgone\u{9b}31m\r\n\u{202e}";
    top.bans[0].reason = evil.to_owned();
    top.bans[0].evidence = vec![evil.to_owned()];
    top.sources[0].country = Some("\u{7}".to_owned());
    let page = Over::Page {
        title: evil.to_owned(),
        text: evil.to_owned(),
        above: 0,
    };
    let said = Some(Said {
        text: evil.to_owned(),
        bad: true,
    });
    for over in [Over::Nothing, page] {
        let screen = Screen {
            over,
            said: said.clone(),
            ..of(top.clone())
        };
        let text = text(&screen, 80, 24);
        assert!(text.contains("?[2Jgone?31m"), "{text}");
        assert!(text.chars().all(|char| char == '\n' || !char.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'));
    }
}

#[test]
fn top_says_what_state_the_gate_is_in() {
    let state = |enforcing, mode: &str, lost: Option<&str>| {
        let screen = Screen {
            lost: lost.map(str::to_owned),
            ..of(Top {
                enforcing,
                mode: mode.to_owned(),
                ..fixture::night()
            })
        };
        text(&screen, 80, 24)
    };
    for (text, head, totals, foot) in [
        (
            state(true, "enforce", None),
            "smtpgate  ENFORCING  ! 1 needs attention  eth0 native",
            "Refused  ",
            "q quit",
        ),
        (
            state(true, "mixed", None),
            "ENFORCING, some gates observe",
            "Refused, or would be  ",
            "q quit",
        ),
        (
            state(false, "observe", None),
            "OBSERVING, nothing is refused",
            "Would be refused  ",
            "q quit",
        ),
        (state(false, "enforce", None), "NOT ENFORCING", "Refused  ", "q quit"),
        (
            state(true, "enforce", Some("the daemon has ended")),
            "NO ANSWER",
            "Refused  ",
            "! trying again: the daemon has ended",
        ),
    ] {
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains(head), "{}", lines[0]);
        assert!(lines[1].starts_with(totals), "{}", lines[1]);
        assert!(lines[23].starts_with(foot), "{}", lines[23]);
    }
}

#[test]
fn top_draws_help_page_and_questions() {
    let over = |over| Screen {
        over,
        ..of(fixture::night())
    };
    assert_snapshot!("help_80x24", text(&over(Over::Help), 80, 24));
    let page = Over::Page {
        title: "192.0.2.201".to_owned(),
        text: "192.0.2.201 (JP)\n  mx  25  drop  banned  kernel: the same\n".to_owned()
            + &"a long line of a log, ".repeat(9),
        above: 0,
    };
    assert_snapshot!("page_80x24", text(&over(page), 80, 24));
    let prefix = "203.0.113.7/32".parse().unwrap();
    for (question, asked) in [
        (
            Question::Ban { prefix, time: 1 },
            "Ban 203.0.113.7 for 1 h? y/N   t other time",
        ),
        (
            Question::Ban { prefix, time: 5 },
            "Ban 203.0.113.7 until unban? y/N   t other time",
        ),
        (Question::Unban { prefix }, "Lift the ban of 203.0.113.7? y/N"),
    ] {
        let text = text(&over(Over::Question(question)), 80, 24);
        assert_eq!(text.lines().last(), Some(asked));
    }
}
