//! Server-side assignors: which member is to read which partitions. The same input always gives the same output.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::entry::PartitionId;

/// Partitions of a member.
pub(crate) type Assignment = BTreeSet<PartitionId>;

/// How partitions are shared out. Members vote; without votes it is [`Assignor::Uniform`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Assignor {
    /// As many partitions for everybody as there are, and as few moves as that allows.
    Uniform,
    /// Topic by topic neighbouring partitions, so that the same member has the same numbers of all topics.
    Range,
}

/// What the assignors know of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// Topics that it reads. Ids that are not among the topics count for nothing.
    pub(crate) topics: &'a BTreeSet<Uuid>,
    /// Its share so far.
    pub(crate) before: &'a Assignment,
}

impl Assignor {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Uniform, Self::Range]
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The shares of all readers, in their order. `topics` has the number of partitions by topic.
    ///
    /// Every partition that somebody reads is in exactly one share.
    pub(crate) fn assign(
        self,
        readers: &[Reader<'_>],
        topics: &BTreeMap<Uuid, i32>,
    ) -> Vec<Assignment> {
        match self {
            Self::Uniform => Plan::new(readers, topics).shares(),
            Self::Range => range(readers, topics),
        }
    }
}

/// A topic while it is shared out, members by their index.
struct TopicPlan {
    id: Uuid,
    readers: Vec<usize>,
    owners: Vec<Option<usize>>,
}

/// The uniform assignor at work.
struct Plan {
    /// Partitions of each member.
    loads: Vec<usize>,
    topics: Vec<TopicPlan>,
}

impl Plan {
    /// Everybody keeps what may be kept, the rest goes to whoever has least, and then from those who have most.
    fn new(readers: &[Reader<'_>], topics: &BTreeMap<Uuid, i32>) -> Self {
        let topics = topics.iter().map(|(id, partitions)| {
            let subscribed = readers.iter().enumerate();
            let subscribed = subscribed.filter(|(_, reader)| reader.topics.contains(id));
            TopicPlan {
                id: *id,
                readers: subscribed.map(|(index, _)| index).collect(),
                owners: vec![None; usize::try_from(*partitions).unwrap_or(0)],
            }
        });
        let mut plan = Self {
            loads: vec![0; readers.len()],
            topics: topics.filter(|topic| !topic.readers.is_empty()).collect(),
        };
        plan.keep(readers);
        // Topics with few readers first: they have the least choice.
        plan.topics.sort_by_key(|topic| topic.readers.len());
        plan.fill();
        plan.level();
        plan
    }

    fn keep(&mut self, readers: &[Reader<'_>]) {
        for topic in &mut self.topics {
            for index in &topic.readers {
                let all = PartitionId {
                    topic: topic.id,
                    partition: 0,
                }..=PartitionId {
                    topic: topic.id,
                    partition: i32::MAX,
                };
                for id in readers[*index].before.range(all) {
                    let slot = usize::try_from(id.partition).ok();
                    let slot = slot.and_then(|partition| topic.owners.get_mut(partition));
                    if let Some(owner @ None) = slot {
                        *owner = Some(*index);
                        self.loads[*index] += 1;
                    }
                }
            }
        }
    }

    fn fill(&mut self) {
        let loads = &mut self.loads;
        for topic in &mut self.topics {
            for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
                let least = topic.readers.iter().min_by_key(|index| loads[**index]);
                if let Some(index) = least {
                    *owner = Some(*index);
                    loads[*index] += 1;
                }
            }
        }
    }

    /// Moves single partitions as long as that makes two shares more alike. Ends, because each move makes the sum of
    /// the squares of the loads smaller.
    fn level(&mut self) {
        loop {
            let mut moved = false;
            for topic in 0..self.topics.len() {
                while self.level_topic(topic) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn level_topic(&mut self, topic: usize) -> bool {
        let (topic, loads) = (&mut self.topics[topic], &mut self.loads);
        let owned = topic.owners.iter_mut().filter_map(|owner| {
            let index = (*owner)?;
            Some((owner, index))
        });
        let most = owned.max_by_key(|(_, index)| loads[*index]);
        let least = topic.readers.iter().min_by_key(|index| loads[**index]);
        match (most, least) {
            (Some((owner, from)), Some(to)) if loads[from] > loads[*to] + 1 => {
                *owner = Some(*to);
                loads[from] -= 1;
                loads[*to] += 1;
                true
            }
            _ => false,
        }
    }

    fn shares(self) -> Vec<Assignment> {
        let mut shares = vec![Assignment::new(); self.loads.len()];
        for topic in self.topics {
            for (partition, owner) in (0..).zip(topic.owners) {
                if let Some(index) = owner {
                    let topic = topic.id;
                    shares[index].insert(PartitionId { topic, partition });
                }
            }
        }
        shares
    }
}

/// Static members first, by instance id, then the others by member id: so the order outlives a restart of a member.
fn range(readers: &[Reader<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Assignment> {
    let mut order: Vec<usize> = (0..readers.len()).collect();
    order.sort_by_key(|index| {
        let reader = &readers[*index];
        (
            Reverse(reader.instance_id.is_some()),
            reader.instance_id,
            reader.id,
        )
    });
    let mut shares = vec![Assignment::new(); readers.len()];
    for (id, partitions) in topics {
        let reads = |index: &&usize| readers[**index].topics.contains(id);
        let mut left = order.iter().filter(reads).count();
        let (mut next, end) = (0, *partitions);
        for index in order.iter().filter(reads) {
            let open = end - next;
            // The first ones have one more when it does not come out even.
            let quota = open / left as i32 + i32::from(open % left as i32 > 0);
            left -= 1;
            let share = (next..next + quota).map(|partition| PartitionId {
                topic: *id,
                partition,
            });
            shares[*index].extend(share);
            next += quota;
        }
    }
    shares
}
