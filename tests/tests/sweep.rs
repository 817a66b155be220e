//! A slice of `cargo xtask sweep`.

use smtpgate_tests::sweep::{policies, sweep};

/// One in 256 of all there is.
const SLICE: u32 = 256;

#[test]
#[ignore = "root: cargo xtask test"]
fn sweep_of_a_slice_finds_what_the_policies_say() {
    for policy in policies::built_in().unwrap() {
        let outcome = sweep(&policy, SLICE).unwrap();
        assert_eq!(outcome.addresses4, (1 << 32) / u64::from(SLICE), "{}", policy.name);
        assert_eq!(outcome.differences, 0, "{}: {:#?}", policy.name, outcome.told);
    }
}
