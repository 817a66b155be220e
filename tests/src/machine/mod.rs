//! A whole Debian machine in QEMU: its own kernel, systemd as the first process, Postfix and Dovecot, and the lab's internet
//! around it. What a user does to a host, with `dpkg` and `systemctl`, is tried in it.
//!
//! [`image`] makes its disk, [`boot`] boots it and reads what the guest says, [`guest`] is what runs in there.

pub mod boot;
pub mod guest;
pub mod image;
