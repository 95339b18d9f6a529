//! The rules of judging, one by one.

use super::*;

const fn one(number: u128) -> Identity {
    Identity {
        print: number,
        token: number + 1_000,
    }
}

fn claim(batch: BatchId, numbers: &[u128]) -> Claim {
    Claim {
        batch,
        owner: format!("owner-{batch}").into(),
        at_ms: 1,
        identities: numbers.iter().map(|number| one(*number)).collect(),
    }
}

const fn since(position: i64) -> Since {
    Since {
        position,
        moment: 0,
    }
}

fn claimed(log: &mut IdLog, offset: i64, batch: BatchId, numbers: &[u128]) {
    let claim = claim(batch, numbers);
    let done = Vec::new();
    log.apply(offset, Entry::Claim { claim, done });
}

fn done(log: &mut IdLog, offset: i64, batch: BatchId, discarded: &[(BatchId, u128)]) {
    let discarded = discarded.iter().map(|(by, number)| (*by, one(*number)));
    let discarded = discarded.collect();
    log.apply(offset, Entry::Done(vec![Done { batch, discarded }]));
}

fn taken(by: BatchId, number: u128) -> Verdict {
    Verdict::Taken {
        batch: by,
        claimed: one(number),
        proven: true,
    }
}

#[test]
fn an_earlier_claim_counts_when_it_is_committed_and_is_waited_for_until_it_is_decided() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7, 8]);
    claimed(&mut log, 1, 2, &[7]);
    assert_eq!(
        log.judge(&one(7), 1, since(0), &Given::new()),
        Verdict::Undecided(vec![0])
    );
    assert_eq!(
        log.judge(&one(7), 0, since(0), &Given::new()),
        Verdict::Free,
        "its own is not below it"
    );
    assert_eq!(
        log.judge(&one(9), 5, since(0), &Given::new()),
        Verdict::Free
    );
    log.decide(1, true);
    assert_eq!(log.judge(&one(7), 1, since(0), &Given::new()), taken(1, 7));
    // Committed wins over undecided.
    assert_eq!(log.judge(&one(7), 9, since(0), &Given::new()), taken(1, 7));
}

#[test]
fn an_aborted_claim_counts_for_nothing() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7]);
    log.decide(1, false);
    assert_eq!(
        log.judge(&one(7), 9, since(0), &Given::new()),
        Verdict::Free
    );
    assert_eq!((log.identities(), log.low_water()), (0, 1));
}

/// `s`: what had left the queue before this unit of work began, was another message.
#[test]
fn what_had_left_before_the_unit_of_work_began_does_not_count_and_what_left_later_does() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7]);
    done(&mut log, 2, 1, &[]);
    assert_eq!(log.position(), 3);
    assert_eq!(
        log.judge(&one(7), 9, since(3), &Given::new()),
        Verdict::Free
    );
    assert_eq!(log.judge(&one(7), 9, since(2), &Given::new()), taken(1, 7));
    // Kept as long as a unit of work is older.
    log.forget_settled(2);
    assert_eq!(log.judge(&one(7), 9, since(2), &Given::new()), taken(1, 7));
    log.forget_settled(3);
    assert_eq!(log.identities(), 0);
}

#[test]
fn a_message_that_came_again_and_was_discarded_settles_its_claim_message_by_message() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7, 8]);
    log.decide(1, true);
    done(&mut log, 3, 2, &[(1, 7)]);
    assert_eq!(
        log.judge(&one(7), 9, since(4), &Given::new()),
        Verdict::Free
    );
    assert_eq!(log.judge(&one(8), 9, since(4), &Given::new()), taken(1, 8));
    assert_eq!((log.uncertain(), log.low_water()), (1, 0));
    let carried = log.to_carry(9);
    assert_eq!(carried, vec![claim(1, &[8])]);
    done(&mut log, 5, 3, &[(1, 8)]);
    assert_eq!((log.uncertain(), log.low_water()), (0, 6));
}

/// Two messages that nobody can tell apart, in one batch: both have to come again.
#[test]
fn twins_are_settled_when_both_have_left() {
    let twin = Identity { print: 5, token: 0 };
    let mut log = IdLog::new(0);
    let twins = Claim {
        identities: vec![twin, twin],
        ..claim(1, &[])
    };
    log.apply(
        0,
        Entry::Claim {
            claim: twins,
            done: Vec::new(),
        },
    );
    log.decide(1, true);
    let left = |at: i64, log: &mut IdLog| {
        let discarded = vec![(1, twin)];
        log.apply(
            at,
            // Of two units of work.
            Entry::Done(vec![Done {
                batch: 900 + BatchId::from(at.unsigned_abs()),
                discarded,
            }]),
        );
    };
    left(3, &mut log);
    assert!(matches!(
        log.judge(&twin, 9, since(4), &Given::new()),
        Verdict::Taken { .. }
    ));
    left(5, &mut log);
    assert_eq!(log.judge(&twin, 9, since(6), &Given::new()), Verdict::Free);
}

