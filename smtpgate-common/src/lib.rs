//! What kernel and user space share: shapes, names, reasons, and the decision itself.
#![no_std]
