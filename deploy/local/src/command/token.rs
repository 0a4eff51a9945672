//! `token`: a fresh token for trying things out.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::environment::Environment;
use crate::http::Http;
use crate::merchant::{ALICE, BOB, Desk, KnownMerchants};
use crate::state::State;

/// What `token` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Whose.
    #[arg(value_enum)]
    role: Role,
    /// Of which merchant; the demo merchant unless told otherwise. An unknown one is given an API key.
    #[arg(long, value_name = "ID")]
    merchant: Option<String>,
    /// The folder it runs in.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Role {
    /// A merchant.
    Merchant,
    /// Alice, who operates and approves.
    Staff,
    /// Bob, another person with the same roles.
    SecondStaff,
}

impl Arguments {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let state = State::at(&self.state.clone().unwrap_or_else(crate::default_state))?;
        if state.holder().is_none() {
            bail!(
                "nothing runs in {}: start it with deploy/up",
                state.path().display()
            );
        }
        let desk = desk(&state).context("the platform is not ready yet")?;
        let token = match self.role {
            Role::Staff => desk.staff_token(ALICE).await?,
            Role::SecondStaff => desk.staff_token(BOB).await?,
            Role::Merchant => self.merchant_token(&state, &desk).await?,
        };
        println!("{token}");
        Ok(ExitCode::SUCCESS)
    }

    async fn merchant_token(&self, state: &State, desk: &Desk) -> Result<String> {
        let mut known = KnownMerchants::read(state)?;
        let merchant = match &self.merchant {
            None => known.demo().context("there is no demo merchant yet")?.clone(),
            Some(id) => {
                if known.get(id).is_none() {
                    known.add(state, desk.new_key(id).await?)?;
                }
                known.get(id).context("it was just added")?.clone()
            }
        };
        desk.merchant_token(&merchant).await
    }
}

fn desk(state: &State) -> Result<Desk> {
    let environment = Environment::read(state).context("there is no environment file")?;
    let get = |name| {
        environment
            .get(name)
            .map(str::to_owned)
            .with_context(|| format!("the environment file has no {name}"))
    };
    Ok(Desk::new(
        Http::new()?,
        get("GATEWAY_URL")?,
        get("SETTLEMENT_URL")?,
        format!("{}/issuer", get("SIMULATOR_URL")?),
    ))
}
