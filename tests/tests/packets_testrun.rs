//! The packet table through `BPF_PROG_TEST_RUN`, and over the decision on the host.

use smtpgate_tests::packets::cases::all;
use smtpgate_tests::packets::gate::{Gate, image};
use smtpgate_tests::packets::policy::{intent, observing};
use smtpgate_tests::packets::testrun;

#[test]
fn packets_testrun_host_decides_as_the_table_says() {
    let mut image = image(&intent()).unwrap();
    // The bans of the table end at 2, or practically never.
    image.set_now(3);
    testrun::host(image.maps(), &all(), |case| case.expect).unwrap();
}

#[test]
fn packets_testrun_host_only_observes_where_all_gates_do() {
    let mut image = image(&observing()).unwrap();
    image.set_now(3);
    testrun::host(image.maps(), &all(), |case| case.expect.observed()).unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_testrun_kernel_decides_as_the_table_says() {
    let gate = Gate::load(&intent()).unwrap();
    println!("{}", testrun::all_programs(&gate, &all(), |case| case.expect).unwrap());
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_testrun_kernel_only_observes_where_all_gates_do() {
    let gate = Gate::load(&observing()).unwrap();
    println!(
        "{}",
        testrun::all_programs(&gate, &all(), |case| case.expect.observed()).unwrap()
    );
}
