//! Numbers of the MQI and of the programmable command formats that both sides of the protocol use, by
//! IBM's names without their prefix (IBM MQ documentation, "Constants").
//!
//! Invariant: a number stands here once, whoever sends or reads it.

/// Options of MQOPEN (MQOO_*).
#[allow(missing_docs)]
pub mod open {
    pub const INPUT_AS_Q_DEF: i32 = 0x1;
    pub const INPUT_SHARED: i32 = 0x2;
    pub const INPUT_EXCLUSIVE: i32 = 0x4;
    pub const BROWSE: i32 = 0x8;
    pub const OUTPUT: i32 = 0x10;
    pub const INQUIRE: i32 = 0x20;
    pub const SET: i32 = 0x40;
    pub const SAVE_ALL_CONTEXT: i32 = 0x80;
    pub const PASS_IDENTITY_CONTEXT: i32 = 0x100;
    pub const PASS_ALL_CONTEXT: i32 = 0x200;
    pub const SET_IDENTITY_CONTEXT: i32 = 0x400;
    pub const SET_ALL_CONTEXT: i32 = 0x800;
    pub const FAIL_IF_QUIESCING: i32 = 0x2000;
    /// Any way of getting.
    pub const INPUT: i32 = INPUT_AS_Q_DEF | INPUT_SHARED | INPUT_EXCLUSIVE;
    /// Saying who a message is from, or passing on what another one says.
    pub const CONTEXT: i32 =
        PASS_IDENTITY_CONTEXT | PASS_ALL_CONTEXT | SET_IDENTITY_CONTEXT | SET_ALL_CONTEXT;
    /// What an open must have at least one of.
    pub const ACCESS: i32 = INPUT | BROWSE | OUTPUT | INQUIRE | SET;
}

/// Options of MQCLOSE (MQCO_*).
#[allow(missing_docs)]
pub mod close {
    pub const NONE: i32 = 0;
    /// A dynamic queue goes, if it is empty.
    pub const DELETE: i32 = 1;
    /// A dynamic queue goes, with what is on it.
    pub const DELETE_PURGE: i32 = 2;
}

/// Options of MQPUT (MQPMO_*).
#[allow(missing_docs)]
pub mod put {
    pub const SYNCPOINT: i32 = 0x2;
    pub const NO_SYNCPOINT: i32 = 0x4;
    pub const NEW_MSG_ID: i32 = 0x40;
    pub const NEW_CORREL_ID: i32 = 0x80;
    pub const PASS_IDENTITY_CONTEXT: i32 = 0x100;
    pub const PASS_ALL_CONTEXT: i32 = 0x200;
    pub const SET_IDENTITY_CONTEXT: i32 = 0x400;
    pub const SET_ALL_CONTEXT: i32 = 0x800;
    pub const NO_CONTEXT: i32 = 0x4000;
    pub const FAIL_IF_QUIESCING: i32 = 0x2000;
    pub const ASYNC_RESPONSE: i32 = 0x1_0000;
    pub const SYNC_RESPONSE: i32 = 0x2_0000;
    pub const WARN_IF_NO_SUBS_MATCHED: i32 = 0x8_0000;
    pub const RETAIN: i32 = 0x20_0000;
    pub const NOT_OWN_SUBS: i32 = 0x1000_0000;
    /// Saying who a message is from, or passing on what another one says.
    pub const FOREIGN_CONTEXT: i32 =
        PASS_IDENTITY_CONTEXT | PASS_ALL_CONTEXT | SET_IDENTITY_CONTEXT | SET_ALL_CONTEXT;
    /// Of these there may be one.
    pub const CONTEXT: i32 = FOREIGN_CONTEXT | NO_CONTEXT;
}

/// Options of MQGET (MQGMO_*).
#[allow(missing_docs)]
pub mod get {
    pub const WAIT: i32 = 0x1;
    pub const SYNCPOINT: i32 = 0x2;
    pub const NO_SYNCPOINT: i32 = 0x4;
    pub const SET_SIGNAL: i32 = 0x8;
    pub const BROWSE_FIRST: i32 = 0x10;
    pub const BROWSE_NEXT: i32 = 0x20;
    pub const ACCEPT_TRUNCATED_MSG: i32 = 0x40;
    pub const MSG_UNDER_CURSOR: i32 = 0x100;
    pub const LOCK: i32 = 0x200;
    pub const UNLOCK: i32 = 0x400;
    pub const BROWSE_MSG_UNDER_CURSOR: i32 = 0x800;
    pub const SYNCPOINT_IF_PERSISTENT: i32 = 0x1000;
    pub const FAIL_IF_QUIESCING: i32 = 0x2000;
    pub const CONVERT: i32 = 0x4000;
    /// Properties come as an MQRFH2 in front of the data.
    pub const PROPERTIES_FORCE_MQRFH2: i32 = 0x0200_0000;
    pub const NO_PROPERTIES: i32 = 0x0400_0000;
    /// Looking without taking.
    pub const BROWSE: i32 = BROWSE_FIRST | BROWSE_NEXT | BROWSE_MSG_UNDER_CURSOR;
    /// Of these there may be one.
    pub const SYNC: i32 = SYNCPOINT | NO_SYNCPOINT | SYNCPOINT_IF_PERSISTENT;
}

