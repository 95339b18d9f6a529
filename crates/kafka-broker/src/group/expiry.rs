//! How long the offsets of a group are kept that nobody is in (Kafka's `offsets.retention.minutes`).

use std::collections::BTreeMap;

use super::{Groups, Subscribed};
use crate::state::{GroupOffsets, TopicPartition};

impl Groups {
    /// The offsets that need not be kept any longer, by group: those of groups without members that were committed,
    /// and whose group was first seen without members, at least `retention_ms` before `now_ms` (both milliseconds).
    ///
    /// Nothing of a group with members, and nothing that a transaction is about to replace. What is seen first after a
    /// start counts from then on, whatever was before: a broker that was away for long must not forget what its
    /// clients are about to ask for.
    pub(crate) fn expired_offsets(
        &mut self,
        groups: &BTreeMap<String, GroupOffsets>,
        retention_ms: i64,
        now_ms: i64,
    ) -> Vec<(String, Vec<TopicPartition>)> {
        self.idle_since_ms
            .retain(|name, _| groups.contains_key(name));
        let mut expired = Vec::new();
        for (name, offsets) in groups {
            if self.subscribed(name) != Subscribed::Nobody {
                self.idle_since_ms.remove(name);
                continue;
            }
            let since_ms = self.idle_since_ms.entry(name.clone()).or_insert(now_ms);
            let is_over = |time_ms: i64| {
                let from_ms = time_ms.max(*since_ms);
                now_ms.saturating_sub(from_ms) >= retention_ms
            };
            let is_pending = |id: &TopicPartition| {
                let mut pending = offsets.pending.values();
                pending.any(|offsets| offsets.contains_key(id))
            };
            let over = offsets.committed.iter();
            let over = over.filter(|(id, offset)| is_over(offset.time_ms) && !is_pending(id));
            let over: Vec<_> = over.map(|(id, _)| id.clone()).collect();
            if !over.is_empty() {
                expired.push((name.clone(), over));
            }
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::entry::CommittedOffset;
    use crate::group::tests::{groups, stable};

    fn committed(time_ms: i64) -> CommittedOffset {
        CommittedOffset {
            offset: 1,
            leader_epoch: -1,
            metadata: String::new(),
            time_ms,
        }
    }

    /// Partitions whose offsets of group `g` are over.
    fn expired(
        groups: &mut Groups,
        offsets: &BTreeMap<String, GroupOffsets>,
        now_ms: i64,
    ) -> Vec<i32> {
        let expired = groups.expired_offsets(offsets, 100, now_ms);
        let all = expired.into_iter().flat_map(|(group, partitions)| {
            assert_eq!(group, "g");
            partitions
        });
        all.map(|(_, partition)| partition).collect()
    }

    #[test]
    fn offsets_go_when_nobody_was_there_and_nothing_committed_for_as_long_as_they_are_kept() {
        let mut groups = groups();
        let mut offsets = GroupOffsets::default();
        for (partition, time_ms) in [(0, 0), (1, 1_050), (2, 0)] {
            let id = ("t".to_owned(), partition);
            offsets.committed.insert(id, committed(time_ms));
        }
        let pending = BTreeMap::from([(("t".to_owned(), 2), committed(0))]);
        offsets.pending.insert(7, pending);
        let mut all = BTreeMap::from([("g".to_owned(), offsets)]);
        // First seen at 1000, whenever they were committed.
        assert!(expired(&mut groups, &all, 1_000).is_empty());
        assert!(expired(&mut groups, &all, 1_099).is_empty());
        assert_eq!(expired(&mut groups, &all, 1_100), [0]);
        assert_eq!(expired(&mut groups, &all, 1_149), [0]);
        assert_eq!(expired(&mut groups, &all, 1_150), [0, 1]);
        all.get_mut("g").expect("the group").pending.clear();
        assert_eq!(expired(&mut groups, &all, 1_150), [0, 1, 2]);
        // A clock that goes back expires nothing.
        assert!(expired(&mut groups, &all, 0).is_empty());
    }

    #[test]
    fn offsets_of_a_group_with_members_stay_and_count_anew_when_they_have_gone() {
        let (mut groups, now) = (groups(), Instant::now());
        let mut offsets = GroupOffsets::default();
        offsets.committed.insert(("t".to_owned(), 0), committed(0));
        let all = BTreeMap::from([("g".to_owned(), offsets)]);
        assert!(expired(&mut groups, &all, 1_000).is_empty());
        let member = stable(&mut groups, now);
        assert!(expired(&mut groups, &all, 5_000).is_empty());
        assert_eq!(groups.leave("g", &member, None, now), Ok(()));
        assert!(expired(&mut groups, &all, 5_050).is_empty());
        assert!(expired(&mut groups, &all, 5_149).is_empty());
        assert_eq!(expired(&mut groups, &all, 5_150), [0]);
    }
}
