//! A queue manager with its listener, for tests of the client.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mq_client::{ClientOptions, Host, Session, connect_any};
use mq_server::{Channel, Server, ServerOptions};
use queue_manager::{QueueDefinition, QueueManager, QueueManagerOptions, StartError};
use tokio::net::TcpListener;

pub(crate) const CHANNEL: &str = "DAYBOOK.SVRCONN";
pub(crate) const QUEUE: &str = "DAYBOOK.TEST";
pub(crate) const SMALL: &str = "DAYBOOK.SMALL";
/// Messages in a unit of work.
pub(crate) const UNIT_MAX: usize = 20;

pub(crate) struct Life {
    pub(crate) manager: QueueManager,
    pub(crate) server: Server,
}

/// Starts on any free port.
pub(crate) async fn start(dir: &Path, conversations_max: u32) -> Life {
    let mut options = QueueManagerOptions::new("DAYBOOK", dir.to_owned());
    options.uncommitted_messages_max = UNIT_MAX;
    options.queues = vec![
        QueueDefinition::new(QUEUE),
        QueueDefinition {
            depth_max: 3,
            message_bytes_max: 1_000,
            ..QueueDefinition::new(SMALL)
        },
        QueueDefinition {
            model: true,
            ..QueueDefinition::new("MODEL")
        },
    ];
    let manager = loop {
        match QueueManager::start(options.clone()) {
            Ok(manager) => break manager,
            // The flush thread of the last life still holds the lock for a moment.
            Err(StartError::Log(segment_log::OpenError::InUse { .. })) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let channel = Channel {
        name: CHANNEL.to_owned(),
        conversations_max,
        message_bytes_max: 100 << 20,
        heartbeat_seconds: 1,
    };
    let server = ServerOptions {
        channels: vec![channel],
        ..ServerOptions::default()
    };
    let server = Server::start(manager.clone(), listener, server).expect("starts");
    Life { manager, server }
}

impl Life {
    pub(crate) fn options(&self) -> Arc<ClientOptions> {
        Arc::new(options(self.server.address().port()))
    }

    pub(crate) async fn session(&self) -> Session {
        let (_, session) = connect_any(&self.options()).await.expect("connects");
        session
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
        self.manager.stop().await.expect("stops");
    }
}

pub(crate) fn options(port: u16) -> ClientOptions {
    let host = Host {
        name: "127.0.0.1".to_owned(),
        port,
    };
    ClientOptions {
        queue_manager: "DAYBOOK".to_owned(),
        user: "app".to_owned(),
        heartbeat_seconds: 1,
        ..ClientOptions::new(host, CHANNEL)
    }
}
