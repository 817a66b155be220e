//! Where prefixes come from: specs to prefixes, with the data's date and fingerprint.
