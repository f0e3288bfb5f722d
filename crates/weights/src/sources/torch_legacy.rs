//! The files of `torch.save` before 1.6: a pickle of a number that says so, one of the version, one of the machine that
//! wrote it, one of the object, one of the storages' keys, and then the storages.

use std::collections::HashMap;

use super::dtype::Dtype;
use super::pickle;
use super::pickle::value::{Pickle, Span, Value};
use super::pickled::{self, StateDict};
use crate::error::{Checked, Fault};

/// The first pickle is of this number, 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// A legacy file's state dict, and where its storages are.
pub(super) struct Legacy {
    pub(super) state: StateDict,
    pub(super) storages: HashMap<String, Span>,
    pub(super) swap: bool,
}

/// Whether this is the first pickle of a legacy file.
pub(super) fn is_magic(first: &Pickle<'_>) -> bool {
    matches!(first.root, Value::Big(span) if first.bytes(span) == MAGIC)
}

/// Reads a legacy file after its first pickle, which ends at `at`.
pub(super) fn read(bytes: &[u8], at: usize) -> Checked<Legacy> {
    let version = pickle::read(bytes, at)?;
    if version.root != Value::Int(1001) {
        return Err(Fault::new("its version is not 1001, the only one that torch wrote"));
    }
    let machine = pickle::read(bytes, version.end)?;
    let swap = machine.get(machine.root, "little_endian") == Some(Value::Bool(false));
    let object = pickle::read(bytes, machine.end)?;
    let state = pickled::state_dict(&object)?;
    let mut declared: HashMap<&str, (Dtype, usize)> = HashMap::new();
    for storage in pickled::storages(&object) {
        let (key, dtype, elements) = storage?;
        if declared.insert(key, (dtype, elements)).is_some_and(|earlier| earlier != (dtype, elements)) {
            return Err(Fault::new(format!("storage {key:?} is described in two ways")));
        }
    }
    let keys = pickle::read(bytes, object.end)?;
    let list = keys.sequence(keys.root).ok_or_else(|| Fault::new("the list of its storages is missing"))?;
    let (mut at, mut storages) = (keys.end, HashMap::new());
    for key in list {
        let key = keys.text(*key).ok_or_else(|| Fault::new("a storage's key is no text"))?;
        let (dtype, elements) = declared.get(key).ok_or_else(|| Fault::new(format!("nothing uses storage {key:?}")))?;
        let cut_short = || Fault::new(format!("the file ends inside storage {key:?}; it is cut short"));
        let stored = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or_else(cut_short)?;
        let stored = if swap { u64::from_be_bytes(*stored) } else { u64::from_le_bytes(*stored) };
        if usize::try_from(stored) != Ok(*elements) {
            return Err(Fault::new(format!("storage {key:?} is said to have {elements} elements and has {stored}")));
        }
        let start = at + 8;
        let end = elements.checked_mul(dtype.size()).and_then(|len| start.checked_add(len));
        let end = end.filter(|end| *end <= bytes.len()).ok_or_else(cut_short)?;
        storages.insert(key.to_owned(), Span { start, end });
        at = end;
    }
    Ok(Legacy { state, storages, swap })
}
