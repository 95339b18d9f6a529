//! `daybook.toml`: every key, its default and its range. Unknown keys are refused.

mod log;
mod postgres;
mod spark;
mod store;
mod web;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use gateway::GatewayOptions;
pub use log::{LogAccess, LogConfig, LogPermission, LogTls, LogUser};
pub use postgres::{PostgresConfig, PostgresTlsConfig, PostgresUserConfig};
use serde::{Deserialize, Serialize};
pub use spark::SparkConfig;
pub use store::{StoreConfig, StoreConsistency, StoreReplication};
use types::names::{self, port};
pub use web::{WebConfig, WebConfigError, WebProxy, WebTls, WebUser};

use crate::directories::DirectoryConfig;
use crate::input::InputConfig;
use crate::intake::IntakeConfig;

/// The whole file. Every section may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[gateway]`: where it listens and what it bounds.
    pub gateway: GatewayOptions,
    /// Directory with one TOML file a source, beside the ready-made ones; a file of the same source
    /// name replaces a ready-made one. Relative to the configuration file.
    pub sources_dir: Option<PathBuf>,
    /// `[[directory]]`: files that are sent to the gateway by themselves, where the gateway runs.
    #[serde(rename = "directory")]
    pub directories: Vec<DirectoryConfig>,
    /// `[[intake]]`: queues whose messages go through the gateway, where the gateway runs.
    #[serde(rename = "intake")]
    pub intakes: Vec<IntakeConfig>,
    /// `[queue]`: the queue manager between gateway and connector.
    pub queue: QueueConfig,
    /// `[connector]`: from the queue to Kafka.
    pub connector: ConnectorConfig,
    /// `[log]`: Kafka.
    pub log: LogConfig,
    /// `[aggregator]`: what all aggregations of this process have in common.
    pub aggregator: AggregatorConfig,
    /// `[sink]`: what writes into the store.
    pub sink: SinkConfig,
    /// `[spark]`: a cluster that adds up; without it there is none.
    pub spark: Option<Box<SparkConfig>>,
    /// `[store]`: where results are kept for first loads and queries.
    pub store: StoreConfig,
    /// `[web]`: page and API.
    pub web: WebConfig,
    /// `[postgres]`: queries over PostgreSQL's protocol.
    pub postgres: PostgresConfig,
    /// `[admin]`: `/healthz`, `/readyz`, `/metrics`.
    pub admin: AdminConfig,
    /// `[[aggregation]]`: at least one; without any the totals by account and currency.
    #[serde(rename = "aggregation")]
    pub aggregations: Vec<AggregationConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gateway: GatewayOptions::default(),
            directories: Vec::new(),
            intakes: Vec::new(),
            sources_dir: None,
            queue: QueueConfig::default(),
            connector: ConnectorConfig::default(),
            log: LogConfig::default(),
            aggregator: AggregatorConfig::default(),
            sink: SinkConfig::default(),
            spark: None,
            store: StoreConfig::default(),
            web: WebConfig::default(),
            postgres: PostgresConfig::default(),
            admin: AdminConfig::default(),
            aggregations: vec![AggregationConfig::daily_totals()],
        }
    }
}

/// In this process, or somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Daybook's own, in this process.
    #[default]
    Embedded,
    /// A system that runs elsewhere.
    External,
}

