//! Reading TOML tables key by key, with positions and with every mistake reported.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Compiler;

/// A text and where in the file it stands.
pub(crate) type SpannedText<'v> = (&'v str, Range<usize>);

/// A table with its full name.
#[derive(Debug, Clone)]
pub(crate) struct Section<'v> {
    name: String,
    table: &'v DeTable<'v>,
    span: Range<usize>,
}

impl<'v> Section<'v> {
    pub(crate) fn root(table: &'v DeTable<'v>) -> Self {
        Self::empty("", table)
    }

    /// A table that is not in the file.
    pub(crate) fn empty(name: &str, table: &'v DeTable<'v>) -> Self {
        Self {
            name: name.to_owned(),
            table,
            span: 0..0,
        }
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Full name of a key: `fields.amount.sign`.
    pub(crate) fn key(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn get(&self, key: &str) -> Option<&'v Spanned<DeValue<'v>>> {
        self.table.get(key)
    }

    pub(crate) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Keys in the order of the file.
    pub(crate) fn keys_in_order(&self) -> Vec<(&'v str, Range<usize>)> {
        let mut keys: Vec<_> = self
            .table
            .keys()
            .map(|key| (&**key.get_ref(), key.span()))
            .collect();
        keys.sort_by_key(|(_, span)| span.start);
        keys
    }

    /// Reports every key that is not among the known ones.
    pub(crate) fn only(&self, compiler: &mut Compiler<'_>, known: &[&str]) {
        for (key, span) in self.keys_in_order() {
            if known.contains(&key) {
                continue;
            }
            let message = match nearest(key, known) {
                Some(meant) => format!("unknown key, did you mean `{meant}`?"),
                None => format!("unknown key; known are {}", known.join(", ")),
            };
            compiler.error(span, &self.key(key), message);
        }
    }

    pub(crate) fn section(&self, compiler: &mut Compiler<'_>, key: &str) -> Option<Section<'v>> {
        let value = self.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Section {
                name: self.key(key),
                table,
                span: self.span_of(key).unwrap_or_else(|| value.span()),
            }),
            None => {
                self.wrong(compiler, key, value, "a table");
                None
            }
        }
    }

    fn wrong(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) {
        let message = format!("{expected} is expected, not {}", value.get_ref().type_str());
        compiler.error(value.span(), &self.key(key), message);
    }

    pub(crate) fn has_table(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.get_ref().is_table())
    }

