//! The one platform that all stories share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result, bail, ensure};
use local::backbone::Durability;
use local::doors::{Dependency, Doors};
use local::http::Http;
use local::merchant::{ALICE, BOB, Desk};
use local::platform::{Options, Platform};
use local::ports::{Endpoint, Ports};
use local::process::Process;
use local::progress::Progress;
use local::run::Run;
use local::service::{Service, instances};
use local::state::State;
use sqlx::PgPool;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

use crate::outside::Outside;
use crate::settling::Staff;
use crate::shop::Shop;
use crate::topics;
use crate::wait::eventually;

/// Keeps the platform's own tasks (its doors) alive between stories.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
/// What its start came to; a platform that does not start is not tried again for every story.
static WORLD: OnceCell<Result<World, String>> = OnceCell::const_new();
/// One story at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// The platform, with what stories talk to it by.
#[derive(Debug)]
pub struct World {
    /// The processes.
    pub platform: Platform,
    /// For requests.
    pub http: Http,
    /// What is outside the platform.
    pub outside: Outside,
    /// Alice, who draws up settlements.
    pub alice: Staff,
    /// Bob, who approves them.
    pub bob: Staff,
    desk: Desk,
}

/// Tells a story, and afterwards checks the promises that every story has to keep: nothing is left in an outbox, exactly
/// the announced dead letters came, the ledger sums to zero.
///
/// # Panics
/// If the story fails, or a promise is broken.
pub fn story(announced: &[(Service, i64)], body: impl AsyncFnOnce(&'static World) -> Result<()>) {
    let told: Result<()> = RUNTIME.block_on(async {
        let _turn = TURN.lock().await;
        let started = WORLD.get_or_init(async || World::start().await.map_err(|error| format!("{error:#}")));
        let world = started
            .await
            .as_ref()
            .map_err(|error| anyhow::anyhow!("the platform: {error}"))?;
        world
            .mend()
            .await
            .context("mending what the story before has left")?;
        let before = world.dead_letters()?;
        body(world).await?;
        world.check(&before, announced).await
    });
    if let Err(error) = told {
        panic!(
            "{error:?}\n(the services' logs are in {}/logs)",
            state_folder().display()
        );
    }
}

fn state_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/system-tests")
}

