//! `cargo xtask`: what CI runs is what a person runs. One file a subcommand.

mod bpf_object;
mod ebpf;
mod geo;
mod verify_ebpf;

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
    /// Rebuild the committed kernel object from its source, with the pinned linker
    Ebpf(ebpf::Args),
    /// Prove that the committed kernel object is what the source gives
    VerifyEbpf,
    /// Rebuild the built-in country table from the registries' data
    Geo(geo::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Ebpf(args) => ebpf::run(&args),
        Task::VerifyEbpf => verify_ebpf::run(),
        Task::Geo(args) => geo::run(&args),
    }
}
