//! How the free workers of a channel are shared among the merchants that have something due.
//!
//! The merchant is the unit of fairness: whoever has ten thousand notices for an endpoint that hangs holds up
//! no more than its own share of workers.

use schemas::MerchantId;

/// How many notices of a merchant to take on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Whose.
    pub merchant_id: MerchantId,
    /// How many, at least one.
    pub room: u32,
}

/// A merchant with something due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Who.
    pub merchant_id: MerchantId,
    /// How many of its notices are being delivered at present.
    pub in_flight: u32,
}

/// Shares `free` workers, none to get more than `per_merchant` in all. One round gives each merchant one worker, in
/// the given order, and rounds go on until the workers or the wishes end.
pub fn shares(free: u32, per_merchant: u32, waiting: &[Waiting]) -> Vec<Share> {
    let mut given: Vec<Share> = waiting
        .iter()
        .map(|it| Share {
            merchant_id: it.merchant_id,
            room: 0,
        })
        .collect();
    let mut left = free;
    for round in 1..=per_merchant {
        for (share, waiting) in given.iter_mut().zip(waiting) {
            if left > 0 && waiting.in_flight.saturating_add(round) <= per_merchant {
                share.room += 1;
                left -= 1;
            }
        }
    }
    given.retain(|share| share.room > 0);
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(in_flight: u32) -> Waiting {
        Waiting {
            merchant_id: MerchantId::generate(),
            in_flight,
        }
    }

    fn rooms(free: u32, per_merchant: u32, waiting: &[Waiting]) -> Vec<u32> {
        shares(free, per_merchant, waiting)
            .iter()
            .map(|share| share.room)
            .collect()
    }

    #[test]
    fn everyone_gets_one_before_anyone_gets_two() {
        let three = [waiting(0), waiting(0), waiting(0)];
        assert_eq!(rooms(2, 4, &three), [1, 1]);
        assert_eq!(rooms(5, 4, &three), [2, 2, 1]);
        assert_eq!(rooms(100, 4, &three), [4, 4, 4]);
    }

    #[test]
    fn what_is_under_way_counts() {
        let two = [waiting(4), waiting(3)];
        let given = shares(10, 4, &two);
        assert_eq!(
            given,
            [Share {
                merchant_id: two[1].merchant_id,
                room: 1
            }]
        );
    }
}
