//! The engine that joins configuration, ledger, policy and data plane, and the service around it.
