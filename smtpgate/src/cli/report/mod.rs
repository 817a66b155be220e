//! `smtpgate report`: what was in a while, as text, or as one page for a browser.

mod chart;
mod file;
mod map;
mod page;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};

use super::{Global, Output, ask::ask, output::grouped, since};
use crate::daemon::{failure::Failure, protocol::Request, report::Period};
use words::Language;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// From then on: 24h, 7d, 2026-11-24, "2026-11-24 08:00"; the last 35 days are kept
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = since::parse)]
    since: Timestamp,
    /// Write one page for a browser, with a map and evidence, in place of FILE; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The page's language
    #[arg(long, value_enum, value_name = "LANG", default_value = "en", requires = "html")]
    lang: Language,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let to_stdout = args.html.as_deref() == Some(Path::new("-"));
    if to_stdout && global.json {
        return Err(Failure::Usage(
            "--json and `--html -` both want standard output; name a file for the page".to_owned(),
        ));
    }
    let period: Period = ask(global, Request::Report { since: args.since })?;
    let zone = TimeZone::system();
    let Some(path) = &args.html else {
        output.document(&period, |period| text::text(period, &zone));
        return Ok(());
    };
    let page = page::page(&period, args.lang, &zone);
    if to_stdout {
        output.document(&period, |_| page);
    } else {
        file::write(path, page.as_bytes())?;
        let size = grouped(page.len().div_ceil(1024) as u64);
        output.document(&period, |_| format!("{}: written, {size} KiB", path.display()));
    }
    Ok(())
}
