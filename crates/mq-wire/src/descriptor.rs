//! The public MQI structures: MQMD, MQOD, MQPMO, MQGMO, MQSTS, and those of opening.
//!
//! Field names follow IBM's documentation; pointers are four bytes and zero.

use bytes::Bytes;

use crate::error::WireError;
use crate::field::{Chars, Field, Reader, Writer, structure, versioned};

versioned! {
    /// MQMD: what goes with a message's data.
    MessageDescriptor ("MD  ") {
        1 {
            /// Which reports are wanted, and how ids go into them.
            report: i32,
            /// Datagram 8, request 1, reply 2, report 4.
            msg_type: i32,
            /// Tenths of a second; -1 = never.
            expiry: i32,
            /// Of reports.
            feedback: i32,
            /// Of the numbers in the data.
            encoding: i32,
            /// Character set of the data.
            ccsid: i32,
            /// What the data is.
            format: Chars<8>,
            /// 0 to 9; -1 = the queue's.
            priority: i32,
            /// 0 no, 1 yes, 2 = the queue's.
            persistence: i32,
            /// Identifier.
            msg_id: [u8; 24],
            /// Refers to another message.
            correl_id: [u8; 24],
            /// How often a get was backed out.
            backout_count: i32,
            /// Where replies go.
            reply_to_q: Chars<48>,
            /// Its queue manager.
            reply_to_q_mgr: Chars<48>,
            /// Identity context: who put it.
            user_identifier: Chars<12>,
            /// Identity context.
            accounting_token: [u8; 32],
            /// Identity context.
            appl_identity_data: Chars<32>,
            /// Origin context: kind of program.
            put_appl_type: i32,
            /// Origin context: program.
            put_appl_name: Chars<28>,
            /// Origin context: YYYYMMDD, GMT.
            put_date: Chars<8>,
            /// Origin context: HHMMSSTH, GMT.
            put_time: Chars<8>,
            /// Origin context.
            appl_origin_data: Chars<4>,
        }
        2 {
            /// Group of messages.
            group_id: [u8; 24],
            /// Place in the group.
            msg_seq_number: i32,
            /// Of a segment in its logical message.
            offset: i32,
            /// Segmentation and groups.
            msg_flags: i32,
            /// Of the original message; -1 = undefined.
            original_length: i32,
        }
    }
}

/// `MQMD_DEFAULT` of version 2.
impl MessageDescriptor {
    /// What applications begin with: a datagram that never expires, in native numbers and the
    /// queue manager's character set, with the queue's priority and persistence.
    pub fn initial() -> Self {
        Self {
            version: 2,
            msg_type: 8,
            expiry: -1,
            encoding: 546,
            priority: -1,
            persistence: 2,
            msg_seq_number: 1,
            original_length: -1,
            ..Self::default()
        }
    }
}

/// MQCHARV: text of variable length behind its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VariableText {
    /// 0.
    pub pointer: i32,
    /// From the start of the structure.
    pub offset: i32,
    /// Room for an answer.
    pub buffer_size: i32,
    /// Bytes of the text; -1 = up to a zero.
    pub length: i32,
    /// Character set.
    pub ccsid: i32,
}

impl Field for VariableText {
    const BYTES: usize = 20;
    fn read(from: &mut Reader) -> Self {
        Self {
            pointer: i32::read(from),
            offset: i32::read(from),
            buffer_size: i32::read(from),
            length: i32::read(from),
            ccsid: i32::read(from),
        }
    }
    fn write(&self, to: &mut Writer<'_>) {
        let Self {
            pointer,
            offset,
            buffer_size,
            length,
            ccsid,
        } = self;
        [pointer, offset, buffer_size, length, ccsid]
            .into_iter()
            .for_each(|number| to.put(number));
    }
    fn absent() -> Self {
        Self::default()
    }
}

versioned! {
    /// MQOD: which object.
    ObjectDescriptor ("OD  ") {
        1 {
            /// 1 queue, 5 queue manager, 8 topic.
            object_type: i32,
            /// Name.
            object_name: Chars<48>,
            /// Where it is; blank = here.
            object_q_mgr_name: Chars<48>,
            /// Of the queue that is made from a model; may end in `*`.
            dynamic_q_name: Chars<48>,
            /// For MQOO_ALTERNATE_USER_AUTHORITY.
            alternate_user_id: Chars<12>,
        }
        2 {
            /// Of a distribution list.
            recs_present: i32,
            /// Of a distribution list.
            known_dest_count: i32,
            /// Of a distribution list.
            unknown_dest_count: i32,
            /// Of a distribution list.
            invalid_dest_count: i32,
            /// Of a distribution list.
            object_rec_offset: i32,
            /// Of a distribution list.
            response_rec_offset: i32,
            /// Of a distribution list.
            object_rec_ptr: i32,
            /// Of a distribution list.
            response_rec_ptr: i32,
        }
        3 {
            /// Windows.
            alternate_security_id: [u8; 40],
            /// The name after aliases.
            resolved_q_name: Chars<48>,
            /// Where it is.
            resolved_q_mgr_name: Chars<48>,
        }
        4 {
            /// Topic.
            object_string: VariableText,
            /// Which messages.
            selection_string: VariableText,
            /// The whole topic.
            res_object_string: VariableText,
            /// Kind of object after aliases.
            resolved_type: i32,
        }
    }
}

