//! What HAVING, expressions and different values make of rows, over batches and restarts.

use super::tests::{check, engine_of, inputs, json, options, restore, run};
use super::*;
use crate::options::AggregationOptions;
use expect_test::expect;

fn irreversible(sql: &str) -> AggregationOptions {
    AggregationOptions {
        reversals: false,
        ..options(sql)
    }
}

#[test]
fn a_row_is_published_while_having_is_satisfied_and_deleted_once() {
    check(
        &options(
            "SELECT account, sum(amount) AS total FROM transactions GROUP BY business_day, account \
             HAVING sum(amount) > 5",
        ),
        "t1 ann 3 23T10:00 23T10:00\n\nt2 ann 3 23T10:00 23T10:00\n\nt3 ann -2 23T10:00 23T10:00\n\n\
         t4 ann -2 23T10:00 23T10:00\n\nt5 ann 8 23T10:00 23T10:00",
        &expect![[r#"
            {"v":[1,2],"day":"2026-11-23","deleted":false,"at":[0,2],"account":"ann","total":"6.00"}
            {"v":[1,3],"day":"2026-11-23","deleted":true,"at":[0,3],"account":"ann"}
            {"v":[1,5],"day":"2026-11-23","deleted":false,"at":[0,5],"account":"ann","total":"10.00"}
            2026-11-23: Counts { counted: 5, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 0 }
            rows 1 identities 5
        "#]],
    );
}

#[test]
fn what_a_row_cannot_have_computed_is_null_and_counted() {
    run(async {
        let sql = "SELECT account, 6 / (sum(amount) - 1) AS x FROM transactions GROUP BY business_day, account";
        let mut engine = engine_of(&options(sql), 1).await;
        engine.begin_restore(0);
        let records = [
            json("t1 ann 1 23T10:00 23T10:00"),
            json("t2 bob 5 23T10:00 23T10:00"),
        ];
        let changes = engine
            .process(&inputs(0, 0, &records))
            .await
            .expect("goes on");
        assert_eq!((changes.results.len(), changes.failures), (2, 1));
        assert_eq!(changes.quarantined, []);
        let values = changes
            .results
            .iter()
            .filter_map(|row| row.value.as_deref());
        let mut values: Vec<_> = values.map(String::from_utf8_lossy).collect();
        values.sort();
        expect![[r#"
            {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,1],"account":"ann","x":null}
            {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,1],"account":"bob","x":"1.50"}"#]]
        .assert_eq(&values.join("\n"));
    });
}

/// Of a set only what is new goes to the changelog, and it leaves with its day.
#[test]
fn different_values_are_written_once_and_leave_with_their_day() {
    run(async {
        let sql =
            "SELECT count(DISTINCT account) AS accounts FROM transactions GROUP BY business_day";
        let mut engine = engine_of(&irreversible(sql), 1).await;
        engine.begin_restore(0);
        let mut log: Vec<Published> = engine
            .define(0)
            .map(|(_, entry)| entry)
            .into_iter()
            .collect();
        let mut added = Vec::new();
        for (offset, line) in [
            "t1 ann 1 21T10:00 21T10:00",
            "t2 bob 1 21T10:00 21T10:00",
            "t3 ann 1 21T10:00 21T10:00",
            "t4 ann 1 23T10:00 23T10:00",
        ]
        .into_iter()
        .enumerate()
        {
            let offset = i64::try_from(offset).expect("small");
            let changes = engine
                .process(&inputs(0, offset, &[json(line)]))
                .await
                .expect("processes");
            let entries = changes.changelog.into_iter().map(|(_, entry)| entry);
            let entries: Vec<Published> = entries.collect();
            let of_values = entries.iter().filter(|entry| entry.key[0] == b'v');
            added.push(
                of_values
                    .map(|entry| entry.value.is_some())
                    .collect::<Vec<_>>(),
            );
            log.extend(entries);
            // A restart does not change it.
            assert_eq!(restore(&mut engine, 0, &log), Restored::Current);
        }
        let expected = [vec![true], vec![true], vec![], vec![true, false, false]];
        assert_eq!(added, expected);
        assert_eq!(engine.rows(), 1);
    });
}

#[test]
fn one_different_value_too_many_is_an_error_of_its_record() {
    run(async {
        let sql = "SELECT count(DISTINCT id) AS ids, count(*) AS n FROM transactions GROUP BY business_day";
        let mut engine = engine_of(&irreversible(sql), 1).await;
        engine.begin_restore(0);
        let line = |number: usize| json(&format!("t{number} ann 1 23T10:00 23T10:00"));
        let limit = sql::DISTINCT_VALUES_MAX;
        let all: Vec<String> = (0..limit).map(line).collect();
        let changes = engine
            .process(&inputs(0, 0, &all))
            .await
            .expect("processes");
        assert_eq!(changes.quarantined, []);
        let more = [line(limit)];
        let offset = i64::try_from(limit).expect("small");
        let changes = engine
            .process(&inputs(0, offset, &more))
            .await
            .expect("processes");
        let [(0, _, Reason::NotComputable(reason))] = changes.quarantined.as_slice() else {
            panic!("{:?}", changes.quarantined);
        };
        expect!["the SQL of the aggregation daily_totals: count(DISTINCT) has more than 100000 different values"].assert_eq(reason);
        assert_eq!(changes.results, []);
    });
}

#[test]
fn what_cannot_go_back_is_refused_where_transactions_are_taken_back() {
    let refusal = |what: &str| {
        let sql =
            format!("SELECT account, {what} AS x FROM transactions GROUP BY business_day, account");
        let definition = Definition {
            generation: 1,
            fingerprint: String::new(),
        };
        let engine = run(Engine::new(options(&sql), definition));
        format!("{}\n", report(&engine.expect_err("refused")))
    };
    let text = [
        "min(amount)",
        "max(id)",
        "count(DISTINCT id)",
        "count(*) * max(amount)",
    ]
    .map(refusal);
    expect![[r#"
        the SQL of the aggregation daily_totals: line 1, column 17: min cannot go back when a transaction is taken back; where none ever is, say `reversals = false`
        the SQL of the aggregation daily_totals: line 1, column 17: max cannot go back when a transaction is taken back; where none ever is, say `reversals = false`
        the SQL of the aggregation daily_totals: line 1, column 17: count(DISTINCT ...) cannot go back when a transaction is taken back; where none ever is, say `reversals = false`
        the SQL of the aggregation daily_totals: line 1, column 28: max cannot go back when a transaction is taken back; where none ever is, say `reversals = false`
    "#]].assert_eq(&text.concat());
    check(
        &irreversible(
            "SELECT account, max(amount) AS most FROM transactions GROUP BY business_day, account",
        ),
        "t1 ann 1 23T10:00 23T10:00\nt2 ann -1 23T10:00 23T10:00 t1",
        &expect![[r#"
            {"v":[1,1],"day":"2026-11-23","deleted":false,"at":[0,1],"account":"ann","most":"1.00"}
            quarantined 2: reversal: it takes a transaction back, but `reversals` is false
            2026-11-23: Counts { counted: 1, reversing: 0, duplicate: 0, late_corrected: 0, quarantined: 1 }
            rows 1 identities 1
        "#]],
    );
}

/// Hidden rows are not taken away, for they are not there; shown ones that the new definition hides are.
#[test]
fn a_new_definition_takes_away_what_it_hides() {
    run(async {
        let by = |least: u32| {
            options(&format!(
                "SELECT account, sum(amount) AS total FROM transactions GROUP BY business_day, account \
                 HAVING sum(amount) >= {least}"
            ))
        };
        let records = [
            json("t1 ann 1 23T10:00 23T10:00"),
            json("t2 bob 5 23T10:00 23T10:00"),
            json("t3 cid 9 23T10:00 23T10:00"),
        ];
        let batch = inputs(0, 0, &records);
        let mut old = engine_of(&by(4), 1).await;
        old.begin_restore(0);
        let mut log: Vec<Published> = old.define(0).map(|(_, entry)| entry).into_iter().collect();
        let changes = old.process(&batch).await.expect("processes");
        assert_eq!(changes.results.len(), 2);
        log.extend(changes.changelog.into_iter().map(|(_, entry)| entry));
        let mut new = engine_of(&by(8), 2).await;
        assert_eq!(
            restore(&mut new, 0, &log),
            Restored::Older { generation: 1 }
        );
        let taken = new.begin_rebuild(0).expect("nothing is on disk");
        new.replay(&batch).await.expect("replays");
        let changes = new.end_rebuild(0, &taken).expect("rebuilds");
        let values = changes
            .results
            .iter()
            .filter_map(|row| row.value.as_deref());
        let mut values: Vec<_> = values.map(String::from_utf8_lossy).collect();
        values.sort();
        expect![[r#"
            {"v":[2,1],"day":"2026-11-23","deleted":false,"at":[0,2],"account":"cid","total":"9.00"}
            {"v":[2,1],"day":"2026-11-23","deleted":true,"at":[0,2],"account":"bob"}"#]]
        .assert_eq(&values.join("\n"));
    });
}
