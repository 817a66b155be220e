//! One file per verb: arguments in, text or JSON out. Thin: the work is in [`crate::daemon`].
