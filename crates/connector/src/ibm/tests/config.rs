//! Configurations: taken, refused, and shown.

use std::time::Duration;

use super::super::*;

/// As short as it can be.
pub(in super::super) fn minimal() -> ConfigMap {
    let pairs = [
        ("name", "c"),
        ("connector.class", CONNECTOR_CLASS),
        ("mq.queue.manager", "QM1"),
        ("mq.connection.name.list", "mq.example.com(1414)"),
        ("mq.channel.name", "APP.SVRCONN"),
        ("mq.queue", "APP.IN"),
        ("mq.record.builder", "DefaultRecordBuilder"),
        ("topic", "t"),
    ];
    let pairs = pairs.into_iter();
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// With these changed; an empty value takes the key away.
pub(in super::super) fn with(map: &ConfigMap, changes: &[(&str, &str)]) -> ConfigMap {
    let mut map = map.clone();
    for (key, value) in changes {
        match value.is_empty() {
            true => map.remove(*key),
            false => map.insert((*key).to_owned(), (*value).to_owned()),
        };
    }
    map
}

fn read(changes: &[(&str, &str)]) -> IbmConfig {
    IbmConfig::from(&with(&minimal(), changes)).expect("valid")
}

fn refused(changes: &[(&str, &str)]) -> Vec<String> {
    let errors = IbmConfig::from(&with(&minimal(), changes)).expect_err("refused");
    errors.iter().map(ToString::to_string).collect()
}

/// A file as people write them for IBM's connector, with everything in it that is honoured.
const FILE: &str = "\
name=orders\n\
connector.class=com.ibm.eventstreams.connect.mqsource.MQSourceConnector\n\
tasks.max=2\n\
# where from\n\
mq.queue.manager=QM1\n\
mq.connection.mode=client\n\
mq.connection.name.list=mq1.example.com(1414),\\\n\
    mq2.example.com(1415)\n\
mq.channel.name=APP.SVRCONN\n\
mq.queue=ORDERS.IN\n\
mq.user.name=app\n\
mq.password=passw0rd\n\
mq.user.authentication.mqcsp=true\n\
mq.record.builder=com.ibm.eventstreams.connect.mqsource.builders.JsonRecordBuilder\n\
mq.message.body.jms=true\n\
mq.record.builder.key.header=JMSCorrelationID\n\
mq.jms.properties.copy.to.kafka.headers=true\n\
mq.message.mqmd.read=true\n\
mq.ssl.cipher.suite=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n\
mq.ssl.use.ibm.cipher.mappings=false\n\
mq.ssl.truststore.location=/etc/app/ca.pem\n\
mq.ssl.truststore.password=changeit\n\
mq.ssl.keystore.location=/etc/app/app.pem\n\
mq.batch.size=500\n\
mq.message.receive.timeout=3000\n\
mq.receive.subsequent.timeout.ms=10\n\
mq.receive.max.poll.time.ms=500\n\
mq.max.poll.blocked.time.ms=1000\n\
mq.reconnect.delay.min.ms=100\n\
mq.reconnect.delay.max.ms=10000\n\
mq.client.reconnect.options=QMGR\n\
mq.exactly.once.state.queue=ORDERS.STATE\n\
errors.tolerance=all\n\
errors.log.enable=true\n\
errors.deadletterqueue.topic.name=orders-dlq\n\
errors.deadletterqueue.context.headers.enable=true\n\
topic=orders\n\
key.converter=org.apache.kafka.connect.storage.StringConverter\n\
value.converter=org.apache.kafka.connect.json.JsonConverter\n\
value.converter.schemas.enable=false\n\
exactly.once.support=required\n\
producer.override.linger.ms=5\n\
producer.override.acks=all\n\
topic.creation.default.partitions=6\n\
topic.creation.default.replication.factor=3\n\
topic.creation.default.cleanup.policy=delete\n\
my.own.note=hello\n";

#[test]
fn a_whole_file_is_taken() {
    let file = ConfigFile::read(FILE).expect("properties");
    let config = IbmConfig::from(&file.config).expect("valid");
    assert_eq!((config.name.as_str(), config.readers), ("orders", 2));
    let connection = &config.connection;
    let hosts: Vec<String> = connection.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["mq1.example.com(1414)", "mq2.example.com(1415)"]);
    assert_eq!(connection.channel, "APP.SVRCONN");
    assert_eq!(
        (connection.user.as_str(), connection.password.is_some()),
        ("app", true)
    );
    assert_eq!(connection.reconnect_max, Duration::from_secs(10));
    let tls = connection.tls.as_ref().expect("TLS");
    assert_eq!(tls.truststore.to_str(), Some("/etc/app/ca.pem"));
    assert_eq!(config.queues, [QueueName::Exact("ORDERS.IN".to_owned())]);
    assert_eq!(config.topic, TopicName::One("orders".to_owned()));
    assert_eq!(
        config.record,
        RecordOptions {
            builder: Builder::Json,
            body_jms: true,
            mqmd_read: true,
            copy_properties: true,
            key: KeySource::CorrelationId,
            key_converter: Converter::Text,
            value_converter: Converter::Json { schemas: false },
            header_converter: Converter::AsIs,
        }
    );
    assert_eq!(
        config.batch,
        BatchOptions {
            messages_max: 500,
            first_wait: Duration::from_secs(3),
            next_wait: Duration::from_millis(10),
            gather_max: Some(Duration::from_millis(500)),
        }
    );
    assert_eq!(
        config.errors,
        ErrorOptions {
            poison: Poison::Topic {
                topic: "orders-dlq".to_owned(),
                context_headers: true,
            },
            log: true,
            log_messages: false,
        }
    );
    assert_eq!(
        config.producer.get("linger.ms").map(String::as_str),
        Some("5")
    );
    assert_eq!(config.producer.len(), 1);
    let creation = config.topic_creation.expect("creation");
    assert_eq!((creation.partitions, creation.replication_factor), (6, 3));
    assert_eq!(creation.settings["cleanup.policy"], "delete");
    let noted: Vec<&str> = config.notes.iter().map(|note| note.key.as_str()).collect();
    assert_eq!(
        noted,
        [
            "exactly.once.support",
            "mq.ssl.truststore.password",
            "mq.ssl.use.ibm.cipher.mappings",
            "mq.exactly.once.state.queue",
            "mq.max.poll.blocked.time.ms",
            "mq.client.reconnect.options",
            "producer.override.acks",
            "my.own.note",
        ]
    );
}

