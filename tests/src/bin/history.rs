//! The history checker: `cargo run -p system-tests --bin history -- --seed 7 --minutes 5 --brokers 3`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use eventing::Clock;
use eventing::dead_letters::Context;
use eventing::dead_letters::cli::Command as DeadLetters;
use local::backbone::Brokers;
use system_tests::history::model::Kind;
use system_tests::history::settings::Settings;
use system_tests::history::stage::Demand;
use system_tests::history::{consumer, drive, writer, wrong};
use tokio_util::sync::CancellationToken;

/// Writes, breaks things, heals them, and checks that every promise of the event backbone was kept.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// What decides the harms and the failures; from the clock when it is left out. It is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How long things are harmed; then they heal, which takes a minute or so.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// How many Kafka brokers: 1 or 3.
    #[arg(long, default_value = "3")]
    brokers: Brokers,
    /// Where it keeps its files and logs; what is there is erased.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Does no harm, but lets what an earlier run has left in its folder heal, and judges that. It needs that run's seed.
    #[arg(long, requires = "seed", conflicts_with = "minutes")]
    resume: bool,
    /// A mistake to make on purpose: it has to be found.
    #[arg(long, hide = true, value_parser = wrong::ALL)]
    wrong: Option<String>,
}

/// The parts that it starts as processes of their own.
#[derive(Debug, clap::Subcommand)]
#[command(hide = true)]
enum Part {
    /// Writers, and a relay.
    WriterRelay,
    /// A member of a group.
    Consumer {
        /// Which group.
        group: Group,
    },
    /// What operators have.
    DeadLetters {
        /// Which group.
        group: Group,
        #[command(subcommand)]
        command: Box<DeadLetters>,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Group {
    /// In order per aggregate.
    Ordered,
    /// As it comes.
    Unordered,
}

impl From<Group> for Kind {
    fn from(group: Group) -> Self {
        match group {
            Group::Ordered => Self::Ordered,
            Group::Unordered => Self::Unordered,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The run itself tells what it does; its processes have logs.
    if arguments.part.is_some() {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .init();
    }
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    match arguments.part {
        None => judge(arguments).await,
        Some(Part::WriterRelay) => writer::run(Settings::from_environment()?, at_sigterm()?).await,
        Some(Part::Consumer { group }) => {
            consumer::run(Settings::from_environment()?, group.into(), at_sigterm()?).await
        }
        Some(Part::DeadLetters { group, command }) => {
            let resources = consumer::resources(&Settings::from_environment()?)?;
            let context = Context {
                groups: &[consumer::group(group.into())],
                resources: &resources,
                rehearsals: &[],
            };
            Ok(command.run(&context, &mut std::io::stdout()).await?)
        }
    }
}

async fn judge(arguments: Arguments) -> Result<()> {
    let seed = arguments
        .seed
        .unwrap_or_else(|| Clock::system().now().as_microsecond().cast_unsigned());
    let folder = arguments
        .state
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/history"));
    let demand = Demand {
        seed,
        length: Duration::from_mins(if arguments.resume { 0 } else { arguments.minutes }),
        brokers: arguments.brokers,
        folder,
        wrong: arguments.wrong,
        resumes: arguments.resume,
    };
    drive::run(&demand).await
}

/// Cancelled when the process is asked to stop.
fn at_sigterm() -> Result<CancellationToken> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the process")]
    tokio::spawn(async move {
        terminate.recv().await;
        stop.cancel();
    });
    Ok(token)
}
