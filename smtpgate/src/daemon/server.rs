//! The control socket: takes requests one line each, hands them to the daemon's loop, writes the answers.
//!
//! What a client does wrong, or slowly, costs only itself: its size, its time and its number are bounded, and clients of
//! other users have places of their own, so they cannot take root's.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, UCred},
    },
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{
    failure::Failure,
    news::{Newsroom, Reader},
    peers::Peers,
    protocol::{self, Answer, Asked, Outcome, REQUEST_MAX, Request, VERSION},
};

/// What bounds clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Between two requests, and for an answer to be taken.
    idle: Duration,
    /// From a request's first byte to its last.
    request: Duration,
    /// Clients of root and the daemon's own user at once.
    own_clients: usize,
    /// Clients of others at once.
    other_clients: usize,
    /// Requests of more than [`SMALL`] bytes at once.
    large_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            request: Duration::from_secs(10),
            own_clients: 64,
            other_clients: 16,
            large_requests: 4,
        }
    }
}

/// Bytes that every request may have without waiting for others.
const SMALL: usize = 64 << 10;

/// A request and where its answer goes.
pub(super) type Call = (Asked, oneshot::Sender<Result<serde_json::Value, Failure>>);

/// The listening socket; its file goes away with it.
pub(super) struct Server {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
    peers: Peers,
    limits: Limits,
}

