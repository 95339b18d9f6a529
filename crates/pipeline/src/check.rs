//! Checks everything that can be checked before a socket opens, and reports all of it.

mod web;

use std::fmt;

use aggregate::{
    AggregationOptions, Definition, Engine, EngineError, EngineKind, HAS_SPARK, Late, fingerprint,
};
use connector::READERS_MAX;
use mapping::Mapping;
use sql::{AggregationPlan, RUN_RECORDS_MAX, ValueKind};
use store::{CellKind, TableSpec};
use types::Boxed;

use crate::config::{
    AggregationConfig, Authentication, Config, ConnectorConfig, EngineConfig, KeepDays, LateConfig,
    QueueConfig,
};
use crate::reload::Look;
use crate::store_target;

/// Least bytes of state in memory: a file of what moved out takes a part of it.
const STATE_MEMORY_MIN: usize = 64 << 20;

/// Something in the configuration that cannot be used; the text names the place.
#[derive(Debug)]
pub struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: std::error::Error> From<E> for Mistake {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let cause_text = error.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            cause = error.source();
        }
        Self(text)
    }
}

/// An aggregation, checked.
#[derive(Debug, Clone)]
pub(crate) struct PlannedAggregation {
    pub(crate) options: AggregationOptions,
    pub(crate) table: TableSpec,
    pub(crate) keys: Vec<String>,
    /// Columns that may be added up over rows.
    pub(crate) sums: Vec<String>,
}

/// A configuration that was checked and understood.
#[derive(Debug)]
pub struct Plan {
    pub(crate) config: Config,
    pub(crate) sources: Vec<Mapping>,
    /// The files of the sources, from before they were read.
    pub(crate) sources_seen: Look,
    pub(crate) aggregations: Vec<PlannedAggregation>,
}

impl Plan {
    /// Checks the whole configuration.
    ///
    /// # Errors
    ///
    /// Every mistake found, at least one.
    pub fn check(config: Config) -> Boxed<'static, Result<Self, Vec<Mistake>>> {
        Box::pin(Self::check_all(config))
    }

    async fn check_all(config: Config) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        check_places(&config, &mut mistakes);
        let sources_seen = Look::at(config.sources_dir.as_deref());
        let sources = crate::sources::load(config.sources_dir.as_deref());
        let sources = match sources {
            Ok(sources) => {
                let mut refuse = |text| mistakes.push(Mistake(text));
                crate::directories::check(&config.directories, &sources, &mut refuse);
                crate::intake::check(&config.intakes, &sources, &mut refuse);
                if let Err(error) = gateway::check(&config.gateway, &sources) {
                    refuse(types::report(&error));
                }
                sources
            }
            Err(found) => {
                mistakes.extend(found);
                Vec::new()
            }
        };
        check_spark(&config, &mut mistakes);
        let mut aggregations = Vec::new();
        if config.aggregations.is_empty() {
            mistakes.push(Mistake(
                "`[[aggregation]]`: at least one is needed".to_owned(),
            ));
        }
        for (index, aggregation) in config.aggregations.iter().enumerate() {
            let earlier = &config.aggregations[..index];
            if earlier.iter().any(|other| other.name == aggregation.name) {
                mistakes.push(Mistake(format!(
                    "`aggregation.name` {:?} is used twice",
                    aggregation.name
                )));
            }
            match plan_aggregation(aggregation).await {
                Ok(planned) => {
                    let kept = (&planned.options.calendar, planned.options.keep_days);
                    let mut refuse = |text| mistakes.push(Mistake(text));
                    store_target::check_table(&config.store, &planned.table, kept, &mut refuse);
                    aggregations.push(planned);
                }
                Err(found) => mistakes.extend(found),
            }
        }
        let keys: Vec<&[String]> = aggregations.iter().map(|one| one.keys.as_slice()).collect();
        web::check_limits(&config.web, &keys, &mut |text| mistakes.push(Mistake(text)));
        if mistakes.is_empty() {
            Ok(Self {
                config,
                sources,
                sources_seen,
                aggregations,
            })
        } else {
            Err(mistakes)
        }
    }

    /// The configuration that was checked.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Names of the sources.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(Mapping::source)
    }

    /// An aggregation from the text of its definition in force ([`aggregate::Control::declared`]).
    ///
    /// # Errors
    ///
    /// Every mistake found, at least one: this program may refuse what an older one took.
    pub fn aggregation_of(declared: &str) -> Boxed<'_, Result<AggregationOptions, Vec<Mistake>>> {
        Box::pin(async move {
            let config = toml::from_str(declared).map_err(|error| vec![Mistake::from(error)])?;
            plan_aggregation(&config)
                .await
                .map(|planned| planned.options)
        })
    }

    /// Tables of the store, one an aggregation.
    pub fn tables(&self) -> impl Iterator<Item = &TableSpec> {
        self.aggregations.iter().map(|planned| &planned.table)
    }

    /// What the aggregations are.
    pub fn aggregations(&self) -> impl Iterator<Item = &AggregationOptions> {
        self.aggregations.iter().map(|planned| &planned.options)
    }
}

