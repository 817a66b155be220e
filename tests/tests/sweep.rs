//! Slices of `cargo xtask sweep`.

use smtpgate_tests::sweep::{policies, sweep};

/// One /16 network in so many, by the number of gates: a test is not optimised.
const fn slice(gates: usize) -> u32 {
    if gates > 2 { 2048 } else { 256 }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn sweep_of_a_slice_finds_what_the_policies_say() {
    for policy in policies::built_in().unwrap() {
        let slice = slice(policy.intent.gates.len());
        let outcome = sweep(&policy, slice).unwrap();
        assert_eq!(outcome.addresses4, (1 << 32) / u64::from(slice), "{}", policy.name);
        assert_eq!(outcome.differences, 0, "{}: {:#?}", policy.name, outcome.told);
    }
}
