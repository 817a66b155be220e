//! TOML files to one tree of values that remember where they stood. Knows no key by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::{ConfigError, Problem};

/// Where a key or value stands. Line and column count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The file's number in the order of reading: what stands in a later file stands later.
    pub(super) order: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) file: Arc<PathBuf>,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What TOML can hold, as far as a configuration here needs it.
#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
    /// A kind of value that no key here takes, by its name.
    Other(&'static str),
}

/// Keys, each with the place of the key itself and its value.
pub(super) type Table = BTreeMap<String, (Place, Node)>;

impl Value {
    /// The kind in an admin's words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Array(_) => "a list",
            Value::Table(_) => "a section",
            Value::Other(kind) => kind,
        }
    }
}

/// Reads one file's text. `order` is its number in the order of reading.
pub(super) fn parse(file: &Path, order: usize, text: &str) -> Result<Table, ConfigError> {
    let places = Places::new(file, order, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(places.table(table.get_ref()));
    }
    let problem = |error: &toml::de::Error| {
        let at = places.at(error.span().map_or(0, |span| span.start));
        Problem::new(&at, format!("not valid TOML: {}", error.message()))
    };
    Err(ConfigError {
        problems: errors.iter().map(problem).collect(),
    })
}

/// Lays `later` over `base`: tables key by key; anything else replaces what was there.
pub(super) fn merge(base: &mut Table, later: Table) {
    for (key, (place, node)) in later {
        match (base.get_mut(&key).map(|(_, old)| &mut old.value), node.value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                base.insert(key, (place, Node { at: node.at, value }));
            }
        }
    }
}

/// Turns the byte offsets of one file into places.
struct Places<'t> {
    file: Arc<PathBuf>,
    order: usize,
    text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Places<'t> {
    fn new(file: &Path, order: usize, text: &'t str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Places {
            file: Arc::new(file.to_owned()),
            order,
            text,
            line_starts,
        }
    }

    fn at(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = line
            .checked_sub(1)
            .and_then(|index| self.line_starts.get(index))
            .copied()
            .unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place {
            order: self.order,
            line,
            column,
            file: Arc::clone(&self.file),
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let entry = |(key, value): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
            (key.get_ref().to_string(), (self.at(key.span().start), self.node(value)))
        };
        table.iter().map(entry).collect()
    }

    fn node(&self, value: &toml::Spanned<DeValue<'_>>) -> Node {
        let at = self.at(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other("a number beyond 64 bits"),
            },
            DeValue::Array(items) => Value::Array(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
            DeValue::Float(_) => Value::Other("a decimal number"),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(_) => Value::Other("a date"),
        };
        Node { at, value }
    }
}
