#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| smtpgate_fuzz::run("forged", input));
