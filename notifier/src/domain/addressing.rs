//! Where exactly a notice goes: the role it is for, filled with the contact of this moment.

use url::Url;

use super::contact::Contact;
use super::notice::{Channel, Recipient};
use super::reason::Reason;
use super::signature::WebhookSecret;

/// Where a notice goes, or why it goes nowhere.
pub enum Addressing {
    /// To this mail address.
    Mail(String),
    /// To this endpoint, signed with this secret.
    Webhook {
        /// The endpoint.
        url: Url,
        /// The merchant's secret.
        secret: WebhookSecret,
    },
    /// There is nobody to tell, and nothing is wrong with that.
    Nobody(Reason),
    /// There should be somebody, and what is known of them cannot be used.
    Unusable(Reason),
}

/// Fills the role of `recipient` on `channel`.
pub fn address(
    recipient: Recipient,
    channel: Channel,
    contact: &Contact,
    approvers: &[String],
) -> Addressing {
    match (channel, recipient) {
        (Channel::Mail, Recipient::Customer) => match &contact.customer {
            Some(customer) if customer.erased => Addressing::Nobody(Reason::CustomerErased),
            Some(customer) => mail(customer.email.as_deref()),
            None => Addressing::Nobody(Reason::NoAddress),
        },
        (Channel::Mail, Recipient::Merchant) => mail(contact.merchant.email.as_deref()),
        (Channel::Mail, Recipient::Approver(place)) => {
            match usize::from(place)
                .checked_sub(1)
                .and_then(|index| approvers.get(index))
            {
                Some(approver) => Addressing::Mail(approver.clone()),
                None => Addressing::Nobody(Reason::NoLongerApprover),
            }
        }
        (Channel::Webhook, Recipient::Merchant) => webhook(contact),
        (Channel::Webhook, Recipient::Customer | Recipient::Approver(_)) => {
            Addressing::Nobody(Reason::NoNotifyUrl)
        }
    }
}

fn mail(address: Option<&str>) -> Addressing {
    match address {
        Some(address) if !address.is_empty() => Addressing::Mail(address.to_owned()),
        Some(_) | None => Addressing::Nobody(Reason::NoAddress),
    }
}

fn webhook(contact: &Contact) -> Addressing {
    let of_payment = contact
        .payment
        .as_ref()
        .and_then(|payment| payment.notify_url.as_deref());
    let Some(url) = of_payment.or(contact.merchant.notify_url.as_deref()) else {
        return Addressing::Nobody(Reason::NoNotifyUrl);
    };
    let Some(url) = endpoint(url) else {
        return Addressing::Unusable(Reason::InvalidUrl);
    };
    match WebhookSecret::parse(&contact.merchant.webhook_secret) {
        Ok(secret) => Addressing::Webhook { url, secret },
        Err(_) => Addressing::Unusable(Reason::InvalidSecret),
    }
}

fn endpoint(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    (is_web && url.host().is_some()).then_some(url)
}

#[cfg(test)]
mod tests {
    use schemas::{MerchantId, PaymentNo};

    use super::super::contact::{Customer, Merchant, Payment};
    use super::*;

    fn contact() -> Contact {
        Contact {
            merchant: Merchant {
                merchant_id: MerchantId::generate(),
                name: "Shop".to_owned(),
                email: Some("owner@shop.example".to_owned()),
                notify_url: Some("https://shop.example/hooks".to_owned()),
                webhook_secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            },
            customer: Some(Customer {
                email: Some("alice@example.com".to_owned()),
                erased: false,
            }),
            payment: Some(Payment {
                payment_no: PaymentNo::generate(),
                notify_url: None,
                description: None,
            }),
        }
    }

    fn url_of(addressing: &Addressing) -> &str {
        let Addressing::Webhook { url, .. } = addressing else {
            panic!("expected a webhook")
        };
        url.as_str()
    }

    #[test]
    fn the_payments_endpoint_goes_before_the_merchants() {
        let mut contact = contact();
        let merchants = address(Recipient::Merchant, Channel::Webhook, &contact, &[]);
        assert_eq!(url_of(&merchants), "https://shop.example/hooks");
        contact.payment.as_mut().unwrap().notify_url = Some("https://shop.example/orders/7".to_owned());
        let payments = address(Recipient::Merchant, Channel::Webhook, &contact, &[]);
        assert_eq!(url_of(&payments), "https://shop.example/orders/7");
    }

    #[test]
    fn an_erased_customer_is_not_told() {
        let mut contact = contact();
        contact.customer = Some(Customer {
            email: None,
            erased: true,
        });
        let addressing = address(Recipient::Customer, Channel::Mail, &contact, &[]);
        assert!(matches!(addressing, Addressing::Nobody(Reason::CustomerErased)));
    }

    #[test]
    fn an_endpoint_that_is_not_of_the_web_is_unusable() {
        for url in [
            "file:///etc/passwd",
            "gopher://shop.example/",
            "shop.example/hooks",
            "http://",
        ] {
            let mut contact = contact();
            contact.merchant.notify_url = Some(url.to_owned());
            let addressing = address(Recipient::Merchant, Channel::Webhook, &contact, &[]);
            assert!(
                matches!(addressing, Addressing::Unusable(Reason::InvalidUrl)),
                "{url}"
            );
        }
    }

    #[test]
    fn an_approver_is_found_by_place() {
        let approvers = ["bob@platform.example".to_owned()];
        let first = address(Recipient::Approver(1), Channel::Mail, &contact(), &approvers);
        assert!(matches!(first, Addressing::Mail(to) if to == "bob@platform.example"));
        for place in [0, 2] {
            let nobody = address(Recipient::Approver(place), Channel::Mail, &contact(), &approvers);
            assert!(
                matches!(nobody, Addressing::Nobody(Reason::NoLongerApprover)),
                "{place}"
            );
        }
    }
}
