//! The packet table as raw frames over a veth pair.

use smtpgate_tests::packets::cases::all;
use smtpgate_tests::packets::proof::{Gates, Hook, frames_pass, linux_answers, nobody_answers};

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_without_a_gate_linux_answers_what_the_table_says() {
    println!("{}", linux_answers(&all()).unwrap());
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_behind_xdp_comes_out_what_the_table_says() {
    println!("{}", frames_pass(&Gates::load().unwrap(), &all(), Hook::Xdp).unwrap());
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_behind_tc_comes_out_what_the_table_says() {
    println!("{}", frames_pass(&Gates::load().unwrap(), &all(), Hook::Tc).unwrap());
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_behind_xdp_nobody_answers_the_foreign() {
    println!(
        "{}",
        nobody_answers(&Gates::load().unwrap(), &all(), Hook::Xdp).unwrap()
    );
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_behind_tc_nobody_answers_the_foreign() {
    println!("{}", nobody_answers(&Gates::load().unwrap(), &all(), Hook::Tc).unwrap());
}