#[test]
fn the_shortest_configuration_has_ibms_defaults() {
    let config = read(&[]);
    assert_eq!(config.readers, 1);
    assert_eq!(config.record.builder, Builder::Default);
    assert!(!config.record.body_jms && !config.record.copy_properties);
    assert_eq!(config.batch.messages_max, 250);
    assert_eq!(config.batch.first_wait, Duration::from_secs(2));
    assert_eq!(
        (config.batch.next_wait, config.batch.gather_max),
        (Duration::ZERO, None)
    );
    assert_eq!(config.connection.reconnect_min, Duration::from_millis(64));
    assert_eq!(config.connection.reconnect_max, Duration::from_millis(8192));
    assert_eq!(config.errors.poison, Poison::Fail);
    assert!(config.connection.tls.is_none() && config.topic_creation.is_none());
    assert!(config.notes.is_empty(), "{:?}", config.notes);
}

#[test]
fn what_cannot_be_honoured_is_refused_with_the_reason() {
    for (changes, key, part) in [
        (
            &[(
                "connector.class",
                "org.apache.kafka.connect.file.FileStreamSourceConnector",
            )][..],
            "connector.class",
            "runs com.ibm",
        ),
        (
            &[("mq.connection.mode", "bindings")],
            "mq.connection.mode",
            "localhost(1414)",
        ),
        (
            &[("mq.connection.mode", "x")],
            "mq.connection.mode",
            "\"x\" is none of client, bindings",
        ),
        (
            &[("mq.ccdt.url", "file:///x.json")],
            "mq.ccdt.url",
            "mq.connection.name.list",
        ),
        (
            &[("mq.connection.name.list", "mq(14x)")],
            "mq.connection.name.list",
            "host(port)",
        ),
        (
            &[("mq.connection.name.list", "")],
            "mq.connection.name.list",
            "Missing required configuration",
        ),
        (
            &[("mq.channel.name", "")],
            "mq.channel.name",
            "Missing required configuration",
        ),
        (
            &[("mq.channel.name", "A23456789012345678901")],
            "mq.channel.name",
            "longer than 20",
        ),
        (
            &[("mq.queue.manager", "")],
            "mq.queue.manager",
            "Missing required configuration",
        ),
        (
            &[("mq.queue.manager", " ")],
            "mq.queue.manager",
            "must not be empty",
        ),
        (
            &[("mq.queue", "")],
            "mq.queue",
            "Missing required configuration",
        ),
        (&[("mq.queue", "APP-IN")], "mq.queue", "no queue's name"),
        (&[("mq.queue", "APP.*")], "mq.queue", "no queue's name"),
        (&[("topic", "")], "topic", "Missing required configuration"),
        (&[("topic", "a b")], "topic", "no topic's name"),
        (
            &[("topic", "__daybook_delivered")],
            "topic",
            "belong to Kafka",
        ),
        (
            &[("mq.record.builder", "com.example.XmlRecordBuilder")],
            "mq.record.builder",
            "DefaultRecordBuilder or JsonRecordBuilder",
        ),
        (
            &[("mq.record.builder.key.header", "JMSType")],
            "mq.record.builder.key.header",
            "none of JMSMessageID",
        ),
        (
            &[("mq.record.builder.json.schemas.enable", "true")],
            "mq.record.builder.json.schemas.enable",
            "without a schema",
        ),
        (
            &[
                ("mq.password", "secret"),
                ("mq.user.authentication.mqcsp", "false"),
            ],
            "mq.user.authentication.mqcsp",
            "compatibility mode",
        ),
        (
            &[
                ("mq.ssl.cipher.suite", "TLS_RSA_WITH_AES_128_CBC_SHA256"),
                ("mq.ssl.truststore.location", "/x.pem"),
            ],
            "mq.ssl.cipher.suite",
            "ANY_TLS12_OR_HIGHER",
        ),
        (
            &[("mq.ssl.cipher.suite", "TLS_AES_256_GCM_SHA384")],
            "mq.ssl.truststore.location",
            "roots",
        ),
        (
            &[("mq.ssl.truststore.location", "/x.jks")],
            "mq.ssl.truststore.location",
            "keytool -importkeystore",
        ),
        (
            &[("mq.ssl.keystore.location", "/x.p12")],
            "mq.ssl.keystore.location",
            "openssl pkcs12 -in /x.p12 -nodes",
        ),
        (
            &[("mq.ssl.keystore.password", "secret")],
            "mq.ssl.keystore.password",
            "not encrypted",
        ),
        (
            &[("mq.ssl.peer.name", "CN=QM1")],
            "mq.ssl.peer.name",
            "truststore",
        ),
        (
            &[("mq.batch.size", "0")],
            "mq.batch.size",
            "not from 1 to 10000",
        ),
        (
            &[("mq.batch.size", "x")],
            "mq.batch.size",
            "no number of 32 bits",
        ),
        (
            &[("mq.message.body.jms", "yes")],
            "mq.message.body.jms",
            "neither true nor false",
        ),
        (
            &[("mq.reconnect.delay.min.ms", "9000")],
            "mq.reconnect.delay.max.ms",
            "less than mq.reconnect.delay.min.ms",
        ),
        (
            &[("transforms", "route")],
            "transforms",
            "daybook.topic.pattern",
        ),
        (
            &[("transaction.boundary", "interval")],
            "transaction.boundary",
            "poll",
        ),
        (
            &[("value.converter", "io.confluent.connect.avro.AvroConverter")],
            "value.converter",
            "StringConverter, ByteArrayConverter or JsonConverter",
        ),
        (
            &[(
                "value.converter",
                "org.apache.kafka.connect.storage.SimpleHeaderConverter",
            )],
            "value.converter",
            "does not have",
        ),
        (
            &[
                (
                    "value.converter",
                    "org.apache.kafka.connect.storage.StringConverter",
                ),
                ("value.converter.encoding", "UTF-16"),
            ],
            "value.converter.encoding",
            "drop the key",
        ),
        (
            &[
                ("mq.record.builder", "JsonRecordBuilder"),
                (
                    "value.converter",
                    "org.apache.kafka.connect.converters.ByteArrayConverter",
                ),
            ],
            "value.converter",
            "cannot write JSON",
        ),
        (
            &[
                ("mq.record.builder.key.header", "JMSMessageID"),
                (
                    "key.converter",
                    "org.apache.kafka.connect.converters.ByteArrayConverter",
                ),
            ],
            "key.converter",
            "use StringConverter",
        ),
        (
            &[
                ("mq.record.builder.key.header", "JMSMessageID"),
                ("daybook.key.json.field", "a"),
            ],
            "daybook.key.json.field",
            "either",
        ),
        (
            &[("daybook.key.json.field", "a..b")],
            "daybook.key.json.field",
            "empty name",
        ),
        (&[("daybook.queues", "A,B")], "daybook.queues", "either"),
        (
            &[("mq.queue", ""), ("daybook.queues", "*")],
            "daybook.queues",
            "begin with a prefix",
        ),
        (
            &[("daybook.topic.pattern", "mq.${queue}")],
            "daybook.topic.pattern",
            "either",
        ),
        (
            &[("topic", ""), ("daybook.topic.pattern", "mq")],
            "daybook.topic.pattern",
            "${queue}",
        ),
        (
            &[
                ("errors.tolerance", "all"),
                ("errors.deadletterqueue.topic.name", "d"),
                ("daybook.dead.letter.queue", "D"),
            ],
            "daybook.dead.letter.queue",
            "either",
        ),
        (
            &[("producer.override.acks", "1")],
            "producer.override.acks",
            "exactly once",
        ),
        (
            &[("topic.creation.groups", "a")],
            "topic.creation.groups",
            "create other topics",
        ),
        (
            &[("topic.creation.default.partitions", "3")],
            "topic.creation.default.replication.factor",
            "Missing required",
        ),
        (&[("mq.no.such", "x")], "mq.no.such", "misspelt"),
        (&[("daybook.raeders", "3")], "daybook.raeders", "misspelt"),
        (
            &[("mq.password", "${file:/run/secret.properties:password}")],
            "mq.password",
            "its variable was not replaced",
        ),
        (&[("tasks.max", "65")], "tasks.max", "not from 1 to 64"),
    ] {
        let found = refused(changes);
        assert_eq!(found.len(), 1, "{changes:?}: {found:?}");
        assert!(
            found[0].starts_with(&format!("{key}: ")),
            "{changes:?}: {found:?}"
        );
        assert!(found[0].contains(part), "{changes:?}: {found:?}");
        assert!(
            !found[0].contains("secret\""),
            "a secret is shown: {found:?}"
        );
    }
}

