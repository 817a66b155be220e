//! The kernel program.
#![no_std]
#![no_main]
