//! Who may connect, how they say who they are, and what they may do then; and the limits on those who do not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::raw::{NOBODY, Raw, batch, frame, name, text};
use crate::support::{config, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kafka_broker::{
    Access, Broker, BrokerConfig, Permission, Resource, StartError, TlsFiles, User,
};
use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
    CreateTopicsRequest, DescribeLogDirsRequest, ListGroupsRequest, MetadataRequest,
    ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ring::{digest, hmac, pbkdf2};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection of whatever kind.
struct Client<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// `None`: the broker has closed the connection.
    async fn call<Q: Request>(&mut self, version: i16, request: Q) -> Option<Q::Response> {
        self.stream
            .write_all(&frame(version, 7, &request))
            .await
            .ok()?;
        self.stream.flush().await.ok()?;
        let read = async {
            let length = self.stream.read_u32().await.ok()?;
            let mut bytes = vec![0; length as usize];
            self.stream.read_exact(&mut bytes).await.ok()?;
            Some(Bytes::from(bytes))
        };
        let mut answer = tokio::time::timeout(crate::support::PATIENCE, read)
            .await
            .expect("in time")?;
        ResponseHeader::decode(&mut answer, Q::Response::header_version(version))
            .expect("a header");
        Some(Q::Response::decode(&mut answer, version).expect("decodes"))
    }

    async fn choose(&mut self, mechanism: &str) -> (i16, Vec<String>) {
        let request = SaslHandshakeRequest::default().with_mechanism(text(mechanism));
        let answer = self.call(1, request).await.expect("an answer");
        let mechanisms = answer.mechanisms.iter().map(ToString::to_string).collect();
        (answer.error_code, mechanisms)
    }

    /// Error code and answer to one message.
    async fn say(&mut self, message: &str) -> (i16, String) {
        let bytes = Bytes::copy_from_slice(message.as_bytes());
        let request = SaslAuthenticateRequest::default().with_auth_bytes(bytes);
        let answer = self.call(2, request).await.expect("an answer");
        let text = String::from_utf8(answer.auth_bytes.to_vec()).expect("text");
        (answer.error_code, text)
    }

    async fn plain(&mut self, user: &str, password: &str) -> i16 {
        assert_eq!(self.choose("PLAIN").await.0, 0);
        self.say(&format!("\0{user}\0{password}")).await.0
    }

    /// SCRAM, the client's side.
    async fn scram(&mut self, sha512: bool, user: &str, password: &str) -> i16 {
        let (mechanism, hash, sign, derive) = if sha512 {
            (
                "SCRAM-SHA-512",
                &digest::SHA512,
                hmac::HMAC_SHA512,
                pbkdf2::PBKDF2_HMAC_SHA512,
            )
        } else {
            (
                "SCRAM-SHA-256",
                &digest::SHA256,
                hmac::HMAC_SHA256,
                pbkdf2::PBKDF2_HMAC_SHA256,
            )
        };
        assert_eq!(self.choose(mechanism).await.0, 0);
        let bare = format!("n={user},r=nonce");
        let (code, first) = self.say(&format!("n,,{bare}")).await;
        if code != 0 {
            return code;
        }
        let field = |name: &str| {
            let mut fields = first
                .split(',')
                .filter_map(|field| field.strip_prefix(name));
            fields.next().expect("the field").to_owned()
        };
        let salt = STANDARD.decode(field("s=")).expect("base64");
        let rounds = field("i=").parse().expect("a number");
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(derive, rounds, &salt, password.as_bytes(), &mut salted);
        let mac = |key: &[u8], bytes: &[u8]| {
            hmac::sign(&hmac::Key::new(sign, key), bytes)
                .as_ref()
                .to_vec()
        };
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(hash, &client_key);
        let last = format!("c=biws,r={}", field("r="));
        let signed = format!("{bare},{first},{last}");
        let signature = mac(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let (code, answer) = self
            .say(&format!("{last},p={}", STANDARD.encode(proof)))
            .await;
        if code == 0 {
            // The broker knows the password as well.
            let server = mac(&mac(&salted, b"Server Key"), signed.as_bytes());
            assert_eq!(answer, format!("v={}", STANDARD.encode(server)));
        }
        code
    }

    async fn groups(&mut self) -> Option<i16> {
        let answer = self.call(4, ListGroupsRequest::default()).await?;
        Some(answer.error_code)
    }
}

async fn connect(address: SocketAddr) -> Client<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("connects");
    Client { stream }
}

fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        password: format!("{name}'s secret"),
    }
}

fn with_users(dir: &Path) -> BrokerConfig {
    let mut config = config(dir);
    config.users = vec![user("ana"), user("bo")];
    config.permissions = Permission::everything("ana");
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_known_by_every_mechanism_and_nobody_else_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(with_users(dir.path())).await.expect("starts");
    let address = broker.local_addr();
    let refused = E::SaslAuthenticationFailed.code();
    for password in ["ana's secret", "wrong", ""] {
        let expected = if password == "ana's secret" {
            0
        } else {
            refused
        };
        for mechanism in 0..3 {
            let mut client = connect(address).await;
            let code = match mechanism {
                0 => client.plain("ana", password).await,
                1 => client.scram(false, "ana", password).await,
                _ => client.scram(true, "ana", password).await,
            };
            assert_eq!(code, expected, "{mechanism} {password}");
            // Who is refused hears no more.
            let after = client.groups().await;
            assert_eq!(
                after,
                (expected == 0).then_some(0),
                "{mechanism} {password}"
            );
        }
    }
    for mechanism in 0..3 {
        let mut client = connect(address).await;
        let code = match mechanism {
            0 => client.plain("nobody", "").await,
            1 => client.scram(false, "nobody", "").await,
            _ => client.scram(true, "nobody", "").await,
        };
        assert_eq!(code, refused);
    }
    let stats = broker.stats();
    assert_eq!(stats.authentications_refused, 9);
    assert_eq!(stats.requests_by_api["SaslHandshake"], 12);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_before_a_name_but_versions() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(with_users(dir.path())).await.expect("starts");
    let address = broker.local_addr();
    let mut client = connect(address).await;
    let versions = client
        .call(3, ApiVersionsRequest::default())
        .await
        .expect("an answer");
    assert!(versions.api_keys.iter().any(|api| api.api_key == 36));
    assert_eq!(client.groups().await, None);
    // Messages out of their order end it too.
    let mut client = connect(address).await;
    assert_eq!(
        client.say("\0ana\0ana's secret").await.0,
        E::SaslAuthenticationFailed.code()
    );
    assert_eq!(client.groups().await, None);
    let mut client = connect(address).await;
    let (code, offered) = client.choose("GSSAPI").await;
    assert_eq!(code, E::UnsupportedSaslMechanism.code());
    assert_eq!(offered, ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]);
    assert_eq!(client.groups().await, None);
    // Once is enough.
    let mut client = connect(address).await;
    assert_eq!(client.plain("ana", "ana's secret").await, 0);
    assert_eq!(client.choose("PLAIN").await.0, E::IllegalSaslState.code());
    assert_eq!(client.groups().await, Some(0));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_without_a_name_have_little_time_and_little_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = with_users(dir.path());
    config.authentication_timeout = Duration::from_millis(300);
    let broker = Broker::start(config).await.expect("starts");
    let address = broker.local_addr();
    let mut silent = connect(address).await;
    let closed = silent.stream.read_u8();
    assert!(
        tokio::time::timeout(crate::support::PATIENCE, closed)
            .await
            .expect("in time")
            .is_err()
    );
    // 64 KiB are read, and found to be nothing; more is not even read.
    for (length, more) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        let mut client = connect(address).await;
        client.stream.write_u32(length).await.expect("sent");
        let closed =
            tokio::time::timeout(Duration::from_millis(100), client.stream.read_u8()).await;
        assert_eq!(closed.is_err(), more, "{length}");
    }
    // Who is known may take longer.
    let mut client = connect(address).await;
    assert_eq!(client.plain("ana", "ana's secret").await, 0);
    until(async || (broker.stats().connections == 1).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(client.groups().await, Some(0));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_welcome_on_loopback_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut open = config(dir.path());
    open.listen = "0.0.0.0:0".parse().expect("an address");
    let refused = Broker::start(open.clone()).await;
    assert!(matches!(refused, Err(StartError::Config(_))), "{refused:?}");
    open.users = vec![user("ana")];
    let broker = Broker::start(open).await.expect("starts");
    broker.shutdown().await;
}

