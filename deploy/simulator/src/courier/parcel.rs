//! One webhook event on its way.

use serde::{Deserialize, Serialize};

/// An event as it will be posted; its body never changes, only the signature's time does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parcel {
    /// The event's id, the same at each attempt.
    pub(crate) id: String,
    /// Events with the same key keep their order.
    pub(crate) key: String,
    pub(crate) body: String,
}
