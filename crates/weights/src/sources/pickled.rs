//! The tensors of a pickled checkpoint: where its state dict lies, and what each tensor is made of.

use super::dtype::{Dtype, Layout, row_major};
use super::pickle::globals::Global;
use super::pickle::value::{Node, Pickle, Span, Value, size};
use crate::error::{Checked, Fault};

/// Where a state dict can lie in what was saved. The first place that holds tensors wins.
const PLACES: [(&str, &[&str]); 5] = [
    ("ema.module", &["ema", "module"]),
    ("ema", &["ema"]),
    ("model", &["model"]),
    ("state_dict", &["state_dict"]),
    ("bare", &[]),
];

/// Longer names are no tensor's.
const LONGEST_NAME: usize = 512;

/// Dimensions that a tensor may have.
const MAX_DIMENSIONS: usize = 16;

/// Where the elements of a tensor are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    /// In a storage outside the pickle, of so many elements.
    Storage { key: String, elements: usize },
    /// In the pickle.
    Bytes(Span),
    /// In the pickle, as text with one character for each byte.
    Latin1(Span),
}

/// A tensor as a pickle describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pickled {
    pub(super) layout: Layout,
    pub(super) elements: Elements,
}

/// A state dict.
#[derive(Debug)]
pub(super) struct StateDict {
    /// Where in the file it lies.
    pub(super) place: &'static str,
    pub(super) tensors: Vec<(String, Pickled)>,
    /// Keys of what is no tensor.
    pub(super) others: Vec<String>,
}

/// Finds the state dict in a pickle.
pub(super) fn state_dict(pickle: &Pickle<'_>) -> Checked<StateDict> {
    for (place, keys) in PLACES {
        let dict = keys.iter().try_fold(pickle.root, |value, key| pickle.get(value, key));
        let Some(pairs) = dict.and_then(|dict| pickle.pairs(dict)) else { continue };
        let (mut tensors, mut others) = (Vec::new(), Vec::new());
        for (key, value) in pairs {
            let Some(name) = pickle.text(*key).filter(|name| name.len() <= LONGEST_NAME) else { continue };
            match tensor(pickle, *value).map_err(|fault| fault.of(&format!("tensor {name:?}")))? {
                Some(tensor) => tensors.push((name.to_owned(), tensor)),
                None => others.push(name.to_owned()),
            }
        }
        if !tensors.is_empty() {
            return Ok(StateDict { place, tensors, others });
        }
    }
    Err(Fault::new(
        "the pickle holds no tensors where checkpoints have them (at the top, or under ema.module, ema, model or \
         state_dict)",
    ))
}

/// The types of the storages that a pickle refers to, by their keys.
pub(super) fn storages<'a>(pickle: &'a Pickle<'_>) -> impl Iterator<Item = Checked<(&'a str, Dtype, usize)>> {
    pickle.nodes().filter_map(|node| match node {
        Node::Persistent(identity) => Some(storage(pickle, *identity)),
        _ => None,
    })
}

/// A storage's key, type and number of elements: `('storage', class, key, device, elements)`, with views' data after it
/// in files of old.
fn storage<'a>(pickle: &'a Pickle<'_>, identity: Value) -> Checked<(&'a str, Dtype, usize)> {
    let unknown = || Fault::new("the pickle refers to something outside it that is no storage of a known type");
    let parts = pickle.sequence(identity).ok_or_else(unknown)?;
    let [tag, Value::Global(Global::Storage(dtype)), key, _, elements, view @ ..] = parts else {
        return Err(unknown());
    };
    if pickle.text(*tag) != Some("storage") {
        return Err(unknown());
    }
    if view.iter().any(|view| *view != Value::None) {
        return Err(Fault::new(
            "the tensor is a view of a storage as torch before 0.4 wrote it; save it again with torch",
        ));
    }
    let key = pickle.text(*key).filter(|key| key.len() <= LONGEST_NAME).ok_or_else(unknown)?;
    Ok((key, *dtype, size(*elements).ok_or_else(unknown)?))
}

