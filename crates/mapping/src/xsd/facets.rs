//! Facets of simple types, and wildcards: single elements of a schema with nothing in them.

use super::model::Any;
use super::simple::{BuiltIn, SimpleType, Space};
use super::tree::{Mistake, Node};

/// Adds a facet to a type.
pub(super) fn narrow(simple: &mut SimpleType, facet: &Node, value: &str) -> Result<(), Mistake> {
    let count = || {
        let count = value.parse::<usize>().ok();
        count.ok_or_else(|| facet.wrong(format!("{value:?} is no number")))
    };
    let least =
        |known: Option<usize>, more: usize| Some(known.map_or(more, |known| known.max(more)));
    let most =
        |known: Option<usize>, less: usize| Some(known.map_or(less, |known| known.min(less)));
    let has_length = matches!(
        simple.built_in,
        BuiltIn::Text | BuiltIn::Base64 | BuiltIn::Hex
    );
    match facet.name.as_str() {
        "length" | "minLength" | "maxLength" if has_length => {
            if facet.name != "maxLength" {
                simple.min_length = least(simple.min_length, count()?);
            }
            if facet.name != "minLength" {
                simple.max_length = most(simple.max_length, count()?);
            }
        }
        "totalDigits" if simple.is_number() => {
            simple.total_digits = most(simple.total_digits, count()?)
        }
        "fractionDigits" if simple.is_number() => {
            simple.fraction_digits = most(simple.fraction_digits, count()?);
        }
        "minInclusive" | "minExclusive" | "maxInclusive" | "maxExclusive" if simple.is_number() => {
            let is_number = SimpleType::named("decimal")
                .is_some_and(|decimal| decimal.check(value, &mut String::new()).is_ok());
            let limit = Some((value.into(), facet.name.ends_with("Inclusive")));
            let place = if facet.name.starts_with("min") {
                &mut simple.min
            } else {
                &mut simple.max
            };
            if !is_number || place.is_some() {
                return Err(facet.wrong(format!(
                    "{} is no number or stands in a derived type, which is not read",
                    facet.name
                )));
            }
            *place = limit;
        }
        "whiteSpace" if value == "collapse" => simple.space = Space::Collapse,
        other => return Err(facet.wrong(format!("{other} is not read here"))),
    }
    Ok(())
}

/// Reads a wildcard.
pub(super) fn any(node: &Node) -> Result<Any, Mistake> {
    node.only(&["namespace", "processContents", "minOccurs", "maxOccurs"])?;
    let is_other = match node.get("namespace") {
        None | Some("##any") => false,
        Some("##other") => true,
        Some(other) => return Err(node.wrong(format!("namespace={other:?} of any is not read"))),
    };
    let is_lax = match node.get("processContents") {
        Some("lax") => true,
        Some("skip") => false,
        _ => {
            return Err(
                node.wrong("processContents of any is \"lax\" or \"skip\"; \"strict\" is not read")
            );
        }
    };
    Ok(Any { is_other, is_lax })
}
