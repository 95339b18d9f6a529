//! `xsl:sort`: nodes in the order of their keys. Equal ones stay as they were.

use std::cmp::Ordering;

use super::value::NodeRef;
use super::{Ctx, Env};
use crate::error::{Stop, fail};
use crate::program::SortKey;

enum SortValue {
    Text(String),
    Number(f64),
}

impl Env<'_> {
    /// Texts are compared by code points, whatever `lang` says; what is no number comes before all numbers.
    pub(super) fn sort(
        &self,
        nodes: &mut Vec<NodeRef>,
        keys: &[SortKey],
        c: &Ctx,
    ) -> Result<(), Stop> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut orders = Vec::with_capacity(keys.len());
        for key in keys {
            let data_type = self.avt(&key.data_type, c)?;
            let order = self.avt(&key.order, c)?;
            let is_number = match data_type.as_str() {
                "text" => false,
                "number" => true,
                other => {
                    return Err(fail(format!(
                        "xsl:sort has the data-type {other:?}; there are text and number"
                    )));
                }
            };
            let is_descending = match order.as_str() {
                "ascending" => false,
                "descending" => true,
                other => {
                    return Err(fail(format!(
                        "xsl:sort has the order {other:?}; there are ascending and descending"
                    )));
                }
            };
            orders.push((is_number, is_descending));
        }
        let size = nodes.len();
        let mut rows: Vec<(NodeRef, Vec<SortValue>)> = Vec::with_capacity(size);
        let mut bytes = 0_usize;
        for (at, node) in nodes.iter().enumerate() {
            let inner = Ctx {
                node: *node,
                position: at + 1,
                size,
                current: *node,
                base: c.base,
            };
            let mut values = Vec::with_capacity(keys.len());
            for (key, (is_number, _)) in keys.iter().zip(&orders) {
                self.spend(2)?;
                values.push(match is_number {
                    true => SortValue::Number(self.number(&key.select, &inner)?),
                    false => {
                        let mut text = String::new();
                        self.push_string(&key.select, &inner, &mut text)?;
                        bytes += text.len();
                        // Kept until all are sorted.
                        self.spend_bytes(text.len() * 4)?;
                        SortValue::Text(text)
                    }
                });
            }
            rows.push((*node, values));
        }
        let rounds = u64::from(size.max(2).ilog2());
        self.spend(size as u64 * rounds * keys.len() as u64)?;
        self.spend((bytes / super::STEP_BYTES) as u64 * rounds)?;
        rows.sort_by(|(_, left), (_, right)| {
            for ((left, right), (_, is_descending)) in left.iter().zip(right).zip(&orders) {
                let order = match (left, right) {
                    (SortValue::Text(left), SortValue::Text(right)) => left.cmp(right),
                    (SortValue::Number(left), SortValue::Number(right)) => numbers(*left, *right),
                    _ => Ordering::Equal,
                };
                let order = if *is_descending {
                    order.reverse()
                } else {
                    order
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
            Ordering::Equal
        });
        nodes.clear();
        nodes.extend(rows.into_iter().map(|(node, _)| node));
        Ok(())
    }
}

fn numbers(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right)
        .unwrap_or_else(|| match (left.is_nan(), right.is_nan()) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => Ordering::Equal,
        })
}
