//! Reads a Paddle 3 program: the `.json` that `paddle.jit.save` writes from its intermediate representation (PIR).
//!
//! The format is written by `paddle/fluid/pir/serialize_deserialize` (read: version 4, of Paddle 3.3.1). `#` is the name of a
//! thing, `%` the number of a value, `TT` a type, `D` its data; `p` is a parameter, `0.` the dialect of builtins, `1.` that of
//! operators. Operations are translated into the words of Paddle 2.x by [`vocabulary`](super::vocabulary).

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::program::{Attr, Call, Program, Var};
use super::vocabulary::{self, Word};
use crate::import::{ImportError, ir::DType};

#[derive(Deserialize)]
struct File {
    base_code: BaseCode,
    program: Regions,
}

#[derive(Deserialize)]
struct BaseCode {
    magic: String,
    #[serde(default)]
    version: u64,
}

#[derive(Deserialize)]
struct Regions {
    regions: Vec<Region>,
}

#[derive(Deserialize)]
struct Region {
    blocks: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    ops: Vec<RawOp>,
}

#[derive(Deserialize)]
struct RawOp {
    #[serde(rename = "#")]
    kind: String,
    #[serde(rename = "A", default)]
    attrs: Vec<Value>,
    #[serde(rename = "I", default)]
    inputs: Vec<Operand>,
    #[serde(rename = "O", default)]
    outputs: Results,
    #[serde(default)]
    regions: Vec<Value>,
}

