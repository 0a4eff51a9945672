//! How a group's work is spread over its members.

use std::collections::BTreeSet;

use eventing::consumer::ConsumerGroup;
use schemas::catalogue::{PAYMENTS, SETTLEMENTS, WITHDRAWALS};

use super::script::Script;
use super::stage::{Joined, Member, Stage, TIERS};
use crate::support::{broker, eventually};

/// What Kafka's assignor does with clients that read all topics: to one that comes later it gives the topics whose names are first.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_later_gets_its_part_of_every_topic_and_of_the_tiers() {
    let topics = [PAYMENTS.name, SETTLEMENTS.name, WITHDRAWALS.name];
    let mut group = Group {
        stage: Stage::new(ConsumerGroup::unordered("notifier", topics).tiers(TIERS)).await,
        members: Vec::new(),
    };
    group.start();
    group.until_spread("the first one has all").await;
    group.start();
    group.until_spread("the second one has half").await;
    group.start();
    group.until_spread("the third one has a third").await;

    group.stop_first().await;
    group.until_spread("those that stay share what is left").await;
    group.start();
    group
        .until_spread("the one that comes in its place has a third")
        .await;
    group.stop_first().await;
    group.stop_first().await;
    group.until_spread("the last one has all again").await;
    let joined = group.stage.joined().await.into_iter();
    let mut called: Vec<String> = joined.map(|client| client.client_id).collect();
    called.sort_unstable();
    let expected = [
        "notifier-payments.payment.v1",
        "notifier-retry",
        "notifier-settlements.settlement.v1",
        "notifier-settlements.withdrawal.v1",
    ];
    assert_eq!(called, expected, "operators can tell them apart");
    while !group.members.is_empty() {
        group.stop_first().await;
    }
}

struct Group {
    stage: Stage,
    /// Its members, and the names that their clients have at the broker.
    members: Vec<(Member, BTreeSet<String>)>,
}

impl Group {
    fn start(&mut self) {
        let member = self.stage.start(Script::by_unique_key());
        self.members.push((member, BTreeSet::new()));
    }

    async fn stop_first(&mut self) {
        let (member, _) = self.members.remove(0);
        member.stop().await;
    }

    /// Waits until each member has as much of each domain topic as any other one, and of the tiers.
    async fn until_spread(&mut self, what: &str) {
        let (_, known) = self.members.split_last().unwrap();
        let known: Vec<_> = known.iter().map(|(_, ids)| ids.clone()).collect();
        let joined = async || {
            let mut clients: Vec<Vec<Joined>> = known.iter().map(|_| Vec::new()).collect();
            let mut of_last = Vec::new();
            for client in self.stage.joined().await {
                let owner = known.iter().position(|ids| ids.contains(&client.id));
                match owner.and_then(|owner| clients.get_mut(owner)) {
                    Some(clients) => clients.push(client),
                    None => of_last.push(client),
                }
            }
            clients.push(of_last);
            clients
        };
        eventually(what, async || self.is_spread(&joined().await)).await;
        for ((_, ids), clients) in self.members.iter_mut().zip(joined().await) {
            *ids = clients.into_iter().map(|client| client.id).collect();
        }
    }

    fn is_spread(&self, members: &[Vec<Joined>]) -> bool {
        let group = &self.stage.group;
        let is_even = |topics: &[String]| {
            let topics = topics.iter().map(|topic| self.stage.kafka.topic(topic));
            let topics: Vec<_> = topics.collect();
            let count = |clients: &Vec<Joined>| {
                let partitions = clients.iter().flat_map(|client| &client.partitions);
                partitions
                    .filter(|(topic, _)| topics.iter().any(|one| one == topic))
                    .count()
            };
            let counts: Vec<usize> = members.iter().map(count).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            most - least <= 1 && counts.iter().sum::<usize>() == topics.len() * broker::PARTITION_COUNT
        };
        let tiers: Vec<String> = (1..)
            .take(group.tiers.len())
            .map(|tier| group.retry_topic(tier))
            .collect();
        let domain = group.topics.iter().map(std::slice::from_ref);
        domain.chain([tiers.as_slice()]).all(is_even)
    }
}