fn permission(principal: &str, resource: Resource, access: Access) -> Permission {
    Permission {
        principal: principal.to_owned(),
        resource,
        access,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_granted_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = with_users(dir.path());
    config.permissions.extend([
        permission("bo", Resource::Topics("in.".to_owned()), Access::Read),
        permission("bo", Resource::Topics("out.".to_owned()), Access::Write),
        permission("bo", Resource::Groups("bo.".to_owned()), Access::Read),
        permission(
            "bo",
            Resource::TransactionalIds("bo.".to_owned()),
            Access::Write,
        ),
    ]);
    let broker = Broker::start(config).await.expect("starts");
    for topic in ["in.a", "out.a", "other"] {
        broker.create_topic(topic, 1, &[]).await.expect("created");
    }
    let mut client = connect(broker.local_addr()).await;
    assert_eq!(client.plain("bo", "bo's secret").await, 0);
    let mut raw = Raw::over(client.stream);
    let topic_denied = E::TopicAuthorizationFailed.code();
    let group_denied = E::GroupAuthorizationFailed.code();
    let id_denied = E::TransactionalIdAuthorizationFailed.code();
    let good = || batch(NOBODY, 0, false, &["a"]);
    for (topic, produced, fetched) in [
        ("in.a", topic_denied, 0),
        ("out.a", 0, topic_denied),
        ("other", topic_denied, topic_denied),
        ("none", topic_denied, topic_denied),
    ] {
        assert_eq!(
            raw.produce(None, topic, 0, good()).await.0,
            produced,
            "{topic}"
        );
        assert_eq!(
            raw.fetch(topic, 0, 0, false, 0).await.error_code,
            fetched,
            "{topic}"
        );
    }
    assert_eq!(raw.commit("bo.g", "in.a", 1).await, 0);
    assert_eq!(raw.commit("bo.g", "out.a", 1).await, topic_denied);
    assert_eq!(raw.commit("other", "in.a", 1).await, group_denied);
    assert_eq!(raw.committed("bo.g", "in.a").await, (0, 1));
    let pid = raw.init("bo.tx", 60_000).await;
    assert_eq!(raw.add("bo.tx", pid, "out.a", &[0]).await, 0);
    assert_eq!(raw.add("bo.tx", pid, "in.a", &[0]).await, topic_denied);
    assert_eq!(raw.add("other", pid, "out.a", &[0]).await, id_denied);
    assert_eq!(raw.add_offsets("bo.tx", pid, "bo.g").await, 0);
    assert_eq!(raw.add_offsets("bo.tx", pid, "other").await, group_denied);
    assert_eq!(raw.txn_commit("bo.tx", pid, "bo.g", "in.a", 2).await, 0);
    assert_eq!(
        raw.txn_commit("bo.tx", pid, "bo.g", "other", 2).await,
        topic_denied
    );
    assert_eq!(raw.end("other", pid, true).await, id_denied);
    assert_eq!(
        (
            broker.stats().transactional_ids,
            broker.stats().open_transactions
        ),
        (1, 1)
    );
    assert_eq!(raw.end("bo.tx", pid, true).await, 0);
    assert_eq!(broker.stats().open_transactions, 0);
    let sent = raw.produce(Some("other"), "out.a", 0, good()).await;
    assert_eq!(sent.0, id_denied);

    // What is not seen is not there.
    let all = raw
        .call(12, MetadataRequest::default().with_topics(None))
        .await;
    let mut seen: Vec<_> = all
        .topics
        .iter()
        .map(|topic| topic.name.clone().expect("a name"))
        .collect();
    seen.sort();
    assert_eq!(seen, [name("in.a"), name("out.a")]);
    let other = MetadataRequestTopic::default().with_name(Some(name("other")));
    let other = MetadataRequest::default().with_topics(Some(vec![other]));
    assert_eq!(raw.call(12, other).await.topics[0].error_code, topic_denied);
    // Nor is anything created.
    let wanted = CreatableTopic::default()
        .with_name(name("out.b"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![wanted]);
    assert_eq!(raw.call(7, create).await.topics[0].error_code, topic_denied);
    let dirs = raw.call(4, DescribeLogDirsRequest::default()).await;
    assert_eq!(dirs.error_code, E::ClusterAuthorizationFailed.code());
    assert!(!broker.stats().end_offsets.contains_key("out.b"));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_the_new_protocol_find_what_was_granted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = with_users(dir.path());
    config.permissions.extend([
        permission("bo", Resource::Topics("in.".to_owned()), Access::Read),
        permission("bo", Resource::Groups("bo.".to_owned()), Access::Read),
    ]);
    let broker = Broker::start(config).await.expect("starts");
    for topic in ["in.a", "in.b", "other"] {
        broker.create_topic(topic, 1, &[]).await.expect("created");
    }
    let mut client = connect(broker.local_addr()).await;
    assert_eq!(client.plain("bo", "bo's secret").await, 0);
    let mut raw = Raw::over(client.stream);
    let join = |group: &str, topics: &[&str], regex: &str| {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(text(group).into())
            .with_member_id(text("m"))
            .with_rebalance_timeout_ms(1_000)
            .with_subscribed_topic_names(Some(topics.iter().map(|topic| name(topic)).collect()))
            .with_subscribed_topic_regex(Some(text(regex)))
            .with_topic_partitions(Some(Vec::new()))
    };
    for (group, topics, code) in [
        ("other", ["in.a"], E::GroupAuthorizationFailed.code()),
        ("bo.g", ["other"], E::TopicAuthorizationFailed.code()),
    ] {
        let refused = raw.call(1, join(group, &topics, "")).await;
        assert_eq!(refused.error_code, code);
    }
    let joined = raw.call(1, join("bo.g", &[], ".*")).await;
    let topics = joined.assignment.expect("an assignment").topic_partitions;
    assert_eq!((joined.error_code, topics.len()), (0, 2));
    for (group, code) in [("bo.g", 0), ("other", E::GroupAuthorizationFailed.code())] {
        let groups = vec![text(group).into()];
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(groups);
        let described = raw.call(1, request).await;
        assert_eq!(described.groups[0].error_code, code);
    }
    broker.shutdown().await;
}

/// Files of a broker's certificate, and how a client connects.
struct Certificates {
    files: TlsFiles,
    roots: RootCertStore,
    client: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

fn certificates(dir: &Path, client_roots: bool) -> Certificates {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
    let issue = |common_name: &str| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        (params.signed_by(&key, &authority).expect("signed"), key)
    };
    let (server, server_key) = issue("broker");
    let (client, client_key) = issue("connector");
    let write = |file: &str, text: String| {
        let path = dir.join(file);
        std::fs::write(&path, text).expect("written");
        path
    };
    let ca = write("ca.pem", authority.pem());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a root");
    Certificates {
        files: TlsFiles {
            certificate: write("server.pem", server.pem()),
            key: write("server.key", server_key.serialize_pem()),
            client_roots: client_roots.then_some(ca),
        },
        roots,
        client: (
            client.der().clone(),
            PrivateKeyDer::try_from(client_key.serialize_der()).expect("a key"),
        ),
    }
}

impl Certificates {
    async fn connect(
        &self,
        address: SocketAddr,
        own: bool,
    ) -> std::io::Result<Client<impl AsyncRead + AsyncWrite + Unpin>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        let config = if own {
            let (certificate, key) = (self.client.0.clone(), self.client.1.clone_key());
            builder
                .with_client_auth_cert(vec![certificate], key)
                .expect("a certificate")
        } else {
            builder.with_no_client_auth()
        };
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        Ok(Client { stream })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_carries_records_and_users() {
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = certificates(dir.path(), false);
    let mut config = with_users(&dir.path().join("data"));
    config.tls = Some(certificates.files.clone());
    let broker = Broker::start(config).await.expect("starts");
    let mut client = certificates
        .connect(broker.local_addr(), false)
        .await
        .expect("shaken");
    assert_eq!(client.groups().await, None);
    let mut client = certificates
        .connect(broker.local_addr(), false)
        .await
        .expect("shaken");
    assert_eq!(client.scram(true, "ana", "ana's secret").await, 0);
    broker.create_topic("t", 1, &[]).await.expect("created");
    let value = "x".repeat(100_000);
    let mut raw = Raw::over(client.stream);
    assert_eq!(
        raw.produce(None, "t", 0, batch(NOBODY, 0, false, &[&value]))
            .await,
        (0, 0)
    );
    assert_eq!(raw.read("t", 0, false).await, [value]);
    // Who speaks no TLS is not heard.
    let mut plain = connect(broker.local_addr()).await;
    assert!(plain.call(3, ApiVersionsRequest::default()).await.is_none());
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_a_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = certificates(dir.path(), true);
    let mut config = config(&dir.path().join("data"));
    config.tls = Some(certificates.files.clone());
    config.permissions = vec![permission(
        "CN=connector",
        Resource::Topics("in.".to_owned()),
        Access::Read,
    )];
    let broker = Broker::start(config.clone()).await.expect("starts");
    broker.create_topic("in.a", 1, &[]).await.expect("created");
    let client = certificates
        .connect(broker.local_addr(), true)
        .await
        .expect("shaken");
    let mut raw = Raw::over(client.stream);
    assert_eq!(raw.fetch("in.a", 0, 0, false, 0).await.error_code, 0);
    let sent = raw
        .produce(None, "in.a", 0, batch(NOBODY, 0, false, &["a"]))
        .await;
    assert_eq!(sent.0, E::TopicAuthorizationFailed.code());
    // Without users there is nobody else to be.
    let mut without = match certificates.connect(broker.local_addr(), false).await {
        Ok(client) => client,
        // Refused in the handshake already.
        Err(_) => {
            broker.shutdown().await;
            return;
        }
    };
    assert!(
        without
            .call(3, ApiVersionsRequest::default())
            .await
            .is_none()
    );
    broker.shutdown().await;
    // With users one may come without.
    config.users = vec![user("ana")];
    let broker = Broker::start(config).await.expect("starts");
    let mut without = certificates
        .connect(broker.local_addr(), false)
        .await
        .expect("shaken");
    assert_eq!(without.plain("ana", "ana's secret").await, 0);
    assert_eq!(without.groups().await, Some(0));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_requests_are_taken_up_to_their_limits() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config(dir.path());
    config.connections_max = 3;
    config.request_bytes_max = 1 << 20;
    config.batch_bytes_max = 1 << 20;
    let broker = Broker::start(config).await.expect("starts");
    let address = broker.local_addr();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = connect(address).await;
        assert_eq!(client.groups().await, Some(0));
        clients.push(client);
    }
    assert_eq!(connect(address).await.groups().await, None);
    assert_eq!(broker.stats().connections_refused, 1);
    clients.pop();
    until(async || (broker.stats().connections == 2).then_some(())).await;
    let mut client = connect(address).await;
    assert_eq!(client.groups().await, Some(0));
    // A whole request of the largest size is answered, and of one byte more is not.
    let request = |bytes: usize| {
        let wanted = MetadataRequestTopic::default().with_name(Some(name(&"x".repeat(bytes))));
        MetadataRequest::default().with_topics(Some(vec![wanted]))
    };
    // Names of this version are at most 32 KiB, so there are many of them.
    let largest = |extra: usize| {
        let one = MetadataRequestTopic::default().with_name(Some(name(&"x".repeat(30_000))));
        let mut topics = vec![one; 34];
        let filled = frame(
            4,
            7,
            &MetadataRequest::default().with_topics(Some(topics.clone())),
        )
        .len()
            - 4;
        let rest = (1 << 20) - filled - 2 + extra;
        topics.push(MetadataRequestTopic::default().with_name(Some(name(&"x".repeat(rest)))));
        MetadataRequest::default().with_topics(Some(topics))
    };
    assert_eq!(frame(4, 7, &largest(0)).len() - 4, 1 << 20);
    assert_eq!(
        client
            .call(4, largest(0))
            .await
            .expect("an answer")
            .topics
            .len(),
        35
    );
    assert!(client.call(4, largest(1)).await.is_none());
    let mut client = connect(address).await;
    assert!(client.call(4, request(10)).await.is_some());
    broker.shutdown().await;
}

/// librdkafka says who it is as its own code does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn librdkafka_authenticates_and_is_told_what_it_may_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = with_users(dir.path());
    config.permissions.push(permission(
        "bo",
        Resource::Topics("in.".to_owned()),
        Access::Write,
    ));
    let broker = Broker::start(config).await.expect("starts");
    for topic in ["in.a", "other"] {
        broker.create_topic(topic, 1, &[]).await.expect("created");
    }
    let settings = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "bo"),
        ("sasl.password", "bo's secret"),
    ];
    let producer: rdkafka::producer::FutureProducer =
        crate::support::with(&crate::support::client(&broker), &settings);
    assert_eq!(crate::support::send(&producer, "in.a", 0, "x").await, 0);
    let record = rdkafka::producer::FutureRecord::<str, str>::to("other")
        .partition(0)
        .payload("x");
    let (error, _) = producer
        .send(record, crate::support::PATIENCE)
        .await
        .expect_err("refused");
    let code = error.rdkafka_error_code();
    assert_eq!(
        code,
        Some(rdkafka::error::RDKafkaErrorCode::TopicAuthorizationFailed)
    );
    broker.shutdown().await;
}
