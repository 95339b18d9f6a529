//! Two texts compared line by line, as `diff -u` shows it.

/// Lines around a change.
const AROUND: usize = 3;
/// Most cells of the table that finds what two texts have in common. Beyond it all lines between the
/// first and the last difference are shown as changed.
const CELLS_MAX: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Old,
    New,
}

/// The changes from `old` to `new`; empty if there are none.
pub fn unified(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let lines = compared(
        &old.split_inclusive('\n').collect::<Vec<_>>(),
        &new.split_inclusive('\n').collect::<Vec<_>>(),
    );
    let near = |index: usize| {
        let from = index.saturating_sub(AROUND);
        lines[from..(index + AROUND + 1).min(lines.len())]
            .iter()
            .any(|(kind, _)| *kind != Kind::Same)
    };
    let mut text = format!("--- {old_name}\n+++ {new_name}\n");
    let (mut old_line, mut new_line) = (1, 1);
    let mut index = 0;
    while index < lines.len() {
        if !near(index) {
            // A line that is far from a change is the same in both.
            old_line += 1;
            new_line += 1;
            index += 1;
            continue;
        }
        let end = (index..lines.len())
            .find(|at| !near(*at))
            .unwrap_or(lines.len());
        let hunk = &lines[index..end];
        let count = |not: Kind| hunk.iter().filter(|(kind, _)| *kind != not).count();
        let (old_count, new_count) = (count(Kind::New), count(Kind::Old));
        text.push_str(&format!(
            "@@ -{old_line},{old_count} +{new_line},{new_count} @@\n"
        ));
        for (kind, line) in hunk {
            text.push(match kind {
                Kind::Same => ' ',
                Kind::Old => '-',
                Kind::New => '+',
            });
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        }
        old_line += old_count;
        new_line += new_count;
        index = end;
    }
    text
}

fn compared<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Kind, &'t str)> {
    let front = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[front..], &new[front..]);
    let back = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old_middle, new_middle) = (
        &old_rest[..old_rest.len() - back],
        &new_rest[..new_rest.len() - back],
    );
    let mut lines: Vec<_> = old[..front]
        .iter()
        .map(|line| (Kind::Same, *line))
        .collect();
    lines.extend(middle(old_middle, new_middle));
    lines.extend(
        old_rest[old_rest.len() - back..]
            .iter()
            .map(|line| (Kind::Same, *line)),
    );
    lines
}

/// By the longest common subsequence.
fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Kind, &'t str)> {
    let width = new.len() + 1;
    let mut lines = Vec::new();
    let (mut i, mut j) = (0, 0);
    if (old.len() + 1).saturating_mul(width) <= CELLS_MAX {
        let mut common = vec![0_u32; (old.len() + 1) * width];
        for i in (0..old.len()).rev() {
            for j in (0..new.len()).rev() {
                common[i * width + j] = if old[i] == new[j] {
                    common[(i + 1) * width + j + 1] + 1
                } else {
                    common[(i + 1) * width + j].max(common[i * width + j + 1])
                };
            }
        }
        while i < old.len() && j < new.len() {
            if old[i] == new[j] {
                lines.push((Kind::Same, old[i]));
                i += 1;
                j += 1;
            } else if common[(i + 1) * width + j] >= common[i * width + j + 1] {
                lines.push((Kind::Old, old[i]));
                i += 1;
            } else {
                lines.push((Kind::New, new[j]));
                j += 1;
            }
        }
    }
    lines.extend(old[i..].iter().map(|line| (Kind::Old, *line)));
    lines.extend(new[j..].iter().map(|line| (Kind::New, *line)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    #[track_caller]
    fn check(old: &str, new: &str, expected: Expect) {
        expected.assert_eq(&unified("old", old, "new", new));
    }

    #[test]
    fn changes_are_shown_with_lines_around_them() {
        check("a\nb\n", "a\nb\n", expect![[""]]);
        check(
            "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n",
            "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13",
            expect![[r#"
                --- old
                +++ new
                @@ -2,7 +2,7 @@
                 2
                 3
                 4
                -5
                +five
                 6
                 7
                 8
                @@ -10,3 +10,4 @@
                 10
                 11
                 12
                +13
                \ No newline at end of file
            "#]],
        );
        check(
            "",
            "a\n",
            expect![[r#"
            --- old
            +++ new
            @@ -1,0 +1,1 @@
            +a
        "#]],
        );
    }

    proptest! {
        #[test]
        fn all_lines_of_both_are_there(
            old in prop::collection::vec("[ab]\n", 0..9),
            new in prop::collection::vec("[ab]\n", 0..9),
        ) {
            let (old, new): (Vec<_>, Vec<_>) = (
                old.iter().map(String::as_str).collect(),
                new.iter().map(String::as_str).collect(),
            );
            let lines = compared(&old, &new);
            let without = |not: Kind| -> Vec<&str> {
                lines.iter().filter(|(kind, _)| *kind != not).map(|(_, line)| *line).collect()
            };
            prop_assert_eq!(without(Kind::New), old);
            prop_assert_eq!(without(Kind::Old), new);
        }
    }
}
