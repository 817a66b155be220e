//! Asks the running daemon over its control socket.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    SOCKET,
    failure::Failure,
    protocol::{Answer, Asked, Envelope, Outcome, Request, VERSION},
    report::News,
};

/// A reload reads every source again; nothing else takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to what is `asked`, or `None` when no daemon listens in the folder `run`.
///
/// # Errors
/// What the daemon answers, or why it cannot be asked.
pub fn ask(run: &Path, asked: &Asked) -> Result<Option<serde_json::Value>, Failure> {
    match Connection::open(run)? {
        Some(mut connection) => connection.ask(asked).map(Some),
        None => Ok(None),
    }
}

/// All that happens from now on, in the daemon that listens in the folder `run`; `None` when there is none. Each is one
/// [`super::report::News`]; the last is an error when the daemon ends.
///
/// # Errors
/// What the daemon answers, or why it cannot be asked.
pub fn watch(run: &Path) -> Result<Option<impl Iterator<Item = Result<News, Failure>>>, Failure> {
    let Some(mut connection) = Connection::open(run)? else {
        return Ok(None);
    };
    connection.ask(&Request::Watch.into())?;
    // A quiet night is no fault of the daemon's.
    let patience = connection.stream.get_ref().set_read_timeout(None);
    patience.map_err(|error| connection.broken(error))?;
    Ok(Some(std::iter::from_fn(move || {
        let line = connection.line().transpose()?;
        Some(line.and_then(|line| serde_json::from_str(&line).map_err(|error| connection.not_ours(error))))
    })))
}

/// A conversation with the daemon.
pub struct Connection {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// `None` when no daemon listens in the folder `run`.
    ///
    /// # Errors
    /// Why the daemon cannot be asked.
    pub fn open(run: &Path) -> Result<Option<Self>, Failure> {
        let path = run.join(SOCKET);
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            // The socket of a daemon that was killed stays behind, and refuses.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Failure::Failed(format!(
                    "{}: permission denied; run as root, or as a member of the socket's group",
                    path.display()
                )));
            }
            Err(error) => return Err(Failure::Failed(format!("{}: {error}", path.display()))),
        };
        let connection = Self {
            path,
            stream: BufReader::new(stream),
        };
        let stream = connection.stream.get_ref();
        let patience = stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        patience.map_err(|error| connection.broken(error))?;
        Ok(Some(connection))
    }

    /// The answer to one request.
    ///
    /// # Errors
    /// What the daemon answers, or that it cannot.
    pub fn ask(&mut self, asked: &Asked) -> Result<serde_json::Value, Failure> {
        let envelope = Envelope {
            v: VERSION,
            asked: asked.clone(),
        };
        let mut line = serde_json::to_string(&envelope).map_err(Failure::failed)?;
        line.push('\n');
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        let mut answer = String::new();
        let read = self.stream.read_line(&mut answer);
        // A daemon that turns us away does not read to the end, but says why.
        if answer.is_empty() {
            sent.and(read).map_err(|error| self.broken(error))?;
            return Err(Failure::Failed(format!(
                "{}: the daemon closed without an answer; see its log",
                self.path.display()
            )));
        }
        let answer: Answer = serde_json::from_str(&answer).map_err(|error| self.not_ours(error))?;
        match answer.result {
            Outcome::Ok(report) => Ok(report),
            Outcome::Error(failure) => Err(failure),
        }
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Result<Option<String>, Failure> {
        let mut line = String::new();
        let got = self.stream.read_line(&mut line);
        got.map_err(|error| self.broken(error))?;
        Ok(Some(line).filter(|line| !line.is_empty()))
    }

    fn broken(&self, error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::Failed(format!(
                "{}: the daemon did not answer within {} s; see its log",
                self.path.display(),
                PATIENCE.as_secs()
            )),
            _ => Failure::Failed(format!("{}: {error}; see the daemon's log", self.path.display())),
        }
    }

    fn not_ours(&self, error: serde_json::Error) -> Failure {
        Failure::Failed(format!("{}: not an answer of smtpgate ({error})", self.path.display()))
    }
}
