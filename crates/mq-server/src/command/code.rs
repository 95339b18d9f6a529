//! Numbers of the programmable command formats ("PCF constants", IBM MQ documentation).

/// Commands (MQCMD_*).
pub(crate) mod command {
    pub(crate) const INQUIRE_Q_MGR: i32 = 2;
    pub(crate) const CHANGE_Q: i32 = 8;
    pub(crate) const CLEAR_Q: i32 = 9;
    pub(crate) const CREATE_Q: i32 = 11;
    pub(crate) const DELETE_Q: i32 = 12;
    pub(crate) const INQUIRE_Q: i32 = 13;
    pub(crate) const RESET_Q_STATS: i32 = 17;
    pub(crate) const INQUIRE_Q_NAMES: i32 = 18;
    pub(crate) const PING_Q_MGR: i32 = 40;
    pub(crate) const INQUIRE_Q_STATUS: i32 = 41;
    pub(crate) const INQUIRE_CHANNEL_STATUS: i32 = 42;
}

/// Why commands fail (MQRCCF_*).
pub(crate) mod ccf {
    pub(crate) const CFH_TYPE_ERROR: i32 = 3001;
    pub(crate) const CFH_MSG_SEQ_NUMBER_ERR: i32 = 3004;
    pub(crate) const CFH_CONTROL_ERROR: i32 = 3005;
    pub(crate) const CFH_COMMAND_ERROR: i32 = 3007;
    pub(crate) const COMMAND_FAILED: i32 = 3008;
    pub(crate) const CFST_STRING_LENGTH_ERR: i32 = 3011;
    pub(crate) const STRUCTURE_TYPE_ERROR: i32 = 3013;
    pub(crate) const CFIN_PARM_ID_ERROR: i32 = 3014;
    pub(crate) const CFST_PARM_ID_ERROR: i32 = 3015;
    pub(crate) const CFIN_DUPLICATE_PARM: i32 = 3017;
    pub(crate) const CFST_DUPLICATE_PARM: i32 = 3018;
    pub(crate) const PARM_COUNT_TOO_SMALL: i32 = 3019;
    pub(crate) const Q_TYPE_ERROR: i32 = 3022;
    pub(crate) const MD_FORMAT_ERROR: i32 = 3023;
    pub(crate) const REPLACE_VALUE_ERROR: i32 = 3025;
    pub(crate) const CFSL_PARM_ID_ERROR: i32 = 3033;
    pub(crate) const PURGE_VALUE_ERROR: i32 = 3046;
    pub(crate) const CFIL_PARM_ID_ERROR: i32 = 3047;
    pub(crate) const CCSID_ERROR: i32 = 3049;
    pub(crate) const ENCODING_ERROR: i32 = 3050;
    pub(crate) const CHL_INST_TYPE_ERROR: i32 = 3064;
    pub(crate) const CHL_STATUS_NOT_FOUND: i32 = 3065;
    pub(crate) const FILTER_ERROR: i32 = 3150;
    pub(crate) const OBJECT_NAME_RESTRICTED: i32 = 3208;
    pub(crate) const OBJECT_LIMIT_EXCEEDED: i32 = 3209;
    pub(crate) const ATTR_VALUE_FIXED: i32 = 3213;
    pub(crate) const PARM_VALUE_ERROR: i32 = 3229;
    pub(crate) const CFGR_PARM_ID_ERROR: i32 = 3240;
    pub(crate) const OBJECT_ALREADY_EXISTS: i32 = 4001;
    pub(crate) const OBJECT_WRONG_TYPE: i32 = 4002;
    pub(crate) const OBJECT_OPEN: i32 = 4004;
    pub(crate) const ATTR_VALUE_ERROR: i32 = 4005;
    pub(crate) const Q_WRONG_TYPE: i32 = 4007;
    pub(crate) const OBJECT_NAME_ERROR: i32 = 4008;
}

/// Parameters that are no attributes (MQIACF_*, MQCACF_*, MQIACH_*, MQCACH_*), and those attributes
/// that MQINQ does not know.
pub(crate) mod id {
    pub(crate) const TIME_SINCE_RESET: i32 = 35;
    pub(crate) const HIGH_Q_DEPTH: i32 = 36;
    pub(crate) const MSG_ENQ_COUNT: i32 = 37;
    pub(crate) const MSG_DEQ_COUNT: i32 = 38;
    pub(crate) const MONITORING_Q: i32 = 123;
    pub(crate) const Q_MGR_ATTRS: i32 = 1001;
    pub(crate) const Q_ATTRS: i32 = 1002;
    pub(crate) const FORCE: i32 = 1005;
    pub(crate) const REPLACE: i32 = 1006;
    pub(crate) const PURGE: i32 = 1007;
    pub(crate) const ALL: i32 = 1009;
    pub(crate) const PARAMETER_ID: i32 = 1012;
    pub(crate) const Q_STATUS_ATTRS: i32 = 1026;
    pub(crate) const UNCOMMITTED_MSGS: i32 = 1027;
    pub(crate) const Q_STATUS_TYPE: i32 = 1103;
    pub(crate) const Q_STATUS: i32 = 1105;
    pub(crate) const Q_TIME_INDICATOR: i32 = 1226;
    pub(crate) const OLDEST_MSG_AGE: i32 = 1227;
    pub(crate) const Q_TYPES: i32 = 1261;
    pub(crate) const CHANNEL_TYPE: i32 = 1511;
    pub(crate) const CHANNEL_INSTANCE_TYPE: i32 = 1523;
    pub(crate) const CHANNEL_INSTANCE_ATTRS: i32 = 1524;
    pub(crate) const CHANNEL_STATUS: i32 = 1527;
    pub(crate) const MAX_SHARING_CONVS: i32 = 1616;
    pub(crate) const CURRENT_SHARING_CONVS: i32 = 1617;
    pub(crate) const Q_NAMES: i32 = 3011;
    pub(crate) const LAST_PUT_DATE: i32 = 3128;
    pub(crate) const LAST_PUT_TIME: i32 = 3129;
    pub(crate) const LAST_GET_DATE: i32 = 3130;
    pub(crate) const LAST_GET_TIME: i32 = 3131;
    pub(crate) const CHANNEL_NAME: i32 = 3501;
    pub(crate) const CONNECTION_NAME: i32 = 3506;
    pub(crate) const MCA_USER_ID: i32 = 3527;
    pub(crate) const CHANNEL_START_TIME: i32 = 3528;
    pub(crate) const CHANNEL_START_DATE: i32 = 3529;
    pub(crate) const REMOTE_APPL_TAG: i32 = 3548;
}

/// Types of queues (MQQT_*).
pub(crate) mod queue_type {
    pub(crate) const LOCAL: i32 = 1;
    pub(crate) const MODEL: i32 = 2;
    pub(crate) const ALL: i32 = 1001;
}
