//! The customer: pays on the hosted page, answers the bank. Their browser is a form posted to the simulated PSP; a
//! page that is elsewhere is left alone.

use reqwest::header::LOCATION;

use super::scenario::{Plan, Way};
use super::settings::{TrafficSettings, base};
use super::shop::Payment;

pub(super) struct Customer {
    client: reqwest::Client,
    simulator_url: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CustomerError {
    #[error("the page did not answer: {0}")]
    NoAnswer(#[from] reqwest::Error),
    #[error("the payment has no page at {0}")]
    NoPage(String),
}

impl Customer {
    pub(super) fn new(settings: &TrafficSettings, client: reqwest::Client) -> Self {
        Self {
            client,
            simulator_url: base(&settings.simulator_url),
        }
    }

    pub(super) async fn do_their_part(&self, plan: &Plan, payment: &Payment) -> Result<(), CustomerError> {
        match plan.way {
            Way::Charged(_) => Ok(()),
            Way::Confirmed { confirms } => {
                let page = payment
                    .next_action
                    .as_ref()
                    .and_then(|action| action.redirect_url.as_deref());
                self.answer_bank(page, confirms).await
            }
            Way::HostedPage(method) => {
                let page = self.own_page(payment.payment_url.as_deref())?;
                let answer = self
                    .client
                    .post(page)
                    .form(&[("payment_method", method)])
                    .send()
                    .await?;
                match answer
                    .headers()
                    .get(LOCATION)
                    .and_then(|location| location.to_str().ok())
                {
                    Some(question) => self.answer_bank(Some(question), true).await,
                    None => Ok(()),
                }
            }
            Way::Abandoned => {
                self.client
                    .get(self.own_page(payment.payment_url.as_deref())?)
                    .send()
                    .await?;
                Ok(())
            }
        }
    }

    async fn answer_bank(&self, page: Option<&str>, confirms: bool) -> Result<(), CustomerError> {
        let outcome = if confirms { "complete" } else { "fail" };
        self.client
            .post(self.own_page(page)?)
            .form(&[("outcome", outcome)])
            .send()
            .await?;
        Ok(())
    }

    fn own_page<'p>(&self, page: Option<&'p str>) -> Result<&'p str, CustomerError> {
        page.filter(|page| page.starts_with(&self.simulator_url))
            .ok_or_else(|| CustomerError::NoPage(self.simulator_url.clone()))
    }
}
