//! Log lines to events: follow, parse. Never decides anything.
