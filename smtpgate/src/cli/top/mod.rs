//! `smtpgate top`: what is refused now, by whom, and who was banned, as a screen that lives.
//!
//! [`screen`] is what is shown and how keys and answers change it, [`draw`] how it looks, [`live`] the only part that
//! knows threads, signals and the terminal.

use std::{
    io::{self, IsTerminal as _},
    path::Path,
    thread::sleep,
    time::Duration,
};

use ratatui::{buffer::Buffer, layout::Rect};
use unicode_width::UnicodeWidthStr as _;

use super::{Global, Output, ask};
use crate::{
    config::Paths,
    daemon::{
        failure::Failure,
        protocol::Request,
        report::{Status, Top},
    },
};
use draw::Look;
use screen::Screen;
use words::Marks;

mod draw;
#[cfg(test)]
mod fixture;
mod graph;
mod keys;
mod live;
mod screen;
mod words;

/// Between two looks.
const SECOND: Duration = Duration::from_secs(1);
/// What `--once` prints when nobody says how wide.
const WIDTH: u16 = 80;
/// The most that it prints.
const HEIGHT: u16 = 40;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one picture, or with --json one object, and end
    #[arg(long)]
    once: bool,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let run = Paths::peek(global.config.as_deref()).run;
    if !global.json && !args.once {
        must_be_a_screen()?;
    }
    let Some(top) = ask::daemon::<Top>(&run, &Request::Top.into())? else {
        return Err(no_daemon(global));
    };
    if args.once {
        output.document(&top, |top| picture(top, &look(true)));
        return Ok(());
    }
    if global.json {
        return stream(&run, output, top);
    }
    live::show(&run, top, &look(false))
}

fn stream(run: &Path, output: &Output, first: Top) -> Result<(), Failure> {
    let mut top = first;
    while output.line(&top, |_| String::new()) {
        sleep(SECOND);
        top = ask::daemon(run, &Request::Top.into())?.ok_or_else(ended)?;
    }
    Ok(())
}

fn ended() -> Failure {
    Failure::Failed("the daemon has ended; the gate is as it left it (`smtpgate status`)".to_owned())
}

/// Whether it enforces all the same is what the exit code says.
fn no_daemon(global: &Global) -> Failure {
    let start = "start it with `systemctl start smtpgate`, or `smtpgate run`";
    match ask::ask::<Status>(global, Request::Status) {
        Ok(status) if status.enforcing => Failure::Failed(format!(
            "no daemon runs, and `top` shows what a daemon sees; the gate is up and refuses all the same \
             (`smtpgate status`): {start}"
        )),
        Ok(_) => Failure::NotEnforcing(format!("not enforcing, and no daemon runs: {start}")),
        Err(_) => Failure::Failed(format!("no daemon runs, and `top` shows what a daemon sees: {start}")),
    }
}

fn must_be_a_screen() -> Result<(), Failure> {
    let instead = "`smtpgate top --once` prints one picture, `--json` one object a second";
    if !io::stdout().is_terminal() {
        return Err(Failure::Usage(format!("standard output is no terminal: {instead}")));
    }
    let term = std::env::var("TERM").unwrap_or_default();
    if term.is_empty() || term == "dumb" {
        return Err(Failure::Usage(format!(
            "this terminal cannot place text (TERM={term}): {instead}"
        )));
    }
    Ok(())
}

/// By the environment: locale(7), <https://no-color.org>, and the names of terminals that have no colours.
fn look(still: bool) -> Look {
    let variable = |name: &str| std::env::var(name).ok();
    let term = variable("TERM").unwrap_or_default();
    let plain = ["vt5", "vt1", "vt2", "vt3"].iter().any(|begin| term.starts_with(begin))
        || term.ends_with("-m")
        || term.ends_with("-mono");
    Look {
        marks: Marks::of_locale(variable),
        colour: !plain && variable("NO_COLOR").is_none_or(|value| value.is_empty()),
        zone: jiff::tz::TimeZone::system(),
        still,
    }
}

/// The screen as text.
fn picture(top: &Top, look: &Look) -> String {
    let width = match ratatui::crossterm::terminal::size() {
        Ok((width, _)) if io::stdout().is_terminal() => width,
        _ => WIDTH,
    };
    let area = Rect::new(0, 0, width, HEIGHT);
    let mut buffer = Buffer::empty(area);
    let screen = Screen {
        top: Some(top.clone()),
        ..Screen::default()
    };
    draw::draw(area, &mut buffer, &screen, look);
    let lines: Vec<String> = area.rows().map(|row| text_of(&buffer, row)).collect();
    format!("{}\n", lines.join("\n").trim_end())
}

fn text_of(buffer: &Buffer, row: Rect) -> String {
    let mut text = String::new();
    let mut x = row.left();
    while let Some(cell) = buffer.cell((x, row.y)).filter(|_| x < row.right()) {
        text.push_str(cell.symbol());
        // A wide sign stands in the first of its cells.
        x += u16::try_from(cell.symbol().width()).unwrap_or(1).max(1);
    }
    text.truncate(text.trim_end().len());
    text
}
