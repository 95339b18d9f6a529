//! SQL and records in, groups or a refusal out.

use expect_test::{Expect, expect};

use types::Amount;

use super::*;
use crate::batch::InputKind;

fn columns() -> Vec<InputColumn> {
    vec![
        InputColumn::new("id", InputKind::Text),
        InputColumn::new("account", InputKind::Text),
        InputColumn::new("currency", InputKind::Text),
        InputColumn::new("amount", InputKind::Amount),
        InputColumn::new("booked_at", InputKind::Timestamp),
        InputColumn::new("business_day", InputKind::Date),
    ]
}

const RECORDS: &[(&str, &str, &str, &str, i32)] = &[
    ("t1", "ann", "EUR", "1.50", 20_000),
    ("t2", "bob", "EUR", "2", 20_000),
    ("t3", "ann", "EUR", "-0.25", 20_000),
    ("t4", "ann", "JPY", "100", 20_001),
];

fn fill(plan: &AggregationPlan, batch: &mut InputBatch) {
    for (id, account, currency, amount, day) in RECORDS {
        for (index, column) in plan.columns().iter().enumerate() {
            match column.name.as_str() {
                "id" => batch.push_text(index, Some(id)),
                "account" => batch.push_text(index, Some(account)),
                "currency" => batch.push_text(index, Some(currency)),
                "amount" => {
                    batch.push_amount(index, Some(Amount::parse(amount).expect("an amount")));
                }
                "booked_at" => {
                    batch.push_timestamp(index, Some(i64::from(*day) * 86_400_000_000));
                }
                _ => batch.push_date(index, Some(*day)),
            }
        }
        batch.end_record();
    }
}

async fn outcome(sql: &str) -> String {
    let mut plan = match AggregationPlan::compile(sql, &columns()).await {
        Ok(plan) => plan,
        Err(error) => return format!("{error}\n"),
    };
    let mut text = format!("keys {}, outputs ", plan.keys().join(" "));
    for output in plan.outputs() {
        text += &format!("{}={:?} ", output.name, output.source);
    }
    text += "\n";
    // Twice: the second batch must not see anything of the first.
    let mut lines = Vec::new();
    for _ in 0..2 {
        lines.clear();
        let mut batch = plan.new_batch();
        fill(&plan, &mut batch);
        let run = plan.run(&mut batch, |group| {
            let key: Vec<_> = group
                .key
                .iter()
                .map(|part| part.unwrap_or("null"))
                .collect();
            lines.push(format!(
                "{} rows={} {:?}\n",
                key.join(" "),
                group.rows,
                group.values
            ));
        });
        run.await.expect("runs");
        lines.sort();
    }
    text + &lines.concat()
}

#[track_caller]
fn check(sql: &str, expected: &Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    expected.assert_eq(&runtime.block_on(outcome(sql)));
}

