//! MQMD as it is on the wire, and as the queue manager keeps it.

use std::sync::Arc;

use mq_wire::{Chars, MessageDescriptor};
use queue_manager::{Descriptor, Message};

/// Descriptor of what a client puts. The context fields are as the client sent them.
pub(crate) fn descriptor_of(md: &MessageDescriptor, persistent: bool) -> Descriptor {
    let second = md.version >= 2;
    Descriptor {
        persistent,
        report: md.report,
        msg_type: md.msg_type,
        feedback: md.feedback,
        encoding: md.encoding,
        ccsid: md.ccsid,
        format: blank_zeros(md.format.0),
        reply_to_q: blank_zeros(md.reply_to_q.0),
        reply_to_q_mgr: blank_zeros(md.reply_to_q_mgr.0),
        user_identifier: blank_zeros(md.user_identifier.0),
        accounting_token: md.accounting_token,
        appl_identity_data: blank_zeros(md.appl_identity_data.0),
        put_appl_type: md.put_appl_type,
        put_appl_name: blank_zeros(md.put_appl_name.0),
        appl_origin_data: blank_zeros(md.appl_origin_data.0),
        group_id: if second { md.group_id } else { [0; 24] },
        msg_seq_number: if second { md.msg_seq_number } else { 1 },
        offset: if second { md.offset } else { 0 },
        msg_flags: if second { md.msg_flags } else { 0 },
        original_length: if second { md.original_length } else { -1 },
    }
}

/// Text fields may end in zeros; kept are blanks.
fn blank_zeros<const N: usize>(mut text: [u8; N]) -> [u8; N] {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.iter_mut().skip(end).for_each(|byte| *byte = b' ');
    }
    text
}

/// Fills what a client gets. Its version stays as the client wants it.
pub(crate) fn fill(md: &mut MessageDescriptor, message: &Message, now: i64) {
    let descriptor = &message.descriptor;
    let (date, time) = date_and_time(message.put_time);
    let expiry = match message.expires_at {
        // At least a tenth of a second: it was not expired when it was got.
        Some(at) => i32::try_from((at - now) / 100_000)
            .unwrap_or(i32::MAX)
            .max(1),
        None => -1,
    };
    *md = MessageDescriptor {
        version: md.version,
        report: descriptor.report,
        msg_type: descriptor.msg_type,
        expiry,
        feedback: descriptor.feedback,
        encoding: descriptor.encoding,
        ccsid: descriptor.ccsid,
        format: Chars(descriptor.format),
        priority: i32::from(message.priority),
        persistence: i32::from(descriptor.persistent),
        msg_id: message.msg_id.0,
        correl_id: message.correl_id.0,
        backout_count: i32::try_from(message.backout_count).unwrap_or(i32::MAX),
        reply_to_q: Chars(descriptor.reply_to_q),
        reply_to_q_mgr: Chars(descriptor.reply_to_q_mgr),
        user_identifier: Chars(descriptor.user_identifier),
        accounting_token: descriptor.accounting_token,
        appl_identity_data: Chars(descriptor.appl_identity_data),
        put_appl_type: descriptor.put_appl_type,
        put_appl_name: Chars(descriptor.put_appl_name),
        put_date: Chars(date),
        put_time: Chars(time),
        appl_origin_data: Chars(descriptor.appl_origin_data),
        group_id: descriptor.group_id,
        msg_seq_number: descriptor.msg_seq_number,
        offset: descriptor.offset,
        msg_flags: descriptor.msg_flags,
        original_length: descriptor.original_length,
    };
}

/// A conversation's descriptors differ seldom: the last one is used again.
#[derive(Debug, Default)]
pub(crate) struct LastDescriptor(Option<Arc<Descriptor>>);

impl LastDescriptor {
    pub(crate) fn share(&mut self, descriptor: Descriptor) -> Arc<Descriptor> {
        match &self.0 {
            Some(last) if **last == descriptor => Arc::clone(last),
            _ => Arc::clone(self.0.insert(Arc::new(descriptor))),
        }
    }
}

/// `YYYYMMDD` and `HHMMSSTH`, GMT.
pub(crate) fn date_and_time(micros: i64) -> ([u8; 8], [u8; 8]) {
    let hundredths = micros.div_euclid(10_000);
    let (days, of_day) = (
        hundredths.div_euclid(8_640_000),
        hundredths.rem_euclid(8_640_000),
    );
    let (year, month, day) = civil(days);
    let date = digits(year * 10_000 + month * 100 + day);
    let seconds = of_day / 100;
    let clock = seconds / 3_600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60;
    (date, digits(clock * 100 + of_day % 100))
}

/// The opposite of [`date_and_time`]; `None` if it is none.
pub(crate) fn micros_of(date: &[u8; 8], time: &[u8; 8]) -> Option<i64> {
    let number = |text: &[u8]| -> Option<i64> { std::str::from_utf8(text).ok()?.parse().ok() };
    let date = number(date)?;
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let time = number(time)?;
    let (hour, minute, second) = (time / 1_000_000, time / 10_000 % 100, time / 100 % 100);
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && year >= 1_900;
    if !valid || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_of(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + time % 100 * 10_000)
}

fn digits(number: i64) -> [u8; 8] {
    let mut text = [b'0'; 8];
    let mut rest = number;
    for digit in text.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest.rem_euclid(10)).unwrap_or(0);
        rest /= 10;
    }
    text
}

/// Year, month and day of a day since 1970 (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gmt_and_come_back() {
        for (micros, date, time) in [
            (0, b"19700101", b"00000000"),
            (951_827_696_780_000, b"20000229", b"12345678"),
            (1_764_028_799_990_000, b"20251124", b"23595999"),
            (4_107_542_400_000_000, b"21000301", b"00000000"),
        ] {
            assert_eq!(date_and_time(micros), (*date, *time));
            assert_eq!(micros_of(date, time), Some(micros));
        }
        assert_eq!(micros_of(b"        ", b"        "), None);
        assert_eq!(micros_of(b"20261301", b"00000000"), None);
        assert_eq!(micros_of(b"20261201", b"24000000"), None);
        // Every day of 400 years.
        for day in 0..146_097 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days_of(year, month, of_month), day);
        }
    }
}
