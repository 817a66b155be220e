//! From intent to gate table to map operations. Pure.