/// A value that is read; number 0 is none.
#[derive(Deserialize)]
struct Operand {
    #[serde(rename = "%")]
    id: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Results {
    Many(Vec<Output>),
    One(Output),
}

impl Default for Results {
    fn default() -> Self {
        Results::Many(Vec::new())
    }
}

#[derive(Deserialize)]
struct Output {
    #[serde(rename = "%")]
    id: i64,
    #[serde(rename = "TT", default)]
    kind: Value,
}

impl RawOp {
    fn outputs(&self) -> &[Output] {
        match &self.outputs {
            Results::Many(outputs) => outputs,
            Results::One(output) => std::slice::from_ref(output),
        }
    }
}

/// The program in the file.
pub(super) fn read(text: &str) -> Result<Program, ImportError> {
    let file: File = serde_json::from_str(text)
        .map_err(|error| ImportError::NotAGraph(format!("not a Paddle program in JSON: {error}")))?;
    if file.base_code.magic != "pir" {
        return Err(ImportError::NotAGraph(format!(
            "not a Paddle program: \"base_code\" has the magic {:?}, not \"pir\"",
            file.base_code.magic
        )));
    }
    let [Region { blocks }] = file.program.regions.as_slice() else {
        return Err(ImportError::NotAGraph(format!(
            "a Paddle program with {} regions instead of one",
            file.program.regions.len()
        )));
    };
    let [block] = blocks.as_slice() else {
        return Err(ImportError::NotAGraph(format!("a Paddle program with {} blocks instead of one", blocks.len())));
    };
    let mut reader = Reader { lists: list_members(block), ..Reader::default() };
    reader.program.producer = format!("paddle 3 (PIR version {})", file.base_code.version);
    for (index, op) in block.ops.iter().enumerate() {
        reader.op(index, op)?;
    }
    Ok(reader.program)
}

/// The names of what a list of values is split into, by the list's number.
fn list_members(block: &Block) -> HashMap<i64, Vec<String>> {
    let splits = block.ops.iter().filter(|op| op.kind == "0.split");
    splits
        .filter_map(|op| {
            let list = op.inputs.first()?;
            Some((list.id, op.outputs().iter().map(|output| value_name(output.id)).collect()))
        })
        .collect()
}

#[derive(Default)]
struct Reader {
    program: Program,
    /// Parameters have names of their own.
    names: HashMap<i64, String>,
    /// What lists consist of: those that `0.combine` makes, and those that `0.split` takes apart.
    lists: HashMap<i64, Vec<String>>,
    /// How many operands have been written out.
    operands: usize,
}

/// The most operands of a program. Lists are written out wherever they are used, so a small file can ask for many.
const MAX_OPERANDS: usize = 1 << 20;

impl Reader {
    fn op(&mut self, index: usize, op: &RawOp) -> Result<(), ImportError> {
        let attrs = attributes(op);
        let name = |kind: &str| {
            let place = attrs.get("struct_name").and_then(|place| match place {
                Attr::Str(place) => Some(place.trim_matches('/')),
                _ => None,
            });
            let number = op.outputs().first().map_or(index as i64, |output| output.id);
            match place {
                Some(place) if !place.is_empty() => format!("{place}/{kind}_{number}"),
                _ => format!("{kind}_{number}"),
            }
        };
        if !op.regions.is_empty() {
            return Err(ImportError::Unsupported { node: name("block"), op_type: op.kind.clone() });
        }
        match op.kind.as_str() {
            "p" | "0.parameter" => return self.parameter(index, op, &attrs),
            "0.combine" => {
                let members = op.inputs.iter().map(|operand| self.name(operand.id)).collect();
                if let Some(output) = op.outputs().first() {
                    self.lists.insert(output.id, members);
                }
                return Ok(());
            }
            "0.split" => return Ok(()),
            _ => {}
        }
        let kind = op.kind.strip_prefix("1.").unwrap_or(&op.kind);
        let Some(word) = vocabulary::word(kind) else {
            return Err(ImportError::Unsupported { node: name(kind), op_type: kind.to_owned() });
        };
        let mut call = Call { op: word.op.to_owned(), name: name(kind), attrs, ..Call::default() };
        rename_attributes(&mut call, word);
        for (slot, operand) in word.inputs.iter().zip(&op.inputs) {
            if operand.id != 0 {
                let names = self.lists.get(&operand.id).cloned().unwrap_or_else(|| vec![self.name(operand.id)]);
                self.operands += names.len();
                call.inputs.insert((*slot).to_owned(), names);
            }
        }
        if self.operands > MAX_OPERANDS {
            return Err(call.fault(format!("the program has more than {MAX_OPERANDS} operands")));
        }
        for (slot, output) in word.outputs.iter().zip(op.outputs()) {
            let names = match self.lists.get(&output.id) {
                Some(names) => names.clone(),
                None => vec![self.name(output.id)],
            };
            call.outputs.insert((*slot).to_owned(), names);
        }
        if word.op == "feed" {
            self.declare(&mut call, op)?;
        }
        self.program.calls.push(call);
        Ok(())
    }

    fn name(&self, id: i64) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| value_name(id))
    }

    /// `p` writes its attributes as a bare list whose last item is the name.
    fn parameter(&mut self, index: usize, op: &RawOp, attrs: &HashMap<String, Attr>) -> Result<(), ImportError> {
        let bare = op.attrs.last().and_then(Value::as_str);
        let name = match (bare, attrs.get("parameter_name")) {
            (Some(name), _) => name.to_owned(),
            (None, Some(Attr::Str(name))) => name.clone(),
            _ => format!("parameter {index}"),
        };
        let fault = |what: &str| ImportError::Tensor { name: name.clone(), what: what.to_owned() };
        let output = op.outputs().first().ok_or_else(|| fault("the parameter has no value"))?;
        let (dtype, shape) =
            dense_tensor(&output.kind).ok_or_else(|| fault("the parameter's type is not a dense tensor"))?;
        self.names.insert(output.id, name.clone());
        self.program.vars.push(Var { name, shape, dtype, stored: true });
        Ok(())
    }

    /// An input of the program; it goes by its own name.
    fn declare(&mut self, call: &mut Call, op: &RawOp) -> Result<(), ImportError> {
        let output = op.outputs().first().ok_or_else(|| call.fault("it has no value"))?;
        let (dtype, shape) = dense_tensor(&output.kind).ok_or_else(|| call.fault("its type is not a dense tensor"))?;
        let name = call.word("name").map_or_else(|| value_name(output.id), str::to_owned);
        self.names.insert(output.id, name.clone());
        call.outputs.insert("Out".to_owned(), vec![name.clone()]);
        self.program.vars.push(Var { name, shape, dtype, stored: false });
        Ok(())
    }
}

