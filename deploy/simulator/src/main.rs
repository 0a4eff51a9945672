//! The command line: `simulator serve` and `simulator traffic`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use simulator::{ServeSettings, Simulator, TrafficSettings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The outside world of the payments platform.
#[derive(Parser)]
struct Cli {
    /// What to log, to stderr: a level, or `target=level` pairs.
    #[arg(long, env = "SIMULATOR_LOG", default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the PSP, the bank, the token issuer, the mail server and the webhook receivers.
    Serve(ServeSettings),
    /// Pays, refunds and settles like a merchant's shop, until stopped.
    Traffic(TrafficSettings),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.log).context("--log cannot be read")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    match cli.command {
        Command::Serve(settings) => {
            let simulator = Simulator::start(settings).await?;
            let ready = serde_json::json!({ "http": simulator.url(), "smtp": simulator.smtp().to_string() });
            writeln!(std::io::stdout(), "{ready}")?;
            stopped.await;
            simulator.stop().await;
        }
        Command::Traffic(settings) => {
            let stop = CancellationToken::new();
            let traffic = simulator::run_traffic(settings, stop.clone());
            tokio::pin!(traffic);
            tokio::select! {
                ended = traffic.as_mut() => ended?,
                () = stopped => {
                    stop.cancel();
                    traffic.await?;
                }
            }
        }
    }
    Ok(())
}
