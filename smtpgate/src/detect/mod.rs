//! Events to offences to bans. Pure: time comes in as an argument.