fn check_spark(config: &Config, mistakes: &mut Vec<Mistake>) {
    let mut refuse = |text: String| mistakes.push(Mistake(text));
    if let Some(spark) = &config.spark {
        spark.check(&mut refuse);
    }
    let in_spark = |aggregation: &&AggregationConfig| aggregation.engine == EngineConfig::Spark;
    for aggregation in config.aggregations.iter().filter(in_spark) {
        let name = &aggregation.name;
        if config.spark.is_none() {
            refuse(format!(
                "aggregation {name}: `engine` is \"spark\", so there must be a section `[spark]` that says where it is: \
                 remote = \"sc://host:15002\""
            ));
        }
        if !HAS_SPARK {
            refuse(format!(
                "aggregation {name}: `engine` is \"spark\", but this program was built without Spark, for lack of `protoc`; \
                 install it (apt-get install protobuf-compiler) and `make build` again, or say `engine = \"native\"`"
            ));
        }
    }
}

fn check_places(config: &Config, mistakes: &mut Vec<Mistake>) {
    let mut refuse = |text: String| mistakes.push(Mistake(text));
    if let Err(error) = crate::queue::client_options(&config.queue) {
        refuse(types::report(&error));
    }
    let api = config.connector.address;
    if !api.ip().is_loopback() {
        refuse(format!(
            "`connector.address` is {api}, but the Connect API has no authentication: it must be a loopback address"
        ));
    }
    let ConnectorConfig {
        readers,
        batch_messages_max,
        batch_bytes_max,
        ..
    } = config.connector;
    if !(1..=READERS_MAX).contains(&readers) {
        refuse(format!(
            "`connector.readers` is {readers}, but must be 1 to {READERS_MAX}"
        ));
    }
    if !(1..=BATCH_MESSAGES_MAX).contains(&batch_messages_max) {
        refuse(format!(
            "`connector.batch_messages_max` is {batch_messages_max}, but must be 1 to {BATCH_MESSAGES_MAX}"
        ));
    }
    if batch_bytes_max == 0 {
        refuse("`connector.batch_bytes_max` is 0, but a batch has at least one byte".to_owned());
    }
    if !(1..=SESSIONS_MAX).contains(&config.queue.client.sessions_max) {
        refuse(format!(
            "`queue.client.sessions_max` is {}, but must be 1 to {SESSIONS_MAX}",
            config.queue.client.sessions_max
        ));
    }
    let state_memory_max = config.aggregator.state_memory_max;
    if state_memory_max < STATE_MEMORY_MIN {
        refuse(format!(
            "`aggregator.state_memory_max` is {state_memory_max}, but must be at least {STATE_MEMORY_MIN}"
        ));
    }
    store_target::check(&config.store, &mut refuse);
    crate::log::check(&config.log, &mut refuse);
    crate::postgres::check(&config.postgres, &mut refuse);
    if !(1..=MESSAGE_BYTES_MAX).contains(&config.queue.message_bytes_max) {
        refuse(format!(
            "`queue.message_bytes_max` is {}, but must be 1 to {MESSAGE_BYTES_MAX}",
            config.queue.message_bytes_max
        ));
    }
    let channel = &config.queue.channel;
    if channel.is_empty() || channel.len() > CHANNEL_CHARS_MAX || !channel.is_ascii() {
        refuse(format!(
            "`queue.channel` is {channel:?}, but must be 1 to {CHANNEL_CHARS_MAX} characters of ASCII"
        ));
    }
    check_queue_security(&config.queue, &mut refuse);
    web::check(&config.web, &mut refuse);
    let admin = config.admin.address;
    if !admin.ip().is_loopback() {
        refuse(format!(
            "`admin.address` is {admin}: without authentication, which this version lacks, \
             only loopback addresses are allowed (127.0.0.1:{})",
            admin.port()
        ));
    }
}

