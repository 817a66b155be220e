//! The packet table through `BPF_PROG_TEST_RUN`, and over the decision on the host; and frames by chance through both.

use smtpgate_common::Reason;
use smtpgate_tests::packets::cases::{Case, all};
use smtpgate_tests::packets::gate::{Gate, image};
use smtpgate_tests::packets::generated::{Amount, Generator};
use smtpgate_tests::packets::policy::{intent, observing};
use smtpgate_tests::packets::testrun;

#[test]
fn packets_testrun_host_decides_as_the_table_says() {
    let image = testrun::image_now().unwrap();
    testrun::host(image.maps(), &all(), |case| case.expect).unwrap();
}

#[test]
fn packets_testrun_host_only_observes_where_all_gates_do() {
    let mut image = image(&observing()).unwrap();
    image.set_now(3);
    testrun::host(image.maps(), &all(), |case| case.expect.observed()).unwrap();
}

/// Else it proves nothing of what those reasons need.
#[test]
fn packets_testrun_generated_frames_reach_every_verdict() {
    const FRAMES: u64 = 20_000;
    let image = testrun::image_now().unwrap();
    let generator = Generator::new(1);
    let cases: Vec<Case> = (0..FRAMES)
        .map(|number| testrun::decided(image.maps(), &generator, number))
        .collect();
    testrun::host(image.maps(), &cases, |case| case.expect).unwrap();
    let mut shares = testrun::Shares::default();
    shares.count(&cases);
    println!("{shares}");
    for reason in Reason::ALL {
        let passes = !reason.drops();
        let counted = (reason != Reason::None).then_some(reason);
        let reached = shares.of(!passes, counted);
        assert!(reached > FRAMES / 100, "{}: {reached} frames", reason.name());
        // The gate that observes passes what it would drop.
        assert!(
            passes || reason == Reason::HeaderChain || shares.of(false, counted) > 0,
            "{}",
            reason.name()
        );
    }
    assert!(shares.of(false, None) < FRAMES / 2, "most are nobody's business");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_testrun_kernel_decides_over_generated_frames_as_the_host_does() {
    let gate = Gate::load(&intent()).unwrap();
    println!("{}", testrun::generated(&gate, Amount::asked().unwrap()).unwrap());
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
