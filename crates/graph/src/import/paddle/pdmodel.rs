//! Reads a `.pdmodel` file: a serialised `ProgramDesc`, as Paddle 2.x exports it.

use std::collections::HashMap;

use prost::Message;

use super::program::{Attr, Call, Program, Var};
use super::proto::{OpAttr, OpDesc, OpVar, ProgramDesc, VarDesc};
use crate::import::{ImportError, ir::DType};

/// The program in the file.
pub(super) fn read(bytes: &[u8]) -> Result<Program, ImportError> {
    let mut rest = bytes;
    let desc = ProgramDesc::decode(&mut rest).map_err(|error| ImportError::Bytes {
        offset: bytes.len() - rest.len(),
        what: format!("not a Paddle program: {error}"),
    })?;
    let block = match desc.blocks.as_slice() {
        [block] => block,
        [] => return Err(ImportError::NotAGraph("a Paddle program without a block of operations".into())),
        blocks => {
            return Err(ImportError::NotAGraph(format!(
                "a Paddle program with {} blocks has control flow (`while`, `if`), which is not supported",
                blocks.len()
            )));
        }
    };
    let version = desc.version.and_then(|version| version.version).unwrap_or(0);
    Ok(Program {
        producer: format!("paddle {}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000),
        vars: block.vars.iter().filter_map(var).collect(),
        calls: block.ops.iter().enumerate().map(|(index, op)| call(index, op)).collect(),
    })
}

/// A variable that is a dense tensor.
fn var(desc: &VarDesc) -> Option<Var> {
    let tensor = &desc.kind.lod_tensor.as_ref()?.tensor;
    Some(Var {
        name: desc.name.clone(),
        shape: tensor.dims.clone(),
        dtype: dtype(tensor.data_type.into()),
        stored: desc.persistable.unwrap_or(false) && !matches!(desc.name.as_str(), "feed" | "fetch"),
    })
}

/// The type behind a number of `VarType.Type`.
pub(super) fn dtype(number: i64) -> DType {
    match number {
        0 => DType::Bool,
        1..=3 | 19..=21 => DType::Int,
        _ => DType::Float,
    }
}

fn call(index: usize, op: &OpDesc) -> Call {
    let slots = |vars: &[OpVar]| -> HashMap<String, Vec<String>> {
        vars.iter().map(|var| (var.parameter.clone(), var.arguments.clone())).collect()
    };
    let first = op.outputs.iter().find_map(|slot| match slot.parameter.as_str() {
        "Out" | "Output" | "Y" => slot.arguments.first(),
        _ => None,
    });
    Call {
        op: op.kind.clone(),
        name: first.cloned().unwrap_or_else(|| format!("op {index}")),
        inputs: slots(&op.inputs),
        outputs: slots(&op.outputs),
        attrs: op.attrs.iter().filter_map(|attr| Some((attr.name.clone(), self::attr(attr)?))).collect(),
    }
}

/// The attribute's value, by its `AttrType`; `None` for blocks, variables and other things that no shape depends on.
fn attr(attr: &OpAttr) -> Option<Attr> {
    let ints = |values: &[i32]| Attr::Ints(values.iter().map(|&value| value.into()).collect());
    Some(match attr.kind {
        0 => Attr::Int(attr.i?.into()),
        1 => Attr::Float(attr.f?.into()),
        2 => Attr::Str(attr.s.clone()?),
        3 => ints(&attr.ints),
        4 => Attr::Floats(attr.floats.iter().map(|&value| value.into()).collect()),
        6 => Attr::Bool(attr.b?),
        7 => Attr::Ints(attr.bools.iter().map(|&value| value.into()).collect()),
        9 => Attr::Int(attr.l?),
        11 => Attr::Ints(attr.longs.clone()),
        12 => Attr::Floats(attr.float64s.clone()),
        15 => Attr::Float(attr.float64?),
        16 => {
            let scalar = attr.scalar.as_ref()?;
            match scalar.kind {
                1 => Attr::Bool(scalar.b?),
                2 => Attr::Int(scalar.i?),
                3 => Attr::Float(scalar.r?),
                _ => return None,
            }
        }
        17 => Attr::Floats(
            attr.scalars
                .iter()
                .map(|scalar| match scalar.kind {
                    1 => scalar.b.map(|value| f64::from(u8::from(value))),
                    2 => scalar.i.map(|value| value as f64),
                    _ => scalar.r,
                })
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}
