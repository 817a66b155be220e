//! The durable record of bans, offences, exceptions and log positions (SQLite).
