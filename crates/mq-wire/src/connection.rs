//! Structures of the start, the sharing and the end of a connection.

use bytes::Bytes;

use crate::error::WireError;
use crate::field::{Chars, Field, Reader, Writer, structure};

/// Bits of `IniErrFlags1`: which of the offered values the other side did not accept.
pub mod initial_error {
    /// Character set.
    pub const CCSID: u8 = 0x01;
    /// Encoding.
    pub const ENCODING: u8 = 0x02;
    /// Longest segment.
    pub const TRANSMISSION_SIZE: u8 = 0x04;
    /// FAP level.
    pub const FAP_LEVEL: u8 = 0x08;
    /// Longest message.
    pub const MESSAGE_SIZE: u8 = 0x10;
    /// Heartbeat interval.
    pub const HEARTBEAT: u8 = 0x80;
}

/// Codes of a STATUS that ends a channel.
pub mod status_code {
    /// Fine: the reply to credentials.
    pub const OK: i32 = 0x00;
    /// There is no channel of this name.
    pub const UNKNOWN_CHANNEL: i32 = 0x01;
    /// The queue manager does not take connections.
    pub const QUEUE_MANAGER_UNAVAILABLE: i32 = 0x03;
    /// The other side ends.
    pub const TERMINATING: i32 = 0x05;
    /// What came is not understood.
    pub const PROTOCOL: i32 = 0x0a;
    /// Not authorised.
    pub const SECURITY: i32 = 0x14;
    /// The channel is not available: stopped, or too many instances.
    pub const CHANNEL_UNAVAILABLE: i32 = 0x16;
    /// The TLS certificate's name does not fit.
    pub const PEER_NAME: i32 = 0x19;
}

structure! {
    /// The identifier structure's part that every level has.
    IdBase {
        /// FAP level: what the sender knows of the protocol.
        fap_level: u8,
        /// 20 MQREQUEST, 04 split messages, 02 conversations.
        capabilities1: u8,
        /// Of the other direction.
        extended_capabilities1: u8,
        /// See [`initial_error`].
        error_flags1: u8,
        /// Zeros.
        reserved: u16,
        /// 0 for client channels.
        batch_messages_max: u16,
        /// Longest segment in bytes.
        segment_bytes_max: u32,
        /// Longest message in bytes.
        message_bytes_max: u32,
        /// 0 for client channels.
        sequence_wrap: u32,
        /// Channel.
        channel_name: Chars<20>,
    }
}

structure! {
    /// From FAP level 4.
    Id102 {
        /// 40 SPI, 10 XA, 01 distribution lists.
        capabilities2: u8,
        /// Of the other direction.
        extended_capabilities2: u8,
        /// Character set of the sender.
        ccsid: u16,
        /// Queue manager.
        queue_manager: Chars<48>,
        /// Seconds of silence after which a heartbeat is sent; 0 = none. The larger one wins.
        heartbeat_seconds: u32,
        /// Bytes from here to the end of the structure.
        rest_bytes: u16,
    }
}

structure! {
    /// From FAP level 9.
    Id208 {
        /// Compression, SSL.
        error_flags2: u8,
        /// 0.
        reserved1: u8,
        /// Header compression.
        header_compression: [u8; 2],
        /// Message compression.
        message_compression: [u8; 16],
        /// Zeros.
        reserved2: u16,
        /// Bytes after which TLS makes new keys.
        key_reset_bytes: u32,
        /// Conversations on a socket (SHARECNV). 0 = plain headers, as before FAP level 9.
        conversations_max: u32,
        /// 20 connection tag, 08 multiplexed synchronous get, 10 password protection.
        capabilities3: u8,
        /// Of the other direction.
        extended_capabilities3: u8,
        /// Zeros.
        reserved3: u16,
        /// Of the sender.
        process_id: u32,
        /// Of the sender.
        thread_id: u32,
        /// Of the sender.
        trace_id: u32,
        /// `MQJB` Java, `MQMM` queue manager, then version, release, modification, fix.
        product_id: Chars<12>,
        /// Unique name of the queue manager.
        queue_manager_id: Chars<48>,
    }
}

structure! {
    /// From FAP level 11.
    Id240 {
        /// Ways of protecting a password; empty slots are FF.
        password_algorithms: [u8; 20],
        /// Random.
        nonce: [u8; 12],
    }
}

