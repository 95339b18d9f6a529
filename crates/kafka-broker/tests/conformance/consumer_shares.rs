//! Groups of the new protocol (KIP-848): which topics a member reads, and which of their partitions.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{CreatePartitionsRequest, DeleteTopicsRequest};

use crate::consumer_groups::{Member, describe, settled, topic_id};
use crate::support::raw::{name, text};
use crate::{Target, unique};

#[tokio::test]
async fn new_topics_and_partitions_are_shared_out() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(1, &[]).await, target.group().await);
    let later = unique("later");
    let mut a = Member::new(&target, &group).await;
    a.join(&[&topic, &later]).await;
    settled(&mut [&mut a], &[1]).await;
    let grown = CreatePartitionsTopic::default()
        .with_name(name(&topic))
        .with_assignments(None)
        .with_count(3);
    let request = CreatePartitionsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![grown]);
    assert_eq!(a.raw.call(3, request).await.results[0].error_code, 0);
    settled(&mut [&mut a], &[3]).await;
    assert_eq!(target.create(&later, 2, &[]).await.error_code, 0);
    settled(&mut [&mut a], &[5]).await;
    let gone = DeleteTopicState::default().with_name(Some(name(&later)));
    let request = DeleteTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![gone]);
    assert_eq!(a.raw.call(6, request).await.responses[0].error_code, 0);
    settled(&mut [&mut a], &[3]).await;
}

#[tokio::test]
async fn a_changed_subscription_changes_the_share() {
    let target = Target::new().await;
    let (t, u) = (target.topic(1, &[]).await, target.topic(2, &[]).await);
    let group = target.group().await;
    let mut a = Member::new(&target, &group).await;
    a.join(&[&t]).await;
    settled(&mut [&mut a], &[1]).await;
    let subscribes = a.beat().with_subscribed_topic_names(Some(vec![name(&u)]));
    assert_eq!(a.send(subscribes).await.error_code, 0);
    assert_eq!(a.count(), 0);
    settled(&mut [&mut a], &[2]).await;
    let subscribes = a.beat().with_subscribed_topic_names(Some(vec![]));
    assert_eq!(a.send(subscribes).await.error_code, 0);
    settled(&mut [&mut a], &[0]).await;
    assert_eq!(
        describe(&mut a.raw, &group).await.group_state.as_str(),
        "Stable"
    );
}

#[tokio::test]
async fn a_regular_expression_subscribes_to_what_it_matches_whole() {
    let target = Target::new().await;
    let (t, group) = (target.topic(2, &[]).await, target.group().await);
    let longer = format!("{t}-more");
    assert_eq!(target.create(&longer, 4, &[]).await.error_code, 0);
    target.ready(&longer, 4).await;
    let (mut a, mut b) = (
        Member::new(&target, &group).await,
        Member::new(&target, &group).await,
    );
    let join = |member: &Member, regex: &str| {
        let join = member.joining(&[]).with_subscribed_topic_names(None);
        join.with_subscribed_topic_regex(Some(text(regex)))
    };
    let id = topic_id(&mut a.raw, &t).await;
    assert_eq!(a.send(join(&a, &t.replace('-', "[-]"))).await.error_code, 0);
    settled(&mut [&mut a], &[2]).await;
    assert!(a.owned.iter().all(|(topic, _)| *topic == id));
    let found = describe(&mut a.raw, &group).await;
    let regex = found.members[0].subscribed_topic_regex.as_ref();
    assert_eq!(
        regex.map(|regex| regex.as_str()),
        Some(t.replace('-', "[-]").as_str())
    );
    assert_eq!(a.leave(-1, None).await, 0);
    assert_eq!(b.send(join(&b, &format!("{t}.*"))).await.error_code, 0);
    settled(&mut [&mut b], &[6]).await;
}

#[tokio::test]
async fn neighbours_come_from_the_range_assignor() {
    let target = Target::new().await;
    let (t, u) = (target.topic(3, &[]).await, target.topic(2, &[]).await);
    let group = target.group().await;
    let (mut a, mut b) = (
        Member::new(&target, &group).await,
        Member::new(&target, &group).await,
    );
    for (member, id) in [(&mut a, "a"), (&mut b, "b")] {
        member.id = id.to_owned();
        let join = member.joining(&[&t, &u]);
        let join = join.with_server_assignor(Some(text("range")));
        assert_eq!(member.send(join).await.error_code, 0);
    }
    settled(&mut [&mut a, &mut b], &[3, 2]).await;
    let (t, u) = (
        topic_id(&mut a.raw, &t).await,
        topic_id(&mut a.raw, &u).await,
    );
    assert_eq!(a.owned, [(t, 0), (t, 1), (u, 0)].into());
    assert_eq!(b.owned, [(t, 2), (u, 1)].into());
    let found = describe(&mut a.raw, &group).await;
    assert_eq!(found.assignor_name.as_str(), "range");
}

#[tokio::test]
async fn a_member_may_read_nothing() {
    let target = Target::new().await;
    let group = target.group().await;
    let mut a = Member::new(&target, &group).await;
    // The second time it joins under an id that is known already.
    for _ in 0..2 {
        a.join(&[]).await;
        assert_eq!((a.epoch, a.count()), (1, 0));
    }
    let mut b = Member::new(&target, &group).await;
    b.join(&[]).await;
    assert_eq!((b.epoch, b.count()), (1, 0));
    let found = describe(&mut a.raw, &group).await;
    assert_eq!(
        (found.group_state.as_str(), found.members.len()),
        ("Stable", 2)
    );
}
