//! `replay TARGET FOLDER...`: every input there once, without a fuzzer. What `cargo xtask fuzz --coverage` measures.
#![allow(clippy::expect_used, reason = "what is found is a panic")]

use std::fs;

fn main() {
    let mut args = std::env::args().skip(1);
    let target = args.next().expect("usage: replay TARGET FOLDER...");
    let mut tried = 0;
    for folder in args {
        for input in fs::read_dir(&folder).expect(&folder) {
            let input = input.expect(&folder).path();
            smtpgate_fuzz::run(&target, &fs::read(&input).expect("it can be read"));
            tried += 1;
        }
    }
    println!("{target}: {tried} inputs");
}