impl Server {
    /// Only the holder of the lock calls this, so a socket that is there is a dead daemon's. It takes the right to give a
    /// file to a group. Who connects before [`Server::serve`] waits.
    pub(super) fn bind(path: PathBuf, limits: Limits) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let peers = Peers::of_this_host();
        let listener = std::os::unix::net::UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        if let Some(group) = peers.group() {
            std::os::unix::fs::chown(&path, None, Some(group))?;
        }
        // After the owner: until here nobody but our own user could connect.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
        Ok(Self {
            listener,
            path,
            peers,
            limits,
        })
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(super) async fn serve(&self, calls: mpsc::Sender<Call>, news: Newsroom) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let own = Arc::new(Semaphore::new(self.limits.own_clients));
        let others = Arc::new(Semaphore::new(self.limits.other_clients));
        let large = Arc::new(Semaphore::new(self.limits.large_requests));
        loop {
            let accepted = listener.accept().await;
            let (stream, peer) = match accepted.and_then(|(stream, _)| stream.peer_cred().map(|peer| (stream, peer))) {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("control socket: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if let Err(why) = self.peers.admit(peer.uid(), peer.gid()) {
                tracing::warn!(uid = peer.uid(), pid = peer.pid(), "control socket: refused: {why}");
                turn_away(&stream, Failure::Failed(why));
                continue;
            }
            let places = if self.peers.is_own(peer.uid()) { &own } else { &others };
            let Ok(place) = Arc::clone(places).try_acquire_owned() else {
                let busy = "the daemon has as many clients as it takes; try again in a moment";
                turn_away(&stream, Failure::Failed(busy.to_owned()));
                continue;
            };
            let client = Client {
                peer,
                limits: self.limits,
                large: Arc::clone(&large),
                calls: calls.clone(),
                news: news.handle(),
            };
            tokio::spawn(async move {
                // A client's fault is its own; it has been told, or is gone.
                let _ = client.converse(stream).await;
                drop(place);
            });
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Tells why, if the socket takes it at once.
fn turn_away(stream: &UnixStream, failure: Failure) {
    if let Ok(body) = body(Err(failure)) {
        let _ = stream.try_write(&body);
    }
}

fn body(result: Result<serde_json::Value, Failure>) -> io::Result<Vec<u8>> {
    let result = match result {
        Ok(report) => Outcome::Ok(report),
        Err(failure) => Outcome::Error(failure),
    };
    let mut body = serde_json::to_vec(&Answer { v: VERSION, result })?;
    body.push(b'\n');
    Ok(body)
}

struct Client {
    peer: UCred,
    limits: Limits,
    large: Arc<Semaphore>,
    calls: mpsc::Sender<Call>,
    news: Newsroom,
}

impl Client {
    async fn converse(self, stream: UnixStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        loop {
            if timeout(self.limits.idle, read.fill_buf()).await??.is_empty() {
                return Ok(());
            }
            let line = match timeout(self.limits.request, self.line(&mut read)).await {
                Ok(line) => line?,
                Err(_) => Err(Failure::Usage(format!(
                    "the request did not arrive within {} s: a request is one line, sent at once",
                    self.limits.request.as_secs()
                ))),
            };
            match line {
                Ok(line) => {
                    let asked = protocol::read(&line);
                    drop(line);
                    if matches!(&asked, Ok(asked) if asked.request == Request::Watch) {
                        // Made before the answer leaves: what happens after it is told.
                        let news = self.news.reader();
                        self.tell(&mut write, Ok(serde_json::Value::Null)).await?;
                        return self.tell_news(read, write, news).await;
                    }
                    let answer = match asked {
                        Ok(asked) => self.answer(asked).await,
                        Err(failure) => Err(failure),
                    };
                    self.tell(&mut write, answer).await?;
                }
                Err(failure) => {
                    self.tell(&mut write, Err(failure)).await?;
                    return write.shutdown().await;
                }
            }
        }
    }

    async fn tell(&self, write: &mut OwnedWriteHalf, answer: Result<serde_json::Value, Failure>) -> io::Result<()> {
        timeout(self.limits.idle, write.write_all(&body(answer)?)).await?
    }

    /// Tells what happens until the client goes.
    async fn tell_news(
        &self,
        mut read: BufReader<OwnedReadHalf>,
        mut write: OwnedWriteHalf,
        mut news: Reader,
    ) -> io::Result<()> {
        let mut more = [0; 64];
        loop {
            tokio::select! {
                told = news.next() => match told {
                    Some(told) => {
                        let mut line = serde_json::to_vec(&*told)?;
                        line.push(b'\n');
                        timeout(self.limits.idle, write.write_all(&line)).await??;
                    }
                    None => return Ok(()),
                },
                // It has nothing more to say but that it goes.
                got = read.read(&mut more) => if got? == 0 {
                    return Ok(());
                },
            }
        }
    }

    /// One line without its end, or what is wrong with it.
    async fn line(&self, read: &mut BufReader<OwnedReadHalf>) -> io::Result<Result<Vec<u8>, Failure>> {
        let mut line = Vec::new();
        let mut permit = None;
        loop {
            let some = read.fill_buf().await?;
            if some.is_empty() {
                let cut = "the request was cut off: it ends with a line feed";
                return Ok(Err(Failure::Usage(cut.to_owned())));
            }
            let end = some.iter().position(|byte| *byte == b'\n');
            let taken = some.get(..end.unwrap_or(some.len())).unwrap_or_default();
            if line.len() + taken.len() > REQUEST_MAX {
                return Ok(Err(Failure::Usage(format!(
                    "the request is too long: it is one line of JSON, of {REQUEST_MAX} bytes at the most"
                ))));
            }
            line.extend_from_slice(taken);
            let used = taken.len() + usize::from(end.is_some());
            read.consume(used);
            if end.is_some() {
                return Ok(Ok(line));
            }
            if line.len() > SMALL && permit.is_none() {
                permit = self.large.acquire().await.ok();
            }
        }
    }

    async fn answer(&self, asked: Asked) -> Result<serde_json::Value, Failure> {
        if asked.request.changes() {
            tracing::info!(
                uid = self.peer.uid(),
                pid = self.peer.pid(),
                "asked for {} by user {}",
                asked.request.verb(),
                self.peer.uid()
            );
        }
        let (reply, answered) = oneshot::channel();
        let ending = || Failure::Failed("the daemon is ending; ask again in a moment".to_owned());
        self.calls.send((asked, reply)).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with short limits, and an engine that answers every request by its verb.
    async fn serving(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("control.sock");
        let limits = Limits {
            // Far apart, and far from what a busy machine takes.
            idle: Duration::from_secs(2),
            request: Duration::from_millis(500),
            own_clients: 4,
            other_clients: 1,
            large_requests: 1,
        };
        let server = Server::bind(path.clone(), limits).unwrap();
        let (send, mut calls) = mpsc::channel::<Call>(64);
        tokio::spawn(async move { server.serve(send, Newsroom::default()).await });
        tokio::spawn(async move {
            while let Some((asked, reply)) = calls.recv().await {
                let _ = reply.send(Ok(asked.request.verb().into()));
            }
        });
        path
    }

    async fn ask(path: &PathBuf, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        // It may have been told off before it has said all.
        let _ = stream.write_all(bytes).await;
        let mut answer = String::new();
        let _ = BufReader::new(stream).read_line(&mut answer).await;
        answer
    }

    const STATUS: &[u8] = b"{\"v\":1,\"verb\":\"status\"}\n";
    const ANSWER: &str = "{\"v\":1,\"ok\":\"status\"}\n";

    #[tokio::test]
    async fn server_answers_line_by_line_and_a_wrong_line_does_not_end_the_talk() {
        let folder = tempfile::tempdir().unwrap();
        let path = serving(&folder).await;
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream
            .write_all(&[STATUS, b"nonsense\n", STATUS].concat())
            .await
            .unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), ANSWER.trim_end());
        let error = lines.next_line().await.unwrap().unwrap();
        assert!(
            error.starts_with("{\"v\":1,\"error\":{\"failure\":\"usage\",\"message\":\"not a request"),
            "{error}"
        );
        assert_eq!(lines.next_line().await.unwrap().unwrap(), ANSWER.trim_end());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o660);
    }

    #[tokio::test]
    async fn server_tells_what_is_wrong_with_a_request_and_serves_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = serving(&folder).await;
        let long = vec![b'x'; REQUEST_MAX + 1];
        let mut largest = STATUS[..STATUS.len() - 1].to_vec();
        largest.resize(REQUEST_MAX, b' ');
        largest.push(b'\n');
        for (case, bytes, why) in [
            ("not JSON", b"\xff\x00\x01\n".as_slice(), "not a request"),
            ("another version", b"{\"v\":9,\"verb\":\"x\"}\n", "speaks version 9"),
            ("never ends", b"{\"v\":1,", "did not arrive within"),
            ("too long", &long, "too long"),
            ("the longest", &largest, ANSWER),
        ] {
            let said = ask(&path, bytes).await;
            assert!(said.contains(why), "{case}: {said}");
            assert_eq!(ask(&path, STATUS).await, ANSWER, "after {case}");
        }
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"v\":1").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.contains("cut off"), "{said}");
    }

    #[tokio::test]
    async fn server_lets_silent_and_slow_clients_go_and_turns_away_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = serving(&folder).await;
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        let said = ask(&path, STATUS).await;
        assert!(said.contains("as many clients as it takes"), "{said}");
        // They are let go without a word.
        for stream in &mut silent {
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "");
        }
        assert_eq!(ask(&path, STATUS).await, ANSWER);
        // One that drips its request, byte by byte, does not hold its place either.
        let mut slow = UnixStream::connect(&path).await.unwrap();
        for byte in STATUS {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        let mut said = String::new();
        let _ = slow.read_to_string(&mut said).await;
        assert!(said.contains("did not arrive within"), "{said}");
    }

    #[test]
    fn verbs_that_change_are_told_from_those_that_ask() {
        assert!(!Request::Status.changes() && Request::Reload.changes());
    }
}
