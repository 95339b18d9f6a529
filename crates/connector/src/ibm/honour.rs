//! Reads every key, and says why what it asks for cannot be honoured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mq_client::{Host, Password};

use super::config::{
    BatchOptions, Builder, Connection, ErrorOptions, IbmConfig, KeySource, Poison, QUEUE_VARIABLE,
    QUEUES_MAX, QueueName, RecordOptions, TOPIC_CHARS_MAX, Tls, TopicCreation, TopicName,
    is_topic_char,
};
use super::convert::Converter;
use super::read::Reader;
use super::stores;

/// Most characters of a queue's name.
const QUEUE_CHARS_MAX: usize = 48;
/// Most characters of a channel's name.
const CHANNEL_CHARS_MAX: usize = 20;

/// Every key is looked at also when one before it is wrong, so that all errors are told at once; the
/// result counts only without errors.
pub(super) fn read(from: &mut Reader<'_>) -> IbmConfig {
    from.check_all();
    class(from);
    let tasks_max = from.number("tasks.max");
    let readers = from.optional_number("daybook.readers").unwrap_or(tasks_max);
    let connection = connection(from);
    let queues = queues(from);
    let topic = topic(from);
    let record = record(from);
    let batch = BatchOptions {
        messages_max: u32::try_from(from.number("mq.batch.size")).unwrap_or(1),
        first_wait: from.millis("mq.message.receive.timeout"),
        next_wait: from.millis("mq.receive.subsequent.timeout.ms"),
        gather_max: Some(from.millis("mq.receive.max.poll.time.ms")).filter(|time| !time.is_zero()),
    };
    let errors = errors(from);
    let producer = producer(from);
    let topic_creation = topic_creation(from);
    from.refuse_unknown();
    IbmConfig {
        name: from.text("name").to_owned(),
        readers: u32::try_from(readers).unwrap_or(1),
        connection,
        queues,
        topic,
        record,
        batch,
        errors,
        producer,
        topic_creation,
        notes: Vec::new(),
    }
}

fn class(from: &mut Reader<'_>) {
    use super::keys::{CONNECTOR_ALIASES, CONNECTOR_CLASS};
    let class = from.text("connector.class");
    if !class.is_empty() && class != CONNECTOR_CLASS && !CONNECTOR_ALIASES.contains(&class) {
        let reason =
            format!("{class:?} is no connector of Daybook's; it runs {CONNECTOR_CLASS} only");
        from.refuse("connector.class", reason);
    }
}

fn connection(from: &mut Reader<'_>) -> Connection {
    let mut hosts = Vec::new();
    let list = from.text("mq.connection.name.list");
    let other_ways =
        !from.text("mq.ccdt.url").is_empty() || from.text("mq.connection.mode") == "bindings";
    for name in list.split(',').filter(|name| !name.trim().is_empty()) {
        match name.parse::<Host>() {
            Ok(host) => hosts.push(host),
            Err(error) => from.refuse("mq.connection.name.list", error.to_string()),
        }
    }
    // Whoever asked for another way to connect is told about that one.
    if list.trim().is_empty() && !other_ways {
        from.missing("mq.connection.name.list");
    }
    let channel = from.text("mq.channel.name");
    if channel.is_empty() && !other_ways {
        from.missing("mq.channel.name");
    } else if channel.chars().count() > CHANNEL_CHARS_MAX {
        let reason = format!("{channel:?} is longer than {CHANNEL_CHARS_MAX} characters");
        from.refuse("mq.channel.name", reason);
    }
    let user = from.text("mq.user.name");
    let password = from.text("mq.password");
    if !password.is_empty() && !from.boolean("mq.user.authentication.mqcsp") {
        from.refuse(
            "mq.user.authentication.mqcsp",
            "compatibility mode, a password in clear of 12 characters at most, is not spoken; drop the key".to_owned(),
        );
    }
    let min = from.millis("mq.reconnect.delay.min.ms");
    let max = from.millis("mq.reconnect.delay.max.ms");
    if max < min {
        let reason = format!(
            "{} ms is less than mq.reconnect.delay.min.ms, {} ms",
            max.as_millis(),
            min.as_millis()
        );
        from.refuse("mq.reconnect.delay.max.ms", reason);
    }
    Connection {
        queue_manager: from.text("mq.queue.manager").to_owned(),
        hosts,
        channel: channel.to_owned(),
        user: user.to_owned(),
        password: Some(password)
            .filter(|text| !text.is_empty())
            .map(Password::new),
        tls: tls(from),
        reconnect_min: min,
        reconnect_max: max,
    }
}

