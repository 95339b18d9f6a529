//! Drafts a mapping from a sample: the format, the paths with examples, and what they probably are.

use std::fmt::Write as _;

use super::guess::{self, Decimal, Role};
use super::sample::{self, Place, Places};
use crate::{Context, Limits, Mapping, RecordOutcome};

/// Most paths listed in a draft.
const LISTED_MAX: usize = 100;
/// Most bytes of a sample that are looked at.
const SAMPLE_BYTES_MAX: usize = 16 << 20;

/// A drafted mapping.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The mapping file's text. It compiles.
    pub text: String,
    /// What the sample gives with it, in a sentence.
    pub result: String,
}

/// Drafts the mapping `source` from a sample. `ready` are file names and texts of ready-made mappings: a
/// sample in one of their formats gets that mapping under the new name. `arrival` is the present time in
/// microseconds since 1970.
///
/// # Errors
///
/// What is wrong with the name or with the sample, in a sentence.
pub fn infer(
    source: &str,
    sample: &[u8],
    ready: &[(&str, &str)],
    arrival: i64,
) -> Result<Draft, String> {
    if sample.len() > SAMPLE_BYTES_MAX {
        return Err(format!(
            "the sample has {} bytes: {SAMPLE_BYTES_MAX} are enough",
            sample.len()
        ));
    }
    let text = String::from_utf8_lossy(sample);
    let text = text.trim_start_matches('\u{feff}');
    let body = if let Some(name) = known_format(text) {
        copy(source, name, ready)?
    } else {
        match text.trim_start().chars().next() {
            None => return Err("the sample is empty".to_owned()),
            Some('{' | '[') => json(source, text)?,
            Some('<') => xml(source, text, ready)?,
            Some(_) => csv(source, text, std::str::from_utf8(sample).is_err()),
        }
    };
    let file = format!("{source}.toml");
    let mapping = Mapping::compile(&file, &body).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        format!("no mapping could be drafted: {}", errors.join("; "))
    })?;
    let result = tried(&mapping, sample, arrival);
    let text = format!("# Drafted from a sample; {result}.\n{body}");
    Ok(Draft { text, result })
}

/// Formats for which there is a ready-made mapping, by how their files begin.
fn known_format(text: &str) -> Option<&'static str> {
    let head: String = text.trim_start().chars().take(2_000).collect();
    if head.starts_with("OFXHEADER") || head.contains("<OFX>") || head.contains("<?OFX") {
        return Some("ofx");
    }
    if let Some(name) = message_type(&head) {
        return Some(name);
    }
    let line = head.lines().next().unwrap_or_default();
    if line.len() == 94 && line.starts_with("101") {
        return Some("nacha");
    }
    let mti = line.get(..4).unwrap_or_default();
    let bitmap = line.get(4..20).unwrap_or_default();
    let is_message = mti.starts_with("0")
        && mti.len() == 4
        && mti.bytes().all(|byte| byte.is_ascii_digit())
        && bitmap.len() == 16
        && bitmap
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    is_message.then_some("iso8583")
}

fn message_type(head: &str) -> Option<&'static str> {
    const TYPES: &[&str] = &["mt101", "mt103", "mt202", "mt940", "mt942"];
    let has = |tag: &str| head.lines().any(|line| line.starts_with(tag));
    if let Some(at) = head.find("{2:") {
        let number = head.get(at + 4..at + 7)?;
        return TYPES.iter().copied().find(|name| name.ends_with(number));
    }
    match () {
        () if !has(":20:") && !has(":25:") => None,
        () if has(":34F:") || has(":13D:") => Some("mt942"),
        () if has(":60F:") || has(":60M:") || has(":61:") => Some("mt940"),
        () if has(":28D:") => Some("mt101"),
        () if has(":58A:") || has(":58D:") => Some("mt202"),
        () if has(":32A:") => Some("mt103"),
        () => None,
    }
}

fn copy(source: &str, name: &str, ready: &[(&str, &str)]) -> Result<String, String> {
    let file = format!("{name}.toml");
    let found = ready.iter().find(|(known, _)| **known == *file);
    let Some((_, text)) = found else {
        return Err(format!(
            "the sample is of the format {name}, and there is no ready-made mapping {file} to begin with"
        ));
    };
    let line = format!("source = \"{name}\"");
    let own = text.replacen(&line, &format!("source = \"{source}\""), 1);
    Ok(format!(
        "# A copy of the ready-made mapping {name}, which can be used as it is: change what differs here.\n#\n{own}"
    ))
}

fn json(source: &str, text: &str) -> Result<String, String> {
    let places = sample::json(text).map_err(|error| format!("the sample is no JSON: {error}"))?;
    let records = record_steps(&places, true);
    let mut draft = head(source, "json");
    if !records.is_empty() {
        let _ = writeln!(draft, "records = {}", quoted(&absolute(&records)));
    }
    Ok(finish(draft, &places, &records))
}

