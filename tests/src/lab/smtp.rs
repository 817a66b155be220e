//! An SMTP client that shows every reply: greeting, EHLO, STARTTLS, implicit TLS, AUTH (RFC 5321, 3207, 8314, 4954).

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::internet::Site;
use super::wire::{PATIENCE, Wire};

/// A reply: its code, and its text with lines joined by `\n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// What follows them.
    pub text: String,
}

/// An SMTP conversation over a connected socket.
#[derive(Debug)]
pub struct Smtp {
    wire: BufReader<Wire>,
}

impl Smtp {
    /// Takes a connection to 25 or 587, or, when `port` is 465, one that starts with TLS, and reads the greeting.
    pub fn greeted(stream: TcpStream, port: u16) -> Result<(Self, Reply)> {
        let mut smtp = Self {
            wire: BufReader::new(Wire::new(stream, port == 465)?),
        };
        let greeting = smtp.reply().context("greeting")?;
        Ok((smtp, greeting))
    }

    /// Connects `from` an address of `site` and expects to be greeted with 220.
    pub fn connect(site: &Site, from: IpAddr, port: u16) -> Result<Self> {
        let connected = site.connect(from, port, PATIENCE)?;
        let stream = connected.with_context(|| format!("{from} to port {port} of the mail host"))?;
        let (smtp, greeting) = Self::greeted(stream, port)?;
        if greeting.code != 220 {
            bail!("{from} to port {port} of the mail host: {greeting}");
        }
        Ok(smtp)
    }

    /// Sends one line and reads the reply to it.
    pub fn say(&mut self, line: &str) -> Result<Reply> {
        self.wire
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .with_context(|| line.to_owned())?;
        self.reply().with_context(|| line.to_owned())
    }

    /// Sends bytes as they are, and waits for nothing.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.wire.get_mut().write_all(bytes)?)
    }

    /// Sends one message, `text` being its header and body, and gives the reply to its end.
    ///
    /// The first command that is refused ends it with that reply.
    pub fn mail(&mut self, from: &str, to: &str, text: &str) -> Result<Reply> {
        for line in [
            format!("MAIL FROM:<{from}>"),
            format!("RCPT TO:<{to}>"),
            "DATA".to_owned(),
        ] {
            let reply = self.say(&line)?;
            if reply.code >= 400 {
                return Ok(reply);
            }
        }
        self.say(&format!("{text}\r\n."))
    }

    /// STARTTLS; the conversation goes on encrypted.
    pub fn starttls(mut self) -> Result<Self> {
        let reply = self.say("STARTTLS")?;
        if reply.code != 220 {
            bail!("STARTTLS: {reply}");
        }
        Ok(Self {
            wire: BufReader::new(self.wire.into_inner().encrypted()?),
        })
    }

    /// AUTH PLAIN with an initial response.
    pub fn auth_plain(&mut self, user: &str, password: &str) -> Result<Reply> {
        self.say(&format!(
            "AUTH PLAIN {}",
            BASE64_STANDARD.encode(format!("\0{user}\0{password}"))
        ))
    }

    /// AUTH LOGIN, the three-step form.
    pub fn auth_login(&mut self, user: &str, password: &str) -> Result<Reply> {
        for line in ["AUTH LOGIN".to_owned(), BASE64_STANDARD.encode(user)] {
            let reply = self.say(&line)?;
            if reply.code != 334 {
                return Ok(reply);
            }
        }
        self.say(&BASE64_STANDARD.encode(password))
    }

    /// Waits until the other side ends the connection, and says how: `Ok` for an orderly end, else the error.
    /// `None` when it is still open after `timeout`.
    pub fn ended(&mut self, timeout: Duration) -> Result<Option<io::Result<()>>> {
        self.wire.get_ref().socket().set_read_timeout(Some(timeout))?;
        let mut byte = [0];
        loop {
            return Ok(match self.wire.read(&mut byte) {
                Ok(0) => Some(Ok(())),
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(error) => Some(Err(error)),
            });
        }
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut texts = Vec::new();
        loop {
            let mut line = String::new();
            if self.wire.read_line(&mut line)? == 0 {
                bail!("the server closed the connection");
            }
            let line = line.trim_end();
            let (code, rest) = line
                .split_at_checked(3)
                .with_context(|| format!("not a reply: {line:?}"))?;
            let code: u16 = code.parse().with_context(|| format!("not a reply: {line:?}"))?;
            texts.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                return Ok(Reply {
                    code,
                    text: texts.join("\n"),
                });
            }
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}