fn value_name(id: i64) -> String {
    format!("%{id}")
}

/// The type and shape of a dense tensor: `{"#": "0.t_dtensor", "D": [{"#": "0.t_f32"}, [1, 3], ...]}`.
fn dense_tensor(kind: &Value) -> Option<(DType, Vec<i64>)> {
    let data = kind.get("D")?.as_array()?;
    let element = data.first()?.get("#")?.as_str()?;
    let shape = data.get(1)?.as_array()?.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>()?;
    Some((dtype(element.rsplit_once("t_").map_or(element, |(_, name)| name)), shape))
}

/// The type behind a name of PIR's (`f32`, `i64`, `bool`) or of Paddle's (`float32`, `int64`).
pub(super) fn dtype(name: &str) -> DType {
    match name {
        "bool" => DType::Bool,
        name if name.starts_with('i') || name.starts_with("ui") => DType::Int,
        _ => DType::Float,
    }
}

fn attributes(op: &RawOp) -> HashMap<String, Attr> {
    let named = op.attrs.iter().filter_map(|attr| {
        let name = attr.get("N")?.as_str()?;
        Some((name.to_owned(), attribute(attr.get("AT")?)?))
    });
    named.collect()
}

/// An attribute's value; `None` for places, layouts and other things that no shape depends on.
fn attribute(attr: &Value) -> Option<Attr> {
    let kind = attr.get("#")?.as_str()?;
    let kind = kind.rsplit_once("a_").map_or(kind, |(_, kind)| kind);
    let Some(data) = attr.get("D") else { return special(kind, attr.get("VD")?.as_str()?) };
    Some(match kind {
        "bool" => Attr::Bool(data.as_bool()?),
        "i32" | "i64" | "index" => Attr::Int(data.as_i64()?),
        "f32" | "f64" => Attr::Float(data.as_f64()?),
        "str" | "dtype" | "tensorname" => Attr::Str(data.as_str()?.to_owned()),
        "intarray" => Attr::Ints(data.as_array()?.iter().map(Value::as_i64).collect::<Option<_>>()?),
        "scalar" => attribute(data)?,
        "array" => {
            let items = data.as_array()?.iter().map(attribute).collect::<Option<Vec<Attr>>>()?;
            match items.first() {
                Some(Attr::Float(_)) => Attr::Floats(numbers(&items)?),
                _ => Attr::Ints(
                    items
                        .iter()
                        .map(|item| match item {
                            Attr::Int(value) => Some(*value),
                            Attr::Bool(value) => Some(i64::from(*value)),
                            _ => None,
                        })
                        .collect::<Option<_>>()?,
                ),
            }
        }
        _ => return None,
    })
}

/// What JSON has no number for.
fn special(kind: &str, word: &str) -> Option<Attr> {
    if !matches!(kind, "f32" | "f64") {
        return None;
    }
    Some(Attr::Float(match word {
        "INF" => f64::INFINITY,
        "-INF" => f64::NEG_INFINITY,
        _ => f64::NAN,
    }))
}

fn numbers(items: &[Attr]) -> Option<Vec<f64>> {
    items
        .iter()
        .map(|item| match item {
            Attr::Float(value) => Some(*value),
            Attr::Int(value) => Some(*value as f64),
            _ => None,
        })
        .collect()
}

fn rename_attributes(call: &mut Call, word: &Word) {
    for (theirs, ours) in word.attrs {
        if let Some(value) = call.attrs.remove(*theirs) {
            call.attrs.insert((*ours).to_owned(), value);
        }
    }
}
