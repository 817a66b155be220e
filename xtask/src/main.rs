//! `cargo xtask`: what CI runs is what a person runs. One file a subcommand.

mod bench;
mod bench_log;
mod bpf_object;
mod demo;
mod ebpf;
mod fuzz;
mod geo;
mod miri;
mod mutants;
mod npm;
mod package;
mod run;
mod sweep;
mod test;
mod tools;
mod verify_ebpf;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests, measures and packages smtpgate.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Run(run::Args),
    /// Show the gate in a throw-away lab: who is greeted, who hears nothing, and what a guesser gets
    Demo,
    Test(test::Args),
    Bench(bench::Args),
    BenchLog(bench_log::Args),
    Sweep(sweep::Args),
    Fuzz(fuzz::Args),
    /// Run what is unsafe in smtpgate-common, and the decision, under Miri
    Miri,
    Mutants(mutants::Args),
    /// Rebuild the committed kernel object from its source, with the pinned linker
    Ebpf(ebpf::Args),
    /// Prove that the committed kernel object is what the source gives
    VerifyEbpf,
    /// Rebuild the built-in country table from the registries' data
    Geo(geo::Args),
    Package(package::Args),
    /// Rebuild the world map and the countries' names of `report`
    World(world::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Run(args) => run::run(&args),
        Task::Demo => demo::run(),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::BenchLog(args) => bench_log::run(&args),
        Task::Sweep(args) => sweep::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Miri => miri::run(),
        Task::Mutants(args) => mutants::run(&args),
        Task::Ebpf(args) => ebpf::run(&args),
        Task::VerifyEbpf => verify_ebpf::run(),
        Task::Geo(args) => geo::run(&args),
        Task::Package(args) => package::run(&args),
        Task::World(args) => world::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
