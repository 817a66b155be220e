//! Where prefixes come from: specs to prefixes, with the data's date and fingerprint.

pub mod country;
pub mod net;
pub mod spec;

pub use country::Country;
pub use spec::Spec;
