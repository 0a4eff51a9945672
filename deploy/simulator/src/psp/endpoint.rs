//! How a request to the API is carried: key, parameters, idempotency, ordered misbehaviour, answer.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use serde_json::Value;

use super::behaviour::{Carriage, Operation};
use super::desk::{self, Desk};
use super::error::StripeError;
use super::form::Params;
use super::{Psp, Sent, ids};
use crate::courier::Mode;
use crate::http::lost_answer;
use crate::idempotency::{Begin, Saved};
use crate::signature;

const MAX_IDEMPOTENCY_KEY_CHARS: usize = 255;
/// How long an answer waits for its webhook in the mode `before_answer`.
const BEFORE_ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A request that carried the right key and readable parameters.
pub(super) struct Call {
    method: Method,
    path: String,
    params: Params,
    idempotency_key: Option<String>,
    request_id: String,
}

impl FromRequest<Psp> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, psp: &Psp) -> Result<Self, Response> {
        let request_id = ids::next("req");
        match read(request, psp, &request_id).await {
            Ok(call) => Ok(call),
            Err(error) => Err(respond(&refusal(&error, &request_id), None, false)),
        }
    }
}

async fn read(request: Request, psp: &Psp, request_id: &str) -> Result<Call, StripeError> {
    authenticate(request.headers(), &psp.0.settings.secret_key)?;
    let idempotency_key = idempotency_key(request.headers())?;
    let method = request.method().clone();
    let uri = request.uri().clone();
    let encoded = if method == Method::GET {
        Bytes::from(uri.query().unwrap_or_default().to_owned())
    } else {
        check_content_type(request.headers())?;
        Bytes::from_request(request, psp).await.map_err(|rejection| {
            StripeError::invalid(format!("Invalid request: {}", rejection.body_text()))
        })?
    };
    Ok(Call {
        method,
        path: uri.path().to_owned(),
        params: Params::parse(&encoded)?,
        idempotency_key,
        request_id: request_id.to_owned(),
    })
}

fn authenticate(headers: &HeaderMap, secret_key: &str) -> Result<(), StripeError> {
    let Some(authorization) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
    else {
        return Err(StripeError::unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        ));
    };
    let key = match authorization.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim().to_owned(),
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => basic_user(pair.trim()),
        _ => String::new(),
    };
    if key == secret_key {
        return Ok(());
    }
    let shown: String = key.chars().take(8).collect();
    Err(StripeError::unauthorized(format!(
        "Invalid API Key provided: {shown}***"
    )))
}

fn basic_user(pair: &str) -> String {
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(pair)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&decoded).into_owned();
    text.split(':').next().unwrap_or_default().to_owned()
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, StripeError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_IDEMPOTENCY_KEY_CHARS => Ok(Some(key.to_owned())),
        _ => Err(StripeError::invalid(format!(
            "Idempotency keys must have between 1 and {MAX_IDEMPOTENCY_KEY_CHARS} ASCII characters."
        ))),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), StripeError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match content_type {
        None => Ok(()),
        Some(text) if text.starts_with("application/x-www-form-urlencoded") => Ok(()),
        Some(_) => Err(StripeError::invalid(
            "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have any questions, we can help at https://support.stripe.com/.",
        )),
    }
}

