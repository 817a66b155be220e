//! The screen on a terminal: keys, the daemon's answers and signals come in by one channel, and the terminal is given back
//! as it was, however this ends.

use std::{
    io::{self, BufWriter, Stdout},
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Instant,
};

use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::event::{self, KeyEventKind},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::Signals,
};

use super::{
    SECOND,
    draw::{Look, draw},
    ended,
    screen::{Answer, Do, Happening, Screen, update},
};
use crate::{
    cli::ask,
    daemon::{failure::Failure, protocol::Request, report::Top},
};

/// What wakes the screen.
enum Wake {
    Happening(Happening),
    /// The window has another size.
    Resized,
    /// A signal, to end.
    End,
    /// The terminal is gone, or does not do what it should.
    Broken(io::Error),
}

/// Shows it until the admin has seen enough.
pub(super) fn show(run: &Path, first: Top, look: &Look) -> Result<(), Failure> {
    let (wake, wakes) = mpsc::channel();
    // Before the terminal is changed: a signal from now on gives it back.
    let signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT]).map_err(terminal_failed)?;
    spawn(wake.clone(), move |wake| await_signals(signals, wake));
    let (order, orders) = mpsc::channel();
    let socket = run.to_owned();
    spawn(wake.clone(), move |wake| ask_on(socket, orders, wake));

    let mut terminal = take_terminal().map_err(|error| {
        ratatui::restore();
        terminal_failed(error)
    })?;
    spawn(wake, read_keys);
    let screen = Screen {
        top: Some(first),
        ..Screen::default()
    };
    let done = go(&mut terminal, screen, look, &order, &wakes);
    ratatui::restore();
    done
}

type Screened = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// Gives it back also when something panics. What is drawn goes out in one piece, so that nobody sees half a screen.
fn take_terminal() -> io::Result<Screened> {
    drop(ratatui::try_init()?);
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())))
}

fn spawn(wake: Sender<Wake>, work: impl FnOnce(Sender<Wake>) + Send + 'static) {
    // Detached: each ends with the process, whatever it waits for.
    drop(thread::spawn(move || work(wake)));
}

fn go(
    terminal: &mut Screened,
    mut screen: Screen,
    look: &Look,
    order: &Sender<Request>,
    wakes: &Receiver<Wake>,
) -> Result<(), Failure> {
    loop {
        terminal
            .draw(|frame| draw(frame.area(), frame.buffer_mut(), &screen, look))
            .map_err(terminal_failed)?;
        let Ok(wake) = wakes.recv() else { return Ok(()) };
        let happening = match wake {
            Wake::Happening(happening) => happening,
            Wake::Resized => continue,
            Wake::End => return Ok(()),
            Wake::Broken(error) => return Err(terminal_failed(error)),
        };
        let next;
        (screen, next) = update(screen, happening);
        match next {
            Do::Nothing => {}
            Do::Ask(request) => {
                if order.send(request).is_err() {
                    return Err(Failure::Failed("the part that asks the daemon has died".to_owned()));
                }
            }
            Do::Redraw => terminal.clear().map_err(terminal_failed)?,
            Do::Quit => return Ok(()),
        }
    }
}

fn terminal_failed(error: io::Error) -> Failure {
    Failure::Failed(format!("the terminal: {error}; `smtpgate top --once` needs none"))
}

fn await_signals(mut signals: Signals, wake: Sender<Wake>) {
    for _ in signals.forever() {
        if wake.send(Wake::End).is_err() {
            return;
        }
    }
}

fn read_keys(wake: Sender<Wake>) {
    loop {
        let told = match event::read() {
            Ok(event::Event::Key(key)) if key.kind != KeyEventKind::Release => Wake::Happening(Happening::Key(key)),
            Ok(event::Event::Resize(..)) => Wake::Resized,
            Ok(_) => continue,
            Err(error) => Wake::Broken(error),
        };
        let broken = matches!(told, Wake::Broken(_));
        if wake.send(told).is_err() || broken {
            return;
        }
    }
}

/// Asks for the screen's data once a second, and for what is ordered at once. One at a time: a daemon that is slow is not
/// asked more often.
fn ask_on(run: PathBuf, orders: Receiver<Request>, wake: Sender<Wake>) {
    let mut next = Instant::now() + SECOND;
    loop {
        let request = match orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(request) => request,
            Err(RecvTimeoutError::Timeout) => Request::Top,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let answer = match &request {
            Request::Ban { .. } => Answer::Banned(asked(&run, request)),
            Request::Unban { .. } => Answer::Unbanned(asked(&run, request)),
            Request::Explain { .. } => Answer::Explained(asked(&run, request)),
            _ => {
                next = Instant::now() + SECOND;
                Answer::Top(asked(&run, request).map(Box::new))
            }
        };
        // What an order changed is shown at once.
        if !matches!(answer, Answer::Top(_)) {
            next = Instant::now();
        }
        if wake.send(Wake::Happening(Happening::Answer(answer))).is_err() {
            return;
        }
    }
}

fn asked<R: serde::de::DeserializeOwned>(run: &Path, request: Request) -> Result<R, Failure> {
    ask::daemon(run, &request.into())?.ok_or_else(ended)
}
