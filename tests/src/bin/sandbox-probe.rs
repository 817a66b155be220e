//! Goes into the daemon's sandbox with the configuration in `$1`, tries what is named in `tests/sandbox.rs`, and prints what
//! became of each: `NAME: done`, or `NAME: ERROR`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use smtpgate::config::Config;
use smtpgate::daemon::sandbox::Sandbox;

fn main() -> Result<()> {
    let path = PathBuf::from(std::env::args().nth(1).context("the configuration")?);
    let config = Config::load(Some(&path))?;
    let folder = path.parent().context("its folder")?.to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let server = listener.local_addr()?;
    let log = folder.join("log/mail.log");
    let sandbox = Sandbox::enter([&config], Some(&path))?;
    anyhow::ensure!(sandbox.holds_files(), "this kernel has no landlock");
    let tell = |name: &str, outcome: io::Result<()>| match outcome {
        Ok(()) => println!("{name}: done"),
        Err(error) => println!("{name}: {error}"),
    };

    // What must still be possible: the writer of these two is outside (the test), and has replaced them meanwhile.
    println!("entered");
    let mut go = String::new();
    io::stdin().read_line(&mut go)?;
    tell("read the rotated log", read(&log));
    tell("read the replaced configuration", read(&path));
    tell("write state", fs::write(config.paths.state.join("new"), "x"));
    tell("remove state", fs::remove_file(config.paths.state.join("new")));

    // What must not.
    tell("read /etc/shadow", read(Path::new("/etc/shadow")));
    tell("read beside its folders", read(&folder.join("secret/key")));
    tell("write the configuration", append(&path));
    tell("write the log", append(&log));
    tell("write /etc", fs::write("/etc/smtpgate-probe", ""));
    tell("write /tmp", fs::write("/tmp/smtpgate-probe", ""));
    tell(
        "run a shell",
        Command::new("/bin/sh").args(["-c", "true"]).status().map(drop),
    );
    tell("run ip", Command::new("/usr/bin/env").status().map(drop));
    tell("connect", connect(server));
    tell(
        "read another's memory",
        read(&PathBuf::from(format!(
            "/proc/{}/mem",
            std::os::unix::process::parent_id()
        ))),
    );
    tell(
        "load a module",
        errno(rustix::system::finit_module(File::open(&path)?, c"", 0)),
    );
    tell("mount", mount(&config.paths.state));
    tell("set the host name", errno(rustix::system::sethostname(b"probe")));
    tell("leave its root", errno(rustix::process::chroot("/")));
    tell(
        "give a file away",
        std::os::unix::fs::chown(&config.paths.state, Some(1), None),
    );
    tell(
        "listen on a low port",
        TcpListener::bind((Ipv4Addr::LOCALHOST, 1)).map(drop),
    );
    Ok(())
}

fn read(path: &Path) -> io::Result<()> {
    let mut byte = [0];
    // A /proc/PID/mem that was opened gives an error at 0: opening it is what counts.
    let mut file = File::open(path)?;
    let _ = io::Read::read(&mut file, &mut byte);
    Ok(())
}

fn append(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).open(path).map(drop)
}

fn connect(to: SocketAddr) -> io::Result<()> {
    TcpStream::connect_timeout(&to, Duration::from_secs(1)).map(drop)
}

fn mount(at: &Path) -> io::Result<()> {
    errno(rustix::mount::mount(
        "tmpfs",
        at,
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        None,
    ))
}

fn errno(outcome: rustix::io::Result<()>) -> io::Result<()> {
    outcome.map_err(Into::into)
}