/// Attributes: selectors of MQINQ and MQSET, parameters of commands (MQIA_*, MQCA_*).
#[allow(missing_docs)]
pub mod attribute {
    pub const CODED_CHAR_SET_ID: i32 = 2;
    pub const CURRENT_Q_DEPTH: i32 = 3;
    pub const DEF_INPUT_OPEN_OPTION: i32 = 4;
    pub const DEF_PERSISTENCE: i32 = 5;
    pub const DEF_PRIORITY: i32 = 6;
    pub const DEFINITION_TYPE: i32 = 7;
    pub const HARDEN_GET_BACKOUT: i32 = 8;
    pub const INHIBIT_GET: i32 = 9;
    pub const INHIBIT_PUT: i32 = 10;
    pub const MAX_HANDLES: i32 = 11;
    pub const USAGE: i32 = 12;
    pub const MAX_MSG_LENGTH: i32 = 13;
    pub const MAX_PRIORITY: i32 = 14;
    pub const MAX_Q_DEPTH: i32 = 15;
    pub const MSG_DELIVERY_SEQUENCE: i32 = 16;
    pub const OPEN_INPUT_COUNT: i32 = 17;
    pub const OPEN_OUTPUT_COUNT: i32 = 18;
    pub const NAME_COUNT: i32 = 19;
    pub const Q_TYPE: i32 = 20;
    pub const RETENTION_INTERVAL: i32 = 21;
    pub const BACKOUT_THRESHOLD: i32 = 22;
    pub const SHAREABILITY: i32 = 23;
    pub const TRIGGER_CONTROL: i32 = 24;
    pub const SYNCPOINT: i32 = 30;
    pub const COMMAND_LEVEL: i32 = 31;
    pub const PLATFORM: i32 = 32;
    pub const MAX_UNCOMMITTED_MSGS: i32 = 33;
    pub const DIST_LISTS: i32 = 34;
    pub const ADVANCED_CAPABILITY: i32 = 273;
    pub const BASE_Q_NAME: i32 = 2002;
    pub const COMMAND_INPUT_Q_NAME: i32 = 2003;
    pub const DEAD_LETTER_Q_NAME: i32 = 2006;
    pub const Q_DESC: i32 = 2013;
    pub const Q_MGR_DESC: i32 = 2014;
    pub const Q_MGR_NAME: i32 = 2015;
    pub const Q_NAME: i32 = 2016;
    pub const BACKOUT_REQ_Q_NAME: i32 = 2019;
    pub const DEF_XMIT_Q_NAME: i32 = 2025;
    pub const Q_MGR_IDENTIFIER: i32 = 2032;
}

/// Commands (MQCMD_*).
#[allow(missing_docs)]
pub mod command {
    pub const INQUIRE_Q_MGR: i32 = 2;
    pub const CHANGE_Q: i32 = 8;
    pub const CLEAR_Q: i32 = 9;
    pub const CREATE_Q: i32 = 11;
    pub const DELETE_Q: i32 = 12;
    pub const INQUIRE_Q: i32 = 13;
    pub const RESET_Q_STATS: i32 = 17;
    pub const INQUIRE_Q_NAMES: i32 = 18;
    pub const PING_Q_MGR: i32 = 40;
    pub const INQUIRE_Q_STATUS: i32 = 41;
    pub const INQUIRE_CHANNEL_STATUS: i32 = 42;
}

/// Parameters of commands that are no attributes (MQIACF_*, MQCACF_*, MQIACH_*, MQCACH_*), and those
/// attributes that MQINQ does not know.
#[allow(missing_docs)]
pub mod id {
    pub const TIME_SINCE_RESET: i32 = 35;
    pub const HIGH_Q_DEPTH: i32 = 36;
    pub const MSG_ENQ_COUNT: i32 = 37;
    pub const MSG_DEQ_COUNT: i32 = 38;
    pub const MONITORING_Q: i32 = 123;
    pub const Q_MGR_ATTRS: i32 = 1001;
    pub const Q_ATTRS: i32 = 1002;
    pub const FORCE: i32 = 1005;
    pub const REPLACE: i32 = 1006;
    pub const PURGE: i32 = 1007;
    pub const ALL: i32 = 1009;
    pub const PARAMETER_ID: i32 = 1012;
    pub const Q_STATUS_ATTRS: i32 = 1026;
    pub const UNCOMMITTED_MSGS: i32 = 1027;
    pub const Q_STATUS_TYPE: i32 = 1103;
    pub const Q_STATUS: i32 = 1105;
    pub const Q_TIME_INDICATOR: i32 = 1226;
    pub const OLDEST_MSG_AGE: i32 = 1227;
    pub const Q_TYPES: i32 = 1261;
    pub const CHANNEL_TYPE: i32 = 1511;
    pub const CHANNEL_INSTANCE_TYPE: i32 = 1523;
    pub const CHANNEL_INSTANCE_ATTRS: i32 = 1524;
    pub const CHANNEL_STATUS: i32 = 1527;
    pub const MAX_SHARING_CONVS: i32 = 1616;
    pub const CURRENT_SHARING_CONVS: i32 = 1617;
    pub const Q_NAMES: i32 = 3011;
    pub const LAST_PUT_DATE: i32 = 3128;
    pub const LAST_PUT_TIME: i32 = 3129;
    pub const LAST_GET_DATE: i32 = 3130;
    pub const LAST_GET_TIME: i32 = 3131;
    pub const CHANNEL_NAME: i32 = 3501;
    pub const CONNECTION_NAME: i32 = 3506;
    pub const MCA_USER_ID: i32 = 3527;
    pub const CHANNEL_START_TIME: i32 = 3528;
    pub const CHANNEL_START_DATE: i32 = 3529;
    pub const REMOTE_APPL_TAG: i32 = 3548;
}

/// Types of queues (MQQT_*).
#[allow(missing_docs)]
pub mod queue_type {
    pub const LOCAL: i32 = 1;
    pub const MODEL: i32 = 2;
    pub const ALL: i32 = 1001;
}
