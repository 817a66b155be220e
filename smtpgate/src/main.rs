//! The `smtpgate` command.

fn main() -> std::process::ExitCode {
    smtpgate::cli::main()
}