#[test]
fn the_sum_by_account_and_currency() {
    check(
        "SELECT account, currency, sum(amount) AS total, count(*) AS transactions
         FROM transactions GROUP BY business_day, account, currency",
        &expect![[r#"
            keys business_day account currency, outputs account=Key(1) currency=Key(2) total=Value(0) transactions=Value(1) 
            2024-10-04 ann EUR rows=2 [Sum(Some(Amount(125000))), Count(2)]
            2024-10-04 bob EUR rows=1 [Sum(Some(Amount(200000))), Count(1)]
            2024-10-05 ann JPY rows=1 [Sum(Some(Amount(10000000))), Count(1)]
        "#]],
    );
}

#[test]
fn several_functions_filters_and_conditions() {
    check(
        "SELECT account, min(amount) AS low, max(id) AS last, avg(amount) AS mean,
                sum(amount) FILTER (WHERE amount > 0) AS credits
         FROM transactions WHERE currency = 'EUR' GROUP BY account, business_day",
        &expect![[r#"
            keys business_day account, outputs account=Key(1) low=Value(0) last=Value(1) mean=Value(2) credits=Value(3) 
            2024-10-04 ann rows=2 [Min(Some(Decimal(Amount(-25000)))), Max(Some(Text("t3"))), Avg(Some(Amount(125000)), 2), Sum(Some(Amount(150000)))]
            2024-10-04 bob rows=1 [Min(Some(Decimal(Amount(200000)))), Max(Some(Text("t2"))), Avg(Some(Amount(200000)), 1), Sum(Some(Amount(200000)))]
        "#]],
    );
}

#[test]
fn different_values_are_kept_themselves() {
    check(
        "SELECT currency, count(DISTINCT account) AS accounts,
                count(DISTINCT amount) FILTER (WHERE amount > 1.75) AS amounts
         FROM transactions GROUP BY business_day, currency",
        &expect![[r#"
            keys business_day currency, outputs currency=Key(1) accounts=Value(0) amounts=Value(1) 
            2024-10-04 EUR rows=3 [Distinct({Text("ann"), Text("bob")}), Distinct({Decimal(Amount(200000))})]
            2024-10-05 JPY rows=1 [Distinct({Text("ann")}), Distinct({Decimal(Amount(10000000))})]
        "#]],
    );
}

#[test]
fn keys_may_be_expressions() {
    check(
        "SELECT upper(account) AS who, amount > 0 AS credit, sum(amount) AS total
         FROM transactions GROUP BY business_day, upper(account), amount > 0",
        &expect![[r#"
            keys business_day who credit, outputs who=Key(1) credit=Key(2) total=Value(0) 
            2024-10-04 ANN false rows=1 [Sum(Some(Amount(-25000)))]
            2024-10-04 ANN true rows=1 [Sum(Some(Amount(150000)))]
            2024-10-04 BOB true rows=1 [Sum(Some(Amount(200000)))]
            2024-10-05 ANN true rows=1 [Sum(Some(Amount(10000000)))]
        "#]],
    );
}

/// Each group with what HAVING and the expressions make of it.
async fn finished(sql: &str) -> String {
    let mut plan = match AggregationPlan::compile(sql, &columns()).await {
        Ok(plan) => plan,
        Err(error) => return format!("{error}\n"),
    };
    let mut batch = plan.new_batch();
    fill(&plan, &mut batch);
    let mut rows = Vec::new();
    let run = plan.run(&mut batch, |group| {
        let key: Vec<Option<String>> = group
            .key
            .iter()
            .map(|part| part.map(str::to_owned))
            .collect();
        rows.push((key, group.values.to_vec()));
    });
    run.await.expect("runs");
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let keys: Vec<Vec<Option<&str>>> = rows
        .iter()
        .map(|(key, _)| key.iter().map(Option::as_deref).collect())
        .collect();
    let folded: Vec<FoldedRow<'_>> = keys
        .iter()
        .zip(&rows)
        .map(|(key, (_, values))| FoldedRow { key, values })
        .collect();
    let finished = plan.finish(&folded);
    let mut text = String::new();
    for (row, key) in keys.iter().enumerate() {
        let key: Vec<&str> = key.iter().map(|part| part.unwrap_or("null")).collect();
        let values = finished.computed.iter().map(|column| match &column[row] {
            None => "null".to_owned(),
            Some(crate::Scalar::Decimal(amount)) => amount.to_string(),
            Some(other) => format!("{other:?}"),
        });
        let values: Vec<String> = values.collect();
        let hidden = if finished.visible[row] { "" } else { " hidden" };
        text += &format!("{}: {}{hidden}\n", key.join(" "), values.join(", "));
    }
    if let Some(failure) = finished.failure {
        text += &format!("{} failed: {failure}\n", finished.failures);
    }
    text
}

#[track_caller]
fn check_finished(sql: &str, expected: &Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    expected.assert_eq(&runtime.block_on(finished(sql)));
}

#[test]
fn expressions_over_folded_values_are_exact() {
    check_finished(
        "SELECT account || '/' || currency AS who, sum(amount) / count(*) AS mean, sum(amount) * 100 AS cents,
                max(amount) - min(amount) AS spread, round(sum(amount), 1) AS near, abs(min(amount)) AS size,
                coalesce(sum(amount) FILTER (WHERE amount < 0), 0) AS debits,
                CASE WHEN sum(amount) > 1.25 THEN 'more' ELSE 'less' END AS verdict,
                CAST(avg(amount) AS BIGINT) + count(*) * 2 AS whole, avg(length(account)) / 7 AS part
         FROM transactions GROUP BY business_day, account, currency",
        &expect![[r#"
            2024-10-04 ann EUR: Text("ann/EUR"), 0.625, 125.00, 1.75, 1.30, 0.25, -0.25, Text("less"), Int(4), 0.42857
            2024-10-04 bob EUR: Text("bob/EUR"), 2.00, 200.00, 0.00, 2.00, 2.00, 0.00, Text("more"), Int(4), 0.42857
            2024-10-05 ann JPY: Text("ann/JPY"), 100.00, 10000.00, 0.00, 100.00, 100.00, 0.00, Text("more"), Int(102), 0.42857
        "#]],
    );
}

#[test]
fn having_hides_rows_and_may_read_what_is_not_selected() {
    check_finished(
        "SELECT account, sum(amount) AS total FROM transactions GROUP BY business_day, account
         HAVING count(*) > 1 AND total > 0.5",
        &expect![[r#"
            2024-10-04 ann: 
            2024-10-04 bob:  hidden
            2024-10-05 ann:  hidden
        "#]],
    );
}

#[test]
fn what_cannot_be_computed_is_null_and_told() {
    check_finished(
        "SELECT account, 1.0 / (count(*) - 1) AS inverse, count(*) * 9223372036854775807 AS large,
                sum(amount) * 10000000000000000000000000000000 AS larger
         FROM transactions GROUP BY business_day, account HAVING 10 / (count(*) - 1) > 1",
        &expect![[r#"
            2024-10-04 ann: 1.00, null, null
            2024-10-04 bob: null, Int(9223372036854775807), null hidden
            2024-10-05 ann: null, Int(9223372036854775807), null hidden
            8 failed: an expression failed: Execution error: division by zero
        "#]],
    );
}

#[test]
fn each_refusal_says_where_and_why() {
    let by = "FROM transactions GROUP BY business_day, account";
    let items = [
        "count(DISTINCT account, id)",
        "sum(DISTINCT amount)",
        "array_agg(amount)",
        "stddev(amount)",
        "row_number() OVER ()",
        "(SELECT 1)",
        "sum(CAST(amount AS DOUBLE))",
        "sum(amount)::real",
        "max(now())",
        "nonsense(amount)",
        "sum(amount * 0.1)",
        "sum(amount) > 1",
        "max(amount > 1)",
        "min(amount ORDER BY id)",
        "sum(sum(amount))",
        "id",
        "avg(id)",
        "sum(id)",
        "*",
        "NULL",
        "round(account, 1)",
        "current_date",
        "sum()",
        "avg(amount) / account",
        "count(*) / CAST(2 AS FLOAT)",
        "min(amuont)",
    ];
    let tails = [
        "FROM transactions GROUP BY account",
        "FROM transactions",
        "FROM other GROUP BY business_day, account",
        "FROM transactions, transactions AS t GROUP BY business_day, account",
        "FROM transactions JOIN transactions AS t ON true GROUP BY business_day, account",
        "FROM transactions GROUP BY ALL",
        "FROM transactions GROUP BY ROLLUP (business_day, account)",
        "FROM transactions GROUP BY business_day, account, CAST(amount AS FLOAT)",
        "FROM transactions WHERE amount IN (SELECT 1) GROUP BY business_day, account",
        "FROM transactions WHERE sum(amount) > 1 GROUP BY business_day, account",
        "FROM transactions WHERE random() > 1 GROUP BY business_day, account",
        "FROM transactions GROUP BY business_day, account HAVING sum(amount)",
        "FROM transactions GROUP BY business_day, account HAVING stddev(amount) > 1",
        "FROM transactions GROUP BY business_day, account HAVING amount > 1",
        "FROM transactions GROUP BY business_day, account QUALIFY true",
        "FROM transactions GROUP BY business_day, account\nORDER BY account",
        "FROM transactions GROUP BY business_day, account LIMIT 1",
        "FROM transactions GROUP BY business_day, account UNION SELECT 1",
    ];
    let items = items
        .iter()
        .map(|item| format!("SELECT account, {item} AS x {by}").replace("* AS x", "*"));
    let tails = tails
        .iter()
        .map(|tail| format!("SELECT account, count(*) AS n {tail}"));
    let others = [
        format!("SELECT DISTINCT account {by}"),
        format!("WITH t AS (SELECT 1) SELECT account {by}"),
        "SELEC account".to_owned(),
        "DROP TABLE transactions".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let text: String = items
        .chain(tails)
        .chain(others)
        .map(|sql| {
            let outcome = runtime.block_on(outcome(&sql));
            let first = outcome.lines().next().unwrap_or_default();
            format!("{sql}\n    {first}\n")
        })
        .collect();
    expect![[r#"
        SELECT account, count(DISTINCT account, id) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: count takes one expression here, not 2
        SELECT account, sum(DISTINCT amount) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: sum(DISTINCT ...) is not supported, only count(DISTINCT ...)
        SELECT account, array_agg(amount) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: array_agg is not one of the aggregate functions sum, count, min, max, avg
        SELECT account, stddev(amount) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: stddev is not one of the aggregate functions sum, count, min, max, avg
        SELECT account, row_number() OVER () AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: window functions are not supported
        SELECT account, (SELECT 1) AS x FROM transactions GROUP BY business_day, account
            line 1, column 18: subqueries are not supported
        SELECT account, sum(CAST(amount AS DOUBLE)) AS x FROM transactions GROUP BY business_day, account
            line 1, column 26: DOUBLE is not exact; DECIMAL(33,5) is
        SELECT account, sum(amount)::real AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: REAL is not exact; DECIMAL(33,5) is
        SELECT account, max(now()) AS x FROM transactions GROUP BY business_day, account
            line 1, column 21: now gives something else at another time: the same transactions must always give the same totals
        SELECT account, nonsense(amount) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: there is no function nonsense
        SELECT account, sum(amount * 0.1) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: sum takes decimals with at most 5 digits behind the point, not 6: CAST(... AS DECIMAL(33,5))
        SELECT account, sum(amount) > 1 AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: Boolean cannot be a column of the results; CASE WHEN ... THEN 'yes' ELSE 'no' END is text
        SELECT account, max(amount > 1) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: max of Boolean is not supported
        SELECT account, min(amount ORDER BY id) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: min takes nothing but an expression
        SELECT account, sum(sum(amount)) AS x FROM transactions GROUP BY business_day, account
            line 1, column 25: not accepted: Aggregate function calls cannot be nested
        SELECT account, id AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: not accepted: 'transactions.id' must appear in GROUP BY clause because it's not an aggregate expression
        SELECT account, avg(id) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: not accepted: Error during planning: Internal error: Function 'avg' failed to match any signature, errors: Error during planning: Function 'avg' requires Decimal, but received String (DataType: Utf8).,Error during planning: Function 'avg' requires Duration, but received String (DataType: Utf8).,Error during planning: Function 'avg' requires Float64, but received String (DataType: Utf8)..
        SELECT account, sum(id) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: not accepted: Error during planning: Internal error: Function 'sum' failed to match any signature, errors: Error during planning: Function 'sum' requires Decimal, but received String (DataType: Utf8).,Error during planning: Function 'sum' requires UInt64, but received String (DataType: Utf8).,Error during planning: Function 'sum' requires Int64, but received String (DataType: Utf8).,Error during planning: Function 'sum' requires Float64, but received String (DataType: Utf8).,Error during planning: Function 'sum' requires Duration, but received String (DataType: Utf8).,Error during planning: Function 'sum' requires Interval, but received String (DataType: Utf8)..
        SELECT account, * FROM transactions GROUP BY business_day, account
            line 1, column 17: name the columns instead of *
        SELECT account, NULL AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: Null cannot be a column of the results; results are decimals, whole numbers, dates, times and text
        SELECT account, round(account, 1) AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: not accepted: Error during planning: Execution error: Function 'round' user-defined coercion failed with: Error during planning: round takes a decimal or a whole number. No function matches the given name and argument types 'round(Utf8, Int64)'. You might need to add explicit type casts.
        SELECT account, current_date AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: current_date gives something else at another time: the same transactions must always give the same totals
        SELECT account, sum() AS x FROM transactions GROUP BY business_day, account
            line 1, column 17: sum takes one expression here, not 0
        SELECT account, avg(amount) / account AS x FROM transactions GROUP BY business_day, account
            line 1, column 31: not accepted: expressions have incompatible types
        SELECT account, count(*) / CAST(2 AS FLOAT) AS x FROM transactions GROUP BY business_day, account
            line 1, column 33: FLOAT is not exact; DECIMAL(33,5) is
        SELECT account, min(amuont) AS x FROM transactions GROUP BY business_day, account
            line 1, column 21: not accepted: column 'amuont' not found
        SELECT account, count(*) AS n FROM transactions GROUP BY account
            line 1, column 58: GROUP BY must contain business_day: totals are kept by day
        SELECT account, count(*) AS n FROM transactions
            line 1, column 1: GROUP BY must contain business_day: totals are kept by day
        SELECT account, count(*) AS n FROM other GROUP BY business_day, account
            line 1, column 36: an aggregation reads the stream "transactions", not other
        SELECT account, count(*) AS n FROM transactions, transactions AS t GROUP BY business_day, account
            line 1, column 1: an aggregation reads one stream: FROM transactions
        SELECT account, count(*) AS n FROM transactions JOIN transactions AS t ON true GROUP BY business_day, account
            line 1, column 54: joins are not supported
        SELECT account, count(*) AS n FROM transactions GROUP BY ALL
            line 1, column 1: GROUP BY ALL is not supported
        SELECT account, count(*) AS n FROM transactions GROUP BY ROLLUP (business_day, account)
            line 1, column 66: ROLLUP, CUBE and GROUPING SETS are not supported
        SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account, CAST(amount AS FLOAT)
            line 1, column 86: FLOAT is not exact; DECIMAL(33,5) is
        SELECT account, count(*) AS n FROM transactions WHERE amount IN (SELECT 1) GROUP BY business_day, account
            line 1, column 55: subqueries are not supported
        SELECT account, count(*) AS n FROM transactions WHERE sum(amount) > 1 GROUP BY business_day, account
            line 1, column 55: not accepted: Error during planning: Aggregate functions are not allowed in the WHERE clause. Consider using HAVING instead
        SELECT account, count(*) AS n FROM transactions WHERE random() > 1 GROUP BY business_day, account
            line 1, column 55: random gives something else at another time: the same transactions must always give the same totals
        SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account HAVING sum(amount)
            line 1, column 87: not accepted: Error during planning: Cannot create filter with non-boolean predicate 'sum(transactions.amount)' returning Decimal128(33, 5)
        SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account HAVING stddev(amount) > 1
            line 1, column 87: stddev is not one of the aggregate functions sum, count, min, max, avg
        SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account HAVING amount > 1
            line 1, column 87: not accepted: 'transactions.amount' must appear in GROUP BY clause because it's not an aggregate expression
        SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account QUALIFY true
            line 1, column 88: QUALIFY is not supported
        SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account
        ORDER BY account
            line 2, column 10: ORDER BY has no meaning for a stream of results
        SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account LIMIT 1
            line 1, column 1: LIMIT has no meaning for a stream of results
        SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account UNION SELECT 1
            line 1, column 1: an aggregation is one plain SELECT
        SELECT DISTINCT account FROM transactions GROUP BY business_day, account
            line 1, column 1: SELECT DISTINCT is not supported: GROUP BY makes keys distinct
        WITH t AS (SELECT 1) SELECT account FROM transactions GROUP BY business_day, account
            line 1, column 1: WITH is not supported in an aggregation
        SELEC account
            line 1, column 1: not understood as SQL: sql parser error: Expected: an SQL statement, found: SELEC at Line: 1, Column: 1
        DROP TABLE transactions
            line 1, column 1: an aggregation is one SELECT statement
        SELECT 1; SELECT 2
            line 1, column 1: an aggregation is one SELECT statement
    "#]].assert_eq(&text);
}

/// A product or a sum that 38 digits cannot hold is an error, never a wrap.
#[test]
fn sums_inside_one_batch_do_not_wrap() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let largest = Amount::from_units(Amount::TRANSACTION_UNITS_MAX).expect("fits");
    let run = |what: &str, rows: usize| {
        let sql = format!("SELECT {what} AS x FROM transactions GROUP BY business_day");
        runtime.block_on(async {
            let mut plan = AggregationPlan::compile(&sql, &columns())
                .await
                .expect("compiles");
            let mut batch = plan.new_batch();
            for _ in 0..rows {
                for (index, column) in plan.columns().iter().enumerate() {
                    match column.kind {
                        InputKind::Amount => batch.push_amount(index, Some(largest)),
                        _ => batch.push_date(index, Some(20_000)),
                    }
                }
                batch.end_record();
            }
            let mut text = String::new();
            let run = plan.run(&mut batch, |group| text = format!("{:?}", group.values));
            match run.await {
                Ok(()) => text,
                Err(error) => error.to_string(),
            }
        })
    };
    let mut text = String::new();
    for (what, rows) in [
        ("sum(amount)", RUN_RECORDS_MAX),
        ("sum(amount)", RUN_RECORDS_MAX + 1),
        ("sum(amount * 10000000000)", 1),
        ("sum(amount * 10000000000)", 2),
        ("sum(amount * 10000000000)", RUN_RECORDS_MAX),
        ("sum(amount * 10000000000)", 17_014),
        ("avg(amount * 10000000000)", RUN_RECORDS_MAX),
        ("sum(amount * 100000000000)", 1),
        ("sum(amount * 1000000000000000)", 1),
        ("sum(amount * 1000000000000000)", 3),
        ("avg(amount * 1000000000000000)", 3),
        ("max(amount * 1000000000000000)", 1),
        ("count(DISTINCT amount * 1000000000000000)", 1),
        ("sum(CAST(amount AS DECIMAL(38,5)))", RUN_RECORDS_MAX),
        ("sum(CAST(amount AS BIGINT))", 9),
        ("sum(CAST(amount AS BIGINT))", 10),
        ("sum(CAST(amount AS BIGINT) * 10)", 1),
    ] {
        text += &format!("{what} of {rows}: {}\n", run(what, rows));
    }
    expect![[r#"
        sum(amount) of 100000: [Sum(Some(Amount(9999999999999999999999900000)))]
        sum(amount) of 100001: 100001 records in one run, at most 100000 are allowed
        sum(amount * 10000000000) of 1: [Sum(Some(Amount(999999999999999999999990000000000)))]
        sum(amount * 10000000000) of 2: a sum leaves DECIMAL(33,5)
        sum(amount * 10000000000) of 100000: a sum leaves DECIMAL(33,5)
        sum(amount * 10000000000) of 17014: a sum leaves DECIMAL(33,5)
        avg(amount * 10000000000) of 100000: a sum leaves DECIMAL(33,5)
        sum(amount * 100000000000) of 1: failed: Arrow error: Invalid argument error: 99999999999999999999999000000.00000 is too large to store in a Decimal128 of precision 33. Max is 9999999999999999999999999999.99999
        sum(amount * 1000000000000000) of 1: failed: Arrow error: Invalid argument error: 999999999999999999999990000000000.00000 is too large to store in a Decimal128 of precision 33. Max is 9999999999999999999999999999.99999
        sum(amount * 1000000000000000) of 3: failed: Arrow error: Invalid argument error: 999999999999999999999990000000000.00000 is too large to store in a Decimal128 of precision 33. Max is 9999999999999999999999999999.99999
        avg(amount * 1000000000000000) of 3: failed: Arrow error: Invalid argument error: 999999999999999999999990000000000.00000 is too large to store in a Decimal128 of precision 33. Max is 9999999999999999999999999999.99999
        max(amount * 1000000000000000) of 1: failed: Arrow error: Invalid argument error: 999999999999999999999990000000000.00000 is too large to store in a Decimal128 of precision 33. Max is 9999999999999999999999999999.99999
        count(DISTINCT amount * 1000000000000000) of 1: failed: Arrow error: Invalid argument error: 999999999999999999999990000000000.00000 is too large to store in a Decimal128 of precision 33. Max is 9999999999999999999999999999.99999
        sum(CAST(amount AS DECIMAL(38,5))) of 100000: [Sum(Some(Amount(9999999999999999999999900000)))]
        sum(CAST(amount AS BIGINT)) of 9: [SumInt(Some(8999999999999999991))]
        sum(CAST(amount AS BIGINT)) of 10: a sum of whole numbers leaves 64 bits
        sum(CAST(amount AS BIGINT) * 10) of 1: failed: Arrow error: Cast error: value of 9999999999999999990 is out of range Int64
    "#]].assert_eq(&text);
}

#[test]
fn the_examples_of_the_specification_are_in_the_subset() {
    let text = include_str!("../../../../docs/specs/sql.md");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let blocks = text.split("```sql\n").skip(1);
    let mut examples = 0;
    for example in blocks.filter_map(|block| block.split("```").next()) {
        let plan = runtime.block_on(AggregationPlan::compile(example, &columns()));
        assert!(plan.is_ok(), "{example}: {plan:?}");
        examples += 1;
    }
    assert_eq!(examples, 3);
}
