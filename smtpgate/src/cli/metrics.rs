//! `smtpgate metrics`: the status as numbers for Prometheus.

use super::{Global, Output, ask::ask};
use crate::daemon::{
    failure::Failure,
    metrics::{Format, render},
    protocol::Request,
    report::Status,
};

pub(super) fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let status: Status = ask(global, Request::Status)?;
    output.document(&status, |status| render(status, Format::Text));
    Ok(())
}
