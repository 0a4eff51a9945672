//! `up`: starts the platform, shows how to use it, and looks after it until it is asked to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::interrupt::Interrupt;
use super::watch::Watch;
use super::{detach, welcome};
use crate::backbone::{Brokers, Durability};
use crate::doors::Doors;
use crate::environment::Environment;
use crate::http::Http;
use crate::merchant::{Desk, KnownMerchants, Merchant};
use crate::platform::{Options, Phase, Platform};
use crate::ports::{PortChoice, Ports};
use crate::process::Launch;
use crate::processes::Layer;
use crate::progress::Progress;
use crate::run::{Record, Run};
use crate::service::{Replicas, Service, instances};
use crate::state::State;

const TRAFFIC: &str = "traffic";

/// What `up` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Come back to the shell once everything is ready.
    #[arg(long)]
    detach: bool,
    /// No demo payments.
    #[arg(long)]
    no_traffic: bool,
    /// Where databases, topics and logs are kept; `.local` of the checkout by default.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// More than one replica of a service, such as settlement=2. May be repeated.
    #[arg(long, value_name = "SERVICE=N")]
    replicas: Vec<Replicas>,
    /// How many Kafka brokers: 1, or 3 that each keep a copy of every topic, so that one may die.
    #[arg(long, value_name = "1|3", default_value_t)]
    brokers: Brokers,
    /// Another port for something, such as postgresql=25432. May be repeated.
    #[arg(long, value_name = "NAME=PORT")]
    port: Vec<PortChoice>,
    /// The child that stays when `--detach` comes back.
    #[arg(long, hide = true)]
    detached: bool,
}

impl Arguments {
    /// The folder.
    pub(super) fn state(&self) -> Result<State> {
        State::at(&self.state.clone().unwrap_or_else(crate::default_state))
    }

    /// Runs until asked to stop, or starts the child that does.
    pub(super) fn run(self) -> Result<ExitCode> {
        if self.detach && !self.detached {
            return detach::run(&self.state()?);
        }
        if self.detached {
            detach::leave_terminal();
        }
        super::runtime()?.block_on(self.attend())
    }

    async fn attend(self) -> Result<ExitCode> {
        let mut interrupt = Interrupt::listen()?;
        let instances = instances(&self.replicas);
        let ports = Ports::documented(&instances, self.brokers, &self.port)?;
        let run = Arc::new(Run::prepare(self.state()?)?);
        ports.check()?;
        let options = Options {
            instances,
            ports,
            durability: Durability::Full,
            doors: Doors::None,
            env: Vec::new(),
            progress: Progress::Shown,
        };
        let ended = tokio::select! {
            ended = self.start_and_watch(&run, options) => ended,
            () = interrupt.received() => Ok(()),
        };
        if let Err(error) = &ended {
            eprintln!("\n{error:#}");
        }
        println!("\nStopping.");
        run.stop().await;
        Record::remove(&run.state);
        Environment::remove(&run.state);
        Ok(if ended.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    async fn start_and_watch(&self, run: &Arc<Run>, options: Options) -> Result<()> {
        println!("Starting in {}", run.state.path().display());
        let platform = Platform::start(Arc::clone(run), options).await?;
        let step = Progress::Shown.step("demo merchant");
        let desk = Desk::new(
            Http::new()?,
            platform.ports().public(Service::PaymentGateway),
            platform.ports().public(Service::Settlement),
            format!("{}/issuer", platform.simulator_url()),
        );
        let merchant = demo_merchant(&platform, &desk).await?;
        let environment = Environment::of(&platform, &desk, &merchant).await?;
        environment.write(&run.state)?;
        step.done();
        if !self.no_traffic {
            start_traffic(&platform, &merchant)?;
            platform.record(Phase::Ready)?;
        }
        welcome::print(&platform, self.detached);
        Watch::new(&platform).until_broken().await
    }
}

async fn demo_merchant(platform: &Platform, desk: &Desk) -> Result<Merchant> {
    let state = &platform.run().state;
    let mut known = KnownMerchants::read(state)?;
    if let Some(merchant) = known.demo()
        && desk.knows(merchant).await
    {
        return Ok(merchant.clone());
    }
    known.clear();
    let notify_url = format!("{}/hooks/demo", platform.simulator_url());
    let merchant = desk
        .enlist("Demo Store", "store@example.com", Some(&notify_url))
        .await?;
    desk.agree_on_terms(&merchant.merchant_id).await?;
    known.add(state, merchant.clone())?;
    Ok(merchant)
}

fn start_traffic(platform: &Platform, merchant: &Merchant) -> Result<()> {
    let traffic = Launch::new(TRAFFIC, platform.programs().join(crate::platform::SIMULATOR))
        .arg("traffic")
        .env("GATEWAY_URL", platform.ports().public(Service::PaymentGateway))
        .env("SETTLEMENT_URL", platform.ports().public(Service::Settlement))
        .env("SIMULATOR_URL", platform.simulator_url())
        .env("MERCHANT_ID", &merchant.merchant_id)
        .env("API_KEY", &merchant.api_key)
        .env("API_SECRET", &merchant.api_secret);
    let process = platform.run().processes.start(Layer::Traffic, traffic)?;
    if !process.runs() {
        bail!("the demo traffic ended at once: see {}", process.log().display());
    }
    Ok(())
}