impl ObjectDescriptor {
    /// What lies between this structure and the next one, up to the end of the last string that is
    /// there, to a multiple of four.
    pub(crate) fn strings(&self, from: &mut Reader) -> Result<Bytes, WireError> {
        let texts = [
            &self.object_string,
            &self.selection_string,
            &self.res_object_string,
        ];
        let there = texts.into_iter().filter(|text| text.length > 0);
        let ends = there.map(|text| i64::from(text.offset) + i64::from(text.length));
        let end = usize::try_from(ends.max().unwrap_or(0)).unwrap_or(0);
        let bytes = end.saturating_sub(self.bytes()).next_multiple_of(4);
        from.take("OD's strings", bytes)
    }
}

versioned! {
    /// MQPMO: how a message is put.
    PutOptions ("PMO ") {
        1 {
            /// MQPMO_*.
            options: i32,
            /// Not used.
            timeout: i32,
            /// Handle whose context is passed.
            context: i32,
            /// Of a distribution list.
            known_dest_count: i32,
            /// Of a distribution list.
            unknown_dest_count: i32,
            /// Of a distribution list.
            invalid_dest_count: i32,
            /// Where the message went.
            resolved_q_name: Chars<48>,
            /// Where the message went.
            resolved_q_mgr_name: Chars<48>,
        }
        2 {
            /// Of a distribution list.
            recs_present: i32,
            /// Of a distribution list.
            put_msg_rec_fields: i32,
            /// Of a distribution list.
            put_msg_rec_offset: i32,
            /// Of a distribution list.
            response_rec_offset: i32,
            /// Of a distribution list.
            put_msg_rec_ptr: i32,
            /// Of a distribution list.
            response_rec_ptr: i32,
        }
        3 {
            /// Of message properties.
            original_msg_handle: [u8; 8],
            /// Of message properties.
            new_msg_handle: [u8; 8],
            /// New, forward, reply, report.
            action: i32,
            /// Level of publication.
            pub_level: i32,
        }
    }
}

versioned! {
    /// MQGMO: how a message is got.
    GetOptions ("GMO ") {
        1 {
            /// MQGMO_*.
            options: i32,
            /// Milliseconds with MQGMO_WAIT; -1 = for ever.
            wait_interval: i32,
            /// z/OS.
            signal1: i32,
            /// Not used.
            signal2: i32,
            /// Where the message was.
            resolved_q_name: Chars<48>,
        }
        2 {
            /// MQMO_*.
            match_options: i32,
            /// Blank, `G` in a group, `L` the last of it.
            group_status: u8,
            /// Blank, `S` a segment, `L` the last.
            segment_status: u8,
            /// Blank, `A` further segmentation allowed.
            segmentation: u8,
            /// Blank.
            reserved1: u8,
        }
        3 {
            /// Identifies a message of a queue as long as it is there.
            msg_token: [u8; 16],
            /// Bytes of data; -1 = undefined.
            returned_length: i32,
        }
        4 {
            /// 0.
            reserved2: i32,
            /// Of message properties.
            msg_handle: [u8; 8],
        }
    }
}

versioned! {
    /// MQOPEN's part behind the object descriptor: the queue's defaults that the client acts on.
    OpenAttributes ("FOPA") {
        1 {
            /// Bytes of the structure.
            length: i32,
            /// 0 no, 1 yes.
            def_persistence: i32,
            /// 1 synchronous, 2 asynchronous.
            def_put_response: i32,
            /// 0 no, 1 yes, 2 disabled.
            def_read_ahead: i32,
            /// 0 compatibility, 1 none, 2 all, 3 force.
            property_control: i32,
        }
        2 {
            /// Where messages are protected.
            protection_queue: Chars<48>,
            /// Of further attributes.
            extra_offset: i32,
            /// Request: room for them. Reply: their bytes.
            extra_length: i32,
        }
    }
}

versioned! {
    /// SPI OPEN's part in front of the object descriptor.
    SpiOpenAttributes ("LPOO") {
        1 {
            /// MQOO_*.
            open_options: i32,
            /// More of them.
            lpi_options: i32,
            /// As [`OpenAttributes`].
            def_persistence: i32,
            /// As [`OpenAttributes`].
            def_put_response: i32,
            /// As [`OpenAttributes`].
            def_read_ahead: i32,
            /// As [`OpenAttributes`].
            property_control: i32,
        }
        2 {
            /// As [`OpenAttributes`].
            protection_queue: Chars<48>,
        }
        3 {
            /// From the start of the out structure.
            extra_offset: i32,
            /// As [`OpenAttributes`].
            extra_length: i32,
        }
    }
}

structure! {
    /// MQSTS version 1: what became of asynchronous puts.
    AsyncStatus ("STAT") {
        /// 1.
        version: i32,
        /// Of the first failure.
        comp_code: i32,
        /// Of the first failure.
        reason: i32,
        /// Puts that succeeded.
        put_success_count: i32,
        /// Puts with a warning.
        put_warning_count: i32,
        /// Puts that failed.
        put_failure_count: i32,
        /// Of the first failure.
        object_type: i32,
        /// Of the first failure.
        object_name: Chars<48>,
        /// Of the first failure.
        object_q_mgr_name: Chars<48>,
        /// Of the first failure.
        resolved_object_name: Chars<48>,
        /// Of the first failure.
        resolved_q_mgr_name: Chars<48>,
    }
}
