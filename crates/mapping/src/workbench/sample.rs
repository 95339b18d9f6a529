//! The paths of a sample, with examples of what stands there, and which of them are the records.

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use serde_json::Value;

/// Most different paths that are looked at.
const PATHS_MAX: usize = 2_000;
/// Most examples kept of a path.
const EXAMPLES_MAX: usize = 50;
/// Most bytes of an example.
const EXAMPLE_BYTES_MAX: usize = 200;

/// One path, from the top.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) steps: Vec<String>,
    pub(super) count: usize,
    pub(super) examples: Vec<String>,
    /// Whether it holds other paths.
    pub(super) is_container: bool,
    /// Whether it stands in a list, or several times in one parent.
    pub(super) is_repeated: bool,
}

impl Place {
    pub(super) fn is_leaf(&self) -> bool {
        !self.is_container && !self.examples.is_empty()
    }
}

/// All paths of a sample, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) places: Vec<Place>,
}

impl Places {
    fn at(&mut self, steps: &[String]) -> Option<&mut Place> {
        let found = self.places.iter().position(|place| place.steps == steps);
        if let Some(found) = found {
            return self.places.get_mut(found);
        }
        if self.places.len() >= PATHS_MAX {
            return None;
        }
        self.places.push(Place {
            steps: steps.to_vec(),
            ..Place::default()
        });
        self.places.last_mut()
    }

    fn example(&mut self, steps: &[String], text: &str) {
        let Some(place) = self.at(steps) else { return };
        place.count += 1;
        if place.examples.len() < EXAMPLES_MAX
            && text.len() <= EXAMPLE_BYTES_MAX
            && !text.is_empty()
        {
            place.examples.push(text.to_owned());
        }
    }

    fn container(&mut self, steps: &[String], is_repeated: bool) {
        if let Some(place) = self.at(steps) {
            place.count += 1;
            place.is_container = true;
            place.is_repeated |= is_repeated;
        }
    }
}

/// JSON: one document, a list, or one behind the other. The error says where it stops being JSON.
pub(super) fn json(text: &str) -> Result<Places, String> {
    let mut places = Places::default();
    let mut documents = 0;
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let document = document.map_err(|error| error.to_string())?;
        documents += 1;
        json_document(&document, &mut places);
    }
    if documents > 1
        && let Some(root) = places.at(&[])
    {
        root.is_repeated = true;
    }
    Ok(places)
}

/// With a stack of its own: nothing recurses on what is in a sample.
fn json_document(document: &Value, places: &mut Places) {
    let mut open: Vec<(Vec<String>, &Value, bool)> = vec![(Vec::new(), document, false)];
    while let Some((steps, value, in_list)) = open.pop() {
        match value {
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) => places.example(&steps, &value.to_string()),
            Value::String(text) => places.example(&steps, text),
            Value::Array(items) => {
                // The last one is taken from the stack first.
                open.extend(items.iter().rev().map(|item| (steps.clone(), item, true)));
            }
            Value::Object(members) => {
                places.container(&steps, in_list);
                let inner = members.iter().filter(|(name, _)| !name.is_empty());
                let mut inner: Vec<_> = inner
                    .map(|(name, value)| {
                        (
                            [&steps[..], std::slice::from_ref(name)].concat(),
                            value,
                            false,
                        )
                    })
                    .collect();
                // By name: whether the map keeps the order of the text depends on how it was built.
                inner.sort_by(|(left, ..), (right, ..)| right.cmp(left));
                open.extend(inner);
            }
        }
    }
}

