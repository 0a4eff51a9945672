//! What the stand is loaded with.

pub(crate) mod events;
pub(crate) mod letters;
pub(crate) mod pace;
pub(crate) mod purchases;
pub(crate) mod records;
pub(crate) mod staging;
pub(crate) mod tables;
pub(crate) mod transitions;
