//! Subscriptions: MQSD, and what SPI SUBSCRIBE puts in front of it.

use crate::descriptor::VariableText;
use crate::field::{Chars, versioned};

versioned! {
    /// MQSD: a subscription. Its strings lie behind it, with offsets from its start.
    SubscriptionDescriptor ("SD  ") {
        1 {
            /// MQSO_*.
            options: i32,
            /// Topic object, in front of the string.
            object_name: Chars<48>,
            /// For MQSO_ALTERNATE_USER_AUTHORITY.
            alternate_user_id: Chars<12>,
            /// Windows.
            alternate_security_id: [u8; 40],
            /// Tenths of a second; -1 = never.
            sub_expiry: i32,
            /// Topic.
            object_string: VariableText,
            /// Name of a durable subscription.
            sub_name: VariableText,
            /// Of a durable subscription.
            sub_user_data: VariableText,
            /// Correlation identifier of the publications that are sent.
            sub_correl_id: [u8; 24],
            /// Priority of the publications that are sent; -3 = as published.
            pub_priority: i32,
            /// Accounting token of the publications that are sent.
            pub_accounting_token: [u8; 32],
            /// Identity data of the publications that are sent.
            pub_appl_identity_data: Chars<32>,
            /// Which publications.
            selection_string: VariableText,
            /// Of intermediate subscribers; 1.
            sub_level: i32,
            /// The whole topic.
            res_object_string: VariableText,
        }
    }
}

versioned! {
    /// SPI SUBSCRIBE's part in front of the descriptor. What is reserved was zero in all that was
    /// seen, and is kept as it is.
    SpiSubscription ("LSD ") {
        1 {
            /// More options than MQSD has.
            options: i32,
            /// Empty.
            text: VariableText,
            /// Not known.
            reserved1: [u8; 28],
            /// MQOO_* of the destination's handle.
            open_options: i32,
            /// Destination.
            destination_q: Chars<48>,
            /// Where it is.
            destination_q_mgr: Chars<48>,
            /// Not known.
            reserved2: [u8; 24],
            /// 3.
            unknown1: i32,
            /// 0.
            unknown2: i32,
            /// 1.
            unknown3: i32,
        }
    }
}
