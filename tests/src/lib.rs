//! What the root-only tests share: network-namespace lab, frames, kernels in virtual machines.
