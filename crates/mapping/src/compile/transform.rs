//! Compiling `[transform]`: the stylesheet that documents go through first.

use super::table::Section;
use super::{Compiler, FormatKind};
use crate::transform::Transform;

const KEYS: &[&str] = &[
    "xslt",
    "parameters",
    "steps_max",
    "template_depth_max",
    "result_bytes_max",
];
/// Most parameters of a stylesheet that a mapping gives.
const PARAMETERS_MAX: usize = 64;

impl Compiler<'_> {
    pub(super) fn transform(&mut self, root: &Section<'_>) -> Option<Transform> {
        let section = root.section(self, "transform")?;
        section.only(self, KEYS);
        let is_read = matches!(
            self.format,
            FormatKind::Xml | FormatKind::Json | FormatKind::Csv | FormatKind::Fixed
        );
        if !is_read {
            let message = format!(
                "a stylesheet writes \"xml\", \"json\", \"csv\" or \"fixed\", and the format is {:?}",
                self.format.name()
            );
            self.error(section.span(), "transform", message);
            return None;
        }
        if root.has("encoding") {
            let message = "documents for a stylesheet are XML in UTF-8: remove this key";
            let span = root.span_of("encoding").unwrap_or(section.span());
            self.error(span, "encoding", message);
        }
        let limits = self.transform_limits(&section);
        let parameters = self.parameters(&section);
        let Some((name, span)) = section.text(self, "xslt") else {
            let message =
                "name the stylesheet, a file beside the mapping: xslt = \"statement.xsl\"";
            self.error(section.span(), "transform.xslt", message);
            return None;
        };
        let read = self.options.file(name).and_then(|bytes| {
            std::str::from_utf8(bytes)
                .map_err(|_| format!("{name} is not UTF-8, and nothing else is read"))
        });
        match read {
            Ok(text) => self.stylesheet(name, text, span, parameters, limits),
            Err(message) => {
                self.error(span, "transform.xslt", message);
                None
            }
        }
    }

    fn stylesheet(
        &mut self,
        name: &str,
        text: &str,
        span: std::ops::Range<usize>,
        parameters: Vec<(String, String, std::ops::Range<usize>)>,
        limits: xslt::Limits,
    ) -> Option<Transform> {
        let options = self.options;
        let resolve = |name: &str| {
            let bytes = options.file(name)?;
            let text = std::str::from_utf8(bytes);
            text.map(str::to_owned)
                .map_err(|_| format!("{name} is not UTF-8, and nothing else is read"))
        };
        let sheet = match xslt::Stylesheet::compile(name, text, &resolve) {
            Ok(sheet) => sheet,
            Err(mistake) => {
                let path = std::path::Path::new(self.file).with_file_name(&mistake.file);
                self.errors.push(super::MappingError {
                    file: path.to_string_lossy().into_owned(),
                    line: mistake.line,
                    column: mistake.column,
                    key: "transform".to_owned(),
                    message: mistake.message,
                });
                return None;
            }
        };
        let writes_xml = sheet.output_method() != Some(xslt::OutputMethod::Text);
        if writes_xml != (self.format == FormatKind::Xml) {
            let message = match writes_xml {
                true => format!(
                    "{name} writes XML, and the format is {:?}: <xsl:output method=\"text\"/> is missing there, or format = \"xml\" here",
                    self.format.name()
                ),
                false => format!(
                    "{name} writes text, and the format is \"xml\": \"json\", \"csv\" or \"fixed\" is what its text is"
                ),
            };
            self.error(span, "transform.xslt", message);
        }
        let known = sheet.parameters();
        for (parameter, _, span) in &parameters {
            if !known.contains(parameter) {
                let known = match known.as_slice() {
                    [] => "it has none".to_owned(),
                    known => format!("it has {}", known.join(", ")),
                };
                let message = format!(
                    "{name} has no <xsl:param name=\"{parameter}\"/> at the top level; {known}"
                );
                self.error(span.clone(), "transform.parameters", message);
            }
        }
        Some(Transform {
            sheet,
            parameters: parameters
                .into_iter()
                .map(|(name, value, _)| (name, value))
                .collect(),
            limits,
        })
    }

    fn parameters(
        &mut self,
        section: &Section<'_>,
    ) -> Vec<(String, String, std::ops::Range<usize>)> {
        let Some(table) = section.section(self, "parameters") else {
            return Vec::new();
        };
        let names = table.keys_in_order();
        if names.len() > PARAMETERS_MAX {
            let message = format!("a stylesheet is given at most {PARAMETERS_MAX} parameters");
            self.error(table.span(), "transform.parameters", message);
        }
        let mut parameters = Vec::new();
        for (name, _) in names {
            if let Some((value, span)) = table.text(self, name) {
                parameters.push((name.to_owned(), value.to_owned(), span));
            }
        }
        parameters
    }

    fn transform_limits(&mut self, section: &Section<'_>) -> xslt::Limits {
        let default = xslt::Limits::default();
        let steps = section.number(self, "steps_max", 1_000, 1_000_000_000);
        let depth = section.number(self, "template_depth_max", 10, 100_000);
        let bytes = section.number(self, "result_bytes_max", 1_000, 256 << 20);
        xslt::Limits {
            steps_max: steps.map_or(default.steps_max, |steps| steps as u64),
            template_depth_max: depth.unwrap_or(default.template_depth_max),
            result_bytes_max: bytes.unwrap_or(default.result_bytes_max),
            ..default
        }
    }
}
