//! eventing
