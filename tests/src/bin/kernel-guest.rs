//! `/init` of the virtual machines in which `tests/kernels.rs` boots old and new kernels. Good for nothing else: it ends
//! by switching the machine off, which it does only as the first process.

fn main() {
    if std::process::id() != 1 {
        eprintln!("kernel-guest: only runs as the first process of a virtual machine; see tests/kernels.rs");
        std::process::exit(2);
    }
    smtpgate_tests::kernels::guest::main();
}
