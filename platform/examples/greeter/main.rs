//! The smallest service: it greets, and counts in its database whom. The platform's own tests start it.

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use platform::http::{Json, Path};
use platform::{Problem, ServeError, Service};
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    platform::start::<Greeter>()
}

struct Greeter;

type Context = platform::Context<Config>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    greeting: Greeting,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Greeting {
    word: String,
    /// How long a greeting is thought about.
    #[serde(default)]
    pause_ms: u64,
}

impl Service for Greeter {
    const NAME: &'static str = "greeter";
    const OUTBOX: bool = true;
    type Config = Config;

    fn migrations() -> sqlx::migrate::Migrator {
        sqlx::migrate!("examples/greeter/migrations")
    }

    async fn serve(service: Context) -> Result<(), ServeError> {
        service.outbox().await?;
        let public = Router::new()
            .route("/api/v1/greetings/{name}", get(greet))
            .route("/api/v1/mistakes", get(make_a_mistake));
        let internal = Router::new().route("/internal/v1/count", get(count));
        let (public, internal) = (
            public.with_state(service.clone()),
            internal.with_state(service.clone()),
        );
        service.serve_http(public, internal).await
    }
}

#[expect(clippy::panic, reason = "shows what becomes of one")]
async fn make_a_mistake() {
    panic!("a mistake")
}

#[derive(Serialize)]
struct Greeted {
    greeting: String,
    times: i64,
}

async fn greet(State(service): State<Context>, Path(name): Path<String>) -> Result<Json<Greeted>, Problem> {
    tokio::time::sleep(Duration::from_millis(service.config().greeting.pause_ms)).await;
    let times = sqlx::query_scalar(
        "insert into greetings (name, times) values ($1, 1)
         on conflict on constraint greetings_pkey do update set times = greetings.times + 1
         returning times",
    )
    .bind(&name)
    .fetch_one(service.pool())
    .await?;
    let greeting = format!("{} {name}", service.config().greeting.word);
    Ok(Json(Greeted { greeting, times }))
}

async fn count(State(service): State<Context>) -> Result<Json<i64>, Problem> {
    let count = sqlx::query_scalar("select count(*) from greetings")
        .fetch_one(service.pool())
        .await?;
    Ok(Json(count))
}