fn check_queue_security(queue: &QueueConfig, refuse: &mut impl FnMut(String)) {
    let protected = queue.authentication == Authentication::Password && queue.tls.is_some();
    if !queue.address.ip().is_loopback() && !protected {
        refuse(format!(
            "`queue.address` is {}: other than loopback addresses need `[queue.tls]` and \
             `queue.authentication = \"password\"`",
            queue.address
        ));
    }
    // Commands are carried out as whom their message is from, and a message has room for so many: two
    // longer names could look the same.
    let rules = queue.rules.iter().filter_map(|rule| rule.user.as_deref());
    let users = queue.users.iter().map(|user| user.name.as_str());
    for name in users.chain(rules) {
        let fits = name.len() <= USER_CHARS_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits || name.is_empty() {
            refuse(format!(
                "`queue.user` or `queue.rule` has the user {name:?}, but must be 1 to {USER_CHARS_MAX} \
                 characters of ASCII"
            ));
        }
    }
    for user in &queue.users {
        if !mq_server::is_password_hash(&user.password_hash) {
            refuse(format!(
                "`queue.user` {:?}: `password_hash` is no argon2 hash; `daybook queue password` makes one",
                user.name
            ));
        }
    }
    for rule in &queue.rules {
        let verdicts = [rule.block, rule.password, rule.user.is_some()];
        if verdicts.iter().filter(|given| **given).count() != 1 {
            refuse(format!(
                "`queue.rule` for channel {:?}, address {:?}: exactly one of `block = true`, \
                 `password = true` and `user = \"...\"` says what becomes of the connection",
                rule.channel, rule.address
            ));
        }
    }
    if let Some(tls) = &queue.tls {
        let files = crate::queue::tls_files(tls);
        if let Err(error) = mq_server::Tls::load(&files) {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            refuse(format!("`queue.tls`: {error}{}", cause.unwrap_or_default()));
        }
    }
}

/// Most sessions of a gateway.
const SESSIONS_MAX: usize = 1_000;
/// Most messages of one batch of the connector: as many as a unit of work of IBM MQ holds by default.
const BATCH_MESSAGES_MAX: usize = 10_000;
/// Longest message that MQ allows, in bytes (MAXMSGL).
const MESSAGE_BYTES_MAX: u32 = 100 << 20;
/// Longest name of a user (MQ_USER_ID_LENGTH).
const USER_CHARS_MAX: usize = 12;
/// Longest name of a channel (MQ_CHANNEL_NAME_LENGTH).
const CHANNEL_CHARS_MAX: usize = 20;

/// Letters, digits and `_`: it becomes a topic, a table and a path of the API.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let first = name.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_lowercase())
        && name.len() <= 64
        && name.bytes().all(allowed)
}