#[test]
fn all_errors_are_told_at_once() {
    let errors = IbmConfig::from(&ConfigMap::new()).expect_err("empty");
    let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "name",
            "connector.class",
            "mq.queue.manager",
            "mq.record.builder",
            "mq.connection.name.list",
            "mq.channel.name",
            "mq.queue",
            "topic",
        ]
    );
}

#[test]
fn several_queues_have_topics_by_pattern() {
    let config = read(&[
        ("mq.queue", ""),
        ("topic", ""),
        ("daybook.queues", "APP.A, APP.B/%, ORDERS.*, APP.A"),
        ("daybook.topic.pattern", "mq.${queue}.v1"),
        ("daybook.readers", "64"),
    ]);
    let queues: Vec<String> = config.queues.iter().map(ToString::to_string).collect();
    assert_eq!(queues, ["APP.A", "APP.B/%", "ORDERS.*"]);
    assert_eq!(config.readers, READERS_MAX);
    assert_eq!(config.topic.of("APP.A"), "mq.APP.A.v1");
    assert_eq!(config.topic.of("APP.B/%          "), "mq.APP.B__.v1");
    let many = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("Q{number}")).collect();
        with(
            &minimal(),
            &[("mq.queue", ""), ("daybook.queues", &names.join(","))],
        )
    };
    assert_eq!(
        IbmConfig::from(&many(QUEUES_MAX))
            .expect("fits")
            .queues
            .len(),
        QUEUES_MAX
    );
    assert!(IbmConfig::from(&many(QUEUES_MAX + 1)).is_err());
}

