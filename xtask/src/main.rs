//! `cargo xtask`: what CI runs is what a person runs. One file a subcommand.

mod geo;

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
    /// Rebuild the built-in country table from the registries' data
    Geo(geo::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Geo(args) => geo::run(&args),
    }
}
