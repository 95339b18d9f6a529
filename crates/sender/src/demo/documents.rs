//! What participants send: ISO 20022 XML, JSON, CSV, as real systems write them.

use std::fmt::Write as _;

use jiff::{Timestamp, ZonedDateTime};

use super::world::{Account, Money};

/// One document, sent as one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// Source of the gateway that takes it.
    pub(crate) source: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
    /// Transactions in it.
    pub(crate) transactions: u64,
}

/// A single transaction in Daybook's own JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonTransaction {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) money: Money,
    pub(crate) is_credit: bool,
    pub(crate) booked_at: String,
    pub(crate) kind: &'static str,
    pub(crate) merchant: Option<&'static str>,
    pub(crate) reverses: Option<String>,
}

/// RFC 3339 with offset and milliseconds.
pub(crate) fn time_text(time: &ZonedDateTime) -> String {
    format!("{}", time.strftime("%Y-%m-%dT%H:%M:%S.%3f%:z"))
}

/// The day of a time.
fn date_text(time: &ZonedDateTime) -> String {
    format!("{}", time.strftime("%Y-%m-%d"))
}

impl JsonTransaction {
    /// Appends the object. Texts are this module's own and need no escapes.
    pub(crate) fn push(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "{{\"id\":\"{}\",\"account\":\"{}\",\"amount\":\"{}\",\"currency\":\"{}\",\"booked_at\":\"{}\",\"type\":\"{}\"",
            self.id,
            self.account,
            self.money.signed(self.is_credit),
            self.money.currency,
            self.booked_at,
            self.kind,
        );
        if let Some(merchant) = self.merchant {
            let _ = write!(out, ",\"merchant\":\"{merchant}\"");
        }
        if let Some(reverses) = &self.reverses {
            let _ = write!(out, ",\"reverses\":\"{reverses}\"");
        }
        out.push('}');
    }
}

/// One or several JSON transactions: an object, an array, or lines.
pub(crate) fn json(transactions: &[JsonTransaction], as_lines: bool) -> Document {
    let (open, between, close) = match (transactions.len(), as_lines) {
        (_, true) => ("", "\n", "\n"),
        (1, false) => ("", "", ""),
        (_, false) => ("[", ",", "]"),
    };
    let mut body = open.to_owned();
    for (index, transaction) in transactions.iter().enumerate() {
        if index > 0 {
            body.push_str(between);
        }
        transaction.push(&mut body);
    }
    body.push_str(close);
    Document {
        source: "json",
        content_type: if as_lines {
            "application/x-ndjson"
        } else {
            "application/json"
        },
        body,
        transactions: transactions.len() as u64,
    }
}

/// A row of a card scheme's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CardRow {
    pub(crate) id: String,
    pub(crate) card: String,
    pub(crate) money: Money,
    pub(crate) is_credit: bool,
    pub(crate) booked_at: String,
    pub(crate) merchant: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) reverses: Option<String>,
}

/// A file of card transactions.
pub(crate) fn card_csv(rows: &[CardRow]) -> Document {
    let mut body = "id,card,amount,currency,booked_at,merchant,type,reverses\n".to_owned();
    for row in rows {
        let merchant = match row.merchant.contains(',') {
            true => format!("\"{}\"", row.merchant),
            false => row.merchant.to_owned(),
        };
        let _ = writeln!(
            body,
            "{},{},{},{},{},{merchant},{},{}",
            row.id,
            row.card,
            row.money.signed(row.is_credit),
            row.money.currency,
            row.booked_at,
            row.kind,
            row.reverses.as_deref().unwrap_or_default(),
        );
    }
    Document {
        source: "card-csv",
        content_type: "text/csv",
        body,
        transactions: rows.len() as u64,
    }
}

/// A payment that a customer orders.
#[derive(Debug)]
pub(crate) struct Order<'w> {
    pub(crate) creditor: &'w Account,
    pub(crate) money: Money,
    pub(crate) remittance: String,
}