async fn plan_aggregation(config: &AggregationConfig) -> Result<PlannedAggregation, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let name = &config.name;
    if !is_name(name) || name == types::names::TOPIC_TRANSACTIONS {
        mistakes.push(Mistake(format!(
            "`aggregation.name` is {name:?}, but must be 1 to 64 of a-z, 0-9 and _, begin with a letter, \
             and not be \"transactions\""
        )));
    }
    let of_this = |text| Mistake(text).of(name);
    let calendar = crate::calendar::of(config);
    let calendar = calendar.map_err(|found| mistakes.extend(found.into_iter().map(of_this)));
    let input = crate::input::of(config);
    let input = input.map_err(|found| mistakes.extend(found.into_iter().map(of_this)));
    let keep_days = match config.keep_days {
        KeepDays::All(_) => None,
        KeepDays::Days(days) => {
            if !(1..=366).contains(&days) {
                mistakes.push(Mistake(format!(
                    "aggregation {name}: `keep_days` is {days}, but must be 1 to 366, or \"all\""
                )));
            }
            Some(days)
        }
    };
    if !(1..=RUN_RECORDS_MAX).contains(&config.batch_records_max) {
        let given = config.batch_records_max;
        mistakes.push(Mistake(format!(
            "aggregation {name}: `batch_records_max` is {given}, but must be 1 to {RUN_RECORDS_MAX}"
        )));
    }
    let (Ok(calendar), Ok((input, zone_column))) = (calendar, input) else {
        return Err(mistakes);
    };
    let options = AggregationOptions {
        name: name.clone(),
        instance: None,
        sql: config.sql.clone(),
        zone: config.zone.clone(),
        cut_off: config.cut_off.clone(),
        calendar,
        zone_column,
        keep_days,
        late: match config.late {
            LateConfig::Correct => Late::Correct,
            LateConfig::Quarantine => Late::Quarantine,
        },
        future_max_micros: i64::from(config.future_hours_max) * 3_600_000_000,
        clock_skew_max_micros: i64::from(config.clock_skew_minutes_max) * 60_000_000,
        reversals: config.reversals,
        engine: match config.engine {
            EngineConfig::Native => EngineKind::Native,
            EngineConfig::Spark => EngineKind::Spark,
        },
        spark: None,
        input,
        batch_records_max: config.batch_records_max,
        standby: false,
        declared: config.written_out(),
        spill: None,
    };
    let definition = Definition {
        generation: 1,
        fingerprint: fingerprint(&options),
    };
    match Engine::new(options.clone(), definition).await {
        Ok(engine) if mistakes.is_empty() => Ok(PlannedAggregation {
            table: table_of(name, engine.plan()),
            keys: engine.plan().keys().to_vec(),
            sums: inspect::sums_of(engine.plan()),
            options,
        }),
        Ok(_) => Err(mistakes),
        Err(error @ EngineError::Sql { .. }) => {
            mistakes.push(sql_mistake(config, &error));
            Err(mistakes)
        }
        Err(error) => {
            mistakes.push(error.into());
            Err(mistakes)
        }
    }
}

impl Mistake {
    fn of(self, aggregation: &str) -> Self {
        Self(format!("aggregation {aggregation}: {}", self.0))
    }
}

/// With the line of the SQL and a mark under the place.
fn sql_mistake(config: &AggregationConfig, error: &EngineError) -> Mistake {
    let EngineError::Sql { source, .. } = error else {
        return Mistake::from_text(error);
    };
    let mut text = format!("aggregation {}: `sql`: {source}", config.name);
    if let Some((line, column)) = source.place {
        let found = config
            .sql
            .lines()
            .nth(usize::try_from(line - 1).unwrap_or(usize::MAX));
        if let Some(found) = found {
            let indent = " ".repeat(usize::try_from(column.saturating_sub(1)).unwrap_or(0));
            text = format!("{text}\n  | {found}\n  | {indent}^");
        }
    }
    Mistake(text)
}