impl Psp {
    /// Answers a request that reads.
    pub(super) async fn look(
        &self,
        call: Call,
        work: impl FnOnce(&Desk<'_>, &Params) -> Result<Value, StripeError>,
    ) -> Response {
        let carriage = self.behaviours().take_carriage(Operation::Lookup);
        match carriage {
            Carriage::RequestLost | Carriage::AnswerLost => return lost_answer(),
            Carriage::ServerError => {
                return respond(&refusal(&StripeError::server(), &call.request_id), None, false);
            }
            Carriage::Late(delay) => tokio::time::sleep(delay).await,
            Carriage::Straight => {}
        }
        let (result, _) = self.transact(None, |desk| work(desk, &call.params));
        respond(&saved(result, &call.request_id), None, false)
    }

    /// Answers a request that changes something. The work goes on if the client hangs up, as it does in reality.
    pub(super) async fn change<W>(&self, operation: Operation, call: Call, work: W) -> Response
    where
        W: FnOnce(&mut Desk<'_>, &Params) -> Result<Value, StripeError> + Send + 'static,
    {
        let carriage = self.behaviours().take_carriage(operation);
        let delay = match carriage {
            Carriage::RequestLost => return lost_answer(),
            Carriage::ServerError => {
                return respond(&refusal(&StripeError::server(), &call.request_id), None, false);
            }
            Carriage::Late(delay) => delay,
            Carriage::Straight | Carriage::AnswerLost => Duration::ZERO,
        };
        let psp = self.clone();
        let answered = self
            .0
            .tasks
            .spawn(async move { psp.execute(call, delay, work).await })
            .await;
        match (carriage, answered) {
            (Carriage::AnswerLost, _) | (_, Err(_)) => lost_answer(),
            (_, Ok(response)) => response,
        }
    }

    async fn execute<W>(&self, call: Call, delay: Duration, work: W) -> Response
    where
        W: FnOnce(&mut Desk<'_>, &Params) -> Result<Value, StripeError>,
    {
        let key = call.idempotency_key.as_deref();
        if let Some(key) = key {
            let fingerprint = format!("{} {} {}", call.method, call.path, call.params.fingerprint());
            match self
                .0
                .idempotency
                .begin(key, &signature::sha256_hex(fingerprint.as_bytes()))
            {
                Begin::Fresh => {}
                Begin::Replay(answer) => return respond(&answer, Some(key), true),
                Begin::OtherParameters => {
                    return respond(
                        &refusal(&StripeError::other_parameters(key), &call.request_id),
                        Some(key),
                        false,
                    );
                }
                Begin::InUse => {
                    return respond(
                        &refusal(&StripeError::key_in_use(key), &call.request_id),
                        Some(key),
                        false,
                    );
                }
            }
        }
        tokio::time::sleep(delay).await;
        let cause = desk::Request {
            id: call.request_id.clone(),
            idempotency_key: call.idempotency_key.clone(),
        };
        let (result, sent) = self.transact(Some(cause), |desk| work(desk, &call.params));
        // What failed validation was not executed, and its key stays free; a decline was.
        let executed = result
            .as_ref()
            .err()
            .is_none_or(|error| error.status == StatusCode::PAYMENT_REQUIRED);
        let answer = saved(result, &call.request_id);
        if let Some(key) = key {
            self.0.idempotency.finish(key, executed.then(|| answer.clone()));
        }
        if self.0.courier.mode() == Mode::BeforeAnswer {
            self.wait_for_webhooks(sent).await;
        }
        respond(&answer, key, false)
    }

    async fn wait_for_webhooks(&self, sent: Vec<Sent>) {
        for Sent { key, id } in sent {
            let delivered =
                self.0
                    .courier
                    .wait_until_delivered(&key, std::slice::from_ref(&id), BEFORE_ANSWER_LIMIT);
            if !delivered.await {
                tracing::warn!(id, "the webhook was not accepted in time; the answer goes first");
                return;
            }
        }
    }
}

fn saved(result: Result<Value, StripeError>, request_id: &str) -> Saved {
    match result {
        Ok(body) => Saved {
            status: 200,
            body: pretty(&body),
            request_id: request_id.to_owned(),
        },
        Err(error) => refusal(&error, request_id),
    }
}

fn refusal(error: &StripeError, request_id: &str) -> Saved {
    Saved {
        status: error.status.as_u16(),
        body: pretty(&error.body()),
        request_id: request_id.to_owned(),
    }
}

fn pretty(body: &Value) -> String {
    serde_json::to_string_pretty(body).unwrap_or_default()
}

fn respond(answer: &Saved, idempotency_key: Option<&str>, replayed: bool) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        answer.body.clone(),
    )
        .into_response();
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    if let Some(key) = idempotency_key {
        set("idempotency-key", key);
    }
    if replayed {
        set("request-id", &ids::next("req"));
        set("original-request", &answer.request_id);
        set("idempotent-replayed", "true");
    } else {
        set("request-id", &answer.request_id);
    }
    response
}

pub(super) async fn no_such_route(method: Method, uri: Uri) -> Response {
    let error = StripeError::no_such_route(method.as_str(), uri.path());
    respond(&refusal(&error, &ids::next("req")), None, false)
}