/// XML; also the namespace of its root, which may be empty.
pub(super) fn xml(text: &str) -> Result<(Places, String), String> {
    let mut places = Places::default();
    let mut namespace = None;
    let mut reader = Reader::from_str(text);
    // Names of the open elements, the text in each, and the children that it had.
    let mut steps: Vec<String> = Vec::new();
    let mut open: Vec<(String, Vec<String>)> = Vec::new();
    loop {
        let event = reader
            .read_event()
            .map_err(|error| format!("at byte {}: {error}", reader.error_position()))?;
        match event {
            Event::Start(element) => {
                begin(&mut places, &mut steps, &mut open, &element);
                namespace.get_or_insert_with(|| namespace_of(&element));
            }
            Event::Empty(element) => {
                begin(&mut places, &mut steps, &mut open, &element);
                namespace.get_or_insert_with(|| namespace_of(&element));
                end(&mut places, &mut steps, &mut open);
            }
            Event::End(_) => end(&mut places, &mut steps, &mut open),
            Event::Text(piece) => {
                if let Some((text, _)) = open.last_mut()
                    && text.len() <= EXAMPLE_BYTES_MAX
                {
                    text.push_str(&piece);
                }
            }
            Event::DocType(_) => return Err("a DOCTYPE is never read".to_owned()),
            Event::Eof => return Ok((places, namespace.unwrap_or_default())),
            _ => {}
        }
    }
}

fn begin(
    places: &mut Places,
    steps: &mut Vec<String>,
    open: &mut Vec<(String, Vec<String>)>,
    element: &BytesStart<'_>,
) {
    let name = element.local_name().into_inner().to_owned();
    let is_repeated = open.last_mut().is_some_and(|(_, children)| {
        let known = children.contains(&name);
        if !known && children.len() < PATHS_MAX {
            children.push(name.clone());
        }
        known
    });
    if !steps.is_empty() {
        places.container(steps, false);
    }
    steps.push(name);
    if is_repeated && let Some(place) = places.at(steps) {
        place.is_repeated = true;
    }
    open.push((String::new(), Vec::new()));
    for attribute in element.attributes().flatten() {
        let name = attribute.key.as_ref();
        if name == "xmlns" || name.contains(':') {
            continue;
        }
        steps.push(format!("@{name}"));
        places.example(steps, &attribute.value);
        steps.pop();
    }
}

fn end(places: &mut Places, steps: &mut Vec<String>, open: &mut Vec<(String, Vec<String>)>) {
    if let Some((text, children)) = open.pop()
        && children.is_empty()
    {
        places.example(steps, text.trim());
    }
    steps.pop();
}

fn namespace_of(element: &BytesStart<'_>) -> String {
    let name = element.name().into_inner();
    let wanted = match name.split_once(':') {
        Some((prefix, _)) => format!("xmlns:{prefix}"),
        None => "xmlns".to_owned(),
    };
    element
        .attributes()
        .flatten()
        .find(|attribute| attribute.key.as_ref() == wanted.as_str())
        .map(|attribute| attribute.value.to_string())
        .unwrap_or_default()
}

/// CSV with its delimiter and whether the first row names the columns.
pub(super) fn csv(text: &str) -> (Places, char, bool) {
    let mut places = Places::default();
    let first = text.lines().next().unwrap_or_default();
    let delimiter = [';', '\t', '|', ',']
        .into_iter()
        .max_by_key(|delimiter| (first.matches(*delimiter).count(), *delimiter == ','))
        .unwrap_or(',');
    let mut rows = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(1_000)
        .map(|line| cells(line, delimiter));
    let head = rows.next().unwrap_or_default();
    let is_name = |cell: &String| {
        let plain = cell.replace([',', '.', '-', ':', '/', ' '], "");
        !cell.is_empty() && !plain.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut sorted = head.clone();
    sorted.sort();
    sorted.dedup();
    let has_header = !head.is_empty() && head.iter().all(is_name) && sorted.len() == head.len();
    let names: Vec<String> = if has_header {
        head.clone()
    } else {
        (1..=head.len())
            .map(|number| format!("#{number}"))
            .collect()
    };
    let first_row = (!has_header).then_some(head);
    for name in &names {
        places.at(std::slice::from_ref(name));
    }
    for row in first_row.into_iter().chain(rows) {
        for (name, cell) in names.iter().zip(&row) {
            places.example(std::slice::from_ref(name), cell);
        }
    }
    (places, delimiter, has_header)
}

/// A row's cells; quotes around a cell are taken off.
fn cells(line: &str, delimiter: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(cell) = cells.last_mut() else { break };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            other if other == delimiter && !quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    cells
}