fn tls(from: &mut Reader<'_>) -> Option<Tls> {
    let suite = from.text("mq.ssl.cipher.suite");
    let keystore = from.text("mq.ssl.keystore.location");
    let truststore = from.text("mq.ssl.truststore.location");
    for (key, path) in [
        ("mq.ssl.keystore.location", keystore),
        ("mq.ssl.truststore.location", truststore),
    ] {
        if let Some(reason) = stores::refused_by_name(key, path) {
            from.refuse(key, reason);
        }
    }
    if suite.is_empty() {
        for (key, path) in [
            ("mq.ssl.keystore.location", keystore),
            ("mq.ssl.truststore.location", truststore),
        ] {
            if !path.is_empty() {
                from.note(key, "without mq.ssl.cipher.suite there is no TLS");
            }
        }
        return None;
    }
    if let Err(reason) = stores::cipher_suite(suite) {
        from.refuse("mq.ssl.cipher.suite", reason);
    }
    if truststore.is_empty() {
        from.refuse(
            "mq.ssl.truststore.location",
            "TLS needs the roots that the queue manager's certificate must come from, as a PEM file".to_owned(),
        );
    }
    Some(Tls {
        cipher_suite: suite.to_owned(),
        truststore: PathBuf::from(truststore),
        keystore: Some(keystore)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
    })
}

fn queues(from: &mut Reader<'_>) -> Vec<QueueName> {
    let one = from.text("mq.queue").trim();
    let list = from.text("daybook.queues");
    let names: Vec<&str> = match (one.is_empty(), list.trim().is_empty()) {
        (true, true) => {
            from.missing("mq.queue");
            return Vec::new();
        }
        (false, false) => {
            from.refuse(
                "daybook.queues",
                "give either mq.queue or daybook.queues".to_owned(),
            );
            return Vec::new();
        }
        (false, true) => vec![one],
        (true, false) => list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect(),
    };
    let key = if one.is_empty() {
        "daybook.queues"
    } else {
        "mq.queue"
    };
    if names.len() > QUEUES_MAX {
        let reason = format!("{} names; at most {QUEUES_MAX} are taken", names.len());
        from.refuse(key, reason);
        return Vec::new();
    }
    let mut queues = Vec::new();
    for name in names {
        let prefix = name.strip_suffix('*').filter(|_| key == "daybook.queues");
        let bare = prefix.unwrap_or(name);
        if bare.is_empty() && prefix.is_some() {
            from.refuse(
                key,
                "\"*\" would take the queue manager's own queues too; begin with a prefix"
                    .to_owned(),
            );
        } else if !is_queue_name(bare) {
            let reason = format!(
                "{name:?} is no queue's name: at most {QUEUE_CHARS_MAX} of the letters, digits and . / _ %"
            );
            from.refuse(key, reason);
        }
        let queue = match prefix {
            Some(prefix) => QueueName::Prefix(prefix.to_owned()),
            None => QueueName::Exact(name.to_owned()),
        };
        if !queues.contains(&queue) {
            queues.push(queue);
        }
    }
    queues
}

fn is_queue_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"./_%".contains(&byte);
    !name.is_empty() && name.len() <= QUEUE_CHARS_MAX && name.bytes().all(legal)
}

fn topic(from: &mut Reader<'_>) -> TopicName {
    let one = from.text("topic").trim();
    let pattern = from.text("daybook.topic.pattern").trim();
    match (one.is_empty(), pattern.is_empty()) {
        (true, true) => from.missing("topic"),
        (false, false) => {
            from.refuse(
                "daybook.topic.pattern",
                "give either topic or daybook.topic.pattern".to_owned(),
            );
        }
        (false, true) => check_topic(from, "topic", one, one),
        (true, false) => {
            if !pattern.contains(QUEUE_VARIABLE) {
                let reason = format!(
                    "{pattern:?} has no {QUEUE_VARIABLE} in it; for one topic use the key topic"
                );
                from.refuse("daybook.topic.pattern", reason);
            }
            let filled = pattern.replace(QUEUE_VARIABLE, "Q");
            check_topic(from, "daybook.topic.pattern", pattern, &filled);
            return TopicName::Pattern(pattern.to_owned());
        }
    }
    TopicName::One(one.to_owned())
}

