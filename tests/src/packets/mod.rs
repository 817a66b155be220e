//! The packet table: every row of the design's "verdict on a frame" as named frames with the verdict they must get.
//!
//! [`builder`] writes frames that Linux accepts unless asked otherwise, [`policy`] is the one policy they are judged by,
//! [`cases`] is the table, [`generated`] makes frames by chance beside it. The same table runs over the decision on the host,
//! through `BPF_PROG_TEST_RUN`, over real interfaces and on old kernels.

pub mod builder;
pub mod cases;
pub mod gate;
pub mod generated;
pub mod policy;
pub mod proof;
pub mod raw;
pub mod testrun;
pub mod wire;