/// `[queue]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// `"embedded"`, or `"external"`: a queue manager elsewhere, which `[queue.client]` names.
    #[serde(rename = "use")]
    pub place: Place,
    /// Address to listen on with IBM MQ's client channel protocol. 127.0.0.1:1414. Other than
    /// loopback addresses need `tls` and `authentication`.
    pub address: SocketAddr,
    /// `"none"`: clients are whom they say; loopback only. `"password"`: they need user and password,
    /// unless a rule says otherwise.
    pub authentication: Authentication,
    /// `[queue.tls]`: clients must use TLS.
    pub tls: Option<QueueTls>,
    /// `[[queue.user]]`.
    #[serde(rename = "user")]
    pub users: Vec<QueueUser>,
    /// `[[queue.rule]]`: the first that fits a connection decides, as CHLAUTH does.
    #[serde(rename = "rule")]
    pub rules: Vec<QueueRule>,
    /// `[[queue.permission]]`: who may do what; without any everybody who may connect may do
    /// everything.
    #[serde(rename = "permission")]
    pub permissions: Vec<QueuePermission>,
    /// `[queue.client]`: how gateway and connector reach a queue that is not in their process.
    pub client: QueueClient,
    /// Name of the server-connection channel. `DAYBOOK.SVRCONN`.
    pub channel: String,
    /// Most connections of clients. 1,200.
    pub connections_max: usize,
    /// Most conversations on one connection (SHARECNV); 0 = none are shared. 10.
    pub conversations_max: u32,
    /// Longest message in bytes (MAXMSGL), 1 to 104,857,600. 4 MiB.
    pub message_bytes_max: u32,
    /// Seconds of silence after which a heartbeat is sent (HBINT); clients may ask for more. 300.
    pub heartbeat_seconds: u32,
    /// Most messages on the transactions queue. 1,000,000. When it is full the gateway answers 503.
    pub depth_max: usize,
    /// Most bytes of messages on the transactions queue, in memory. 256 MiB.
    pub bytes_max: usize,
    /// Most bytes of refused input kept in the quarantine. 64 MiB.
    pub quarantine_bytes_max: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            place: Place::Embedded,
            address: loopback(port::MQ),
            authentication: Authentication::None,
            tls: None,
            users: Vec::new(),
            rules: Vec::new(),
            permissions: Vec::new(),
            client: QueueClient::default(),
            channel: names::QUEUE_CHANNEL.to_owned(),
            connections_max: 1_200,
            conversations_max: 10,
            message_bytes_max: 4 << 20,
            heartbeat_seconds: 300,
            depth_max: 1_000_000,
            bytes_max: 256 << 20,
            quarantine_bytes_max: 64 << 20,
        }
    }
}

/// `[queue.client]`: gateway and connector as clients of a queue manager, IBM MQ's or Daybook's.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueClient {
    /// Connection names, `"host(port)"`, tried in this order. Needed with `use = "external"`; else
    /// `queue.address`.
    pub hosts: Vec<String>,
    /// Queue manager; empty = whichever answers.
    pub queue_manager: String,
    /// User.
    pub user: String,
    /// File whose first line is the password. Relative to the configuration file.
    pub password_file: Option<PathBuf>,
    /// PEM file with the roots of the queue manager's certificate: with it, the channel speaks TLS.
    pub ca: Option<PathBuf>,
    /// Our certificate, where the channel wants one.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Most sessions that the gateway puts with at a time. 16.
    pub sessions_max: usize,
    /// Most bytes of accepted messages that the gateway keeps under `<data-dir>/spool` while no queue manager answers, in memory as well; 0 = none: it
    /// answers 503 then. 0.
    pub spool_bytes_max: usize,
    /// Queue that the gateway puts to and the connector gets from. `DAYBOOK.TRANSACTIONS`.
    pub transactions: String,
    /// Queue for refused input. `DAYBOOK.QUARANTINE`.
    pub quarantine: String,
    /// Queue for messages that Kafka does not take, because they are too large for the topic. `DAYBOOK.BACKOUT`.
    pub backout: String,
}

impl Default for QueueClient {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            queue_manager: String::new(),
            user: String::new(),
            password_file: None,
            ca: None,
            certificate: None,
            key: None,
            sessions_max: 16,
            spool_bytes_max: 0,
            transactions: names::QUEUE_TRANSACTIONS.to_owned(),
            quarantine: names::QUEUE_QUARANTINE.to_owned(),
            backout: names::QUEUE_BACKOUT.to_owned(),
        }
    }
}

/// `queue.authentication`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// Nobody is asked.
    #[default]
    None,
    /// User and password.
    Password,
}

/// `[queue.tls]`: PEM files, relative to the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueTls {
    /// Certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots of clients' certificates. With it a client must have one.
    pub client_ca: Option<PathBuf>,
}

/// `[[queue.user]]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueUser {
    /// Name.
    pub name: String,
    /// What `daybook queue password` prints.
    pub password_hash: String,
}

/// Without the hash.
impl std::fmt::Debug for QueueUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueUser")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// `[[queue.rule]]`. In patterns `*` stands for anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueRule {
    /// Channel. `"*"`.
    #[serde(default = "anything")]
    pub channel: String,
    /// Address of the client. `"*"`.
    #[serde(default = "anything")]
    pub address: String,
    /// Subject of the client's certificate, as `"CN=app, O=Bank"`.
    pub certificate: Option<String>,
    /// It is refused.
    #[serde(default)]
    pub block: bool,
    /// It runs as this user, without a password.
    pub user: Option<String>,
    /// It needs user and password.
    #[serde(default)]
    pub password: bool,
}

