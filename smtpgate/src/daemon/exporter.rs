//! Metrics for those who fetch them: over HTTP on a unix socket or a loopback port, or as a file for the node-exporter.
//!
//! Off unless asked for. What goes wrong here is said, and never touches the gate.

use std::{
    convert::Infallible,
    fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request as HttpRequest, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    failure::Failure,
    metrics::{Format, render},
    peers::Peers,
    protocol::Request,
    report::Status,
    server::Call,
};
use crate::config::{self, Listen};

/// Clients at once; others wait.
const CLIENTS: usize = 8;
/// For a request's head to arrive.
const HEAD: Duration = Duration::from_secs(5);
/// For all of it.
const WHOLE: Duration = Duration::from_secs(20);
/// How often the file is written: as often as most scrape.
const EVERY: Duration = Duration::from_secs(15);

/// Serves until it is dropped; its socket and its file go away with it.
pub(super) struct Exporter {
    config: config::Metrics,
    listener: Option<JoinHandle<()>>,
    /// Why there is none, where there should be one.
    deaf: Option<String>,
    writer: Option<JoinHandle<()>>,
    /// Why the file is not written, while it is not.
    mute: Arc<Mutex<Option<String>>>,
}

impl Exporter {
    pub(super) fn start(config: &config::Metrics, calls: &mpsc::Sender<Call>) -> Self {
        let mut exporter = Self {
            config: config::Metrics::default(),
            listener: None,
            deaf: None,
            writer: None,
            mute: Arc::default(),
        };
        exporter.follow(config, calls);
        exporter
    }

    /// Takes a new configuration up; what is as it was is not interrupted.
    pub(super) fn follow(&mut self, config: &config::Metrics, calls: &mpsc::Sender<Call>) {
        if config.listen != self.config.listen {
            self.stop_listening();
            self.config.listen.clone_from(&config.listen);
            if let Some(listen) = &config.listen {
                match listener(listen, calls) {
                    Ok(task) => self.listener = Some(task),
                    Err(error) => {
                        let why = format!("[metrics] listen = \"{listen}\": {error}; nobody can fetch metrics there");
                        tracing::warn!("{why}");
                        self.deaf = Some(why);
                    }
                }
            }
        }
        if config.textfile != self.config.textfile {
            self.stop_writing();
            self.config.textfile.clone_from(&config.textfile);
            if let Some(path) = &config.textfile {
                let mute = Arc::clone(&self.mute);
                self.writer = Some(tokio::spawn(keep_file(path.clone(), calls.clone(), mute)));
            }
        }
    }

    /// What an admin should know of it.
    pub(super) fn attention(&self) -> Vec<String> {
        let mute = self.mute.lock().unwrap_or_else(PoisonError::into_inner);
        self.deaf.iter().chain(mute.iter()).cloned().collect()
    }

    fn stop_listening(&mut self) {
        self.deaf = None;
        let Some(listener) = self.listener.take() else { return };
        listener.abort();
        if let Some(Listen::Unix(path)) = &self.config.listen {
            let _ = fs::remove_file(path);
        }
    }

    /// Numbers of a daemon that has ended must not look like today's.
    fn stop_writing(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        writer.abort();
        self.mute = Arc::default();
        if let Some(path) = &self.config.textfile {
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop_listening();
        self.stop_writing();
    }
}

fn listener(listen: &Listen, calls: &mpsc::Sender<Call>) -> io::Result<JoinHandle<()>> {
    let places = Arc::new(Semaphore::new(CLIENTS));
    let calls = calls.clone();
    Ok(match listen {
        Listen::Tcp(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            tokio::spawn(async move {
                loop {
                    serve(listener.accept().await, &places, &calls).await;
                }
            })
        }
        Listen::Unix(path) => {
            let listener = bind(path)?;
            tokio::spawn(async move {
                loop {
                    serve(listener.accept().await, &places, &calls).await;
                }
            })
        }
    })
}

/// For the same users as the control socket.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("a file that is no socket is there"));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(io::Error::other("another program listens there"));
        }
        // A dead daemon's.
        Ok(_) => fs::remove_file(path)?,
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    // Under systemd it is the group's already; a daemon that was started otherwise may have given up to change it.
    if let Some(group) = Peers::of_this_host().group()
        && std::os::unix::fs::chown(path, None, Some(group)).is_err()
    {
        tracing::warn!("{}: only the daemon's own user and root can use it", path.display());
    }
    Ok(listener)
}

async fn serve<S, A>(accepted: io::Result<(S, A)>, places: &Arc<Semaphore>, calls: &mpsc::Sender<Call>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = match accepted {
        Ok((stream, _)) => stream,
        Err(error) => {
            tracing::warn!("metrics: {error}");
            return tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let Ok(place) = Arc::clone(places).acquire_owned().await else {
        return;
    };
    let calls = calls.clone();
    tokio::spawn(async move {
        let answer = service_fn(|request| answer(request, &calls));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .keep_alive(false)
            .max_buf_size(16 << 10)
            .serve_connection(TokioIo::new(stream), answer);
        // A client's fault is its own; it has been told, or is gone.
        let _ = timeout(WHOLE, connection).await;
        drop(place);
    });
}

async fn answer(
    request: HttpRequest<Incoming>,
    calls: &mpsc::Sender<Call>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "smtpgate: the metrics are at /metrics\n"));
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
        Format::OpenMetrics
    } else {
        Format::Text
    };
    Ok(match ask(calls).await {
        Ok(status) => typed(StatusCode::OK, format.content_type(), render(&status, format)),
        Err(failure) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("smtpgate: {failure}\n")),
    })
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text.to_owned())
}

fn typed(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn ask(calls: &mpsc::Sender<Call>) -> Result<Status, Failure> {
    let ending = || Failure::Failed("the daemon is ending".to_owned());
    let (reply, answered) = oneshot::channel();
    calls
        .send((Request::Status.into(), reply))
        .await
        .map_err(|_| ending())?;
    let report = answered.await.map_err(|_| ending())??;
    serde_json::from_value(report).map_err(Failure::failed)
}

async fn keep_file(path: PathBuf, calls: mpsc::Sender<Call>, told: Arc<Mutex<Option<String>>>) {
    let mut timer = interval(EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let Ok(status) = ask(&calls).await else { return };
        let done = write(&path, &render(&status, Format::Text));
        let trouble = done.err().map(|error| {
            format!(
                "[metrics] textfile = \"{}\": {error}; the file is not written",
                path.display()
            )
        });
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trouble) = &trouble
            && told.is_none()
        {
            tracing::warn!("{trouble}");
        }
        *told = trouble;
    }
}

/// At once as a whole: the node-exporter may read at any time. It runs as a user of its own.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let file = tempfile::Builder::new().prefix(".smtpgate-").tempfile_in(folder)?;
    fs::write(file.path(), text)?;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}
