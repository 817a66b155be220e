//! An IMAP client that knows how to log in (RFC 3501, section 6.2.3).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};

use super::internet::Site;
use super::wire::{PATIENCE, Wire};

/// An IMAP conversation that was greeted.
pub struct Imap(BufReader<Wire>);

impl Imap {
    /// Connects `from` an address of `site` to 143, or to 993, where TLS comes first, and expects to be greeted.
    pub fn connect(site: &Site, from: IpAddr, port: u16) -> Result<Self> {
        let connected = site.connect(from, port, PATIENCE)?;
        let stream = connected.with_context(|| format!("{from} to port {port} of the mail host"))?;
        let mut imap = Self(BufReader::new(Wire::new(stream, port == 993)?));
        let greeting = imap.line()?;
        if !greeting.starts_with("* OK") {
            bail!("{from} to port {port} of the mail host: {greeting}");
        }
        Ok(imap)
    }

    /// LOGIN: whether the server takes it. The user's name is sent as a quoted string.
    pub fn login(&mut self, user: &str, password: &str) -> Result<bool> {
        let quoted = user.replace('\\', "\\\\").replace('"', "\\\"");
        let command = format!("a LOGIN \"{quoted}\" \"{password}\"\r\n");
        self.0.get_mut().write_all(command.as_bytes())?;
        loop {
            let line = self.line()?;
            if let Some(answer) = line.strip_prefix("a ") {
                return Ok(answer.starts_with("OK"));
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line)
    }
}
