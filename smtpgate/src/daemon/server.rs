//! The control socket: takes requests one line each, hands them to the daemon's loop, writes the answers.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
};

use super::{
    failure::Failure,
    protocol::{Answer, Envelope, Outcome, REQUEST_MAX, Request, VERSION},
};

/// A client that is silent for so long is let go.
const IDLE: Duration = Duration::from_secs(30);
/// Clients served at once; more wait in the socket's queue.
const CLIENTS: usize = 64;

/// A request and where its answer goes.
pub(super) type Asked = (Request, oneshot::Sender<Result<serde_json::Value, Failure>>);

/// The listening socket; its file goes away with it.
pub(super) struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Only the holder of the lock calls this, so a socket that is there is a dead daemon's.
    pub(super) fn bind(path: PathBuf) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
        Ok(Self { listener, path })
    }

    /// Serves until it is dropped.
    pub(super) async fn serve(&self, asked: mpsc::Sender<Asked>) {
        let places = std::sync::Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let asked = asked.clone();
                    tokio::spawn(async move {
                        // A client's fault is its own; it has been told, or is gone.
                        let _ = converse(stream, asked).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("control socket: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn converse(stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        let got = tokio::time::timeout(IDLE, (&mut read).take(REQUEST_MAX).read_line(&mut line)).await??;
        if got == 0 {
            return Ok(());
        }
        let whole = line.ends_with('\n');
        let result = if whole {
            answer(&line, &asked).await
        } else {
            Err(too_long())
        };
        let result = match result {
            Ok(report) => Outcome::Ok(report),
            Err(failure) => Outcome::Error(failure),
        };
        let mut body = serde_json::to_vec(&Answer { v: VERSION, result })?;
        body.push(b'\n');
        tokio::time::timeout(IDLE, write.write_all(&body)).await??;
        if !whole {
            return Ok(());
        }
    }
}

fn too_long() -> Failure {
    Failure::Usage(format!(
        "a request is one line of JSON, of {REQUEST_MAX} bytes at the most"
    ))
}

async fn answer(line: &str, asked: &mpsc::Sender<Asked>) -> Result<serde_json::Value, Failure> {
    let not_ours = |error: serde_json::Error| Failure::Usage(format!("not a request: {error}"));
    // The version first: of another one, nothing else need be understood.
    let value: serde_json::Value = serde_json::from_str(line).map_err(not_ours)?;
    match value.get("v").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(Failure::Usage(format!(
                "the request speaks version {version}, this daemon version {VERSION}: restart the older one"
            )));
        }
        None => {
            return Err(Failure::Usage(format!(
                "the request has no version: write \"v\":{VERSION}"
            )));
        }
    }
    let envelope: Envelope = serde_json::from_value(value).map_err(not_ours)?;
    let (reply, answered) = oneshot::channel();
    let ending = || Failure::Failed("the daemon is ending; ask again in a moment".to_owned());
    asked.send((envelope.request, reply)).await.map_err(|_| ending())?;
    answered.await.map_err(|_| ending())?
}