fn xml(source: &str, text: &str, ready: &[(&str, &str)]) -> Result<String, String> {
    let (places, namespace) =
        sample::xml(text).map_err(|error| format!("the sample is no XML: {error}"))?;
    let of_iso = ready.iter().find_map(|(file, _)| {
        let name = file.strip_suffix(".toml")?;
        let is_message = name.split('.').nth(1).is_some();
        (is_message && namespace.contains(&format!("{name}.001."))).then_some(name)
    });
    if let Some(name) = of_iso {
        return copy(source, name, ready);
    }
    let records = record_steps(&places, false);
    let mut draft = head(source, "xml");
    let _ = writeln!(draft, "records = {}", quoted(&absolute(&records)));
    let _ = writeln!(draft, "\n[xml]\nnamespaces = [{}]", quoted(&namespace));
    Ok(finish(draft, &places, &records))
}

fn csv(source: &str, text: &str, is_latin: bool) -> String {
    let (places, delimiter, has_header) = sample::csv(text);
    let mut draft = head(source, "csv");
    if is_latin {
        draft.push_str("encoding = \"windows-1250\"  # the sample is not UTF-8: is it this one?\n");
    }
    let _ = writeln!(
        draft,
        "\n[csv]\ndelimiter = {}\nheader = \"{}\"",
        quoted(&delimiter.to_string()),
        if has_header { "required" } else { "absent" }
    );
    finish(draft, &places, &[])
}

fn head(source: &str, format: &str) -> String {
    format!(
        "#\n# Look at every line that says \"guessed\" or \"to do\"; then: daybook mapping explain\n\n\
         source = {}\ntitle = \"\"\nformat = \"{format}\"\n",
        quoted(source)
    )
}

/// The path of the records: what is repeated and holds an amount, as near to the top as it can be.
fn record_steps(places: &Places, may_be_document: bool) -> Vec<String> {
    let has_amount = |steps: &[String]| {
        places.places.iter().any(|place| {
            place.steps.len() > steps.len()
                && place.steps.starts_with(steps)
                && guess::fit(place, Role::Amount).is_some()
        })
    };
    let least = usize::from(!may_be_document);
    let containers = || {
        places
            .places
            .iter()
            .filter(|place| place.is_container && place.steps.len() >= least)
    };
    let repeated = containers()
        .filter(|place| place.is_repeated && has_amount(&place.steps))
        .min_by_key(|place| place.steps.len());
    // Nothing is repeated: in JSON the document; in XML what is around the amount.
    let found = match repeated {
        Some(place) => Some(place),
        None if may_be_document => None,
        None => containers()
            .filter(|place| has_amount(&place.steps))
            .max_by_key(|place| place.steps.len())
            .or_else(|| containers().next()),
    };
    match found {
        Some(place) => place.steps.clone(),
        None if may_be_document => Vec::new(),
        None => places
            .places
            .first()
            .map_or(vec!["Document".to_owned()], |place| place.steps.clone()),
    }
}

/// Paths as the mapping writes them, and the fields.
fn finish(mut draft: String, places: &Places, records: &[String]) -> String {
    let is_csv = draft.contains("format = \"csv\"\n");
    let usable: Vec<(String, &Place)> = places
        .places
        .iter()
        .filter(|place| place.is_leaf())
        .filter_map(|place| Some((written(place, records, is_csv)?, place)))
        .collect();
    draft.push_str("\n# Paths of the sample, with what stands there:\n");
    for (path, place) in usable.iter().take(LISTED_MAX) {
        let examples: Vec<String> = place
            .examples
            .iter()
            .take(2)
            .map(|text| crate::refusal::shown(text))
            .collect();
        let _ = writeln!(
            draft,
            "#   {path}: {}, such as {}",
            guess::kind(place),
            examples.join(", ")
        );
    }
    if usable.len() > LISTED_MAX {
        let _ = writeln!(draft, "#   and {} more", usable.len() - LISTED_MAX);
    }
    let best = |role: Role| -> Option<(&str, &Place)> {
        usable
            .iter()
            // What stands around the records is the second choice.
            .filter_map(|(path, place)| {
                let fit = guess::fit(place, role)?;
                Some(((path.starts_with('/'), fit), path.as_str(), *place))
            })
            .min_by_key(|(fit, _, _)| *fit)
            .map(|(_, path, place)| (path, place))
    };
    let identity = best(Role::Identity).filter(|(path, _)| !path.starts_with('/'));
    draft.push_str("\n[identity]\n");
    match identity {
        Some((path, _)) => {
            let _ = writeln!(
                draft,
                "natural = [{}]  # guessed: unique in the sample. Is it the same when a record is sent again?",
                quoted(path)
            );
        }
        None => draft.push_str(
            "# To do: natural = [\"…\"], what is unique and the same when a record is sent again. Without it the\n\
             # id is made of the Idempotency-Key and the record's number.\n",
        ),
    }
    draft.push_str("\n[fields.account]\n");
    let is_free = |path: &str| identity.is_none_or(|(taken, _)| taken != path);
    draft.push_str(
        &match best(Role::Account).filter(|(path, _)| is_free(path)) {
            Some((path, _)) => format!("from = {}  # guessed\n", quoted(path)),
            None => {
                "const = \"unknown\"  # to do: from = \"…\", whose transaction it is\n".to_owned()
            }
        },
    );
    let amount = best(Role::Amount);
    draft.push_str(&amount_field(amount, best(Role::Sign)));
    draft.push_str("\n[fields.currency]\n");
    draft.push_str(&match best(Role::Currency) {
        Some((path, place)) => {
            let is_lower = place
                .examples
                .iter()
                .any(|text| *text != text.to_uppercase());
            let steps = if is_lower {
                "steps = [\"upper\"]\n"
            } else {
                ""
            };
            format!("from = {}  # guessed\n{steps}", quoted(path))
        }
        None => "const = \"EUR\"  # to do: from = \"…\", or the right one\n".to_owned(),
    });
    draft.push_str("\n[fields.booked_at]\n");
    draft.push_str(&match best(Role::BookedAt) {
        Some((path, place)) => format!(
            "from = {}  # guessed\n{}",
            quoted(path),
            guess::time(place).unwrap_or_default()
        ),
        None => "const = \"2026-01-01\"  # to do: from = \"…\", when it was booked\nzone = \"UTC\"\nat = \"12:00\"\n".to_owned(),
    });
    draft.push_str(
        "\n# Every other name becomes a text field of the transaction, for example:\n\
         # [fields.merchant]\n# from = \"…\"\n# optional = true\n",
    );
    draft
}