fn check_topic(from: &mut Reader<'_>, key: &'static str, given: &str, name: &str) {
    let legal = name.len() <= TOPIC_CHARS_MAX && name.chars().all(is_topic_char);
    if !legal || name == "." || name == ".." {
        let reason = format!(
            "{given:?} is no topic's name: at most {TOPIC_CHARS_MAX} of the letters, digits and . _ -"
        );
        from.refuse(key, reason);
    } else if name.starts_with("__") {
        let reason =
            format!("{given:?}: topics that begin with __ belong to Kafka and to Daybook itself");
        from.refuse(key, reason);
    }
}

fn record(from: &mut Reader<'_>) -> RecordOptions {
    const PACKAGE: &str = "com.ibm.eventstreams.connect.mqsource.builders.";
    let builder = from.text("mq.record.builder").trim();
    let builder = match builder.strip_prefix(PACKAGE).unwrap_or(builder) {
        "JsonRecordBuilder" => Builder::Json,
        // Told already that it is missing.
        "DefaultRecordBuilder" | "" => Builder::Default,
        other => {
            let reason = format!(
                "{other:?} is a class of Java's, which Daybook cannot run; use DefaultRecordBuilder or JsonRecordBuilder, \
                 and a mapping of the gateway or an aggregation for what the class does"
            );
            from.refuse("mq.record.builder", reason);
            Builder::Default
        }
    };
    let header = match from.text("mq.record.builder.key.header") {
        "JMSMessageID" => KeySource::MessageId,
        "JMSCorrelationID" => KeySource::CorrelationId,
        "JMSCorrelationIDAsBytes" => KeySource::CorrelationIdBytes,
        "JMSDestination" => KeySource::Destination,
        "JMSXGroupID" => KeySource::GroupId,
        _ => KeySource::None,
    };
    let field = from.text("daybook.key.json.field");
    let key = match (header, field) {
        (header, "") => header,
        (KeySource::None, field) => {
            let path: Vec<String> = field.split('.').map(str::to_owned).collect();
            if path.iter().any(String::is_empty) {
                let reason =
                    format!("{field:?} has an empty name in it; write account or order.id");
                from.refuse("daybook.key.json.field", reason);
            }
            KeySource::JsonField(path)
        }
        (header, _) => {
            from.refuse(
                "daybook.key.json.field",
                "give either mq.record.builder.key.header or daybook.key.json.field".to_owned(),
            );
            header
        }
    };
    let key_converter = from.converter("key.converter");
    if key == KeySource::CorrelationIdBytes && key_converter == Converter::Text {
        from.refuse(
            "key.converter",
            "JMSCorrelationIDAsBytes gives bytes, which StringConverter cannot write; use ByteArrayConverter, or JMSCorrelationID".to_owned(),
        );
    }
    if key_converter == Converter::Bytes
        && !matches!(key, KeySource::None | KeySource::CorrelationIdBytes)
    {
        from.refuse(
            "key.converter",
            "the key is text, which ByteArrayConverter cannot write; use StringConverter"
                .to_owned(),
        );
    }
    let header_converter = from.converter("header.converter");
    if header_converter == Converter::Bytes {
        from.refuse(
            "header.converter",
            "properties are text and numbers, which ByteArrayConverter cannot write; use SimpleHeaderConverter".to_owned(),
        );
    }
    let value_converter = from.converter("value.converter");
    if builder == Builder::Json && value_converter == Converter::Bytes {
        from.refuse(
            "value.converter",
            "ByteArrayConverter cannot write JSON; use JsonConverter with value.converter.schemas.enable=false".to_owned(),
        );
    }
    RecordOptions {
        builder,
        body_jms: from.boolean("mq.message.body.jms"),
        mqmd_read: from.boolean("mq.message.mqmd.read"),
        copy_properties: from.boolean("mq.jms.properties.copy.to.kafka.headers"),
        key,
        key_converter,
        value_converter,
        header_converter,
    }
}

