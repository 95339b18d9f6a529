//! XSLT 1.0 with XPath 1.0, whole, bounded, without I/O.
//!
//! # Where this sits
//!
//! ```text
//! source system ──HTTP──► gateway ──► mapping ──► xslt (you are here) ──► mapping's decoder ──► queue
//! ```
//!
//! Layer 0. No I/O, no clock, no chance: the same stylesheet, document and parameters give the same bytes.
//!
//! # Where to start reading
//!
//! [`Stylesheet::compile`] reads the stylesheet and what it imports (`compile`) into a list of instructions
//! (`program`); [`Stylesheet::transform`] runs them (`run::machine`) over the document's tree (`tree`).
//! Expressions are in `xpath`, what evaluates them in `run::eval`.
//!
//! # Invariants
//!
//! - **Nothing from outside.** `document()` is refused except for `document('')`, `xsl:import` and `xsl:include`
//!   take texts that the caller gave, a DOCTYPE is refused: no file, no entity, no address is ever looked up.
//! - **Nothing recurses on input.** Documents and results are tables, templates run on a stack of their own.
//!   What recurses are the brackets of an expression and the elements of a stylesheet, each with a limit.
//! - **A limit on everything**: see [`Limits`]. Time is bounded by counting steps, not by a clock.
//! - **Numbers are doubles**, as XPath 1.0 has it. This is the stylesheet's arithmetic and not ours: a sum of money
//!   with more than 15 digits loses some in `string(number(x))`, `sum(x)`, `format-number(x, '0.00')`.
//!   What is only passed through (`value-of`, `copy-of`) stays text, digit by digit; sums belong to the mapping.
//!
//! # What differs
//!
//! From the recommendation: output method `html` and encodings other than UTF-8 are refused when a stylesheet is
//! compiled; texts are sorted by code points whatever `lang` and `case-order` say. Where it leaves a choice
//! between an error and going on, it is an error: an attribute behind a child is refused and not dropped.

mod compile;
mod error;
mod limits;
mod names;
mod number;
mod output;
mod parse;
mod program;
mod run;
mod tree;
mod xpath;

pub use error::{Cause, CompileError, Fault, Place, TransformError};
pub use limits::Limits;

/// Gives the text of a file that a stylesheet imports or includes, by the `href` as it is written.
///
/// The error says why there is none.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// A compiled stylesheet. It can be used by many threads at once.
#[derive(Debug)]
pub struct Stylesheet {
    sheet: program::Sheet,
}

/// What a result's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMethod {
    /// XML.
    Xml,
    /// Text.
    Text,
}

/// What a transformation gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The result. UTF-8.
    pub bytes: Vec<u8>,
    /// What it is.
    pub method: OutputMethod,
    /// Texts of `xsl:message`, the first 100, at most 1,000 bytes of each.
    pub messages: Vec<String>,
}

impl Stylesheet {
    /// Compiles a stylesheet. `file` is its name, for messages.
    ///
    /// # Errors
    ///
    /// The first mistake, with its place: not well-formed, an instruction, function, variable or template that
    /// there is not, a pattern or expression that cannot be read, a file that is not given, more than is read of
    /// a stylesheet (4 MiB a file, 64 files, elements 64 deep).
    pub fn compile(file: &str, text: &str, resolve: Resolve<'_>) -> Result<Self, CompileError> {
        compile::compile(file, text, resolve).map(|sheet| Self { sheet })
    }

    /// Transforms a document. `parameters` are those of the stylesheet, by name or `{namespace}name`, as texts; one
    /// that the stylesheet does not declare is passed over.
    ///
    /// - **Cost:** tens of nanoseconds a node that is looked at; see [`Limits::steps_max`].
    /// - **Memory:** about 60 bytes a node of the document beside its text, and what the limits allow the result.
    ///
    /// # Errors
    ///
    /// [`TransformError`], whose [`Cause`] says whose fault it is.
    pub fn transform(
        &self,
        document: &[u8],
        parameters: &[(&str, &str)],
        limits: &Limits,
    ) -> Result<Output, TransformError> {
        let text = std::str::from_utf8(document).map_err(|error| TransformError {
            cause: Cause::Document {
                offset: error.valid_up_to(),
                fault: Fault::NotUtf8,
            },
            message: "the document is not UTF-8".to_owned(),
            place: None,
        })?;
        run::transform(&self.sheet, text, parameters, limits)
    }

    /// Names of the stylesheet's parameters, as `{namespace}name` or `name`.
    pub fn parameters(&self) -> Vec<String> {
        let names = names::Names::new(&self.sheet.table);
        let globals = self.sheet.globals.iter();
        let parameters = globals.filter(|global| global.is_parameter);
        parameters.map(|global| names.shown(global.name)).collect()
    }

    /// What its results are, if `xsl:output` says so.
    pub fn output_method(&self) -> Option<OutputMethod> {
        self.sheet.output.method.map(|method| match method {
            program::Method::Xml => OutputMethod::Xml,
            program::Method::Text => OutputMethod::Text,
        })
    }
}

/// Line and column of a byte, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1;
    let start = memchr::memrchr(b'\n', before.as_bytes()).map_or(0, |at| at + 1);
    (line, before[start..].chars().count() + 1)
}