/// `[[queue.permission]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueuePermission {
    /// User; may have `*`.
    pub user: String,
    /// Queue, or `topic:` and a topic string; may have `*`. `"*"`.
    #[serde(default = "anything")]
    pub queue: String,
    /// Any of put, get, browse, inquire, set, context, admin.
    pub allow: Vec<QueueRight>,
}

/// What may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueRight {
    /// Put.
    Put,
    /// Get.
    Get,
    /// Look without taking.
    Browse,
    /// Ask for attributes.
    Inquire,
    /// Change attributes.
    Set,
    /// Say who a message is from, or pass on what another one says.
    Context,
    /// Administer: PCF commands about the queue. On `SYSTEM.ADMIN.COMMAND.QUEUE` also commands about no
    /// queue.
    Admin,
}

fn anything() -> String {
    "*".to_owned()
}

/// `[connector]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectorConfig {
    /// How many get from the queue at a time, 1 to 64; each has a connection of its own. With 1 the queue's
    /// order is kept. 1.
    pub readers: usize,
    /// Tells this process apart from others that read the same queue, in Kafka's transactional ids. A process
    /// that comes again under its name ends at once what it left open. Empty: one name for the whole pipeline in
    /// one process, and a new one each time for a connector on its own.
    pub instance: String,
    /// Address of Kafka Connect's REST API, which manages connectors beside the one of the gateway's queue.
    /// 127.0.0.1:8083. There is no authentication: loopback only.
    pub address: SocketAddr,
    /// Most messages in one batch, 1 to 10,000. A batch is never waited for. 10,000.
    pub batch_messages_max: usize,
    /// Most bytes of messages in one batch. 8 MiB.
    pub batch_bytes_max: usize,
    /// Directories whose files variables of connectors' configurations may name, as `${file:path:key}` and
    /// `${directory:path:file}`. None. Relative to this file.
    pub variable_directories: Vec<PathBuf>,
    /// Environment variables that they may name, as `${env:NAME}`. None.
    pub variable_environment: BTreeSet<String>,
}

impl Default for ConnectorConfig {
    fn default() -> Self {
        Self {
            readers: 1,
            instance: String::new(),
            address: loopback(port::CONNECT),
            batch_messages_max: 10_000,
            batch_bytes_max: 8 << 20,
            variable_directories: Vec::new(),
            variable_environment: BTreeSet::new(),
        }
    }
}

/// `[aggregator]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AggregatorConfig {
    /// Tells this process apart from others that count the same aggregations. A process that comes again under its name goes on
    /// at once with its partitions; one without a name is given partitions when its predecessor's 6 s of silence are over. Empty:
    /// one name where the embedded log is in the same process, and a new one each time elsewhere.
    pub instance: String,
    /// Whether this process keeps a copy of the state of the partitions that other processes have: a takeover then takes
    /// milliseconds in place of about a second for half a million keys. It costs the memory of that state, and the reading of all changelogs.
    pub standby: bool,
    /// Most bytes of state (rows and identities) in memory, of each aggregation of this process; what is more moves to files in
    /// `spill` in the data directory. At least 67,108,864. 1,073,741,824.
    pub state_memory_max: usize,
}

/// `[sink]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkConfig {
    /// Tells this process apart from others that write the same results: they share the partitions of the results topics. A process
    /// that comes again under its name goes on at once; one without a name when its predecessor's 6 s of silence are over. Empty: one
    /// name where the embedded log is in the same process, and a new one each time elsewhere.
    pub instance: String,
}

impl Default for AggregatorConfig {
    fn default() -> Self {
        Self {
            instance: String::new(),
            standby: false,
            state_memory_max: 1 << 30,
        }
    }
}

/// `[admin]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Address of `/healthz`, `/readyz` and `/metrics`. 127.0.0.1:9190.
    pub address: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            address: loopback(port::ADMIN),
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// `keep_days`: a number of business days, today included, or `"all"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeepDays {
    /// 1 to 366.
    Days(u16),
    /// Every day; then nothing is late.
    All(All),
}

/// The word `"all"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// The only value.
    All,
}

/// `late`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateConfig {
    /// A late transaction corrects its own day while that is kept.
    #[default]
    Correct,
    /// A late transaction is quarantined.
    Quarantine,
}