/// INITIAL_DATA: what both sides are and can. As long as its FAP level has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InitialData {
    /// Always there.
    pub base: IdBase,
    /// 102 bytes and more.
    pub level4: Option<Id102>,
    /// 208 bytes and more.
    pub level9: Option<Id208>,
    /// 240 bytes and more.
    pub level11: Option<Id240>,
    /// What later levels may add.
    pub rest: Bytes,
}

impl InitialData {
    const ID: &'static str = "ID  ";

    pub(crate) fn read(from: &mut Reader) -> Result<Self, WireError> {
        from.expect_id(Self::ID)?;
        let mut data = Self {
            base: IdBase::read(from)?,
            ..Self::default()
        };
        if from.rest.len() >= Id102::BYTES {
            data.level4 = Some(Id102::read(from)?);
            if from.rest.len() >= Id208::BYTES {
                data.level9 = Some(Id208::read(from)?);
                if from.rest.len() >= Id240::BYTES {
                    data.level11 = Some(Id240::read(from)?);
                }
            }
        }
        data.rest = from.all();
        Ok(data)
    }

    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        to.put_id(Self::ID);
        self.base.write(to);
        if let Some(part) = &self.level4 {
            part.write(to);
        }
        if let Some(part) = &self.level9 {
            part.write(to);
        }
        if let Some(part) = &self.level11 {
            part.write(to);
        }
        to.out.extend_from_slice(&self.rest);
    }
}

structure! {
    /// USERID_DATA as older levels have it.
    UserIdBase ("UID ") {
        /// User, as far as it fits.
        user: Chars<12>,
        /// Clear password in compatibility mode, else blanks.
        password: Chars<12>,
    }
}

/// USERID_DATA: who the client's process runs as, and in compatibility mode its password.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserId {
    /// Short user and password.
    pub base: UserIdBase,
    /// The whole user name, from FAP level 5.
    pub long_user: Option<Chars<64>>,
    /// Security identifier of Windows: its length and the bytes.
    pub rest: Bytes,
}

impl UserId {
    pub(crate) fn read(from: &mut Reader) -> Result<Self, WireError> {
        let base = UserIdBase::read(from)?;
        let long = from.rest.len() >= Chars::<64>::BYTES;
        let long_user = if long {
            Some(from.get("UID.long_user")?)
        } else {
            None
        };
        Ok(Self {
            base,
            long_user,
            rest: from.all(),
        })
    }

    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        self.base.write(to);
        if let Some(long) = &self.long_user {
            to.put(long);
        }
        to.out.extend_from_slice(&self.rest);
    }

    /// The user's name: the long one where there is one.
    pub fn user(&self) -> String {
        match &self.long_user {
            Some(long) if !long.is_blank() => long.text(),
            _ => self.base.user.text(),
        }
    }
}

/// Longest user name or password in bytes that is accepted (MQ_CSP_PASSWORD_LENGTH is 256).
pub const CREDENTIAL_BYTES_MAX: usize = 1_024;

/// CONAUTH_INFO: user and password of MQCSP.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// 1 = user and password.
    pub auth_type: i32,
    /// Room that the sender has for a user.
    pub user_bytes_max: i32,
    /// Room that the sender has for a password.
    pub password_bytes_max: i32,
    /// Zeros; from FAP level 11 the algorithm that protects the password.
    pub protection: [u8; 8],
    /// User.
    pub user: Bytes,
    /// Password.
    pub password: Bytes,
    /// Up to a multiple of 4.
    pub padding: Bytes,
}

/// Without the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("auth_type", &self.auth_type)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    const ID: &'static str = "CAUT";

    /// User and password in clear.
    pub fn new(user: &str, password: &str) -> Self {
        let padding = vec![0; (user.len() + password.len()).wrapping_neg() % 4];
        Self {
            auth_type: 1,
            user_bytes_max: i32::try_from(user.len()).unwrap_or(i32::MAX),
            password_bytes_max: i32::try_from(password.len()).unwrap_or(i32::MAX),
            protection: [0; 8],
            user: Bytes::copy_from_slice(user.as_bytes()),
            password: Bytes::copy_from_slice(password.as_bytes()),
            padding: padding.into(),
        }
    }

    pub(crate) fn read(from: &mut Reader) -> Result<Self, WireError> {
        from.expect_id(Self::ID)?;
        let auth_type = from.get("CAUT.auth_type")?;
        let user_bytes_max = from.get("CAUT.user_bytes_max")?;
        let password_bytes_max = from.get("CAUT.password_bytes_max")?;
        let user = from.limited("CAUT.user length", CREDENTIAL_BYTES_MAX)?;
        let password = from.limited("CAUT.password length", CREDENTIAL_BYTES_MAX)?;
        Ok(Self {
            auth_type,
            user_bytes_max,
            password_bytes_max,
            protection: from.get("CAUT.protection")?,
            user: from.take("CAUT.user", user)?,
            password: from.take("CAUT.password", password)?,
            padding: from.all(),
        })
    }

    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        to.put_id(Self::ID);
        to.put(&self.auth_type);
        to.put(&self.user_bytes_max);
        to.put(&self.password_bytes_max);
        to.put_length(self.user.len());
        to.put_length(self.password.len());
        to.put(&self.protection);
        to.out.extend_from_slice(&self.user);
        to.out.extend_from_slice(&self.password);
        to.out.extend_from_slice(&self.padding);
    }
}

