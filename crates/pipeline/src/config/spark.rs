//! `[spark]`: an Apache Spark cluster that adds up, for aggregations with `engine = "spark"`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aggregate::SparkOptions;
use serde::Deserialize;

/// `[spark]`. Without the section there is no Spark.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparkConfig {
    /// Address of the Connect server, `"sc://host:port"`.
    pub remote: String,
    /// Where Spark keeps how far it is: a path or URL that its driver and all its executors share, such as `"s3a://…"` or `"hdfs://…"`.
    /// `spark` in the data directory, which does where all of Spark is on this machine.
    pub checkpoints: Option<String>,
    /// Whether TLS is spoken with the Connect server. False.
    #[serde(default)]
    pub tls: bool,
    /// File whose first line is the token that the Connect server wants. Relative to the configuration file. None.
    pub token_file: Option<PathBuf>,
    /// Addresses of Kafka as Spark sees them. As this program does.
    pub kafka: Option<String>,
    /// Further options of Spark's Kafka source and sink, such as `"kafka.security.protocol"`. None.
    #[serde(default)]
    pub kafka_options: BTreeMap<String, String>,
    /// Further settings of the session, such as `"spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled"`. None.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Least time from the beginning of one batch to that of the next, in milliseconds. 100.
    #[serde(default = "trigger_ms")]
    pub trigger_ms: u64,
    /// Most records in one of its batches. All that are there.
    pub batch_records_max: Option<u64>,
    /// Parts that Spark divides its state into, 1 to 10,000. A generation keeps the number that it began with. 4.
    #[serde(default = "shuffle_partitions")]
    pub shuffle_partitions: u32,
    /// Days that Spark keeps beside those which the aggregation keeps, 1 to 366. 7.
    #[serde(default = "watermark_days")]
    pub watermark_days: u16,
}

/// Most parts of Spark's state.
const SHUFFLE_PARTITIONS_MAX: u32 = 10_000;

fn trigger_ms() -> u64 {
    100
}
fn shuffle_partitions() -> u32 {
    4
}
fn watermark_days() -> u16 {
    7
}

impl SparkConfig {
    /// Of a Connect server, with the defaults.
    pub fn at(remote: &str) -> Self {
        Self {
            remote: remote.to_owned(),
            checkpoints: None,
            tls: false,
            token_file: None,
            kafka: None,
            kafka_options: BTreeMap::new(),
            settings: BTreeMap::new(),
            trigger_ms: trigger_ms(),
            batch_records_max: None,
            shuffle_partitions: shuffle_partitions(),
            watermark_days: watermark_days(),
        }
    }

    /// What is wrong with it.
    pub(crate) fn check(&self, refuse: &mut impl FnMut(String)) {
        let address = self.remote.strip_prefix("sc://").unwrap_or_default();
        let port = address.trim_end_matches('/').rsplit_once(':');
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        if !port.is_some_and(|(host, port)| !host.is_empty() && is_port(port)) {
            refuse(format!(
                "`spark.remote` is {:?}, but must be \"sc://host:port\", the address of a Connect server (port 15002 unless set otherwise)",
                self.remote
            ));
        }
        if !(1..=SHUFFLE_PARTITIONS_MAX).contains(&self.shuffle_partitions) {
            refuse(format!(
                "`spark.shuffle_partitions` is {}, but must be 1 to {SHUFFLE_PARTITIONS_MAX}",
                self.shuffle_partitions
            ));
        }
        if !(1..=366).contains(&self.watermark_days) {
            refuse(format!(
                "`spark.watermark_days` is {}, but must be 1 to 366",
                self.watermark_days
            ));
        }
        if self.batch_records_max == Some(0) {
            refuse("`spark.batch_records_max` is 0: Spark would never read anything".to_owned());
        }
        if let Err(error) = self.token() {
            refuse(error);
        }
    }

    fn token(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| {
            format!(
                "`spark.token_file` {}: cannot be read: {error}",
                path.display()
            )
        })?;
        match text.lines().next().map(str::trim) {
            Some(token) if !token.is_empty() => Ok(Some(token.to_owned())),
            _ => Err(format!(
                "`spark.token_file` {}: its first line is empty",
                path.display()
            )),
        }
    }

    /// For the aggregations.
    pub(crate) fn options(&self, data_dir: &Path) -> SparkOptions {
        let own = || {
            // It need not be there yet, so it cannot be resolved.
            let path = std::path::absolute(data_dir.join("spark"));
            let path = path.unwrap_or_else(|_| data_dir.join("spark"));
            format!("file://{}", path.display())
        };
        let mut parameters = Vec::new();
        if self.tls {
            parameters.push(("use_ssl".to_owned(), "true".to_owned()));
        }
        // It was checked before.
        if let Ok(Some(token)) = self.token() {
            parameters.push(("token".to_owned(), token));
        }
        SparkOptions {
            remote: self.remote.clone(),
            parameters,
            checkpoints: self.checkpoints.clone().unwrap_or_else(own),
            kafka: self.kafka.clone(),
            kafka_options: self.kafka_options.clone().into_iter().collect(),
            settings: self.settings.clone().into_iter().collect(),
            trigger_ms: self.trigger_ms,
            batch_records_max: self.batch_records_max,
            shuffle_partitions: self.shuffle_partitions,
            watermark_days: self.watermark_days,
        }
    }
}