impl Mistake {
    fn from_text(error: &dyn std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// Columns of the results, as the store keeps them.
fn table_of(name: &str, plan: &AggregationPlan) -> TableSpec {
    let columns = plan.outputs().iter().map(|output| {
        let kind = match plan.kind(output.source) {
            ValueKind::Int => CellKind::Int,
            ValueKind::Decimal => CellKind::Decimal,
            ValueKind::Text => CellKind::Text,
            ValueKind::Date => CellKind::Date,
            ValueKind::Timestamp => CellKind::Timestamp,
        };
        (output.name.clone(), kind)
    });
    TableSpec {
        name: name.to_owned(),
        columns: columns.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::path::Path;

    #[track_caller]
    fn check(toml: &str, expected: &Expect) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let text = match Config::parse(Path::new("daybook.toml"), toml) {
            Err(error) => Mistake::from(error).to_string(),
            Ok(config) => match runtime.block_on(Plan::check(config)) {
                Ok(plan) => {
                    let tables: Vec<&TableSpec> = plan.tables().collect();
                    format!("{tables:?}\n")
                }
                Err(mistakes) => mistakes
                    .iter()
                    .map(|mistake| format!("{mistake}\n"))
                    .collect(),
            },
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn an_empty_file_is_valid() {
        let expected = expect![[r#"
            [TableSpec { name: "daily_totals", columns: [("account", Text), ("currency", Text), ("total", Decimal), ("transactions", Int)] }]
        "#]];
        check("", &expected);
        check("[aggregator]\nstate_memory_max = 67108864\n", &expected);
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_its_place() {
        check(
            r#"
[queue]
use = "external"
[log]
use = "external"
[web]
address = "0.0.0.0:8080"
[[aggregation]]
name = "Bad-Name"
zone = "Europe/Zagrebb"
sql = "SELECT 1"
[[aggregation]]
name = "totals"
sql = """
SELECT account, sum(amuont) AS total
FROM transactions
GROUP BY business_day, account"""
"#,
            &expect![[r#"
                `queue.client.hosts` must say where the queue manager is: ["host(1414)"]
                `log.use` is "external", so `log.bootstrap_servers` must say where: "host:9092"
                `web.address` is 0.0.0.0:8080: other than loopback addresses need `[web.tls]` with `[[web.user]]` or `[web.oidc]`, or `[web.proxy]`
                `aggregation.name` is "Bad-Name", but must be 1 to 64 of a-z, 0-9 and _, begin with a letter, and not be "transactions"
                aggregation Bad-Name: "Europe/Zagrebb" is no time zone of the IANA database (example: "Europe/Zagreb")
                aggregation totals: `sql`: line 1, column 21: not accepted: column 'amuont' not found
                  | SELECT account, sum(amuont) AS total
                  |                     ^
            "#]],
        );
    }

    #[test]
    fn calendars_that_are_not_understood_are_refused_with_what_to_do() {
        check(
            r#"
[[aggregation]]
name = "totals"
sql = "SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account"
cut_off = "25:00"
working_days = ["mon", "friday"]
holidays = ["target", "24.12.2026", 2026-12-24T10:00:00]
holidays_file = "/nowhere/holidays.txt"
zone_column = "account"
[[aggregation]]
name = "never"
sql = "SELECT account, count(*) AS n FROM transactions GROUP BY business_day, account"
working_days = []
"#,
            &expect![[r#"
                aggregation totals: "25:00" is no time of day (example: "00:00" or "17:30"): failed to parse two digit integer as hour: parameter 'hour' is not in the required range of 0..=23
                aggregation totals: `working_days` has "friday", but must be of "mon", "tue", "wed", "thu", "fri", "sat", "sun"
                aggregation totals: `holidays` has "24.12.2026", which is neither a date ("2026-12-24") nor a known calendar ("target")
                aggregation totals: `holidays` has "2026-12-24T10:00:00", which is neither a date ("2026-12-24") nor a known calendar ("target")
                aggregation totals: `holidays_file` /nowhere/holidays.txt: cannot be opened: No such file or directory (os error 2)
                aggregation totals: `zone_column` is "account", but must be a text field beside the standard ones, which the mapping fills with a zone's name (example: "branch_zone")
                aggregation never: `working_days` is empty; name one at least, or remove the key: every day is one then
            "#]],
        );
    }

    #[test]
    fn holidays_come_from_list_and_file_and_must_leave_business_days() {
        let path = std::env::temp_dir().join(format!("daybook-holidays-{}", std::process::id()));
        let planned = |days: i64, weekdays: &str, more: &str| {
            let first = types::BusinessDay::EPOCH;
            let dates =
                (0..days).map(|day| first.plus_days(20_000 + i32::try_from(day).expect("small")));
            let lines: String = dates.map(|date| format!("{date} # closed\n")).collect();
            std::fs::write(&path, format!("# Our holidays\n\n{lines}{more}")).expect("writes");
            let toml = format!(
                "[[aggregation]]\nname = \"totals\"\nworking_days = [{weekdays}]\n\
                 holidays = [\"target\", 2026-12-24, \"2026-12-31\"]\nholidays_file = {path:?}\n\
                 sql = \"SELECT region, branch_zone, count(*) AS n FROM transactions \
                 GROUP BY business_day, region, branch_zone\"\n\
                 text_columns = [\"region\"]\nzone_column = \"branch_zone\"\n"
            );
            let config = Config::parse(Path::new("daybook.toml"), &toml).expect("parses");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            runtime
                .block_on(Plan::check(config))
                .map_err(|mistakes| mistakes[0].to_string())
        };
        let plan = planned(20, "\"mon\", \"tue\"", "").expect("usable");
        let options = plan.aggregations().next().expect("one");
        let column = |name| options.input.column(name);
        assert_eq!(options.zone_column, column("branch_zone"));
        assert_eq!(
            (column("region"), column("branch_zone")),
            (Some(8), Some(9))
        );
        assert_eq!(
            options.calendar.working_days().to_string(),
            "mon tue without target and 22 holidays"
        );
        assert_eq!(
            planned(366, "\"mon\"", "").expect_err("refused"),
            "aggregation totals: from 2024-10-01 on there is no business day in 366 days; remove holidays \
             or add `working_days`"
        );
        let place = path.display();
        assert_eq!(
            planned(1, "\"mon\"", "2026-13-01").expect_err("refused"),
            format!(
                "aggregation totals: `holidays_file` {place}: line 4 is \"2026-13-01\"; a line is a date \
                 (\"2026-12-24\"), and what follows # is a comment"
            )
        );
        std::fs::remove_file(&path).expect("removes");
    }

    #[test]
    fn names_of_users_fit_into_a_message() {
        check(
            r#"
[[queue.rule]]
user = "twelve-chars"
[[queue.rule]]
user = "thirteen-char"
[[queue.rule]]
user = "Željka"
[[queue.rule]]
user = ""
"#,
            &expect![[r#"
                `queue.user` or `queue.rule` has the user "thirteen-char", but must be 1 to 12 characters of ASCII
                `queue.user` or `queue.rule` has the user "Željka", but must be 1 to 12 characters of ASCII
                `queue.user` or `queue.rule` has the user "", but must be 1 to 12 characters of ASCII
            "#]],
        );
    }

    #[test]
    fn spark_must_be_somewhere_and_cannot_do_everything() {
        check(
            r#"
[spark]
remote = "127.0.0.1:15002"
shuffle_partitions = 10001
watermark_days = 367
batch_records_max = 0
token_file = "/nowhere/token"
"#,
            &expect![[r#"
                `spark.remote` is "127.0.0.1:15002", but must be "sc://host:port", the address of a Connect server (port 15002 unless set otherwise)
                `spark.shuffle_partitions` is 10001, but must be 1 to 10000
                `spark.watermark_days` is 367, but must be 1 to 366
                `spark.batch_records_max` is 0: Spark would never read anything
                `spark.token_file` /nowhere/token: cannot be read: No such file or directory (os error 2)
            "#]],
        );
        let at_the_limits = r#"
[spark]
remote = "sc://spark.example.com:15002"
shuffle_partitions = 10000
watermark_days = 366
batch_records_max = 1
[[aggregation]]
name = "totals"
sql = "SELECT account, sum(amount) AS total FROM transactions GROUP BY business_day, account"
"#;
        check(
            at_the_limits,
            &expect![[r#"
            [TableSpec { name: "totals", columns: [("account", Text), ("total", Decimal)] }]
        "#]],
        );
        if !HAS_SPARK {
            return;
        }
        check(
            r#"
[[aggregation]]
name = "totals"
engine = "spark"
reversals = false
sql = """
SELECT account, sum(amount) AS total,
       count(DISTINCT currency) AS currencies
FROM transactions GROUP BY business_day, account
"""
"#,
            &expect![[r#"
                aggregation totals: `engine` is "spark", so there must be a section `[spark]` that says where it is: remote = "sc://host:15002"
                aggregation totals: `sql`: line 2, column 8: count(DISTINCT ...) is not exact in a stream of Spark: `engine = "native"` counts it
                  |        count(DISTINCT currency) AS currencies
                  |        ^
            "#]],
        );
    }

    #[test]
    fn a_log_that_others_reach_asks_who_they_are() {
        check(
            r#"
[aggregator]
state_memory_max = 67108863
[log]
address = "0.0.0.0:9092"
advertised = "kafka.example.com"
connections_max = 0
request_bytes_max = 100
[[log.user]]
name = "daybook"
password_file = "/nowhere/password"
[[log.permission]]
user = "app"
topics = "orders"
groups = "app"
allow = "read"
"#,
            &expect![[r#"
                `aggregator.state_memory_max` is 67108863, but must be at least 67108864
                `log.address` is 0.0.0.0:9092: other than loopback addresses need `[log.tls]`, and `[[log.user]]` or `log.tls.client_ca`
                `log.advertised` is "kafka.example.com", but must be "host:port"
                `log.connections_max` is 0: nobody could connect
                `log.request_bytes_max` is 100, but must be 16777216 to 2147483647
                `log.user` has the name "daybook": "", "*" and "daybook" (our own clients) are not free
                `log.user` "daybook": cannot read the password from /nowhere/password: No such file or directory (os error 2)
                `log.permission` for user "app": exactly one of `topics`, `groups`, `transactional_ids` and `cluster = true` says what it is about
            "#]],
        );
        check(
            "[[log.permission]]\nuser = \"app\"\ncluster = true\nallow = \"admin\"\n",
            &expect![[r#"
                `log.permission` is there, but nobody is asked who they are: `[[log.user]]` or `log.tls.client_ca` is missing
            "#]],
        );
    }

    #[test]
    fn queries_of_others_ask_who_they_are_and_are_bounded() {
        check(
            r#"
[postgres]
listen = "0.0.0.0:5433"
connections_max = 0
queries_max = 1001
time_ms_max = 0
rows_max = 0
memory_bytes_max = 1048575
statement_bytes_max = 1048577
[[postgres.user]]
name = "ann"
password_file = "/nowhere/password"
[[postgres.user]]
name = "ann"
password_file = "/nowhere/password"
"#,
            &expect![[r#"
                `postgres.listen` is 0.0.0.0:5433: other than loopback addresses need `[postgres.tls]` and `[[postgres.user]]`
                `postgres.connections_max` is 0, but must be 1 to 10000
                `postgres.queries_max` is 1001, but must be 1 to 1000
                `postgres.statement_bytes_max` is 1048577, but must be 1024 to 1048576
                `postgres.time_ms_max` is 0, but must be 1 to 3600000
                `postgres.rows_max` or `rows_read_max` is 0: nothing could be answered
                `postgres.memory_bytes_max` is 1048575, but must be at least 1048576
                `postgres.user` has the name "ann" twice, or without a letter
                `postgres.user` "ann": cannot read the password from /nowhere/password: No such file or directory (os error 2)
            "#]],
        );
        check(
            "[postgres]\nlisten = \"0.0.0.0:5433\"\n[postgres.tls]\ncertificate = \"/nowhere/a.pem\"\nkey = \"/nowhere/a.key\"\n",
            &expect![[r#"
                `postgres.listen` is 0.0.0.0:5433: other than loopback addresses need `[postgres.tls]` and `[[postgres.user]]`
                `postgres.tls`: cannot read certificates from /nowhere/a.pem: I/O error: No such file or directory (os error 2)
            "#]],
        );
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        check(
            "[log]\npartitoins = 3\n",
            &expect![[r#"
            the configuration file daybook.toml is not usable: TOML parse error at line 2, column 1
              |
            2 | partitoins = 3
              | ^^^^^^^^^^
            unknown field `partitoins`, expected one of `use`, `address`, `advertised`, `tls`, `user`, `permission`, `connections_max`, `request_bytes_max`, `bootstrap_servers`, `partitions`, `replicas`, `in_sync_replicas_min`, `properties`
        "#]],
        );
    }
}