#[test]
fn a_repeated_claim_lets_the_log_be_cut_and_still_counts_where_it_stood() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7]);
    log.decide(1, true);
    claimed(&mut log, 1, 2, &[7]);
    log.decide(2, false);
    log.apply(10, Entry::Carry(claim(1, &[7])));
    assert_eq!(log.low_water(), 10);
    // A claim at 5 must meet it.
    assert_eq!(log.judge(&one(7), 5, since(0), &Given::new()), taken(1, 7));
    // Whoever begins to read there knows it from the repetition.
    let mut late = IdLog::new(10);
    late.apply(10, Entry::Carry(claim(1, &[7])));
    assert_eq!(
        late.judge(&one(7), 11, since(10), &Given::new()),
        taken(1, 7)
    );
}

#[test]
fn committed_readers_show_which_claims_were_aborted() {
    let mut log = IdLog::new(0);
    for offset in 0..4 {
        claimed(&mut log, offset, 1 + offset as u128, &[7]);
    }
    // Up to 3 everything is decided, and 1 alone was seen.
    log.decide_between(0, 3, &HashSet::from([1]));
    assert_eq!(log.judge(&one(7), 9, since(0), &Given::new()), taken(2, 7));
    assert_eq!(
        log.judge(&one(7), 1, since(0), &Given::new()),
        Verdict::Free
    );
    assert_eq!(log.first_undecided(0).map(|first| first.0), Some(3));
}

/// Where tokens or content alone agree, it is taken, but not as proven.
#[test]
fn equal_tokens_and_equal_content_are_told_apart_from_both() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7]);
    log.decide(1, true);
    let other_token = Identity { print: 7, token: 5 };
    let other_content = Identity {
        print: 8,
        token: 1_007,
    };
    for similar in [other_token, other_content] {
        let verdict = log.judge(&similar, 9, since(0), &Given::new());
        let expected = Verdict::Taken {
            batch: 1,
            claimed: one(7),
            proven: false,
        };
        assert_eq!(verdict, expected);
    }
}

/// Known in this process before the log says it.
#[test]
fn what_this_process_took_off_the_queue_is_another_message_than_what_it_gets_later() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7]);
    log.decide(1, true);
    log.left(1, 5);
    let at = |moment| Since {
        position: 1,
        moment,
    };
    assert_eq!(log.judge(&one(7), 9, at(4), &Given::new()), taken(1, 7));
    assert_eq!(log.judge(&one(7), 9, at(6), &Given::new()), Verdict::Free);
}

#[test]
fn twins_that_come_again_under_new_tokens_are_both_taken() {
    let twin = |token| Identity { print: 5, token };
    let mut log = IdLog::new(0);
    let twins = Claim {
        identities: vec![twin(1), twin(2)],
        ..claim(1, &[])
    };
    log.apply(
        0,
        Entry::Claim {
            claim: twins,
            done: Vec::new(),
        },
    );
    log.decide(1, true);
    // Restart: tokens 3 and 4. The first comes alone, is discarded, DONE at 3.
    let Verdict::Taken { batch, claimed, .. } = log.judge(&twin(3), 9, since(1), &Given::new())
    else {
        panic!()
    };
    log.apply(
        3,
        Entry::Done(vec![Done {
            batch: 2,
            discarded: vec![(batch, claimed)],
        }]),
    );
    // The second, got after that.
    let verdict = log.judge(&twin(4), 9, since(4), &Given::new());
    assert!(matches!(verdict, Verdict::Taken { .. }), "{verdict:?}");
}

#[test]
fn twins_that_are_discarded_together_are_settled() {
    let twin = Identity { print: 5, token: 0 };
    let mut log = IdLog::new(0);
    let twins = Claim {
        identities: vec![twin, twin],
        ..claim(1, &[])
    };
    log.apply(
        0,
        Entry::Claim {
            claim: twins,
            done: Vec::new(),
        },
    );
    log.decide(1, true);
    log.apply(
        3,
        Entry::Done(vec![Done {
            batch: 2,
            discarded: vec![(1, twin), (1, twin)],
        }]),
    );
    assert_eq!((log.uncertain(), log.low_water()), (0, 4));
}

#[test]
fn the_same_news_twice_is_one() {
    let twin = Identity { print: 5, token: 0 };
    let mut log = IdLog::new(0);
    let twins = Claim {
        identities: vec![twin, twin],
        ..claim(1, &[])
    };
    log.apply(
        0,
        Entry::Claim {
            claim: twins,
            done: Vec::new(),
        },
    );
    log.decide(1, true);
    for at in [3, 5] {
        log.apply(
            at,
            Entry::Done(vec![Done {
                batch: 2,
                discarded: vec![(1, twin)],
            }]),
        );
    }
    let verdict = log.judge(&twin, 9, since(6), &Given::new());
    assert!(matches!(verdict, Verdict::Taken { .. }), "{verdict:?}");
}

#[test]
fn another_message_may_have_the_token_of_an_old_one() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7]);
    log.decide(1, true);
    let other = Identity {
        print: 99,
        token: 1_007,
    };
    let verdict = log.judge(&other, 9, since(1), &Given::new());
    assert_eq!(verdict, Verdict::Free);
}

#[test]
fn a_claim_that_is_repeated_while_it_is_settled_stays_settled() {
    let mut log = IdLog::new(0);
    claimed(&mut log, 0, 1, &[7]);
    done(&mut log, 2, 1, &[]);
    log.forget_settled(3);
    log.apply(3, Entry::Carry(claim(1, &[7])));
    assert_eq!((log.uncertain(), log.identities()), (0, 0));
}