fn errors(from: &mut Reader<'_>) -> ErrorOptions {
    let topic = from.text("errors.deadletterqueue.topic.name").trim();
    let queue = from.text("daybook.dead.letter.queue").trim();
    if !topic.is_empty() {
        check_topic(from, "errors.deadletterqueue.topic.name", topic, topic);
    }
    if !queue.is_empty() && !is_queue_name(queue) {
        let reason = format!("{queue:?} is no queue's name");
        from.refuse("daybook.dead.letter.queue", reason);
    }
    let tolerant = from.text("errors.tolerance").eq_ignore_ascii_case("all");
    let poison = match (tolerant, topic, queue) {
        (true, "", "") => Poison::Skip,
        (true, topic, "") => Poison::Topic {
            topic: topic.to_owned(),
            context_headers: from.boolean("errors.deadletterqueue.context.headers.enable"),
        },
        (true, "", queue) => Poison::Queue(queue.to_owned()),
        (_, topic, queue) if !topic.is_empty() && !queue.is_empty() => {
            from.refuse(
                "daybook.dead.letter.queue",
                "give either errors.deadletterqueue.topic.name or daybook.dead.letter.queue"
                    .to_owned(),
            );
            Poison::Fail
        }
        (_, topic, queue) => {
            const NOT_USED: &str =
                "with errors.tolerance=none a message that cannot be converted ends the task";
            if !topic.is_empty() {
                from.note("errors.deadletterqueue.topic.name", NOT_USED);
            }
            if !queue.is_empty() {
                from.note("daybook.dead.letter.queue", NOT_USED);
            }
            Poison::Fail
        }
    };
    ErrorOptions {
        poison,
        log: from.boolean("errors.log.enable"),
        log_messages: from.boolean("errors.log.include.messages"),
    }
}

/// Producer settings that exactly once rests on, and the values that say what Daybook does anyway.
const FIXED: &[(&str, &[&str])] = &[
    ("acks", &["all", "-1"]),
    ("enable.idempotence", &["true"]),
    ("transactional.id", &[]),
    (
        "max.in.flight.requests.per.connection",
        &["1", "2", "3", "4", "5"],
    ),
    ("key.serializer", &[]),
    ("value.serializer", &[]),
    ("bootstrap.servers", &[]),
];

fn producer(from: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (key, value) in from.family("producer.override.") {
        let name = key
            .strip_prefix("producer.override.")
            .unwrap_or(&key)
            .to_owned();
        let fixed = FIXED.iter().find(|(fixed, _)| *fixed == name);
        match fixed {
            Some((_, same)) if same.contains(&value.as_str()) => {
                from.note_owned(key, "it is so always".to_owned());
            }
            Some(_) => from.refuse_owned(
                key,
                "exactly once rests on Daybook's own setting, or the cluster is that of Daybook's configuration; drop the key".to_owned(),
            ),
            None => {
                settings.insert(name, value);
            }
        }
    }
    settings
}

fn topic_creation(from: &mut Reader<'_>) -> Option<TopicCreation> {
    const DEFAULT: &str = "topic.creation.default.";
    let replication_factor = from.optional_number("topic.creation.default.replication.factor");
    let partitions = from.optional_number("topic.creation.default.partitions");
    let mut settings = BTreeMap::new();
    for (key, value) in from.family(DEFAULT) {
        let name = key.strip_prefix(DEFAULT).unwrap_or(&key);
        match name {
            "replication.factor" | "partitions" => {}
            "include" if value == ".*" => {}
            "exclude" if value.is_empty() => {}
            "include" | "exclude" => from.refuse_owned(
                key,
                "topic.creation.default.* holds for every topic of the connector; drop the key"
                    .to_owned(),
            ),
            name => {
                settings.insert(name.to_owned(), value);
            }
        }
    }
    let (Some(replication_factor), Some(partitions)) = (replication_factor, partitions) else {
        if replication_factor.is_some() || partitions.is_some() || !settings.is_empty() {
            let key = match replication_factor {
                None => "topic.creation.default.replication.factor",
                Some(_) => "topic.creation.default.partitions",
            };
            from.missing(key);
        }
        return None;
    };
    for (key, value) in [
        (
            "topic.creation.default.replication.factor",
            replication_factor,
        ),
        ("topic.creation.default.partitions", partitions),
    ] {
        if value == 0 {
            from.refuse(
                key,
                "0: give a number from 1, or -1 for the cluster's default".to_owned(),
            );
        }
    }
    Some(TopicCreation {
        partitions: i32::try_from(partitions).unwrap_or(-1),
        replication_factor: i16::try_from(replication_factor).unwrap_or(-1),
        settings,
    })
}
