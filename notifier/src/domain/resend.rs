//! Who may have a notice sent again, and when.

use super::notice::{Recipient, Status};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Somebody of the platform.
    Staff,
    /// The merchant whose notice it is.
    Merchant,
}

/// Why a notice is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResendRefused {
    /// It is on its way.
    #[error("the notification is still pending; it will be tried by itself")]
    Pending,
    /// A merchant cannot have a customer's mail repeated at will.
    #[error("the customer has been told; only the platform's staff can tell them again")]
    CustomerWasTold,
}

/// Whether `asker` may have a notice to `recipient`, which stands at `status`, sent again.
pub fn may_resend(status: Status, recipient: Recipient, asker: Asker) -> Result<(), ResendRefused> {
    match (status, recipient, asker) {
        (Status::Pending, _, _) => Err(ResendRefused::Pending),
        (Status::Sent, Recipient::Customer, Asker::Merchant) => Err(ResendRefused::CustomerWasTold),
        (Status::Sent | Status::Failed | Status::Suppressed, _, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_cannot_write_to_customers_at_will() {
        let may = |status, recipient, asker| may_resend(status, recipient, asker).is_ok();
        assert!(!may(Status::Sent, Recipient::Customer, Asker::Merchant));
        assert!(may(Status::Sent, Recipient::Customer, Asker::Staff));
        assert!(may(Status::Sent, Recipient::Merchant, Asker::Merchant));
        assert!(may(Status::Failed, Recipient::Customer, Asker::Merchant));
        assert!(!may(Status::Pending, Recipient::Merchant, Asker::Staff));
    }
}
