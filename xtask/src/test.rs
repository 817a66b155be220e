//! `cargo xtask test`: every test there is, one suite after the other, and a summary.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{ebpf, miri, package, tools, verify_ebpf};

/// Runs every test, installing what it needs: format, lints, the kernel object, libraries, and all that needs root.
///
/// Suites that take many minutes run with --full only; the summary names them.
///
/// Those that need root work in network namespaces and in a root folder under target/lab; this machine's own network,
/// mounts and mail are not touched. Who is not root is asked by sudo.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name holds this; no format, lints or kernel object then
    filter: Option<String>,
    /// Run the long suites and Miri, too; twenty times as many cases of properties, a million frames on each kernel
    #[arg(long)]
    full: bool,
}

/// Beyond it, a suite counts as hanging.
const LIMIT: &str = "900";
/// How the names of suites begin that only run with `--full`.
const LONG: &str = "long_";
/// With `--full`: long suites boot whole machines, and the others try more.
const FULL_LIMIT: &str = "7200";
/// The suite whose tests share nothing, as each has a machine of its own: two at a time.
const APART: &str = "kernels";
/// The package whose ignored tests are those that need root.
const ROOTED: &str = "#smtpgate-tests@";
/// More of what is made by chance: proptest's default is 256; the frames' is in `tests/src/packets/generated.rs`.
const FULL: [(&str, &str); 2] = [("PROPTEST_CASES", "5120"), ("SMTPGATE_FRAMES", "1000000")];

struct Step {
    name: String,
    took: Duration,
    end: End,
}

enum End {
    Well,
    Failed,
    /// Not run, and why.
    LeftOut(&'static str),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut steps = Steps { done: Vec::new() };
    steps.run("what it needs", || {
        tools::install(&[tools::LAB, tools::LOGS, tools::KERNELS, tools::PEERS].concat())?;
        if args.full {
            tools::install(&[tools::MACHINES, tools::BROWSER].concat())?;
        }
        Ok(())
    });
    if args.filter.is_none() {
        steps.run("format", || {
            tools::succeed(tools::cargo("fmt").args(["--all", "--check"]))
        });
        steps.run("lints", || {
            tools::succeed(tools::cargo("clippy").args(["--all-targets", "--", "--deny", "warnings"]))?;
            ebpf::clippy()
        });
        steps.run("kernel object", verify_ebpf::run);
    }
    let mut suites = Vec::new();
    steps.run("build", || {
        // The lab runs the command itself.
        tools::succeed(tools::cargo("build").args(["--package", "smtpgate", "--bins"]))?;
        suites = find_suites(args)?;
        Ok(())
    });
    if suites.iter().any(|suite| suite.plain) {
        steps.run("libraries", || {
            let mut cargo = tools::cargo("test");
            cargo.args(args.filter.as_slice());
            tools::succeed(cargo.envs(cases(args)).stdin(Stdio::null()))
        });
    }
    if args.full && args.filter.is_none() {
        steps.run("miri", miri::run);
    }
    let (long, short): (Vec<&Suite>, Vec<&Suite>) = suites
        .iter()
        .filter(|suite| suite.root)
        .partition(|suite| suite.name.starts_with(LONG));
    if args.full && !long.is_empty() {
        // What the long suites install in their machines.
        steps.run("packages", || package::build(&[1, 2]).map(drop));
    }
    for suite in short.into_iter().chain(long) {
        let name = format!("root: {}", suite.name);
        if suite.name.starts_with(LONG) && !args.full {
            steps.leave_out(&name, "long: only with --full");
            continue;
        }
        let limit = if args.full { FULL_LIMIT } else { LIMIT };
        steps.run(&name, || {
            let threads = if suite.name == APART { 2 } else { 1 };
            let mut command = tools::with_bpffs("timeout")?;
            command.args(["--kill-after=10", limit]).arg(&suite.executable);
            command
                .arg("--ignored")
                .arg(format!("--test-threads={threads}"))
                .args(args.filter.as_slice());
            tools::succeed(command.envs(cases(args)).stdin(Stdio::null()))
        });
    }
    steps.summary()
}

/// One after the other, whatever becomes of the others: a failure must not hide the next.
struct Steps {
    done: Vec<Step>,
}

impl Steps {
    fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        println!("\n=== {name}");
        let start = Instant::now();
        let end = match step() {
            Ok(()) => End::Well,
            Err(error) => {
                println!("failed: {error:#}");
                End::Failed
            }
        };
        self.done.push(Step {
            name: name.to_owned(),
            took: start.elapsed(),
            end,
        });
    }