#[test]
fn messages_that_cannot_be_converted_go_where_it_is_said() {
    let poison = |changes: &[(&str, &str)]| read(changes).errors.poison;
    assert_eq!(poison(&[("errors.tolerance", "ALL")]), Poison::Skip);
    assert_eq!(
        poison(&[
            ("errors.tolerance", "all"),
            ("daybook.dead.letter.queue", "APP.BACKOUT")
        ]),
        Poison::Queue("APP.BACKOUT".to_owned())
    );
    let unused = read(&[("errors.deadletterqueue.topic.name", "d")]);
    assert_eq!(unused.errors.poison, Poison::Fail);
    assert_eq!(unused.notes[0].key, "errors.deadletterqueue.topic.name");
}

#[test]
fn the_answer_of_validation_has_connects_shape() {
    let mut map = minimal();
    map.insert("mq.password".to_owned(), "secret".to_owned());
    let valid = validate(&map);
    assert_eq!((valid.error_count, valid.configs.len()), (0, KEYS.len()));
    assert_eq!(
        valid.groups,
        [
            "Common",
            "Transforms",
            "Predicates",
            "Error Handling",
            "Exactly Once Support",
            "offsets.topic",
            "Topic Creation",
            "mq",
            "daybook"
        ]
    );
    let text = serde_json::to_string(&valid).expect("JSON");
    assert!(!text.contains("secret\""), "the password is shown");
    map.insert("mq.batch.size".to_owned(), "0".to_owned());
    map.insert("mq.nothing".to_owned(), "1".to_owned());
    let invalid = validate(&map);
    assert_eq!(invalid.error_count, 2);
    let info = |name: &str| {
        let found = invalid.configs.iter().find(|info| info.value.name == name);
        serde_json::to_value(found).expect("JSON")
    };
    assert_eq!(
        info("mq.batch.size"),
        serde_json::json!({
            "definition": {
                "name": "mq.batch.size", "type": "INT", "required": false, "default_value": "250", "importance": "LOW",
                "documentation": "Most messages of a unit of work, at most 10,000.", "group": "mq", "width": "SHORT",
                "display_name": "Batch size", "dependents": [], "order_in_group": 21
            },
            "value": {
                "name": "mq.batch.size", "value": "0", "recommended_values": [],
                "errors": ["\"0\" is not from 1 to 10000"], "visible": true
            }
        })
    );
    assert_eq!(
        info("mq.nothing")["value"]["errors"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(
        info("mq.connection.mode")["value"]["recommended_values"],
        serde_json::json!(["client", "bindings"])
    );
    assert_eq!(definitions().len(), KEYS.len());
}

#[test]
fn no_key_is_there_twice_and_defaults_are_valid() {
    let mut names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    // With every default written out nothing changes.
    let mut map = minimal();
    for key in KEYS {
        if let Some(default) = key.default {
            map.entry(key.name.to_owned())
                .or_insert_with(|| default.to_owned());
        }
    }
    let written = IbmConfig::from(&map).expect("valid");
    let absent = read(&[]);
    assert_eq!(written.record, absent.record);
    assert_eq!(written.batch, absent.batch);
    assert_eq!(written.errors, absent.errors);
}

#[test]
fn debug_shows_no_secrets() {
    let text = format!(
        "{:?}",
        read(&[("mq.user.name", "app"), ("mq.password", "geheim")])
    );
    assert!(!text.contains("geheim"), "{text}");
    let file = ConfigFile::read("mq.password=geheim").expect("a file");
    assert!(!format!("{file:?}").contains("geheim"));
}

#[test]
fn what_is_at_a_limit_is_taken_and_what_is_beyond_is_not() {
    let text = |length: usize| "A".repeat(length);
    for (key, most, beyond) in [
        ("mq.channel.name", text(20), text(21)),
        ("mq.queue", text(48), text(49)),
        ("topic", text(249), text(250)),
        ("mq.batch.size", "10000".to_owned(), "10001".to_owned()),
        (
            "mq.message.receive.timeout",
            "3600000".to_owned(),
            "3600001".to_owned(),
        ),
        (
            "mq.receive.subsequent.timeout.ms",
            "0".to_owned(),
            "-1".to_owned(),
        ),
        (
            "mq.reconnect.delay.max.ms",
            "3600000".to_owned(),
            "3600001".to_owned(),
        ),
        ("tasks.max", "64".to_owned(), "65".to_owned()),
        ("daybook.readers", "1".to_owned(), "0".to_owned()),
    ] {
        read(&[(key, &most)]);
        let found = refused(&[(key, &beyond)]);
        assert!(found.len() == 1 && found[0].starts_with(key), "{found:?}");
    }
    // A pattern that becomes too long is cut.
    let long = read(&[
        ("topic", ""),
        ("daybook.topic.pattern", &format!("{}${{queue}}", text(248))),
    ]);
    assert_eq!(long.topic.of("QUEUE").len(), TOPIC_CHARS_MAX);
}

#[test]
fn damage_anywhere_in_a_file_never_panics() {
    let json = serde_json::json!({"name": "c", "config": minimal()}).to_string();
    for whole in [FILE, json.as_str()] {
        for at in 0..whole.len() {
            let mut damaged = whole.as_bytes().to_vec();
            damaged[at] ^= 0x15;
            for bytes in [damaged.as_slice(), &whole.as_bytes()[..at]] {
                let text = String::from_utf8_lossy(bytes);
                if let Ok(file) = ConfigFile::read(&text) {
                    let judged = judge(&file.config).0.len();
                    assert_eq!(validate(&file.config).error_count, judged);
                    assert_eq!(IbmConfig::from(&file.config).is_ok(), judged == 0);
                }
            }
        }
    }
}
