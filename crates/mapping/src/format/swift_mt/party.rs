//! Fields 50 to 59: who, and their account.

use super::parts::Sink;
use crate::refusal::Refusal;

/// Cuts a party: an account in the first line, then a BIC (options A and G) or a name and address.
///
/// `/C/` and `/D/` in front of an account say which of a bank's two accounts is meant; options F
/// number their lines, and 1 is the name.
pub(super) fn cut(sink: &mut Sink<'_, '_, '_>, tag: &str, text: &str) -> Result<(), Refusal> {
    let mut lines = text.lines().map(str::trim_end);
    let mut first = lines.next().unwrap_or_default();
    if let Some(account) = first.strip_prefix('/') {
        let account = ["C/", "D/"]
            .iter()
            .find_map(|side| account.strip_prefix(side))
            .unwrap_or(account);
        sink.put("account", account.trim_start_matches('/').trim())?;
        first = lines.next().unwrap_or_default();
    }
    if tag.ends_with(['A', 'G']) {
        return sink.put("bic", first.trim());
    }
    let name = if tag.ends_with('F') {
        let mut numbered = std::iter::once(first).chain(lines);
        numbered.find_map(|line| line.strip_prefix("1/"))
    } else {
        Some(first)
    };
    sink.put("name", name.unwrap_or_default().trim())
}
