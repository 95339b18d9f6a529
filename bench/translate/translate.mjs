// The translations of the ready mappings `pain.001` and `json` as people write them in JavaScript, with the usual parser:
//   node bench/translate/translate.mjs DIRECTORY_WITH_fast-xml-parser
// Prints the output of each once, then what they take. CPU time is the process's own, collector included.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { XMLParser } = createRequire(join(process.argv[2], 'package.json'))('fast-xml-parser');
const here = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
const RECEIVED = '2026-11-23T12:00:00.000000Z';
const DIGITS = { EUR: 2, USD: 2, GBP: 2, CHF: 2, JPY: 0, KWD: 3 };
const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '@', parseTagValue: false, parseAttributeValue: false, removeNSPrefix: true });
const list = (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]);

/** No number of JavaScript's touches it: the digits are moved as text. */
function money(text, currency) {
  const digits = DIGITS[currency];
  const match = /^(-?)(\d{1,15})(?:\.(\d{0,5}))?$/.exec(text);
  if (digits === undefined || !match || (match[3] ?? '').replace(/0+$/, '').length > digits) throw new Error(`amount: ${text} ${currency}`);
  return `${match[1]}${match[2].replace(/^0+(?=\d)/, '')}${digits ? `.${(match[3] ?? '').padEnd(digits, '0').slice(0, digits)}` : ''}`;
}

function when(text) {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(Date.parse(text))) throw new Error(`booked_at: ${text}`);
  return text;
}

function pain(text) {
  const message = parser.parse(text).Document.CstmrCdtTrfInitn;
  const head = message.GrpHdr;
  let out = '';
  let count = 0;
  let sum = 0n;
  for (const block of list(message.PmtInf)) {
    const account = block.DbtrAcct.Id.IBAN ?? block.DbtrAcct.Id.Othr.Id;
    for (const one of list(block.CdtTrfTxInf)) {
      const currency = one.Amt.InstdAmt['@Ccy'];
      const amount = money(one.Amt.InstdAmt['#text'], currency);
      count += 1;
      sum += BigInt(amount.replace('.', '')) * 10n ** BigInt(5 - DIGITS[currency]);
      const end = one.PmtId.EndToEndId;
      const to = one.CdtrAcct?.Id;
      out += `${JSON.stringify({
        id: `${head.MsgId}/${block.PmtInfId}/${account}/${count}`, source: 'pain.001', account, amount, currency,
        booked_at: when(head.CreDtTm), received_at: RECEIVED,
        execution_date: (block.ReqdExctnDt?.Dt ?? block.ReqdExctnDt)?.slice(0, 10),
        end_to_end_id: end === 'NOTPROVIDED' ? undefined : end,
        debtor: block.Dbtr?.Nm, creditor: one.Cdtr?.Nm, creditor_account: to?.IBAN ?? to?.Othr?.Id,
      })}\n`;
    }
  }
  const [whole, part = ''] = (head.CtrlSum ?? '').split('.');
  if (Number(head.NbOfTxs) !== count || (whole && BigInt(whole + part.padEnd(5, '0')) !== sum)) throw new Error('totals');
  return out;
}

function json(text) {
  const { id, account, amount, currency, booked_at, merchant, type, channel, category, country, reference, description } = JSON.parse(text);
  if (typeof id !== 'string' || typeof account !== 'string') throw new Error('field');
  return `${JSON.stringify({
    id, source: 'json', account, amount: money(String(amount), currency), currency, booked_at: when(booked_at), received_at: RECEIVED,
    merchant, type, channel, category, country, reference, description,
  })}\n`;
}

for (const [name, file, translate] of [['pain.001', 'pain.001.xml', pain], ['json', 'transaction.json', json]]) {
  const text = here(file);
  process.stderr.write(translate(text));
  for (let round = 0; round < 20_000; round += 1) translate(text);
  let best = Infinity;
  for (let round = 0; round < 7; round += 1) {
    const before = process.cpuUsage();
    for (let one = 0; one < 10_000; one += 1) translate(text);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 10_000);
  }
  console.log(`${`${name}, node (V8)`.padEnd(38)} ${best.toFixed(3).padStart(8)} us ${(1e6 / best).toFixed(0).padStart(10)} a CPU-second`);
}
