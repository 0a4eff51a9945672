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
    #[expect(
        missing_docs,
        reason = "clap takes the doc of a flattened field for the command's"
    )]
    pub common: Common,
    /// Of this aggregate.
    #[arg(long)]
    pub key: Option<String>,
    /// The most gaps to print, up to 1,000.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
}

/// `accept`
#[derive(Clone, Debug, Args)]
pub struct Accept {
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "clap takes the doc of a flattened field for the command's"
    )]
    pub common: Common,
    /// The aggregate.
    pub key: String,
    /// The domain topic; may be left out where the key has one gap only.
    #[arg(long)]
    pub topic: Option<String>,
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "clap takes the doc of a flattened field for the command's"
    )]
    pub by: By,
}

impl Gaps {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.desk(context)?;
        let gaps = desk.gaps(self.key.as_deref(), self.limit).await?;
        if self.common.json {
            return told::json(&gaps, out);
        }
        told::gaps(&gaps, out)
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
        if self.common.json {
            return told::json(gap, out);
        }
        let (first, last, key) = (gap.first_missing, gap.last_missing, &gap.key);
        writeln!(out, "{key} goes on without {first}–{last}")?;
        Ok(())
    }
}
