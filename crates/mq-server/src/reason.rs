//! Completion and reason codes of the MQI ("API completion and reason codes", IBM MQ documentation).

use queue_manager::QueueError;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) comp_code: i32,
    pub(crate) reason: i32,
}

pub(crate) const FINE: Outcome = Outcome {
    comp_code: 0,
    reason: 0,
};

/// MQCC_WARNING.
pub(crate) const fn warning(reason: i32) -> Outcome {
    Outcome {
        comp_code: 1,
        reason,
    }
}

/// MQCC_FAILED.
pub(crate) const fn failed(reason: i32) -> Outcome {
    Outcome {
        comp_code: 2,
        reason,
    }
}

impl From<&QueueError> for Outcome {
    fn from(error: &QueueError) -> Self {
        failed(i32::try_from(error.reason()).unwrap_or(UNEXPECTED_ERROR))
    }
}

impl From<QueueError> for Outcome {
    fn from(error: QueueError) -> Self {
        Self::from(&error)
    }
}

pub(crate) const BUFFER_LENGTH_ERROR: i32 = 2005;
pub(crate) const CHAR_ATTR_LENGTH_ERROR: i32 = 2006;
pub(crate) const DATA_LENGTH_ERROR: i32 = 2010;
pub(crate) const DYNAMIC_Q_NAME_ERROR: i32 = 2011;
pub(crate) const EXPIRY_ERROR: i32 = 2013;
pub(crate) const HANDLE_NOT_AVAILABLE: i32 = 2017;
pub(crate) const HCONN_ERROR: i32 = 2018;
pub(crate) const HOBJ_ERROR: i32 = 2019;
pub(crate) const INHIBIT_VALUE_ERROR: i32 = 2020;
pub(crate) const INT_ATTR_COUNT_ERROR: i32 = 2021;
pub(crate) const MSG_TYPE_ERROR: i32 = 2029;
pub(crate) const NO_MSG_AVAILABLE: i32 = 2033;
pub(crate) const NO_MSG_UNDER_CURSOR: i32 = 2034;
pub(crate) const NOT_AUTHORIZED: i32 = 2035;
pub(crate) const NOT_OPEN_FOR_BROWSE: i32 = 2036;
pub(crate) const NOT_OPEN_FOR_INPUT: i32 = 2037;
pub(crate) const NOT_OPEN_FOR_INQUIRE: i32 = 2038;
pub(crate) const NOT_OPEN_FOR_OUTPUT: i32 = 2039;
pub(crate) const NOT_OPEN_FOR_SET: i32 = 2040;
pub(crate) const OBJECT_TYPE_ERROR: i32 = 2043;
pub(crate) const OPTION_NOT_VALID_FOR_TYPE: i32 = 2045;
pub(crate) const OPTIONS_ERROR: i32 = 2046;
pub(crate) const PERSISTENCE_ERROR: i32 = 2047;
pub(crate) const PRIORITY_EXCEEDS_MAXIMUM: i32 = 2049;
pub(crate) const PRIORITY_ERROR: i32 = 2050;
pub(crate) const Q_DELETED: i32 = 2052;
pub(crate) const Q_MGR_NAME_ERROR: i32 = 2058;
pub(crate) const SELECTOR_ERROR: i32 = 2067;
pub(crate) const TRUNCATED_MSG_ACCEPTED: i32 = 2079;
pub(crate) const TRUNCATED_MSG_FAILED: i32 = 2080;
pub(crate) const UNKNOWN_OBJECT_NAME: i32 = 2085;
pub(crate) const UNKNOWN_REMOTE_Q_MGR: i32 = 2087;
pub(crate) const WAIT_INTERVAL_ERROR: i32 = 2090;
pub(crate) const NOT_OPEN_FOR_PASS_ALL: i32 = 2093;
pub(crate) const NOT_OPEN_FOR_PASS_IDENT: i32 = 2094;
pub(crate) const NOT_OPEN_FOR_SET_ALL: i32 = 2095;
pub(crate) const NOT_OPEN_FOR_SET_IDENT: i32 = 2096;
pub(crate) const CONTEXT_HANDLE_ERROR: i32 = 2097;
pub(crate) const CONTEXT_NOT_AVAILABLE: i32 = 2098;
pub(crate) const RESOURCE_PROBLEM: i32 = 2102;
pub(crate) const NOT_CONVERTED: i32 = 2119;
pub(crate) const UNEXPECTED_ERROR: i32 = 2195;
pub(crate) const MSG_TOO_BIG_FOR_CHANNEL: i32 = 2218;
pub(crate) const FUNCTION_NOT_SUPPORTED: i32 = 2298;
pub(crate) const SELECTOR_SYNTAX_ERROR: i32 = 2459;
pub(crate) const MATCH_OPTIONS_ERROR: i32 = 2247;
pub(crate) const STAT_TYPE_ERROR: i32 = 2430;
pub(crate) const TOPIC_STRING_ERROR: i32 = 2425;
pub(crate) const NO_SUBSCRIPTION: i32 = 2428;
pub(crate) const DURABILITY_NOT_ALLOWED: i32 = 2436;
pub(crate) const PUT_NOT_RETAINED: i32 = 2479;
pub(crate) const PUBLICATION_FAILURE: i32 = 2502;
pub(crate) const NO_SUBS_MATCHED: i32 = 2550;
