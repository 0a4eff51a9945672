//! `expand[]`: an id in an answer is replaced by its object.

use serde_json::Value;

use super::Settings;
use super::error::StripeError;
use super::form::Params;
use super::payment_intent::PaymentIntent;

/// The names to expand, which must be among `offered`.
pub(super) fn read(params: &Params, offered: &[&str]) -> Result<Vec<String>, StripeError> {
    let names = params.texts("expand")?;
    match names.iter().find(|name| !offered.contains(&name.as_str())) {
        Some(name) => {
            Err(StripeError::invalid(format!("This property cannot be expanded ({name}).")).param("expand"))
        }
        None => Ok(names),
    }
}

pub(super) fn intent(intent: &PaymentIntent, settings: &Settings, expand: &[String]) -> Value {
    let mut rendered = intent.render(settings);
    let wants_charge = expand.iter().any(|name| name.ends_with("latest_charge"));
    if let (true, Some(charge), Some(object)) =
        (wants_charge, intent.charges.last(), rendered.as_object_mut())
    {
        object.insert("latest_charge".to_owned(), intent.render_charge(charge));
    }
    rendered
}
