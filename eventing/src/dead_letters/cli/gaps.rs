//! `gaps` and `accept`: what an ordered group waits for in vain.

use std::io::Write;

use clap::Args;

use super::{By, Common, told};
use crate::dead_letters::{Context, Error};

/// The most gaps of one key: one per topic of the group.
const MAX_OF_KEY: u32 = 100;

/// `gaps`
#[derive(Clone, Debug, Args)]
pub struct Gaps {
    #[command(flatten)]
    common: Common,
    /// Of this aggregate.
    #[arg(long)]
    key: Option<String>,
    /// The most gaps to print, up to 1,000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

/// `accept`
#[derive(Clone, Debug, Args)]
pub struct Accept {
    #[command(flatten)]
    common: Common,
    /// The aggregate.
    key: String,
    /// The domain topic; may be left out where the key has one gap only.
    #[arg(long)]
    topic: Option<String>,
    #[command(flatten)]
    by: By,
}

impl Gaps {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.desk(context)?;
        let gaps = desk.gaps(self.key.as_deref(), self.limit).await?;
        self.common.tell(gaps.as_slice(), out, told::gaps)
    }
}

impl Accept {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.desk(context)?;
        let mut gaps = desk.gaps(Some(&self.key), MAX_OF_KEY).await?;
        gaps.retain(|gap| self.topic.as_ref().is_none_or(|topic| gap.topic == *topic));
        let [gap] = gaps.as_slice() else {
            let (key, group) = (&self.key, &desk.group().name);
            return Err(match gaps.len() {
                0 => Error::NotFound(format!("group {group} waits for nothing of {key}")),
                _ => Error::Refused(format!("{key} has gaps on several topics; name one with --topic")),
            });
        };
        desk.accept(gap, &self.by.decision()?).await?;
        self.common.tell(gap, out, told::accepted)
    }
}
