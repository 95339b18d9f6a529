//! Transactions: committing, aborting, fencing, time-outs, offsets inside, and what is refused.

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::InitProducerIdRequest;

use crate::support::raw::{NOBODY, Pid, batch, text};
use crate::{Target, eventually};

#[tokio::test]
async fn a_commit_shows_everything_at_once() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(raw.add(&id, pid, &topic, &[0, 1]).await, 0);
    for partition in 0..2 {
        let sent = raw
            .produce(Some(&id), &topic, partition, batch(pid, 0, true, &["a"]))
            .await;
        assert_eq!(sent, (0, 0));
        assert!(raw.read(&topic, partition, true).await.is_empty());
    }
    assert_eq!(raw.end(&id, pid, true).await, 0);
    for partition in 0..2 {
        eventually(async || {
            let values = target.raw().await.read(&topic, partition, true).await;
            (values == ["a"]).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_end_may_be_asked_for_again_but_not_the_other_one() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(raw.end(&id, pid, true).await, E::InvalidTxnState.code());
    for committed in [true, false] {
        assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
        assert_eq!(raw.end(&id, pid, committed).await, 0);
        assert_eq!(raw.end(&id, pid, committed).await, 0);
        let other = raw.end(&id, pid, !committed).await;
        assert_eq!(other, E::InvalidTxnState.code());
    }
}

#[tokio::test]
async fn an_aborted_transaction_is_hidden_and_its_sequences_count() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(pid, 0, true, &["a"]))
            .await
            .0,
        0
    );
    assert_eq!(raw.end(&id, pid, false).await, 0);
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(pid, 1, true, &["b"]))
            .await,
        (0, 2)
    );
    assert_eq!(raw.end(&id, pid, true).await, 0);
    eventually(async || {
        let values = target.raw().await.read(&topic, 0, true).await;
        (values == ["b"]).then_some(())
    })
    .await;
    assert_eq!(raw.read(&topic, 0, false).await, ["a", "b"]);
}

#[tokio::test]
async fn a_second_init_aborts_and_fences_the_first() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let (id, group) = (target.transactional_id().await, target.group().await);
    let mut raw = target.raw().await;
    let old = raw.init(&id, 60_000).await;
    assert_eq!(raw.add(&id, old, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(old, 0, true, &["old"]))
            .await,
        (0, 0)
    );
    let new = raw.init(&id, 60_000).await;
    assert_eq!(new.id, old.id);
    assert!(new.epoch > old.epoch);
    let fenced = E::ProducerFenced.code();
    assert_eq!(raw.end(&id, old, true).await, fenced);
    assert_eq!(raw.add(&id, old, &topic, &[0]).await, fenced);
    assert_eq!(raw.add_offsets(&id, old, &group).await, fenced);
    let zombie = raw
        .produce(Some(&id), &topic, 0, batch(old, 1, true, &["zombie"]))
        .await;
    assert_eq!(zombie.0, E::InvalidProducerEpoch.code());
    assert_eq!(raw.add(&id, new, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(new, 0, true, &["new"]))
            .await
            .0,
        0
    );
    assert_eq!(raw.end(&id, new, true).await, 0);
    eventually(async || {
        let values = target.raw().await.read(&topic, 0, true).await;
        (values == ["new"]).then_some(())
    })
    .await;
}

fn init(id: &str, timeout_ms: i32, pid: Pid) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(text(id).into()))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(pid.id.into())
        .with_producer_epoch(pid.epoch)
}

#[tokio::test]
async fn an_init_with_the_present_epoch_bumps_it_and_one_with_an_older_is_fenced() {
    let target = Target::new().await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let first = raw.init(&id, 60_000).await;
    let answer = raw.call(4, init(&id, 60_000, first)).await;
    assert_eq!(
        (answer.error_code, answer.producer_epoch),
        (0, first.epoch + 1)
    );
    // The same again: the answer may have been lost.
    let again = raw.call(4, init(&id, 60_000, first)).await;
    assert_eq!(
        (again.error_code, again.producer_epoch),
        (0, first.epoch + 1)
    );
    let second = Pid {
        epoch: first.epoch + 1,
        ..first
    };
    assert_eq!(
        raw.call(4, init(&id, 60_000, second)).await.producer_epoch,
        first.epoch + 2
    );
    let refused = raw.call(4, init(&id, 60_000, first)).await;
    assert_eq!(refused.error_code, E::ProducerFenced.code());
    let refused = raw.call(3, init(&id, 60_000, first)).await;
    assert_eq!(refused.error_code, E::InvalidProducerEpoch.code());
}

