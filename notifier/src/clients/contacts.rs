//! The gateway's contact endpoint: the only place where a reference becomes a person.

use axum::http::StatusCode;
use platform::client::{self, CallError, Client, ClientError, Unknown};
use schemas::{MerchantId, PaymentNo};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::config;
use crate::domain::contact::{Contact, Customer, Merchant, Payment};

/// Asks the gateway.
#[derive(Debug, Clone)]
pub struct Contacts {
    client: Client,
    base_url: Url,
    service_token: SecretString,
}

/// The gateway gave no answer that helps. That is no fault of the notice: it waits.
#[derive(Debug, thiserror::Error)]
pub enum ContactsError {
    /// No usable answer.
    #[error("the gateway gave no contact")]
    Call(#[from] CallError),
    /// It refused.
    #[error("the gateway answered {0} to the question for a contact")]
    Refused(StatusCode),
}

impl ContactsError {
    /// The gateway answered, and what it said is about this merchant or payment: others may ask on. It is not when nobody
    /// answers, when our token is refused, or when we ask too often.
    pub fn is_about_this_question(&self) -> bool {
        match self {
            Self::Call(CallError::Unknown(Unknown::TooLong { .. } | Unknown::Unreadable { .. })) => true,
            Self::Call(
                CallError::NotSent(_) | CallError::Unknown(Unknown::Deadline(_) | Unknown::Connection(_)),
            ) => false,
            Self::Refused(status) => !matches!(
                *status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
            ),
        }
    }
}

impl Contacts {
    /// A client by these settings.
    pub fn new(settings: &config::Contacts) -> Result<Self, ClientError> {
        let bounds = client::Settings {
            deadline: settings.timeout(),
            // The schedule asks again.
            max_retries: 0,
            ..client::Settings::default()
        };
        Ok(Self {
            client: Client::new("contacts", bounds)?,
            base_url: settings.base_url.clone(),
            service_token: settings.service_token.clone(),
        })
    }

    /// The contact of a merchant, and of a payment's customer. None if the gateway knows no such merchant or payment.
    pub async fn find(
        &self,
        merchant_id: MerchantId,
        payment_no: Option<PaymentNo>,
    ) -> Result<Option<Contact>, ContactsError> {
        let mut url = self.base_url.clone();
        url.set_path(&format!(
            "{}/internal/v1/contacts/{merchant_id}",
            self.base_url.path().trim_end_matches('/')
        ));
        let mut request = self
            .client
            .get(url)
            .bearer(&self.service_token)
            .errors_are_answers();
        if let Some(payment_no) = payment_no {
            request = request.query("payment_no", &payment_no.to_string());
        }
        let answer = request.send().await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.json::<Document>()?.into())),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(ContactsError::Refused(status)),
        }
    }
}

/// The answer, as far as it is read here. Fields may be added to it.
#[derive(Deserialize)]
struct Document {
    merchant: MerchantDocument,
    customer: Option<CustomerDocument>,
    payment: Option<PaymentDocument>,
}

#[derive(Deserialize)]
struct MerchantDocument {
    merchant_id: MerchantId,
    name: String,
    email: Option<String>,
    notify_url: Option<String>,
    webhook_secret: String,
}

#[derive(Deserialize)]
struct CustomerDocument {
    email: Option<String>,
    #[serde(default)]
    erased: bool,
}

#[derive(Deserialize)]
struct PaymentDocument {
    payment_no: PaymentNo,
    notify_url: Option<String>,
    description: Option<String>,
}

impl From<Document> for Contact {
    fn from(document: Document) -> Self {
        let MerchantDocument {
            merchant_id,
            name,
            email,
            notify_url,
            webhook_secret,
        } = document.merchant;
        Self {
            merchant: Merchant {
                merchant_id,
                name,
                email,
                notify_url,
                webhook_secret,
            },
            customer: document.customer.map(|it| Customer {
                email: it.email,
                erased: it.erased,
            }),
            payment: document.payment.map(|it| Payment {
                payment_no: it.payment_no,
                notify_url: it.notify_url,
                description: it.description,
            }),
        }
    }
}