structure! {
    /// STATUS: how something ended.
    Status {
        /// Bytes of the structure, 8.
        length: i32,
        /// See [`status_code`].
        code: i32,
    }
}

structure! {
    /// SOCKET_ACTION: conversations of a socket begin and end.
    SocketAction {
        /// Which conversation.
        conversation: u32,
        /// Of the request.
        request: u32,
        /// See [`socket_action`].
        action: i32,
        /// Most conversations.
        parameter1: i32,
        /// Conversations now.
        parameter2: i32,
    }
}

/// Kinds of SOCKET_ACTION.
pub mod socket_action {
    /// A conversation shall begin.
    pub const START: i32 = 1;
    /// A conversation ended.
    pub const END: i32 = 2;
    /// A conversation that shall begin is accepted.
    pub const ACCEPTED: i32 = 8;
}

structure! {
    /// NOTIFICATION: news that are no reply.
    Notification {
        /// 1.
        version: i32,
        /// Of an object; -1 = the connection.
        handle: i32,
        /// See [`notification`].
        code: i32,
        /// Depends on the code.
        value: i32,
    }
}

/// Codes of NOTIFICATION.
pub mod notification {
    /// Gets are inhibited.
    pub const GET_INHIBITED: i32 = 1;
    /// Gets are allowed again.
    pub const GET_ALLOWED: i32 = 2;
    /// The connection's streaming starts (value 2) or stops (0).
    pub const CONNECTION_STATE: i32 = 3;
    /// Reply to it.
    pub const CONNECTION_STATE_REPLY: i32 = 4;
    /// A consumer is registered.
    pub const QUEUE_STATE: i32 = 5;
    /// The queue manager ends soon.
    pub const QUIESCING: i32 = 7;
    /// Units of work may begin.
    pub const TRANSACTION_ALLOWED: i32 = 8;
    /// All messages that were there have been sent.
    pub const CHECK_MESSAGE: i32 = 11;
    /// Browse starts at the first message again.
    pub const BROWSE_FIRST: i32 = 12;
    /// A message is too large for the client.
    pub const MESSAGE_TOO_LARGE: i32 = 13;
    /// Streaming failed.
    pub const STREAMING_FAILURE: i32 = 14;
}

structure! {
    /// MQCONN's fields.
    ConnectBase {
        /// Queue manager; blank or `*` = the one behind the port.
        queue_manager: Chars<48>,
        /// Program.
        application_name: Chars<28>,
        /// 28 = Java.
        application_type: i32,
        /// Accounting.
        accounting_token: [u8; 32],
        /// MQCNO options.
        options: i32,
        /// More of them.
        extended_options: i32,
    }
}

structure! {
    /// The fixed part of MQCONN's connect options.
    ConnectOptions ("FCNO") {
        /// 4 seen.
        version: i32,
        /// Capabilities.
        capabilities: i32,
        /// Names a connection uniquely; the queue manager makes it.
        connection_tag: [u8; 128],
    }
}

/// MQCONN and its reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connect {
    /// Always there.
    pub base: ConnectBase,
    /// From FAP level 10.
    pub options: Option<ConnectOptions>,
    /// What later versions add.
    pub rest: Bytes,
}

impl Connect {
    pub(crate) fn read(from: &mut Reader) -> Result<Self, WireError> {
        let base = ConnectBase::read(from)?;
        let options = match from.peek_id() {
            Some(id) if &id == b"FCNO" => Some(ConnectOptions::read(from)?),
            _ => None,
        };
        Ok(Self {
            base,
            options,
            rest: from.all(),
        })
    }

    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        self.base.write(to);
        if let Some(options) = &self.options {
            options.write(to);
        }
        to.out.extend_from_slice(&self.rest);
    }
}
