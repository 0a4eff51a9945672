//! From a committed event to its topic.

mod append;
