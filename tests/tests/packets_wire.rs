//! The packet table as raw frames over a veth pair.

use smtpgate_tests::packets::cases::{all, jumbo};
use smtpgate_tests::packets::proof::{Gates, Hook, frames_pass, linux_answers, nobody_answers};
use smtpgate_tests::packets::wire::Wire;

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_without_a_gate_linux_answers_what_the_table_says() {
    println!("{}", linux_answers(&Wire::new().unwrap(), &all()).unwrap());
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_behind_xdp_comes_out_what_the_table_says() {
    println!(
        "{}",
        frames_pass(&Wire::new().unwrap(), &Gates::load().unwrap(), &all(), Hook::Xdp).unwrap()
    );
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_behind_tc_comes_out_what_the_table_says() {
    println!(
        "{}",
        frames_pass(&Wire::new().unwrap(), &Gates::load().unwrap(), &all(), Hook::Tc).unwrap()
    );
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_behind_xdp_nobody_answers_the_foreign() {
    println!(
        "{}",
        nobody_answers(&Wire::new().unwrap(), &Gates::load().unwrap(), &all(), Hook::Xdp).unwrap()
    );
}

#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_behind_tc_nobody_answers_the_foreign() {
    println!(
        "{}",
        nobody_answers(&Wire::new().unwrap(), &Gates::load().unwrap(), &all(), Hook::Tc).unwrap()
    );
}

/// XDP sees such frames in several buffers (`xdp.frags`).
#[test]
#[ignore = "root: cargo xtask test"]
fn packets_wire_of_jumbo_frames_only_headers_in_the_first_buffer_count() {
    let (wire, gates) = (Wire::of_mtu(9_000).unwrap(), Gates::load().unwrap());
    println!("{}", frames_pass(&wire, &gates, &jumbo(), Hook::Xdp).unwrap());
}
