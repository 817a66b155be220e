//! An SMTP client that shows every reply: greeting, EHLO, STARTTLS, implicit TLS, AUTH (RFC 5321, 3207, 8314, 4954).

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::internet::Site;

/// How long a reply may take. Long, because it is no assertion: silence is asserted when connecting.
const PATIENCE: Duration = Duration::from_secs(30);

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

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Smtp {
    /// Takes a connection to 25 or 587, or, when `port` is 465, one that starts with TLS, and reads the greeting.
    pub fn greeted(stream: TcpStream, port: u16) -> Result<(Self, Reply)> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let wire = if port == 465 { tls(stream)? } else { Wire::Plain(stream) };
        let mut smtp = Self {
            wire: BufReader::new(wire),
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

    /// STARTTLS; the conversation goes on encrypted.
    pub fn starttls(mut self) -> Result<Self> {
        let reply = self.say("STARTTLS")?;
        if reply.code != 220 {
            bail!("STARTTLS: {reply}");
        }
        match self.wire.into_inner() {
            Wire::Plain(stream) => Ok(Self {
                wire: BufReader::new(tls(stream)?),
            }),
            Wire::Tls(_) => bail!("STARTTLS: already encrypted"),
        }
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
        self.socket().set_read_timeout(Some(timeout))?;
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

    fn socket(&self) -> &TcpStream {
        match self.wire.get_ref() {
            Wire::Plain(stream) => stream,
            Wire::Tls(tls) => &tls.sock,
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

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "plain",
            Self::Tls(_) => "TLS",
        })
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

fn tls(stream: TcpStream) -> Result<Wire> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("mail.example.com")?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    Ok(Wire::Tls(Box::new(StreamOwned::new(connection, stream))))
}

/// The lab's certificate is its own; who the server is, is not what the tests ask.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
