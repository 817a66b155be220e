//! `smtpgate test-log`: what each line of a maillog is read as.

use std::{
    fs::File,
    io::{self, BufRead},
    path::PathBuf,
};

use super::{Global, Output};
use crate::{
    config::Config,
    daemon::{clock, failure::Failure},
    maillog,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Maillog, also packed by gzip, xz or zstd; `-` is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let config = Config::load(global.config.as_deref()).map_err(Failure::usage)?;
    let name = args.file.display();
    let fail = |error: io::Error| Failure::Failed(format!("{name}: {error}"));
    let log: Box<dyn BufRead> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        maillog::open(File::open(&args.file).map_err(fail)?).map_err(fail)?
    };
    for read in maillog::test_log(log, clock::of_the_log(), config.maillog.patterns) {
        let read = read.map_err(fail)?;
        output.line(&read, |read| {
            let offence = if read.offence {
                format!("offence (weight {})", read.weight)
            } else {
                "no offence".to_owned()
            };
            let address = read
                .address
                .map_or_else(|| "no address".to_owned(), |address| address.to_string());
            let user = read.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
            format!("{:>8}  {}  {address}{user}  {offence}", read.line, read.kind.name())
        });
    }
    Ok(())
}
