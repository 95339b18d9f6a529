//! Numbers of the programmable command formats ("PCF constants", IBM MQ documentation).

pub(crate) use mq_wire::mqi::{command, id, queue_type};

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