    pub(crate) fn is_text(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.get_ref().is_str())
    }

    pub(crate) fn text(&self, compiler: &mut Compiler<'_>, key: &str) -> Option<SpannedText<'v>> {
        let value = self.get(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong(compiler, key, value, "a text in quotes");
        }
        text.map(|text| (text, value.span()))
    }

    pub(crate) fn required_text(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
    ) -> Option<SpannedText<'v>> {
        if !self.has(key) {
            compiler.error(self.span(), &self.key(key), "this key is missing");
        }
        self.text(compiler, key)
    }

    pub(crate) fn flag(&self, compiler: &mut Compiler<'_>, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(compiler, key, value, "true or false");
        }
        flag
    }

    /// One of some texts; after a mistake the default.
    pub(crate) fn choice(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
        known: &[&'static str],
        default: &'static str,
    ) -> &'static str {
        let Some((text, span)) = self.text(compiler, key) else {
            return default;
        };
        if let Some(found) = known.iter().find(|known| **known == text) {
            return found;
        }
        let list: Vec<String> = known.iter().map(|known| format!("\"{known}\"")).collect();
        compiler.error(
            span,
            &self.key(key),
            format!("{text:?} is none of {}", list.join(", ")),
        );
        default
    }

    /// A text or an array of texts.
    pub(crate) fn texts(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
    ) -> Option<Vec<SpannedText<'v>>> {
        let value = self.get(key)?;
        self.texts_of(compiler, key, value)
    }

    fn texts_of(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
        value: &'v Spanned<DeValue<'v>>,
    ) -> Option<Vec<SpannedText<'v>>> {
        if let Some(text) = value.get_ref().as_str() {
            return Some(vec![(text, value.span())]);
        }
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(compiler, key, value, "a text or a list of texts");
            return None;
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push((text, item.span())),
                None => self.wrong(compiler, key, item, "a text in quotes"),
            }
        }
        Some(texts)
    }

    /// An array whose elements are texts or arrays of alternative texts.
    pub(crate) fn alternatives(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
    ) -> Option<Vec<Vec<SpannedText<'v>>>> {
        let value = self.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            return self.texts_of(compiler, key, value).map(|texts| vec![texts]);
        };
        let mut all = Vec::new();
        for item in array.iter() {
            all.extend(self.texts_of(compiler, key, item));
        }
        Some(all)
    }

    /// The elements of an array.
    pub(crate) fn items(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
    ) -> Vec<&'v Spanned<DeValue<'v>>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        match value.get_ref().as_array() {
            Some(array) => array.iter().collect(),
            None => {
                self.wrong(compiler, key, value, "a list");
                Vec::new()
            }
        }
    }

    /// The elements of an array, or the one value that stands for it.
    pub(crate) fn one_or_more(&self, key: &str) -> Vec<&'v Spanned<DeValue<'v>>> {
        match self.get(key) {
            None => Vec::new(),
            Some(value) => match value.get_ref().as_array() {
                Some(array) => array.iter().collect(),
                None => vec![value],
            },
        }
    }

    /// A section made of an array's element.
    pub(crate) fn item_section(
        &self,
        key: &str,
        value: &'v Spanned<DeValue<'v>>,
    ) -> Option<Section<'v>> {
        value.get_ref().as_table().map(|table| Section {
            name: self.key(key),
            table,
            span: value.span(),
        })
    }

    /// Pairs of texts, in the order of the file.
    pub(crate) fn pairs(&self, compiler: &mut Compiler<'_>) -> Vec<(Box<str>, Box<str>)> {
        let mut pairs = Vec::new();
        for (key, _) in self.keys_in_order() {
            if let Some((text, _)) = self.text(compiler, key) {
                pairs.push((key.into(), text.into()));
            }
        }
        pairs
    }

    pub(crate) fn is_list(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.get_ref().is_array())
    }

    /// A whole number that is not negative, and where it stands.
    pub(crate) fn whole(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
    ) -> Option<(u64, Range<usize>)> {
        let value = self.get(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| number.as_str().parse().ok());
        if number.is_none() {
            self.wrong(compiler, key, value, "a whole number");
        }
        number.map(|number| (number, value.span()))
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn number(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
        min: usize,
        max: usize,
    ) -> Option<usize> {
        let value = self.get(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|integer| integer.as_str().parse::<usize>().ok())
            .filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let message = format!("a whole number from {min} to {max} is expected");
            compiler.error(value.span(), &self.key(key), message);
        }
        number
    }

    /// An array of two whole numbers.
    pub(crate) fn two_numbers(
        &self,
        compiler: &mut Compiler<'_>,
        key: &str,
    ) -> Option<(usize, usize)> {
        let value = self.get(key)?;
        let numbers: Option<Vec<usize>> = value.get_ref().as_array().and_then(|array| {
            array
                .iter()
                .map(|item| item.get_ref().as_integer()?.as_str().parse().ok())
                .collect()
        });
        match numbers.as_deref() {
            Some([first, second]) => Some((*first, *second)),
            _ => {
                self.wrong(
                    compiler,
                    key,
                    value,
                    "a list of two numbers, such as [0, 4],",
                );
                None
            }
        }
    }
}

/// The known word that a misspelt one was meant to be, if one is near enough.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance_max = (word.chars().count() / 3).clamp(1, 3);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Number of characters to insert, delete, change or swap to make one word the other.
pub(crate) fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let width = to.len() + 1;
    let mut rows = vec![0; (from.len() + 1) * width];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = usize::from(from[i - 1] != to[j - 1]);
                let mut best = (rows[(i - 1) * width + j] + 1)
                    .min(rows[i * width + j - 1] + 1)
                    .min(rows[(i - 1) * width + j - 1] + change);
                if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                    best = best.min(rows[(i - 2) * width + j - 2] + 1);
                }
                best
            };
        }
    }
    rows[rows.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn misspelt_words_are_recognised() {
        let known = ["account", "amount", "currency", "booked_at"];
        assert_eq!(nearest("acount", &known), Some("account"));
        assert_eq!(nearest("ammount", &known), Some("amount"));
        assert_eq!(nearest("bookedat", &known), Some("booked_at"));
        assert_eq!(nearest("merchant", &known), None);
        assert_eq!(nearest("type", &known), None);
    }
}
