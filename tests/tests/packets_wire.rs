//! The packet table as raw frames over a veth pair.

use std::collections::BTreeSet;

use smtpgate_tests::packets::cases::{Case, all};
use smtpgate_tests::packets::wire::Wire;

const GATED: [u16; 4] = [25, 465, 587, 2525];

/// Names of the trains' first cases.
fn names(cases: &[Case], trains: impl IntoIterator<Item = u32>) -> Vec<&str> {
    trains
        .into_iter()
        .map(|train| {
            cases
                .get(train as usize)
                .map_or("a train that was never sent", |case| &case.name)
        })
        .collect()
}

/// What the table says of Linux: without this the other tests here could not fail.
#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_without_a_gate_linux_answers_what_the_table_says() {
    let cases = all();
    let answered = Wire::new().unwrap().answered(&cases, &GATED).unwrap();
    let expected: BTreeSet<u32> = cases
        .iter()
        .filter(|case| case.answered)
        .map(|case| case.train)
        .collect();
    let silent = names(&cases, expected.difference(&answered).copied());
    let surprising: Vec<u32> = answered.difference(&expected).copied().collect();
    println!("answered without being marked: {:#?}", names(&cases, surprising));
    assert!(silent.is_empty(), "not answered: {silent:#?}");
    println!("{} of {} trains answered", answered.len(), cases.len());
}
