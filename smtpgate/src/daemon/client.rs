//! Asks the running daemon over its control socket.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::{
    SOCKET,
    failure::Failure,
    protocol::{Answer, Asked, Envelope, Outcome, VERSION},
};

/// A reload reads every source again; nothing else takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to what is `asked`, or `None` when no daemon listens in the folder `run`.
///
/// # Errors
/// What the daemon answers, or why it cannot be asked.
pub fn ask(run: &Path, asked: &Asked) -> Result<Option<serde_json::Value>, Failure> {
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
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::Failed(format!(
            "{}: the daemon did not answer within {} s; see its log",
            path.display(),
            PATIENCE.as_secs()
        )),
        _ => Failure::Failed(format!("{}: {error}; see the daemon's log", path.display())),
    };
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
    let envelope = Envelope {
        v: VERSION,
        asked: asked.clone(),
    };
    let mut line = serde_json::to_string(&envelope).map_err(Failure::failed)?;
    line.push('\n');
    let sent = (&stream).write_all(line.as_bytes());
    let mut answer = String::new();
    let read = BufReader::new(&stream).read_line(&mut answer);
    // A daemon that turns us away does not read to the end, but says why.
    if answer.is_empty() {
        sent.and(read).map_err(broken)?;
        return Err(Failure::Failed(format!(
            "{}: the daemon closed without an answer; see its log",
            path.display()
        )));
    }
    let answer: Answer = serde_json::from_str(&answer)
        .map_err(|error| Failure::Failed(format!("{}: not an answer of smtpgate ({error})", path.display())))?;
    match answer.result {
        Outcome::Ok(report) => Ok(Some(report)),
        Outcome::Error(failure) => Err(failure),
    }
}
