//! Bounds what a file can make of memory, before anything is read: protobuf's empty records take two bytes each in a
//! file and hundreds in memory.

use prost::decode_length_delimiter;

use crate::import::ImportError;

/// The most nodes, attributes, tensors, dimensions and names in a file. A network of RT-DETR's kind has some ten thousand.
pub(super) const MAX: usize = 1 << 19;

/// A message of `onnx.proto`, by what it consists of.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    Shape,
    /// Text or bytes, or a message that holds only those.
    Leaf,
}

impl Kind {
    /// What the field with that number is, if it is read.
    fn field(self, number: u64) -> Option<Kind> {
        Some(match (self, number) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
            (Kind::Graph, 5) | (Kind::Attribute, 5) => Kind::Tensor,
            (Kind::Graph, 11 | 12) => Kind::Value,
            (Kind::Node, 5) | (Kind::Function, 11) => Kind::Attribute,
            (Kind::Value, 2) => Kind::Type,
            (Kind::Type, 1) => Kind::Type,
            (Kind::Type, 2) => Kind::Shape,
            (Kind::Model, 8)
            | (Kind::Graph, 15)
            | (Kind::Function, 4 | 5 | 9)
            | (Kind::Node, 1 | 2 | 9)
            | (Kind::Tensor, 13)
            | (Kind::Shape, 1) => Kind::Leaf,
            _ => return None,
        })
    }
}

/// Whether the file is a sequence of records, and not of too many.
pub(super) fn check(bytes: &[u8]) -> Result<(), ImportError> {
    let mut count = 0;
    walk(bytes, 0, Kind::Model, &mut count)
}

/// The messages are nested at most six deep: a graph inside an attribute is not read.
fn walk(bytes: &[u8], start: usize, kind: Kind, count: &mut usize) -> Result<(), ImportError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let offset = start + bytes.len() - rest.len();
        let fault = |what: &str| ImportError::Bytes { offset, what: format!("not an ONNX model: {what}") };
        let number = |rest: &mut &[u8]| decode_length_delimiter(rest).map_err(|_| fault("a number is cut off"));
        let key = number(&mut rest)? as u64;
        let length = match key & 7 {
            0 => {
                number(&mut rest)?;
                0
            }
            1 => 8,
            2 => number(&mut rest)?,
            5 => 4,
            _ => return Err(fault("a record of a type that does not exist")),
        };
        let Some((content, after)) = rest.split_at_checked(length) else {
            return Err(fault(&format!("a record of {length} bytes, where the file has {} left", rest.len())));
        };
        if let (2, Some(field)) = (key & 7, kind.field(key >> 3)) {
            *count += 1;
            if *count > MAX {
                return Err(fault(&format!("more than {MAX} nodes, attributes, names and tensors")));
            }
            if !matches!(field, Kind::Leaf) {
                walk(content, start + bytes.len() - rest.len(), field, count)?;
            }
        }
        rest = after;
    }
    Ok(())
}