/// Settings that make a story short where the defaults are made for years of service.
fn hurried() -> Vec<(String, String)> {
    [
        ("PAYMENT_GATEWAY__PAYMENTS__SWEEP_INTERVAL_MS", "200"),
        ("PAYMENT_GATEWAY__PAYMENTS__CLAIM_SECONDS", "3"),
        ("SETTLEMENT__PAYOUTS__SWEEP_INTERVAL_MS", "200"),
        ("SETTLEMENT__PAYOUTS__CLAIM_SECONDS", "3"),
        ("NOTIFIER__DELIVERY__POLL_INTERVAL_MS", "100"),
        (
            "NOTIFIER__DELIVERY__RETRY_DELAYS_MS",
            "[300, 600, 1000, 1000, 2000, 2000, 4000, 4000, 8000, 8000]",
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

impl World {
    async fn start() -> Result<Self> {
        std::fs::create_dir_all(state_folder())?;
        let run = Arc::new(Run::prepare_afresh(State::at(&state_folder())?)?);
        let instances = instances(&[]);
        let options = Options {
            ports: Ports::free(&instances)?,
            instances,
            durability: Durability::ProcessCrashOnly,
            doors: Doors::Everywhere,
            env: hurried(),
            progress: Progress::Silent,
        };
        let platform = Platform::start(run, options).await?;
        let http = Http::new()?;
        let simulator = platform.simulator_url();
        let desk = Desk::new(
            http.clone(),
            platform.ports().public(Service::PaymentGateway),
            platform.ports().public(Service::Settlement),
            format!("{simulator}/issuer"),
        );
        let settlement = platform.ports().public(Service::Settlement);
        let staff = async |person| {
            let token = desk.staff_token(person).await?;
            anyhow::Ok(Staff::new(http.clone(), settlement.clone(), person, token))
        };
        Ok(Self {
            alice: staff(ALICE).await?,
            bob: staff(BOB).await?,
            outside: Outside::new(http.clone(), simulator),
            platform,
            http,
            desk,
        })
    }

    /// A new merchant whose webhooks go to the simulator, at a path of its own.
    pub async fn shop(&self) -> Result<Shop> {
        let name = format!("shop-{}", uuid::Uuid::new_v4().simple());
        let notify_url = format!("{}/hooks/{name}", self.outside.url());
        let merchant = self
            .desk
            .enlist(&name, &format!("{name}@shops.example"), Some(&notify_url))
            .await?;
        self.desk.agree_on_terms(&merchant.merchant_id).await?;
        let token = self.desk.merchant_token(&merchant).await?;
        Ok(Shop::new(
            self.http.clone(),
            self.url(Service::PaymentGateway),
            name,
            merchant,
            token,
        ))
    }

    /// A service's public base URL.
    pub fn url(&self, service: Service) -> String {
        self.platform.ports().public(service)
    }

    /// A service's operations base URL.
    pub fn operations(&self, service: Service) -> String {
        self.platform.ports().http(Endpoint::Operations(service.first()))
    }

    /// A connection to a service's database that no door stands before.
    pub async fn database(&self, service: Service) -> Result<PgPool> {
        Ok(PgPool::connect(&self.platform.backbone().postgres.url(service.database())).await?)
    }

    /// The process of a service.
    pub fn process(&self, service: Service) -> Result<Arc<Process>> {
        self.platform.process(service.first())
    }

    /// Starts a service anew and waits until it is ready.
    pub async fn start_service(&self, service: Service) -> Result<()> {
        self.platform.start_instance(service.first(), &[]).await
    }

    /// Kills a service as `kill -9` does and starts it anew.
    pub async fn kill_and_restart(&self, service: Service) -> Result<()> {
        self.process(service)?.kill().await;
        self.start_service(service).await
    }

    /// Stops a service and starts it anew with this in its environment.
    pub async fn restart_with(&self, service: Service, env: &[(String, String)]) -> Result<()> {
        let grace = std::time::Duration::from_secs(30);
        self.process(service)?.stop(grace).await;
        self.platform.start_instance(service.first(), env).await
    }

    /// Restarts a service such that it dies at the named step, waits until it has died there while `load` runs, and starts
    /// it normally.
    pub async fn crash_at(
        &self,
        service: Service,
        step: &str,
        load: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        self.process(service)?
            .stop(std::time::Duration::from_secs(30))
            .await;
        let env = [("CRASH_AT".to_owned(), step.to_owned())];
        let doomed = self.platform.spawn_instance(service.first(), &env)?;
        // It may die before it is ready, when work from before waits for it.
        let ready = self.platform.wait_for(&doomed).await;
        ensure!(
            ready.is_ok() || !doomed.runs(),
            "{service} neither became ready nor died at {step}"
        );
        load.await?;
        let died = tokio::time::timeout(crate::wait::PATIENCE, doomed.exited()).await;
        ensure!(died.is_ok(), "{service} never came to {step}");
        // A death that was meant.
        doomed.signal(local::process::Signal::KILL);
        self.start_service(service).await
    }

    /// Takes a dependency away for the time of `meanwhile`.
    pub async fn without(
        &self,
        dependency: Dependency,
        meanwhile: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        self.platform.cut(dependency).await?;
        let told = meanwhile.await;
        self.platform.restore(dependency).await?;
        told
    }

    /// Opens all doors, starts what does not run and has everybody outside behave: a story that failed half way must not fail
    /// the next.
    async fn mend(&self) -> Result<()> {
        self.platform.restore(Dependency::Registry).await?;
        for service in Service::ALL {
            self.platform.restore(Dependency::Database(service)).await?;
            let process = self.process(service)?;
            if process.runs() {
                self.platform.wait_for(&process).await?;
            } else {
                self.start_service(service).await?;
            }
        }
        self.outside.reset().await
    }

    /// How many dead letters each group has.
    pub fn dead_letters(&self) -> Result<BTreeMap<String, i64>> {
        schemas::catalogue::GROUPS
            .into_iter()
            .map(|group| {
                let topic = schemas::catalogue::dead_letter_topic(group.name);
                Ok((
                    group.name.to_owned(),
                    topics::count(&self.platform.backbone().kafka, &topic)?,
                ))
            })
            .collect()
    }

    async fn check(&self, before: &BTreeMap<String, i64>, announced: &[(Service, i64)]) -> Result<()> {
        for service in [Service::PaymentGateway, Service::Settlement] {
            self.outbox_is_empty(service).await?;
        }
        let mut expected = before.clone();
        for (service, count) in announced {
            *expected.get_mut(service.name()).context("a group")? += count;
        }
        let now = self.dead_letters()?;
        ensure!(
            now == expected,
            "dead letters: expected {expected:?}, got {now:?}"
        );
        let balance = self.alice.get("/api/v1/trial-balance").await?;
        if balance["balanced"] != true {
            bail!("the ledger does not sum to zero: {balance}");
        }
        Ok(())
    }

    async fn outbox_is_empty(&self, service: Service) -> Result<()> {
        let pool = self.database(service).await?;
        eventually(&format!("the outbox of {service} to be empty"), async || {
            let left: i64 = sqlx::query_scalar(
                "select (select count(*) from eventing.outbox) + (select count(*) from eventing.outbox_blocked)",
            )
            .fetch_one(&pool)
            .await?;
            Ok((left == 0).then_some(()))
        })
        .await
    }
}
