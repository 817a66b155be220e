//! The kernel side's only door: load, attach, pin, apply, read back. No other module knows aya.
