//! What the nemesis will do, and when: a function of the seed alone.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use local::backbone::{Broker, Brokers};

use super::random::Random;

/// One of the processes that are under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Child {
    /// Writers with a relay.
    Writer(u8),
    /// A member of the ordered group.
    Ordered(u8),
    /// A member of the unordered group.
    Unordered(u8),
}

impl Child {
    /// Two of each.
    pub const ALL: [Self; 6] = [
        Self::Writer(1),
        Self::Writer(2),
        Self::Ordered(1),
        Self::Ordered(2),
        Self::Unordered(1),
        Self::Unordered(2),
    ];
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writer(number) => write!(f, "writer-{number}"),
            Self::Ordered(number) => write!(f, "ordered-{number}"),
            Self::Unordered(number) => write!(f, "unordered-{number}"),
        }
    }
}

/// A way that can be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// A process and PostgreSQL.
    Database(Child),
    /// All processes and a broker.
    Kafka(Broker),
    /// All processes and the registry.
    Registry,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(child) => write!(f, "between {child} and PostgreSQL"),
            Self::Kafka(broker) => write!(f, "between the processes and {broker}"),
            Self::Registry => f.write_str("between the processes and the registry"),
        }
    }
}

/// Something bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// A process is killed, and started again afterwards.
    Kill(Child),
    /// A process stands still.
    Pause(Child),
    /// A process is asked to stop, and started again afterwards.
    Stop(Child),
    /// A broker is killed.
    KillBroker(Broker),
    /// A broker stands still.
    PauseBroker(Broker),
    /// PostgreSQL is killed.
    KillDatabase,
    /// The registry is killed.
    KillRegistry,
    /// Connections end, and no new one comes about.
    Cut(Link),
    /// Every piece takes a while.
    Slow(Link, Duration),
    /// Nothing passes, and nobody is told.
    Stall(Link),
}

/// What is harmed: a second harm waits until the first one is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A process.
    Child(Child),
    /// All brokers together, because two of three must stay.
    Cluster,
    /// PostgreSQL.
    Database,
    /// The registry.
    Registry,
    /// A way.
    Link(Link),
}

impl Harm {
    /// What it harms.
    pub fn target(self) -> Target {
        match self {
            Self::Kill(child) | Self::Pause(child) | Self::Stop(child) => Target::Child(child),
            Self::KillBroker(_) | Self::PauseBroker(_) => Target::Cluster,
            Self::KillDatabase => Target::Database,
            Self::KillRegistry => Target::Registry,
            Self::Cut(link) | Self::Slow(link, _) | Self::Stall(link) => Target::Link(link),
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(child) => write!(f, "kill -9 {child}"),
            Self::Pause(child) => write!(f, "pause {child}"),
            Self::Stop(child) => write!(f, "stop {child}"),
            Self::KillBroker(broker) => write!(f, "kill -9 {broker}"),
            Self::PauseBroker(broker) => write!(f, "pause {broker}"),
            Self::KillDatabase => f.write_str("kill -9 PostgreSQL"),
            Self::KillRegistry => f.write_str("kill -9 the registry"),
            Self::Cut(link) => write!(f, "cut {link}"),
            Self::Slow(link, by) => write!(f, "delay {link} by {} ms", by.as_millis()),
            Self::Stall(link) => write!(f, "lose everything {link}"),
        }
    }
}

/// A harm with its time.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// When it begins, since the nemesis began.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub harm: Harm,
}

/// Between two harms, at most.
const MAX_GAP_MS: u64 = 4_000;
/// What was harmed is left alone for so long afterwards: a broker, a database and a registry have to come back first.
const REST: Duration = Duration::from_secs(20);
const REST_OF_A_PROCESS: Duration = Duration::from_secs(3);

/// The harms of a run of this length.
pub fn schedule(seed: u64, length: Duration, brokers: Brokers) -> Vec<Step> {
    let mut random = Random::named(seed, "nemesis");
    let mut steps = Vec::new();
    let mut busy: BTreeMap<Target, Duration> = BTreeMap::new();
    let mut at = Duration::from_secs(3);
    while at < length {
        let harm = harm(&mut random, brokers);
        let lasts = Duration::from_millis(lasting_ms(harm, &mut random));
        let target = harm.target();
        if busy.get(&target).is_none_or(|until| *until <= at) {
            let rest = match target {
                Target::Child(_) | Target::Link(_) => REST_OF_A_PROCESS,
                Target::Cluster | Target::Database | Target::Registry => REST,
            };
            busy.insert(target, at + lasts + rest);
            steps.push(Step { at, lasts, harm });
            at += Duration::from_millis(random.between(300, MAX_GAP_MS));
        }
    }
    steps
}

fn harm(random: &mut Random, brokers: Brokers) -> Harm {
    let child = random.pick(&Child::ALL);
    let each: Vec<Broker> = brokers.each().collect();
    let broker = random.pick(&each);
    let link = match random.below(10) {
        0..6 => Link::Database(child),
        6..9 => Link::Kafka(broker),
        _ => Link::Registry,
    };
    let delay = Duration::from_millis(random.between(20, 400));
    match random.below(20) {
        0..5 => Harm::Kill(child),
        5..9 => Harm::Pause(child),
        9..11 => Harm::Stop(child),
        11 => Harm::KillBroker(broker),
        12 => Harm::PauseBroker(broker),
        13 => Harm::KillDatabase,
        14 => Harm::KillRegistry,
        15..17 => Harm::Cut(link),
        17 => Harm::Slow(link, delay),
        _ => Harm::Stall(link),
    }
}

fn lasting_ms(harm: Harm, random: &mut Random) -> u64 {
    match harm {
        Harm::Kill(_) | Harm::Stop(_) => random.between(0, 4_000),
        Harm::KillBroker(_) | Harm::KillDatabase | Harm::KillRegistry => random.between(0, 8_000),
        // Beyond the lease of a lane, and beyond a broker's patience with a member of a group.
        Harm::Pause(_) | Harm::PauseBroker(_) | Harm::Cut(_) | Harm::Slow(..) | Harm::Stall(_) => {
            random.between(200, 14_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn the_same_seed_makes_the_same_schedule_and_another_one_another() {
        let texts = |seed| {
            let steps = schedule(seed, HOUR, Brokers::Three);
            steps.iter().map(|step| format!("{step:?}")).collect::<Vec<_>>()
        };
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
    }

    #[test]
    fn an_hour_has_every_harm_and_never_two_brokers_at_once() {
        let steps = schedule(7, HOUR, Brokers::Three);
        for harm in [Harm::KillDatabase, Harm::KillRegistry] {
            assert!(steps.iter().any(|step| step.harm == harm), "{harm}");
        }
        let mut free_at = Duration::ZERO;
        let on_brokers: Vec<&Step> = steps
            .iter()
            .filter(|step| step.harm.target() == Target::Cluster)
            .collect();
        assert!(on_brokers.len() > 20);
        for step in on_brokers {
            assert!(step.at >= free_at);
            free_at = step.at + step.lasts + REST;
        }
    }
}
