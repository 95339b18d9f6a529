//! Compiling one field of a mapping: where its text comes from and what is done to it.

use jiff::civil;
use jiff::tz::TimeZone;
use types::SCALE_DIGITS;

use super::table::Section;
use super::{CANONICAL, Compiler, RESERVED};
use crate::encode::write_string;
use crate::plan::{
    AmountRule, Case, ExtraKind, ExtraRule, ImpliedDecimals, Piece, SignRule, SlotId, Source,
    TextRule,
};
use crate::steps::Step;
use crate::time::{TimeFormat, TimeRule};

const TEXT_KEYS: &[&str] = &[
    "from", "const", "template", "steps", "default", "when", "optional", "repeated", "case",
    "check",
];
const SOURCE_KEYS: &[&str] = &["from", "const", "template"];
const TIME_KEYS: &[&str] = &["format", "zone", "at"];
const STEPS: &[&str] = &["trim", "upper", "lower", "hash", "mask", "currency"];

impl Compiler<'_> {
    /// A field whose value is a text.
    pub(super) fn text_field(
        &mut self,
        fields: &Section<'_>,
        name: &str,
        optional: bool,
    ) -> Option<TextRule> {
        let section = self.field_section(fields, name)?;
        section.only(self, TEXT_KEYS);
        self.text_rule(&section, name, optional)
    }

    fn field_section<'v>(&mut self, fields: &Section<'v>, name: &str) -> Option<Section<'v>> {
        if !fields.has(name) {
            let message =
                format!("every source maps {name}: add [fields.{name}] with `from = \"…\"`");
            self.error(fields.span(), &fields.key(name), message);
        }
        fields.section(self, name)
    }

    /// `optional` is what an absent key `optional` means.
    fn text_rule(&mut self, section: &Section<'_>, name: &str, optional: bool) -> Option<TextRule> {
        let optional = section.flag(self, "optional").unwrap_or(optional);
        if optional && CANONICAL.contains(&name) && name != "reverses" {
            self.error(
                section.span(),
                &section.key("optional"),
                format!("{name} is required of every transaction"),
            );
        }
        let default: Option<Box<str>> = section.text(self, "default").map(|(text, _)| text.into());
        let required = !(optional || default.is_some() || self.is_conditional);
        let cases = self.cases(section);
        let has_source = SOURCE_KEYS.iter().any(|key| section.has(key));
        let source = if section.has("case") && !has_source {
            None
        } else {
            Some(self.source(section, required && cases.is_empty())?)
        };
        let steps = self.steps(section);
        let checks = self.checks(section);
        let when = self.when(section);
        if when.is_some() && !optional {
            let message = "only a field with `optional = true` can depend on a condition";
            self.error(section.span(), &section.key("when"), message);
        }
        let repeated_first =
            section.choice(self, "repeated", &["refuse", "first"], "refuse") == "first";
        Some(TextRule {
            name: name.into(),
            cases,
            source,
            steps,
            checks,
            default,
            when,
            optional,
            repeated_first,
        })
    }

    /// `[[fields.….case]]`: other places to find the text, each with its condition.
    fn cases(&mut self, section: &Section<'_>) -> Vec<Case> {
        let mut cases = Vec::new();
        let items = section.items(self, "case");
        let has_source = SOURCE_KEYS.iter().any(|key| section.has(key));
        for (index, item) in items.iter().enumerate() {
            let Some(case) = section.item_section("case", item) else {
                let message = "a table such as { when = { from = \"kind\", is = \"fee\" }, from = \"fee_account\" } is expected";
                self.error(item.span(), &section.key("case"), message);
                continue;
            };
            case.only(self, &["when", "from", "const", "template", "steps"]);
            let is_last = index + 1 == items.len() && !has_source;
            if !case.has("when") && !is_last {
                let message = "only the last case may lack `when`, and only where the field itself has no `from`, \
                               `const` or `template`: what is behind it would never count";
                self.error(item.span(), &case.key("when"), message);
            }
            let when = self.when(&case);
            let source = self.source(&case, false);
            let steps = self.steps(&case);
            if let Some(source) = source {
                cases.push(Case {
                    when,
                    source,
                    steps,
                });
            }
        }
        cases
    }

    fn source(&mut self, section: &Section<'_>, required: bool) -> Option<Source> {
        let given: Vec<&str> = SOURCE_KEYS
            .iter()
            .copied()
            .filter(|key| section.has(key))
            .collect();
        match given.as_slice() {
            ["from"] => {
                let paths = section.texts(self, "from")?;
                let key = section.key("from");
                let sole = paths.len() == 1;
                let slots: Vec<SlotId> = paths
                    .into_iter()
                    .filter_map(|(path, span)| self.slot(path, span, &key, required && sole))
                    .collect();
                (!slots.is_empty()).then_some(Source::FirstOf(slots))
            }
            ["const"] => Some(Source::Const(section.text(self, "const")?.0.into())),
            ["template"] => self.template(section, required),
            _ => {
                let message = "one of `from` (a path or several), `const` and `template` says where the value comes from";
                self.error(section.span(), &section.key("from"), message);
                None
            }
        }
    }

    fn template(&mut self, section: &Section<'_>, required: bool) -> Option<Source> {
        let (template, span) = section.text(self, "template")?;
        let key = section.key("template");
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                pieces.push(Piece::Text(rest[..open].into()));
            }
            let Some(length) = rest[open..].find('}') else {
                self.error(
                    span,
                    &key,
                    "a { has no } behind it; a path stands between them, as in \"{bank}-{branch}\"",
                );
                return None;
            };
            let path = &rest[open + 1..open + length];
            pieces.push(Piece::Slot(self.slot(
                path,
                span.clone(),
                &key,
                required,
            )?));
            rest = &rest[open + length + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Some(Source::Template(pieces))
    }

    fn steps(&mut self, section: &Section<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        for item in section.items(self, "steps") {
            if let Some(name) = item.get_ref().as_str() {
                match name {
                    "trim" => steps.push(Step::Trim),
                    "upper" => steps.push(Step::Upper),
                    "lower" => steps.push(Step::Lower),
                    "hash" => steps.push(Step::Hash),
                    "mask" => steps.push(Step::Mask),
                    "currency" => steps.push(Step::Currency),
                    _ => {
                        let hint = match super::nearest(name, STEPS) {
                            Some(meant) => format!("did you mean \"{meant}\"?"),
                            None => "known are \"trim\", \"upper\", \"lower\", \"hash\", \"mask\", \"currency\", { substring = [start, length] }, \
                                     { lookup = { a = \"b\" }, else = \"c\" }, { extract = \"(…)\" }, { replace = \"…\", with = \"…\" }, { hash = { key = \"…\" } }"
                                .to_owned(),
                        };
                        self.error(
                            item.span(),
                            &section.key("steps"),
                            format!("there is no function {name:?}; {hint}"),
                        );
                    }
                }
            } else if let Some(table) = section.item_section("steps", item) {
                steps.extend(self.step_with_arguments(&table));
            } else {
                self.error(
                    item.span(),
                    &section.key("steps"),
                    "a function's name or a table is expected",
                );
            }
        }
        steps
    }

    fn step_with_arguments(&mut self, table: &Section<'_>) -> Option<Step> {
        table.only(
            self,
            &[
                "hash",
                "substring",
                "lookup",
                "else",
                "extract",
                "group",
                "replace",
                "with",
            ],
        );
        if table.has("extract") || table.has("replace") {
            return self.pattern_step(table);
        }
        if let Some(hash) = table.section(self, "hash") {
            hash.only(self, &["key"]);
            let (name, span) = hash.required_text(self, "key")?;
            return match self.options.hash_key(name) {
                Ok(key) => Some(Step::KeyedHash(key)),
                Err(message) => {
                    self.error(span, &hash.key("key"), message);
                    None
                }
            };
        }
        if table.has("lookup") {
            let otherwise = table.text(self, "else").map(|(text, _)| text.into());
            let pairs = table.section(self, "lookup")?;
            let table = pairs.pairs(self);
            return Some(Step::Lookup { table, otherwise });
        }
        let (start, length) = table.two_numbers(self, "substring")?;
        Some(Step::Substring { start, length })
    }

    pub(super) fn amount_field(
        &mut self,
        fields: &Section<'_>,
        any_digits: bool,
    ) -> Option<AmountRule> {
        let section = self.field_section(fields, "amount")?;
        let known: Vec<&str> = TEXT_KEYS
            .iter()
            .chain(&["decimal", "decimals", "sign"])
            .copied()
            .collect();
        section.only(self, &known);
        let text = self.text_rule(&section, "amount", false);
        let decimal_comma = self.decimal_comma(&section);
        let implied = self.implied_decimals(&section);
        let sign = self.sign(&section);
        Some(AmountRule {
            text: text?,
            decimal_comma,
            implied,
            sign: sign?,
            currency_digits: !any_digits,
        })
    }

    fn implied_decimals(&mut self, section: &Section<'_>) -> Option<ImpliedDecimals> {
        if section.has("decimals") && section.has("decimal") {
            let message =
                "with `decimals` the amount has no decimal point, so `decimal` means nothing";
            self.error(section.span(), &section.key("decimal"), message);
        }
        if section.is_text("decimals") {
            section.choice(self, "decimals", &["currency"], "currency");
            return Some(ImpliedDecimals::OfCurrency);
        }
        let (digits, span) = section.whole(self, "decimals")?;
        match u32::try_from(digits) {
            Ok(digits) if digits <= SCALE_DIGITS => Some(ImpliedDecimals::Digits(digits)),
            _ => {
                let message =
                    format!("a number from 0 to {SCALE_DIGITS} or \"currency\" is expected");
                self.error(span, &section.key("decimals"), message);
                None
            }
        }
    }

    fn decimal_comma(&mut self, section: &Section<'_>) -> bool {
        section.choice(self, "decimal", &["point", "comma"], "point") == "comma"
    }

    fn sign(&mut self, section: &Section<'_>) -> Option<SignRule> {
        if !section.has("sign") {
            return Some(SignRule::Own);
        }
        if section.is_text("sign") {
            let sign = section.choice(self, "sign", &["+", "-"], "+");
            return Some(SignRule::Fixed {
                negative: sign == "-",
            });
        }
        let sign = section.section(self, "sign")?;
        sign.only(self, &["from", "template", "credit", "debit"]);
        let source = self.source(&sign, true);
        let mut list = |name| -> Vec<Box<str>> {
            let texts = sign.texts(self, name).unwrap_or_default();
            texts.into_iter().map(|(text, _)| text.into()).collect()
        };
        let (credit, debit) = (list("credit"), list("debit"));
        if credit.is_empty() || debit.is_empty() {
            let message = "a sign is \"+\", \"-\" or { from = \"CdtDbtInd\", credit = \"CRDT\", debit = \"DBIT\" }";
            self.error(sign.span(), &section.key("sign"), message);
            return None;
        }
        Some(SignRule::Indicator {
            source: source?,
            credit,
            debit,
        })
    }

    pub(super) fn booked_field(&mut self, fields: &Section<'_>) -> Option<(TextRule, TimeRule)> {
        let section = self.field_section(fields, "booked_at")?;
        let known: Vec<&str> = TEXT_KEYS.iter().chain(TIME_KEYS).copied().collect();
        section.only(self, &known);
        let text = self.text_rule(&section, "booked_at", false);
        let time = self.time_rule(&section);
        Some((text?, time?))
    }

    fn time_rule(&mut self, section: &Section<'_>) -> Option<TimeRule> {
        // All three are looked at before any is given up: every mistake in one run.
        let format = self.time_format(section);
        let zone = section.text(self, "zone").map(|(name, span)| {
            let zone = TimeZone::get(name).ok();
            if zone.is_none() {
                let message = format!(
                    "{name:?} is no time zone of the IANA database such as \"Europe/Zagreb\""
                );
                self.error(span, &section.key("zone"), message);
            }
            zone
        });
        let at = section.text(self, "at").map(|(text, span)| {
            let time = text.parse::<civil::Time>().ok();
            if time.is_none() {
                self.error(
                    span,
                    &section.key("at"),
                    format!("{text:?} is no time of day such as \"12:00\""),
                );
            }
            time
        });
        Some(TimeRule {
            format: format?,
            zone: zone.map_or(Some(None), |zone| zone.map(Some))?,
            at: at.map_or(Some(None), |time| time.map(Some))?,
        })
    }

    fn time_format(&mut self, section: &Section<'_>) -> Option<TimeFormat> {
        let Some((text, span)) = section.text(self, "format") else {
            return Some(TimeFormat::Iso);
        };
        match text {
            "iso" => Some(TimeFormat::Iso),
            "unix-seconds" => Some(TimeFormat::UnixSeconds),
            "unix-millis" => Some(TimeFormat::UnixMillis),
            pattern if is_pattern(pattern) => Some(TimeFormat::Pattern(pattern.into())),
            other => {
                let message = format!(
                    "{other:?} is neither \"iso\", \"unix-seconds\", \"unix-millis\" nor a pattern such as \"%d.%m.%Y %H:%M\""
                );
                self.error(span, &section.key("format"), message);
                None
            }
        }
    }

    pub(super) fn extra_field(&mut self, fields: &Section<'_>, name: &str) -> Option<ExtraRule> {
        let section = fields.section(self, name)?;
        let kind = section.choice(self, "type", &["text", "time", "decimal"], "text");
        let mut known: Vec<&str> = TEXT_KEYS.iter().chain(&["type"]).copied().collect();
        match kind {
            "time" => known.extend(TIME_KEYS),
            "decimal" => known.push("decimal"),
            _ => {}
        }
        section.only(self, &known);
        let text = self.text_rule(&section, name, false)?;
        let kind = match kind {
            "time" => ExtraKind::Time(self.time_rule(&section)?),
            "decimal" => ExtraKind::Decimal {
                decimal_comma: self.decimal_comma(&section),
            },
            _ => ExtraKind::Text,
        };
        Some(extra(text, kind))
    }

    /// Fields of `pass`: taken over under their own name if they are there.
    pub(super) fn passed(&mut self, root: &Section<'_>, taken: &[Box<str>]) -> Vec<ExtraRule> {
        let mut extras: Vec<ExtraRule> = Vec::new();
        for (name, span) in root.texts(self, "pass").unwrap_or_default() {
            let known = taken.iter().any(|taken| **taken == *name)
                || extras.iter().any(|extra| *extra.text.name == *name)
                || CANONICAL.contains(&name)
                || RESERVED.contains(&name);
            if known {
                self.error(span, "pass", format!("{name} is already a field"));
                continue;
            }
            let Some(slot) = self.slot(name, span, "pass", false) else {
                continue;
            };
            let text = TextRule::optional(name, Some(Source::FirstOf(vec![slot])));
            extras.push(extra(text, ExtraKind::Text));
        }
        extras
    }
}

/// Whether jiff understands a pattern: it is tried on an instant.
fn is_pattern(pattern: &str) -> bool {
    let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
    pattern.contains('%') && jiff::fmt::strtime::format(pattern, &sample).is_ok()
}

pub(super) fn extra(text: TextRule, kind: ExtraKind) -> ExtraRule {
    let mut prefix = b",\"".to_vec();
    write_string(&mut prefix, &text.name);
    prefix.extend_from_slice(b"\":\"");
    // Made of a `str` and ASCII.
    let prefix = String::from_utf8_lossy(&prefix).into_owned().into();
    ExtraRule { text, kind, prefix }
}
