//! What a merchant sends to create a payment, read into types that cannot be wrong.

use std::collections::BTreeMap;

use platform::http::Json;
use schemas::ids::MerchantId;
use schemas::money::{Currency, Money};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::auth::SignedMerchant;
use crate::clients::stripe::amounts;
use crate::domain::text::{Email, NotifyUrl, Phone, TextError, bounded};
use crate::domain::{Details, OrderNo, PaymentMethod};
use crate::error::{InvalidAmount, Refusal, in_field};

const MAX_DESCRIPTION_CHARS: usize = 500;
const MAX_METADATA_ENTRIES: usize = 20;
const MAX_METADATA_KEY_CHARS: usize = 40;
const MAX_METADATA_VALUE_CHARS: usize = 500;

/// A payment to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreatePayment {
    /// The merchant's own number: 1 to 64 of `[A-Za-z0-9._-]`, one payment each.
    order_no: String,
    /// Minor units, above zero.
    #[schema(value_type = i64, minimum = 1, example = 1999)]
    amount: RawAmount,
    /// ISO 4217, upper case.
    #[schema(example = "EUR")]
    currency: String,
    customer_email: String,
    /// In international form, `+4915112345678`.
    customer_phone: Option<String>,
    /// Where webhooks about this payment go, instead of the merchant's own target.
    notify_url: Option<String>,
    description: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// Charged at once; without one the answer has a `payment_url`. Test methods: `pm_card_visa` (succeeds),
    /// `pm_card_visa_chargeDeclined`, `pm_card_threeDSecure2Required` (requires action), `pm_card_delayed`.
    payment_method: Option<String>,
    /// Must be the signer's, if given.
    merchant_id: Option<String>,
}

/// An amount as it was written: told apart here, because each way to be wrong has a problem of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawAmount(Result<i64, InvalidAmount>);

impl RawAmount {
    /// The amount, if it is one.
    pub(super) fn positive(self) -> Result<i64, InvalidAmount> {
        self.0.and_then(|minor| {
            if minor > 0 {
                Ok(minor)
            } else {
                Err(InvalidAmount::NotPositive)
            }
        })
    }
}

/// The first amount that does not fit into an `i64`.
const TWO_TO_THE_63RD: f64 = 9_223_372_036_854_775_808.0;

impl<'de> Deserialize<'de> for RawAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let serde_json::Value::Number(number) = serde_json::Value::deserialize(deserializer)? else {
            return Ok(Self(Err(InvalidAmount::NotNumber)));
        };
        if let Some(minor) = number.as_i64() {
            return Ok(Self(Ok(minor)));
        }
        // Past 64 bits a number is read as a float, whether it was written with a fraction or not.
        let is_huge = number.as_f64().is_none_or(|value| value.abs() >= TWO_TO_THE_63RD);
        Ok(Self(Err(if is_huge {
            InvalidAmount::OutOfRange
        } else {
            InvalidAmount::NotInteger
        })))
    }
}

/// A payment to be created, as it cannot be wrong.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "`order_no` is the contract's word")]
pub(super) struct Order {
    pub(super) merchant_id: MerchantId,
    pub(super) order_no: OrderNo,
    pub(super) amount: Money,
    pub(super) email: Email,
    pub(super) phone: Option<Phone>,
    pub(super) payment_method: Option<PaymentMethod>,
    pub(super) details: Details,
}

impl Order {
    /// Reads the body that the merchant signed.
    pub(super) fn parse(merchant: &SignedMerchant) -> Result<Self, Refusal> {
        let Json(raw) = Json::<CreatePayment>::from_bytes(&merchant.body)?;
        if raw
            .merchant_id
            .is_some_and(|named| named != merchant.merchant_id.to_string())
        {
            return Err(Refusal::OtherMerchant);
        }
        let minor = raw.amount.positive()?;
        let currency = Currency::parse(&raw.currency).map_err(|_| Refusal::Currency)?;
        let amount = Money::new(minor, currency);
        amounts::to_stripe(amount)?;
        Ok(Self {
            merchant_id: merchant.merchant_id,
            order_no: OrderNo::parse(&raw.order_no).map_err(in_field("order_no"))?,
            amount,
            email: Email::parse(&raw.customer_email).map_err(in_field("customer_email"))?,
            phone: optional(raw.customer_phone.as_deref(), "customer_phone", Phone::parse)?,
            payment_method: optional(
                raw.payment_method.as_deref(),
                "payment_method",
                PaymentMethod::parse,
            )?,
            details: Details {
                description: optional(raw.description.as_deref(), "description", description)?,
                metadata: metadata(raw.metadata)?,
                notify_url: optional(raw.notify_url.as_deref(), "notify_url", |text| {
                    NotifyUrl::parse(text).map(|url| url.as_str().to_owned())
                })?,
            },
        })
    }

    /// Tells the same request from another one. Over the parsed request, so that order and white space do not count.
    pub(super) fn hash(&self) -> Result<Vec<u8>, Refusal> {
        let contents = serde_json::to_vec(&(
            self.order_no.as_str(),
            self.amount.minor,
            self.amount.currency.code(),
            self.email.as_str(),
            self.phone.as_ref().map(Phone::as_str),
            self.payment_method.as_ref().map(PaymentMethod::as_str),
            &self.details.description,
            &self.details.metadata,
            &self.details.notify_url,
        ))?;
        Ok(Sha256::digest(contents).to_vec())
    }
}

fn optional<T>(
    text: Option<&str>,
    field: &'static str,
    parse: impl Fn(&str) -> Result<T, TextError>,
) -> Result<Option<T>, Refusal> {
    text.map(parse).transpose().map_err(in_field(field))
}

fn description(text: &str) -> Result<String, TextError> {
    bounded(text, MAX_DESCRIPTION_CHARS).map(str::to_owned)
}

fn metadata(entries: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
    if entries.len() > MAX_METADATA_ENTRIES {
        return Err(Refusal::TooMany {
            field: "metadata",
            max: MAX_METADATA_ENTRIES,
        });
    }
    for (key, value) in &entries {
        bounded(key, MAX_METADATA_KEY_CHARS).map_err(in_field("metadata"))?;
        if !value.is_empty() {
            bounded(value, MAX_METADATA_VALUE_CHARS).map_err(in_field("metadata"))?;
        }
    }
    Ok(entries)
}