/// An entry of `holidays`; TOML's dates may go without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Holiday {
    /// A date, or the name of a calendar.
    Text(String),
    /// A date of TOML.
    Date(toml::value::Datetime),
}

/// `aggregation.engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineConfig {
    /// This program.
    #[default]
    Native,
    /// Apache Spark.
    Spark,
}

/// `[[aggregation]]` (DESIGN §4).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregationConfig {
    /// Name; also that of the results topic and of the store's table. Letters, digits and `_`.
    pub name: String,
    /// `SELECT keys, aggregates FROM transactions GROUP BY business_day, keys`.
    pub sql: String,
    /// What adds up: `"native"`, this program, or `"spark"`, the cluster of `[spark]`. `"native"`.
    #[serde(default)]
    pub engine: EngineConfig,
    /// IANA zone of the business day. `"UTC"`.
    #[serde(default = "utc")]
    pub zone: String,
    /// Local time at which the business day begins. `"00:00"`.
    #[serde(default = "midnight")]
    pub cut_off: String,
    /// Weekdays on which there is a business day, `"mon"` to `"sun"`; what falls between counts to the
    /// next one. All seven.
    pub working_days: Option<Vec<String>>,
    /// Dates without a business day (`"2026-12-24"`) and names of calendars of such (`"target"`). None.
    #[serde(default)]
    pub holidays: Vec<Holiday>,
    /// A file of further ones: one date a line, `#` begins a comment. None.
    pub holidays_file: Option<PathBuf>,
    /// Text field of a transaction that names its zone; `zone` where it is not there. None.
    pub zone_column: Option<String>,
    /// What becomes of late transactions. `"correct"`.
    #[serde(default)]
    pub late: LateConfig,
    /// Business days kept, today included, or `"all"`. 2.
    #[serde(default = "two_days")]
    pub keep_days: KeepDays,
    /// How far ahead of the stream a transaction may be booked, in hours. 24.
    #[serde(default = "one_day")]
    pub future_hours_max: u32,
    /// How far `received_at` may be ahead of the log's clock, in minutes. 60.
    #[serde(default = "one_hour")]
    pub clock_skew_minutes_max: u32,
    /// Whether transactions may take others back. Then the SQL may not have min, max and count(DISTINCT), which cannot go back;
    /// else such a transaction is quarantined. True.
    #[serde(default = "yes")]
    pub reversals: bool,
    /// Text fields beside the standard ones that the SQL reads.
    #[serde(default)]
    pub text_columns: Vec<String>,
    /// Another topic that it counts. Daybook's own.
    pub input: Option<InputConfig>,
    /// Most records in one batch, 1 to 100,000. 50,000.
    #[serde(default = "fifty_thousand")]
    pub batch_records_max: usize,
}

impl AggregationConfig {
    /// As text that [`Plan::aggregation_of`](crate::Plan::aggregation_of) reads, without the files that it names.
    pub(crate) fn written_out(&self) -> String {
        let mut whole = self.clone();
        // The file may be another one by then.
        let text = whole
            .holidays_file
            .take()
            .and_then(|path| std::fs::read_to_string(path).ok());
        let lines = text.iter().flat_map(|text| text.lines());
        let dates = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
        let dates = dates.filter(|date| !date.is_empty());
        whole
            .holidays
            .extend(dates.map(|date| Holiday::Text(date.to_owned())));
        toml::to_string(&whole).unwrap_or_default()
    }
}

fn yes() -> bool {
    true
}
fn utc() -> String {
    "UTC".to_owned()
}
fn midnight() -> String {
    "00:00".to_owned()
}
fn two_days() -> KeepDays {
    KeepDays::Days(2)
}
fn one_day() -> u32 {
    24
}
fn one_hour() -> u32 {
    60
}
fn fifty_thousand() -> usize {
    50_000
}

impl AggregationConfig {
    /// The aggregation of a configuration that names none.
    pub fn daily_totals() -> Self {
        Self {
            name: "daily_totals".to_owned(),
            sql: "SELECT account, currency, sum(amount) AS total, count(*) AS transactions \
                  FROM transactions GROUP BY business_day, account, currency"
                .to_owned(),
            engine: EngineConfig::Native,
            zone: "Europe/Zagreb".to_owned(),
            cut_off: midnight(),
            working_days: None,
            holidays: Vec::new(),
            holidays_file: None,
            zone_column: None,
            late: LateConfig::Correct,
            keep_days: two_days(),
            future_hours_max: one_day(),
            clock_skew_minutes_max: one_hour(),
            reversals: true,
            text_columns: Vec::new(),
            input: None,
            batch_records_max: fifty_thousand(),
        }
    }
}

