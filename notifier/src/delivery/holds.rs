//! What a dispatcher leaves alone for a while: a merchant whose endpoint is in trouble, or the whole channel.
//!
//! A hold is kept in memory only. It saves work; nothing is wrong when a restart forgets it.

use std::collections::HashMap;

use jiff::Timestamp;
use schemas::MerchantId;
use uuid::Uuid;

/// What is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// One merchant's notices.
    Merchant(MerchantId),
    /// Everything on the channel.
    Channel,
}

/// Something to be left alone until a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) scope: Scope,
    pub(super) until: Timestamp,
}

/// The present holds of one channel.
#[derive(Debug, Default)]
pub(super) struct Holds {
    channel_until: Option<Timestamp>,
    merchants: HashMap<MerchantId, Timestamp>,
}

impl Holds {
    /// Adds a hold; of two on the same scope the later end counts.
    pub(super) fn add(&mut self, hold: Hold) {
        match hold.scope {
            Scope::Channel => self.channel_until = self.channel_until.max(Some(hold.until)),
            Scope::Merchant(merchant_id) => {
                let until = self.merchants.entry(merchant_id).or_insert(hold.until);
                *until = hold.until.max(*until);
            }
        }
    }

    /// Until when the whole channel is left alone.
    pub(super) fn channel_until(&self) -> Option<Timestamp> {
        self.channel_until
    }

    /// Forgets what is over, and tells whose notices to leave alone.
    pub(super) fn merchants_at(&mut self, now: Timestamp) -> impl Iterator<Item = Uuid> {
        self.channel_until = self.channel_until.filter(|until| *until > now);
        self.merchants.retain(|_, until| *until > now);
        self.merchants.keys().map(|merchant_id| merchant_id.uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_hold_ends_by_itself_and_a_shorter_one_does_not_end_it() {
        let merchant_id = MerchantId::generate();
        let hold = |second| Hold {
            scope: Scope::Merchant(merchant_id),
            until: at(second),
        };
        let mut holds = Holds::default();
        holds.add(hold(30));
        holds.add(hold(10));
        assert_eq!(
            holds.merchants_at(at(29)).collect::<Vec<_>>(),
            [merchant_id.uuid()]
        );
        assert_eq!(holds.merchants_at(at(30)).count(), 0);
    }
}
