//! Compiling what text formats share, and `[ofx]`.

use super::table::Section;
use super::{Compiler, FormatKind};
use crate::charset::{self, Charset};
use crate::format::ofx::OfxPlan;
use crate::plan::FormatPlan;

impl Compiler<'_> {
    /// Character sets of the bodies, in the order in which they are tried.
    pub(super) fn charsets(&mut self, root: &Section<'_>) -> Vec<Charset> {
        let mut charsets = Vec::new();
        let given = root.texts(self, "encoding").unwrap_or_default();
        for (index, (name, span)) in given.iter().enumerate() {
            if matches!(self.format, FormatKind::Json | FormatKind::Xml) {
                let message = match self.format {
                    FormatKind::Xml => {
                        "XML says itself which character set it is in: remove this key"
                    }
                    _ => "JSON is always UTF-8: remove this key",
                };
                self.error(span.clone(), "encoding", message);
                break;
            }
            let known = charset::NAMES.iter().find(|(known, _)| known == name);
            match known {
                Some((_, Charset::Utf8)) | None if index > 0 || known.is_none() => {
                    let known: Vec<&str> = charset::NAMES.iter().map(|(name, _)| *name).collect();
                    let message = format!(
                        "{name:?} is none of {} (\"utf-8\" only as the first)",
                        known.join(", ")
                    );
                    self.error(span.clone(), "encoding", message);
                }
                Some((_, charset)) => charsets.push(*charset),
                None => {}
            }
        }
        if charsets.is_empty() {
            charsets.push(Charset::Utf8);
        }
        charsets
    }

    /// `[ofx]`: what refuses a document.
    pub(super) fn ofx(&mut self, root: &Section<'_>) -> FormatPlan {
        let mut refuse = Vec::new();
        if let Some(section) = root.section(self, "ofx") {
            section.only(self, &["refuse"]);
            let names = section.texts(self, "refuse").unwrap_or_default();
            refuse.extend(names.into_iter().map(|(name, _)| name.into()));
        }
        FormatPlan::Ofx(OfxPlan { refuse })
    }
}