    fn leave_out(&mut self, name: &str, why: &'static str) {
        self.done.push(Step {
            name: name.to_owned(),
            took: Duration::ZERO,
            end: End::LeftOut(why),
        });
    }

    fn summary(&self) -> Result<()> {
        println!("\n=== summary");
        for step in &self.done {
            let seconds = step.took.as_secs_f64();
            match step.end {
                End::Well => println!("ok      {seconds:6.1} s  {}", step.name),
                End::Failed => println!("FAILED  {seconds:6.1} s  {}", step.name),
                End::LeftOut(why) => println!("-                 {} ({why})", step.name),
            }
        }
        let count = |which: fn(&End) -> bool| self.done.iter().filter(|step| which(&step.end)).count();
        let failed = count(|end| matches!(end, End::Failed));
        let left_out = count(|end| matches!(end, End::LeftOut(_)));
        let seconds: f64 = self.done.iter().map(|step| step.took.as_secs_f64()).sum();
        println!(
            "{} steps, {failed} failed, {left_out} left out, {seconds:.0} s",
            self.done.len()
        );
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.done.len());
        }
        Ok(())
    }
}

fn cases(args: &Args) -> impl Iterator<Item = (&'static str, &'static str)> {
    FULL.into_iter().filter(|_| args.full)
}

/// A test executable, and which kinds of test it holds that the filter lets through.
struct Suite {
    name: String,
    executable: PathBuf,
    plain: bool,
    /// Those of [`ROOTED`] that are marked `#[ignore = "root: ..."]`.
    root: bool,
}

fn find_suites(args: &Args) -> Result<Vec<Suite>> {
    let mut cargo = tools::cargo("test");
    cargo
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit());
    let out = cargo.output()?;
    if !out.status.success() {
        bail!("the tests do not build");
    }
    let mut suites = Vec::new();
    for line in out.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: serde_json::Value = serde_json::from_slice(line).context("cargo's messages")?;
        let (Some(executable), Some(name)) = (message["executable"].as_str(), message["target"]["name"].as_str())
        else {
            continue;
        };
        if message["profile"]["test"] != true {
            continue;
        }
        let count = |which: &[&str]| {
            let mut list = Command::new(executable);
            list.args(["--list", "--format", "terse"])
                .args(which)
                .args(args.filter.as_slice());
            let listed = list.output().with_context(|| executable.to_owned())?;
            anyhow::Ok(
                String::from_utf8_lossy(&listed.stdout)
                    .lines()
                    .filter(|line| line.ends_with(": test"))
                    .count(),
            )
        };
        // Without --ignored the list holds all of them.
        let (all, ignored) = (count(&[])?, count(&["--ignored"])?);
        let rooted = message["package_id"].as_str().is_some_and(|id| id.contains(ROOTED));
        let executable = PathBuf::from(executable);
        suites.push(Suite {
            name: name.to_owned(),
            executable,
            plain: all > ignored,
            root: rooted && ignored > 0,
        });
    }
    if let Some(filter) = &args.filter
        && !suites.iter().any(|suite| suite.plain || suite.root)
    {
        bail!("no test has a name that holds `{filter}`");
    }
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(suites)
}
