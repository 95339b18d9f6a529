//! The table of keys in `docs/specs/connect.md` is this one. `UPDATE_EXPECT=1` rewrites it.

use std::fmt::Write as _;
use std::path::Path;

use super::super::*;

fn table() -> String {
    let mut text = String::from("| Key | Default | What Daybook does |\n| --- | --- | --- |\n");
    let cell = |text: &str| text.replace('|', "\\|");
    for key in KEYS {
        let default = match (key.required, key.default) {
            (true, _) => "required".to_owned(),
            (_, None | Some("")) => "–".to_owned(),
            (_, Some(default)) => format!("`{default}`"),
        };
        let effect = match key.effect {
            Effect::Honoured => String::new(),
            Effect::None(why) => format!(" **Without effect**: {why}."),
            Effect::Refused { but: [], why } => format!(" **Refused**: {why}."),
            Effect::Refused { but, why } => {
                format!(" **Refused** but for `{}`: {why}.", but.join("`, `"))
            }
        };
        let doc = cell(key.doc);
        let _ = writeln!(
            text,
            "| `{}` | {default} | {doc}{} |",
            key.name,
            cell(&effect)
        );
    }
    for family in PREFIXES {
        let _ = writeln!(text, "| `{}*` | – | {} |", family.prefix, cell(family.doc));
    }
    text
}

#[test]
fn the_documentation_has_every_key() {
    const BEGIN: &str = "<!-- keys: made from the code -->\n";
    const END: &str = "<!-- end of keys -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/specs/connect.md");
    let page = std::fs::read_to_string(&path).expect("reads");
    let (before, rest) = page.split_once(BEGIN).expect("the begin of the keys");
    let (found, after) = rest.split_once(END).expect("the end of the keys");
    let expected = table();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).expect("writes");
        return;
    }
    assert_eq!(found, expected, "run again with UPDATE_EXPECT=1");
}
