//! The service `guest` of the virtual machine in which `tests/long_install.rs` installs smtpgate. Good for nothing else: it
//! installs and removes packages, and switches the machine off.

fn main() -> anyhow::Result<()> {
    anyhow::ensure!(
        std::env::var_os("NOTIFY_SOCKET").is_some() && std::path::Path::new("/lab/1.deb").exists(),
        "machine-guest: only runs as a service of a virtual machine; see tests/long_install.rs"
    );
    smtpgate_tests::machine::guest::main()
}
