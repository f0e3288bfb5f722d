//! One mapping of a user's file: typed access by key, and what is left over.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

use crate::node::{Map, Node, Place, Value};
use crate::{ConfigError, FeedForward};

/// A mapping whose keys are asked for one by one. Every key that was asked for is known; [`Section::finish`] makes the
/// others errors.
pub(crate) struct Section<'a> {
    /// How errors name it, for instance `HybridEncoder`; empty for the file itself.
    pub(crate) name: &'static str,
    /// Where it stands.
    pub(crate) place: Place,
    map: &'a Map,
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(name: &'static str, place: Place, map: &'a Map) -> Section<'a> {
        Section { name, place, map, known: RefCell::default() }
    }

    /// The key with its section in front.
    pub(crate) fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().insert(key);
        self.map.get(key).map(|entry| &entry.node)
    }

    /// The value of a key, if it is there and not null.
    pub(crate) fn some(&self, key: &'static str) -> Option<&'a Node> {
        self.get(key).filter(|node| !matches!(node.value, Value::Null))
    }

    /// Where a key stands; the section's place if it is not there.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        self.map.get(key).map_or_else(|| self.place.clone(), |entry| entry.key.clone())
    }

    /// An error about a key.
    pub(crate) fn fault(&self, key: &str, fault: impl Display) -> ConfigError {
        self.place_of(key).fault(format!("{}: {fault}", self.full(key)))
    }

    /// An error about a value that is not of the right kind.
    fn wrong(&self, key: &str, node: &Node, wanted: &str) -> ConfigError {
        self.fault(key, format_args!("{} is not {wanted}", node.value))
    }

    /// A whole number from 0.
    pub(crate) fn usize(&self, key: &'static str) -> Result<Option<usize>, ConfigError> {
        self.get(key).map(|node| self.as_usize(key, node)).transpose()
    }

    fn as_usize(&self, key: &str, node: &Node) -> Result<usize, ConfigError> {
        match node.value {
            Value::Int(value) => {
                usize::try_from(value).map_err(|_| self.wrong(key, node, "a number that a network can have"))
            }
            _ => Err(self.wrong(key, node, "a whole number")),
        }
    }

    /// A whole number, negative ones too.
    pub(crate) fn i64(&self, key: &'static str) -> Result<Option<i64>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match node.value {
            Value::Int(value) => {
                i64::try_from(value).map(Some).map_err(|_| self.wrong(key, node, "a number that a network can have"))
            }
            _ => Err(self.wrong(key, node, "a whole number")),
        }
    }

    /// A number.
    pub(crate) fn f64(&self, key: &'static str) -> Result<Option<f64>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match node.value {
            Value::Int(value) => Ok(Some(value as f64)),
            Value::Float(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(self.wrong(key, node, "a finite number")),
        }
    }

    /// Yes or no; 0 and 1 as Python takes them.
    pub(crate) fn bool(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match node.value {
            Value::Bool(value) => Ok(Some(value)),
            Value::Int(0) => Ok(Some(false)),
            Value::Int(1) => Ok(Some(true)),
            _ => Err(self.wrong(key, node, "true or false")),
        }
    }

    /// Text.
    pub(crate) fn text(&self, key: &'static str) -> Result<Option<&'a str>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match &node.value {
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.wrong(key, node, "a name")),
        }
    }

    /// A list of whole numbers from 0.
    pub(crate) fn usizes(&self, key: &'static str) -> Result<Option<Vec<usize>>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match &node.value {
            Value::List(items) => items.iter().map(|item| self.as_usize(key, item)).collect::<Result<_, _>>().map(Some),
            _ => Err(self.wrong(key, node, "a list of whole numbers")),
        }
    }

    /// A height and a width.
    pub(crate) fn size(&self, key: &'static str) -> Result<Option<[usize; 2]>, ConfigError> {
        let Some(node) = self.some(key) else { return Ok(None) };
        match self.usizes(key)?.as_deref() {
            Some(&[height, width]) => Ok(Some([height, width])),
            _ => Err(self.wrong(key, node, "a height and a width, as in [640, 640]")),
        }
    }

    /// The activation of a feed-forward network.
    pub(crate) fn feed_forward(&self, key: &'static str, default: FeedForward) -> Result<FeedForward, ConfigError> {
        match self.text(key)? {
            None => Ok(default),
            Some("relu") => Ok(FeedForward::Relu),
            Some("gelu") => Ok(FeedForward::Gelu),
            Some(other) => Err(self.fault(key, format_args!("{other:?} is not built; relu and gelu are"))),
        }
    }

    /// Refuses every value of a key but one, which is what the networks here are built for. `default` is what the
    /// framework takes where the key is absent.
    pub(crate) fn only<T: PartialEq + Display>(
        &self,
        key: &'static str,
        value: Option<T>,
        default: T,
        built: T,
    ) -> Result<(), ConfigError> {
        let absent = value.is_none();
        let value = value.unwrap_or(default);
        if value == built {
            return Ok(());
        }
        let origin = if absent { ", the default where the key is absent," } else { "" };
        Err(self.fault(key, format_args!("{value}{origin} is not built; {built} is")))
    }

    /// Marks keys as known that do not shape the network at inference.
    pub(crate) fn ignore(&self, keys: &[&'static str]) {
        self.known.borrow_mut().extend(keys);
    }

    /// The keys that nobody asked for, in the order of the file.
    pub(crate) fn unknown(&self) -> Vec<(&'a str, &'a Place)> {
        let known = self.known.borrow();
        let mut unknown: Vec<_> = self
            .map
            .iter()
            .filter(|(key, _)| !known.contains(key.as_str()))
            .map(|(key, entry)| (key.as_str(), &entry.key))
            .collect();
        unknown.sort_by_key(|(_, place)| place.line);
        unknown
    }

    /// The known key that a mistyped one may stand for.
    pub(crate) fn near(&self, key: &str) -> Option<&'static str> {
        crate::nearest::nearest(key, self.known.borrow().iter().copied(), 2)
    }

    /// Makes the first key that nobody asked for an error.
    pub(crate) fn finish(&self) -> Result<(), ConfigError> {
        self.unknown().first().map_or(Ok(()), |(key, place)| Err(self.unknown_key(key, place)))
    }

    /// The error about a key that nobody asked for.
    pub(crate) fn unknown_key(&self, key: &str, place: &Place) -> ConfigError {
        let cure = match self.near(key) {
            Some(near) => format!("did you mean {near}?"),
            None => {
                let known: Vec<&str> = self.known.borrow().iter().copied().collect();
                format!("it takes {}", known.join(", "))
            }
        };
        place.fault(format!("{} is not a known key; {cure}", self.full(key)))
    }
}