#[tokio::test]
async fn an_init_is_refused_with_the_wrong_id_time_out_or_name() {
    let target = Target::new().await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let first = raw.init(&id, 60_000).await;
    let stranger = Pid {
        id: first.id + 1_000_000,
        epoch: 0,
    };
    let refused = raw.call(4, init(&id, 60_000, stranger)).await;
    assert_eq!(refused.error_code, E::ProducerFenced.code());
    for timeout_ms in [0, -1, i32::MAX] {
        let refused = raw.call(4, init(&id, timeout_ms, NOBODY)).await;
        assert_eq!(refused.error_code, E::InvalidTransactionTimeout.code());
    }
    let refused = raw.call(4, init("", 60_000, NOBODY)).await;
    assert_eq!(refused.error_code, E::InvalidRequest.code());
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_aborted_and_fenced() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 200).await;
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(pid, 0, true, &["late"]))
            .await
            .0,
        0
    );
    let seen = eventually(async || {
        let found = target.raw().await.fetch(&topic, 0, 0, true, 100).await;
        (found.last_stable == 2).then_some(found)
    });
    assert_eq!(seen.await.aborted, [(pid.id, 0)]);
    let late = raw
        .produce(Some(&id), &topic, 0, batch(pid, 1, true, &["late"]))
        .await;
    assert_eq!(late.0, E::InvalidProducerEpoch.code());
    assert_eq!(raw.end(&id, pid, true).await, E::ProducerFenced.code());
    // The id itself goes on.
    assert!(raw.init(&id, 60_000).await.epoch > pid.epoch);
}

#[tokio::test]
async fn a_record_of_a_transaction_that_was_not_begun_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 60_000).await;
    let refused = E::InvalidTxnState.code();
    let early = raw
        .produce(Some(&id), &topic, 0, batch(pid, 0, true, &["early"]))
        .await;
    assert_eq!(early.0, refused);
    assert_eq!(raw.add(&id, pid, &topic, &[1]).await, 0);
    let aside = raw
        .produce(Some(&id), &topic, 0, batch(pid, 0, true, &["aside"]))
        .await;
    assert_eq!(aside.0, refused);
    assert_eq!(raw.end(&id, pid, false).await, 0);
    assert!(raw.read(&topic, 0, false).await.is_empty());
}

#[tokio::test]
async fn a_plain_record_of_a_producer_in_a_transaction_is_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(pid, 0, true, &["good"]))
            .await
            .0,
        0
    );
    let mixed = raw
        .produce(None, &topic, 0, batch(pid, 1, false, &["mixed"]))
        .await;
    assert_eq!(mixed.0, E::InvalidTxnState.code());
    assert_eq!(raw.end(&id, pid, true).await, 0);
}

#[tokio::test]
async fn partitions_are_added_all_or_none() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 60_000).await;
    assert_eq!(
        raw.add(&id, pid, &topic, &[0, 9]).await,
        E::OperationNotAttempted.code()
    );
    assert_eq!(
        raw.add(&id, pid, &topic, &[9]).await,
        E::UnknownTopicOrPartition.code()
    );
    let sent = raw
        .produce(Some(&id), &topic, 0, batch(pid, 0, true, &["x"]))
        .await;
    assert_eq!(sent.0, E::InvalidTxnState.code());
    let stranger = Pid {
        id: pid.id + 1_000_000,
        ..pid
    };
    let refused = E::InvalidProducerIdMapping.code();
    assert_eq!(raw.add(&id, stranger, &topic, &[0]).await, refused);
    assert_eq!(raw.end(&id, stranger, true).await, refused);
}

#[tokio::test]
async fn offsets_count_when_their_transaction_commits() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let (id, group) = (target.transactional_id().await, target.group().await);
    let mut raw = target.raw().await;
    raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["a"]))
        .await;
    let pid = raw.init(&id, 60_000).await;
    for (offset, committed, expected) in [(5, false, -1), (7, true, 7), (9, false, 7)] {
        assert_eq!(raw.add_offsets(&id, pid, &group).await, 0);
        assert_eq!(raw.txn_commit(&id, pid, &group, &topic, offset).await, 0);
        let unstable = raw.committed(&group, &topic).await;
        assert_eq!(unstable, (E::UnstableOffsetCommit.code(), -1));
        assert_eq!(raw.end(&id, pid, committed).await, 0);
        eventually(async || {
            let found = target.raw().await.committed(&group, &topic).await;
            (found == (0, expected)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn offsets_of_a_fenced_producer_are_refused() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let (id, group) = (target.transactional_id().await, target.group().await);
    let mut raw = target.raw().await;
    let old = raw.init(&id, 60_000).await;
    assert_eq!(raw.add_offsets(&id, old, &group).await, 0);
    assert_eq!(raw.txn_commit(&id, old, &group, &topic, 5).await, 0);
    let new = raw.init(&id, 60_000).await;
    eventually(async || {
        let found = target.raw().await.committed(&group, &topic).await;
        (found == (0, -1)).then_some(())
    })
    .await;
    assert_eq!(raw.add_offsets(&id, new, &group).await, 0);
    let zombie = raw.txn_commit(&id, old, &group, &topic, 6).await;
    assert_eq!(zombie, E::InvalidProducerEpoch.code());
    assert_eq!(raw.end(&id, new, true).await, 0);
}