/// The configuration file cannot be used. Exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// From the operating system.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or has an unknown key or a value of the wrong type. The source shows the
    /// line.
    #[error("the configuration file {path} is not usable")]
    Parse {
        /// Which.
        path: PathBuf,
        /// With line, column and the text underlined.
        #[source]
        source: Box<toml::de::Error>,
    },
}

impl Config {
    /// Reads a file. Paths in it become relative to it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut config = Self::parse(path, &text)?;
        let base = path.parent().unwrap_or(Path::new("."));
        let absolute = |path: &mut PathBuf| *path = base.join(&*path);
        config.sources_dir.iter_mut().for_each(absolute);
        for directory in &mut config.directories {
            absolute(&mut directory.path);
            directory.done.iter_mut().for_each(absolute);
            directory.failed.iter_mut().for_each(absolute);
        }
        let gateway = &mut config.gateway;
        let doors = gateway.http.iter_mut().map(|door| &mut door.tls);
        let doors = doors.chain(gateway.tcp.iter_mut().map(|door| &mut door.tls));
        for tls in doors.flatten() {
            absolute(&mut tls.certificate);
            absolute(&mut tls.key);
            tls.client_ca.iter_mut().for_each(absolute);
        }
        for client in &mut gateway.clients {
            client.secret_file.iter_mut().for_each(absolute);
            if let Some(jwt) = &mut client.jwt {
                jwt.ca.iter_mut().for_each(absolute);
                if jwt.is_file() {
                    absolute(&mut jwt.jwks);
                }
            }
        }
        let store = &mut config.store;
        for path in [
            &mut store.path,
            &mut store.password_file,
            &mut store.ca,
            &mut store.certificate,
            &mut store.key,
        ] {
            path.iter_mut().for_each(absolute);
        }
        let spark = config.spark.as_mut();
        let token = spark.and_then(|spark| spark.token_file.as_mut());
        token.into_iter().for_each(absolute);
        for aggregation in &mut config.aggregations {
            aggregation.holidays_file.iter_mut().for_each(absolute);
        }
        let variables = &mut config.connector.variable_directories;
        variables.iter_mut().for_each(absolute);
        if let Some(tls) = &mut config.queue.tls {
            absolute(&mut tls.certificate);
            absolute(&mut tls.key);
            tls.client_ca.iter_mut().for_each(absolute);
        }
        if let Some(tls) = &mut config.log.tls {
            absolute(&mut tls.certificate);
            absolute(&mut tls.key);
            tls.client_ca.iter_mut().for_each(absolute);
        }
        if let Some(tls) = &mut config.postgres.tls {
            absolute(&mut tls.certificate);
            absolute(&mut tls.key);
        }
        config.web.session_key_file.iter_mut().for_each(absolute);
        if let Some(oidc) = &mut config.web.oidc {
            oidc.client_secret_file.iter_mut().for_each(absolute);
            oidc.ca.iter_mut().for_each(absolute);
        }
        if let Some(tls) = &mut config.web.tls {
            absolute(&mut tls.certificate);
            absolute(&mut tls.key);
        }
        let users = &mut config.postgres.users;
        users
            .iter_mut()
            .for_each(|user| absolute(&mut user.password_file));
        let users = &mut config.log.users;
        users
            .iter_mut()
            .for_each(|user| absolute(&mut user.password_file));
        let client = &mut config.queue.client;
        for path in [
            &mut client.password_file,
            &mut client.ca,
            &mut client.certificate,
            &mut client.key,
        ] {
            path.iter_mut().for_each(absolute);
        }
        Ok(config)
    }

    /// Reads a text; `path` is for errors only.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Parse`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Moves every port.
    pub fn offset_ports(&mut self, offset: u16) {
        let http = self.gateway.http.iter_mut().map(|door| &mut door.address);
        let doors = http.chain(self.gateway.tcp.iter_mut().map(|door| &mut door.address));
        let own = [
            &mut self.gateway.address,
            &mut self.queue.address,
            &mut self.connector.address,
            &mut self.log.address,
            &mut self.web.address,
            &mut self.postgres.listen,
            &mut self.admin.address,
        ];
        for address in own.into_iter().chain(doors) {
            address.set_port(address.port().saturating_add(offset));
        }
    }
}