fn amount_field(amount: Option<(&str, &Place)>, sign: Option<(&str, &Place)>) -> String {
    let mut text = "\n[fields.amount]\n".to_owned();
    let Some((path, place)) = amount else {
        text.push_str("const = \"0\"  # to do: from = \"…\"\n");
        return text;
    };
    let _ = writeln!(text, "from = {}  # guessed", quoted(path));
    text.push_str(match guess::decimal(place) {
        Some(Decimal::Comma) => "decimal = \"comma\"\n",
        Some(Decimal::CommaWithPoints) => {
            "steps = [{ replace = '[.]', with = \"\" }]\ndecimal = \"comma\"\n"
        }
        Some(Decimal::Point) | None => "",
    });
    let has_sign = place.examples.iter().any(|text| text.starts_with('-'));
    let signs = sign.and_then(|(path, place)| Some((path, guess::signs(place)?)));
    match signs {
        Some((from, (credit, debit))) if !has_sign => {
            let _ = writeln!(
                text,
                "sign = {{ from = {}, credit = \"{credit}\", debit = \"{debit}\" }}  # guessed",
                quoted(from)
            );
        }
        _ => text.push_str(
            "# A debit is negative: sign = \"-\", where all are debits without a sign.\n",
        ),
    }
    text
}

/// A place as the mapping names it: inside of a record, or from the top and inherited.
fn written(place: &Place, records: &[String], is_csv: bool) -> Option<String> {
    if is_csv {
        // A column's name is no path.
        return place.steps.first().filter(|name| !name.is_empty()).cloned();
    }
    let steps: Vec<String> = place
        .steps
        .iter()
        .map(|step| step.replace('~', "~0").replace('/', "~1"))
        .collect();
    let is_path = |step: &String| !step.is_empty() && !matches!(step.as_str(), "." | ".." | "@");
    if !steps.iter().all(is_path) {
        return None;
    }
    if records.is_empty() {
        return match steps.as_slice() {
            [] => None,
            steps => Some(steps.join("/")),
        };
    }
    if place.steps.len() > records.len() && place.steps.starts_with(records) {
        return Some(steps.get(records.len()..)?.join("/"));
    }
    (!place.steps.starts_with(records) && !steps.is_empty())
        .then(|| format!("/{}", steps.join("/")))
}

fn absolute(steps: &[String]) -> String {
    let steps: Vec<String> = steps
        .iter()
        .map(|step| step.replace('~', "~0").replace('/', "~1"))
        .collect();
    format!("/{}", steps.join("/"))
}

/// A text in TOML.
fn quoted(text: &str) -> String {
    let mut out = b"\"".to_vec();
    crate::encode::write_string(&mut out, text);
    out.push(b'"');
    String::from_utf8_lossy(&out).into_owned()
}

fn tried(mapping: &Mapping, sample: &[u8], arrival: i64) -> String {
    let mut context = Context {
        received_at: arrival,
        idempotency_key: Some("example"),
        first_record: 1,
        lines: false,
        new_id: &mut || "made-up".to_owned(),
    };
    let (mut translated, mut refused) = (0, Vec::new());
    let result = mapping.decode(
        sample,
        &mut context,
        &Limits::default(),
        &mut Vec::new(),
        &mut |outcome| match outcome {
            RecordOutcome::Translated(_) => translated += 1,
            RecordOutcome::Refused(record) => refused.push(record.refusal),
        },
    );
    // On one line, for it stands in a comment.
    let plain = |text: String| text.replace(char::is_control, " ");
    match (result, refused.first()) {
        (Err(refusal), _) => plain(format!("with it the sample is refused: {refusal}")),
        (Ok(records), None) => {
            format!("with it all {records} records of the sample are translated")
        }
        (Ok(records), Some(first)) => plain(format!(
            "with it {translated} of {records} records of the sample are translated; the first refusal is: {first}"
        )),
    }
}
