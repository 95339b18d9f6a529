//! In the place of the engine where this crate is built without the feature `script`.

use super::{Call, Given, Mistake, Program};
use crate::refusal::{Problem, rule};

const ABSENT: &str =
    "this Daybook was built without scripts (feature `script` of the crate `mapping`)";

/// No script is right.
pub(crate) fn check(program: &Program) -> Result<(), Mistake> {
    Err(Mistake {
        line: program.lines_before + 1,
        column: 1,
        message: ABSENT.to_owned(),
    })
}

/// Never called, as no mapping with a script compiles.
pub(crate) fn call(_: &Program, _: &Call<'_>) -> Result<Option<Given>, Problem> {
    Err(Problem {
        field: None,
        rule: rule::SCRIPT,
        detail: ABSENT.to_owned(),
    })
}
