//! `xsl:number` (section 7.7 of XSLT 1.0).

use super::value::NodeRef;
use super::{Ctx, Env};
use crate::error::Stop;
use crate::number;
use crate::program::{Level, Numbering};
use crate::tree::{Kind, NONE};
use crate::xpath::pattern::Pattern;

impl Env<'_> {
    /// The text that it writes.
    pub(super) fn numbered(&self, numbering: &Numbering, c: &Ctx) -> Result<String, Stop> {
        let format = self.avt(&numbering.format, c)?;
        let separator = numbering
            .separator
            .as_ref()
            .map(|avt| self.avt(avt, c))
            .transpose()?;
        let size = numbering
            .size
            .as_ref()
            .map(|avt| self.avt(avt, c))
            .transpose()?;
        let size = size.map_or(0, |size| number::parse(&size).max(0.0) as usize);
        let grouping = match &separator {
            Some(separator) if size > 0 => Some((&**separator, size)),
            _ => None,
        };
        let numbers = match &numbering.value {
            Some(value) => vec![self.number(value, c)?],
            None => self.places(numbering, c)?,
        };
        // A width of zeros is as long as the format says; a format is no longer than a text.
        self.spend_bytes(format.len() * (numbers.len() + 1))?;
        let text = number::format_list(&numbers, &format, grouping);
        self.made(&text)?;
        Ok(text)
    }

    fn places(&self, numbering: &Numbering, c: &Ctx) -> Result<Vec<f64>, Stop> {
        let mut numbers = Vec::new();
        if c.node.namespace() != 0 {
            return Ok(numbers);
        }
        let tree = self.forest.tree(c.node.document());
        let from = numbering.from.as_deref();
        if numbering.level == Level::Any {
            let mut count = 0_u32;
            let mut at = c.node.node();
            loop {
                self.spend(1)?;
                let node = c.node.with_node(at);
                if tree.kind(at) == Kind::Root {
                    break;
                }
                count += u32::from(self.counts(numbering.count.as_deref(), node, c)?);
                if let Some(from) = from
                    && self.matches_any(from, node, c)?
                {
                    break;
                }
                // Backwards in document order: what is before it, attributes left out.
                at = match tree.kind(at) {
                    Kind::Attribute => tree.node(at).parent,
                    _ => at - 1,
                };
                while tree.kind(at) == Kind::Attribute {
                    at = tree.node(at).parent;
                }
            }
            if count > 0 {
                numbers.push(f64::from(count));
            }
            return Ok(numbers);
        }
        let mut at = c.node.node();
        while at != NONE && tree.kind(at) != Kind::Root {
            let node = c.node.with_node(at);
            if let Some(from) = from
                && self.matches_any(from, node, c)?
            {
                break;
            }
            if self.counts(numbering.count.as_deref(), node, c)? {
                let mut count = 1_u32;
                let mut sibling = tree.node(at).previous;
                while sibling != NONE {
                    self.spend(1)?;
                    count += u32::from(self.counts(
                        numbering.count.as_deref(),
                        c.node.with_node(sibling),
                        c,
                    )?);
                    sibling = tree.node(sibling).previous;
                }
                numbers.push(f64::from(count));
                if numbering.level == Level::Single {
                    break;
                }
            }
            at = tree.node(at).parent;
        }
        numbers.reverse();
        Ok(numbers)
    }

    /// Whether a node is counted: by the pattern, or because it is like the current one.
    fn counts(&self, count: Option<&[Pattern]>, node: NodeRef, c: &Ctx) -> Result<bool, Stop> {
        if let Some(count) = count {
            return self.matches_any(count, node, c);
        }
        let tree = self.forest.tree(node.document());
        let (one, current) = (tree.node(node.node()), tree.node(c.node.node()));
        Ok(
            (one.kind == current.kind || (one.kind.is_text() && current.kind.is_text()))
                && one.name == current.name,
        )
    }
}