/// What a value is, if it is a tensor.
fn tensor(pickle: &Pickle<'_>, value: Value) -> Checked<Option<Pickled>> {
    const WRAPPERS: usize = 4; // a parameter in a subclass in a tuple, and one to spare
    let mut value = value;
    for _ in 0..WRAPPERS {
        // Paddle keeps the name beside the array: (name, array).
        if let Some(Node::Tuple(parts)) = pickle.node(value) {
            match parts.as_slice() {
                [name, inner @ Value::Node(_)] if pickle.text(*name).is_some() => value = *inner,
                _ => return Ok(None),
            }
            continue;
        }
        let Some((object, arguments)) = pickle.call(value) else { return Ok(None) };
        let (class, arguments) = match (object.class, arguments) {
            (Global::RebuildFromType, [Value::Global(class), _, arguments, ..]) => {
                (*class, pickle.sequence(*arguments).unwrap_or_default())
            }
            (class, arguments) => (class, arguments),
        };
        match (class, arguments) {
            (Global::RebuildParameter | Global::Tuple, [inner, ..]) => value = *inner,
            (Global::RebuildTensor, arguments) => return torch(pickle, arguments).map(Some),
            (Global::Reconstruct, _) => return numpy_state(pickle, object.state).map(Some),
            (Global::FromBuffer, arguments) => return numpy_buffer(pickle, arguments).map(Some),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// A tensor of torch: storage, offset, sizes, strides.
fn torch(pickle: &Pickle<'_>, arguments: &[Value]) -> Checked<Pickled> {
    let unknown = || Fault::new("it is not described as torch describes tensors");
    let [stored, offset, shape, strides, ..] = arguments else { return Err(unknown()) };
    let Some(Node::Persistent(identity)) = pickle.node(*stored) else { return Err(unknown()) };
    let (key, dtype, elements) = storage(pickle, *identity)?;
    let shape = pickle.sizes(*shape).ok_or_else(unknown)?;
    let strides = pickle.sizes(*strides).ok_or_else(unknown)?;
    let offset = size(*offset).ok_or_else(unknown)?;
    if shape.len() != strides.len() {
        return Err(unknown());
    }
    let layout = Layout { dtype, shape, strides, offset, swap: false };
    check(&layout, elements)?;
    Ok(Pickled { layout, elements: Elements::Storage { key: key.to_owned(), elements } })
}

/// A numpy array from its state: `(version, shape, type, is in Fortran's order, bytes)`.
fn numpy_state(pickle: &Pickle<'_>, state: Value) -> Checked<Pickled> {
    let unknown = || Fault::new("it is not described as numpy describes arrays");
    let Some([_, shape, dtype, Value::Bool(fortran), bytes]) = pickle.sequence(state) else { return Err(unknown()) };
    let shape = pickle.sizes(*shape).ok_or_else(unknown)?;
    numpy(pickle, shape, *dtype, *fortran, *bytes)
}

/// A numpy array of protocol 5: `(bytes, type, shape, order)`.
fn numpy_buffer(pickle: &Pickle<'_>, arguments: &[Value]) -> Checked<Pickled> {
    let unknown = || Fault::new("it is not described as numpy describes arrays");
    let [bytes, dtype, shape, order, ..] = arguments else { return Err(unknown()) };
    let shape = pickle.sizes(*shape).ok_or_else(unknown)?;
    numpy(pickle, shape, *dtype, pickle.text(*order) == Some("F"), *bytes)
}

fn numpy(pickle: &Pickle<'_>, shape: Vec<usize>, dtype: Value, fortran: bool, bytes: Value) -> Checked<Pickled> {
    let (dtype, swap) = numpy_dtype(pickle, dtype)?;
    let strides = if fortran {
        let mut turned: Vec<usize> = shape.iter().rev().copied().collect();
        turned = row_major(&turned);
        turned.reverse();
        turned
    } else {
        row_major(&shape)
    };
    let layout = Layout { dtype, shape, strides, offset: 0, swap };
    let (elements, have) = match bytes {
        Value::Bytes(span) => (Elements::Bytes(span), span.len()),
        Value::Latin1(span) => {
            let text = pickle.text(Value::Text(span)).unwrap_or_default();
            if text.chars().any(|char| u32::from(char) > 0xFF) {
                return Err(Fault::new("its bytes are written as text that does not stand for bytes"));
            }
            (Elements::Latin1(span), text.chars().count())
        }
        _ => return Err(Fault::new("its elements are Python objects, not numbers")),
    };
    if layout.bytes() != Some(have) {
        let (shape, dtype) = (&layout.shape, layout.dtype.name());
        return Err(Fault::new(format!("{have} bytes are not what {shape:?} elements of type {dtype} take")));
    }
    check(&layout, have / layout.dtype.size())?;
    Ok(Pickled { layout, elements })
}

/// A numpy type and whether it is big-endian. Numpy has no bfloat16: Paddle keeps it as unsigned 16-bit integers, which
/// no checkpoint has otherwise.
fn numpy_dtype(pickle: &Pickle<'_>, value: Value) -> Checked<(Dtype, bool)> {
    let call = pickle.call(value).filter(|(object, _)| object.class == Global::NumpyDtype);
    let code = call.and_then(|(_, arguments)| pickle.text(*arguments.first()?));
    let code = code.ok_or_else(|| Fault::new("it has no type as numpy writes types"))?;
    let order = call
        .and_then(|(object, _)| pickle.sequence(object.state)?.get(1).copied())
        .and_then(|order| pickle.text(order))
        .unwrap_or_default();
    let plain = code.trim_start_matches(['<', '>', '=', '|']);
    let dtype = match plain {
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "f8" => Dtype::F64,
        "u2" => Dtype::BF16,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        _ => {
            let code: String = code.chars().take(20).collect();
            return Err(Fault::new(format!("its type {code:?} is none of those that are read")));
        }
    };
    Ok((dtype, order == ">" || code.starts_with('>')))
}

/// Refuses a tensor that is not all in its storage, or larger than it.
fn check(layout: &Layout, elements: usize) -> Checked<()> {
    if layout.shape.len() > MAX_DIMENSIONS {
        return Err(Fault::new(format!("it has {} dimensions; {MAX_DIMENSIONS} are the most", layout.shape.len())));
    }
    let numbers = super::dtype::elements(&layout.shape);
    if layout.reach().is_none_or(|reach| reach > elements) || numbers.is_none_or(|numbers| numbers > elements) {
        return Err(Fault::new(format!(
            "shape {:?} with strides {:?} from element {} does not lie in a storage of {elements} elements",
            layout.shape, layout.strides, layout.offset
        )));
    }
    Ok(())
}