/// pain.001: a customer orders payments from one account. All orders have the account's currency.
pub(crate) fn pain_001(
    id: &str,
    debtor: &Account,
    orders: &[Order<'_>],
    now: &ZonedDateTime,
) -> Document {
    let sum = Money {
        minor: orders.iter().map(|order| order.money.minor).sum(),
        currency: debtor.currency,
    };
    let (count, sum) = (orders.len(), sum.text());
    let owner = escaped(&debtor.owner);
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\">\n<CstmrCdtTrfInitn>\n\
         <GrpHdr><MsgId>{id}</MsgId><CreDtTm>{}</CreDtTm><NbOfTxs>{count}</NbOfTxs><CtrlSum>{sum}</CtrlSum>\
         <InitgPty><Nm>{owner}</Nm></InitgPty></GrpHdr>\n\
         <PmtInf><PmtInfId>{id}-1</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>{count}</NbOfTxs><CtrlSum>{sum}</CtrlSum>\
         <ReqdExctnDt><Dt>{}</Dt></ReqdExctnDt><Dbtr><Nm>{owner}</Nm></Dbtr>\
         <DbtrAcct><Id><IBAN>{}</IBAN></Id><Ccy>{}</Ccy></DbtrAcct>\
         <DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>\n",
        time_text(now),
        date_text(now),
        debtor.number,
        debtor.currency,
    );
    for (index, order) in orders.iter().enumerate() {
        // Real senders do not always give references.
        let end_to_end = match index % 3 {
            2 => "NOTPROVIDED".to_owned(),
            _ => format!("{id}-E{}", index + 1),
        };
        let _ = writeln!(
            body,
            "<CdtTrfTxInf><PmtId><EndToEndId>{end_to_end}</EndToEndId></PmtId>\
             <Amt><InstdAmt Ccy=\"{}\">{}</InstdAmt></Amt><Cdtr><Nm>{}</Nm></Cdtr>\
             <CdtrAcct><Id><IBAN>{}</IBAN></Id></CdtrAcct><RmtInf><Ustrd>{}</Ustrd></RmtInf></CdtTrfTxInf>",
            order.money.currency,
            order.money.text(),
            escaped(&order.creditor.owner),
            order.creditor.number,
            escaped(&order.remittance),
        );
    }
    body.push_str("</PmtInf>\n</CstmrCdtTrfInitn>\n</Document>\n");
    Document {
        source: "pain.001",
        content_type: "application/xml",
        body,
        transactions: orders.len() as u64,
    }
}

/// A booking that a bank notifies.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) money: Money,
    pub(crate) is_credit: bool,
    pub(crate) text: String,
}

/// camt.054: a bank notifies bookings on one account.
pub(crate) fn camt_054(
    id: &str,
    account: &Account,
    entries: &[Entry],
    now: &ZonedDateTime,
) -> Document {
    let time = time_text(now);
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.054.001.08\">\n<BkToCstmrDbtCdtNtfctn>\n\
         <GrpHdr><MsgId>{id}</MsgId><CreDtTm>{time}</CreDtTm></GrpHdr>\n\
         <Ntfctn><Id>{id}-1</Id><CreDtTm>{time}</CreDtTm>\
         <Acct><Id><IBAN>{}</IBAN></Id><Ccy>{}</Ccy><Ownr><Nm>{}</Nm></Ownr></Acct>\n",
        account.number,
        account.currency,
        escaped(&account.owner),
    );
    for (index, entry) in entries.iter().enumerate() {
        let (indicator, family) = match entry.is_credit {
            true => ("CRDT", "RCDT"),
            false => ("DBIT", "ICDT"),
        };
        let (number, amount, currency) = (index + 1, entry.money.text(), entry.money.currency);
        let _ = writeln!(
            body,
            "<Ntry><NtryRef>{number}</NtryRef><Amt Ccy=\"{currency}\">{amount}</Amt>\
             <CdtDbtInd>{indicator}</CdtDbtInd><RvslInd>false</RvslInd><Sts><Cd>BOOK</Cd></Sts>\
             <BookgDt><DtTm>{time}</DtTm></BookgDt><ValDt><Dt>{}</Dt></ValDt><AcctSvcrRef>{id}-{number}</AcctSvcrRef>\
             <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>\
             <NtryDtls><TxDtls><Refs><EndToEndId>{id}-E{number}</EndToEndId></Refs>\
             <Amt Ccy=\"{currency}\">{amount}</Amt><CdtDbtInd>{indicator}</CdtDbtInd>\
             <RmtInf><Ustrd>{}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>",
            date_text(now),
            escaped(&entry.text),
        );
    }
    body.push_str("</Ntfctn>\n</BkToCstmrDbtCdtNtfctn>\n</Document>\n");
    Document {
        source: "camt.054",
        content_type: "application/xml",
        body,
        transactions: entries.len() as u64,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Ids that differ from those of every other start: the time in a short form.
pub(crate) fn run_name(now: Timestamp) -> String {
    let mut rest = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let mut name = Vec::new();
    while rest > 0 {
        let digit = u8::try_from(rest % 36).unwrap_or(0);
        name.push(char::from(if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        }));
        rest /= 36;
    }
    name.iter().rev().collect()
}
