//! YAML and JSON as a tree that remembers where each value stands, so that an error can name the line.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use crate::ConfigError;

/// Repeated keys that are reported; a file with more of them is no configuration.
const MOST_WARNINGS: usize = 20;

/// A line of a file.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The file as the user would name it.
    pub(crate) file: Rc<str>,
    /// The line, counted from 1.
    pub(crate) line: u64,
}

impl Place {
    /// An error at this line.
    pub(crate) fn fault(&self, fault: impl Into<String>) -> ConfigError {
        ConfigError::InFile { path: self.file.to_string(), line: self.line, fault: fault.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A value and its line.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A value without a type of its own.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// A mapping, by key.
pub(crate) type Map = BTreeMap<String, Entry>;

/// A key's line and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Place,
    pub(crate) node: Node,
}

impl fmt::Display for Value {
    /// The value as an error quotes it: scalars in full up to 60 characters, containers by their kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Text(text) if text.chars().count() <= 60 => write!(f, "{text:?}"),
            Value::Text(text) => write!(f, "{:?}…", text.chars().take(60).collect::<String>()),
            Value::List(items) if items.len() <= 8 && items.iter().all(|item| item.value.is_scalar()) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if index > 0 { ", " } else { "" }, item.value)?;
                }
                f.write_str("]")
            }
            Value::List(items) => write!(f, "a list of {}", items.len()),
            Value::Map(_) => f.write_str("a mapping"),
        }
    }
}

impl Value {
    fn is_scalar(&self) -> bool {
        !matches!(self, Value::List(_) | Value::Map(_))
    }
}

impl Node {
    /// Reads YAML or JSON. `warnings` gets the keys that a mapping has twice: the last one holds, as in PyYAML and
    /// Python's `json`.
    ///
    /// Size, depth, node count and the expansion of aliases are bounded, so that a small file cannot become a large
    /// tree. Custom tags (`!PiecewiseDecay`) are dropped.
    pub(crate) fn parse(text: &str, file: &Rc<str>, warnings: &mut Vec<String>) -> Result<Node, ConfigError> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            // PyYAML reads 010 as 8.
            legacy_octal_numbers: true,
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_documents: 1, max_depth: 32, flow_nesting_limit: 32 },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000 },
        };
        let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            ConfigError::InFile { path: file.to_string(), line, fault: error.to_string() }
        })?;
        raw.value.plant(Place { file: file.clone(), line: raw.referenced.line() }, warnings)
    }

    /// The mapping that this is, or an error that says what it should be.
    pub(crate) fn into_map(self, what: &str) -> Result<Map, ConfigError> {
        match self.value {
            Value::Map(map) => Ok(map),
            Value::Null => Err(self.place.fault(format!("{what} is empty"))),
            other => Err(self.place.fault(format!("{what} is {other}, not a mapping of keys to values"))),
        }
    }
}

/// What the parser hands over; keys may repeat and need not be text.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl Raw {
    fn plant(self, place: Place, warnings: &mut Vec<String>) -> Result<Node, ConfigError> {
        let at = |line: u64| Place { file: place.file.clone(), line };
        let value = match self {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Int(value) => Value::Int(value),
            Raw::Float(value) => Value::Float(value),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| item.value.plant(at(item.referenced.line()), warnings))
                    .collect::<Result<_, _>>()?,
            ),
            Raw::Map(pairs) => {
                let mut map = Map::new();
                for (key, value) in pairs {
                    let place = at(key.referenced.line());
                    let key = match key.value {
                        Raw::Text(text) => text,
                        Raw::Int(number) => number.to_string(),
                        Raw::Float(number) => number.to_string(),
                        Raw::Bool(value) => value.to_string(),
                        Raw::Null => "null".to_owned(),
                        Raw::List(_) | Raw::Map(_) => return Err(place.fault("a key must be a name, not a list")),
                    };
                    let node = value.value.plant(at(value.referenced.line()), warnings)?;
                    if let Some(first) = map.insert(key.clone(), Entry { key: place.clone(), node })
                        && warnings.len() < MOST_WARNINGS
                    {
                        let line = first.key.line;
                        warnings
                            .push(format!("{place}: {key} is given twice, first in line {line}; the last one holds"));
                    }
                }
                Value::Map(map)
            }
        };
        Ok(Node { value, place })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(i128::try_from(value).map_or(Raw::Float(value as f64), Raw::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Map(pairs))
    }
}
