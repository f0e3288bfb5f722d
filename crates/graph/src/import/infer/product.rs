//! Shapes of products.

use std::collections::BTreeMap;

use detrace_flops::Shape;

use super::call::Call;
use super::{Made, Result, one};
use crate::import::ir::Prim;

pub(super) fn shapes(call: &Call<'_, '_>) -> Result<Made> {
    let dtype = call.dtype();
    match call.prim() {
        Prim::MatMul { trans_a, trans_b } => one(matmul(call, *trans_a, *trans_b)?, dtype),
        Prim::Gemm { trans_a, trans_b } => {
            let (a, b): ([usize; 2], [usize; 2]) = (call.dims(0)?, call.dims(1)?);
            let turned = |shape: [usize; 2], trans: bool| if trans { [shape[1], shape[0]] } else { shape };
            let ([rows, inner], [other, columns]) = (turned(a, *trans_a), turned(b, *trans_b));
            if inner != other {
                return Err(call.fault(format!("a product of {rows}x{inner} and {other}x{columns}")));
            }
            if let Some(c) = call.maybe(2)
                && call.broadcast(&[&[rows, columns], &c.shape])? != [rows, columns]
            {
                return Err(call.fault(format!("its third input {:?} does not fit {rows}x{columns}", c.shape)));
            }
            one(vec![rows, columns], dtype)
        }
        Prim::Mul2d { flatten_at } => {
            let (shape, [input, output]) = (call.shape(0)?, call.dims(1)?);
            let rows = shape.get(..*flatten_at).filter(|rows| !rows.is_empty());
            let rows = rows.ok_or_else(|| call.fault(format!("{shape:?} has no {flatten_at} dimensions")))?;
            if shape[*flatten_at..].iter().product::<usize>() != input {
                return Err(call.fault(format!("{shape:?} does not fit a weight {input}x{output}")));
            }
            one(rows.iter().copied().chain([output]).collect(), dtype)
        }
        Prim::Einsum(equation) => one(einsum(call, equation)?, dtype),
        _ => attention(call),
    }
}

/// As numpy's: a vector on the left is a row, on the right a column, and its dimension goes afterwards.
fn matmul(call: &Call<'_, '_>, trans_a: bool, trans_b: bool) -> Result<Shape> {
    let (mut a, mut b) = (call.shape(0)?.to_vec(), call.shape(1)?.to_vec());
    if a.is_empty() || b.is_empty() {
        return Err(call.fault(format!("a product of {a:?} and {b:?}")));
    }
    let (row, column) = (a.len() == 1, b.len() == 1);
    if row {
        a.insert(0, 1);
    } else if trans_a {
        let last = a.len() - 1;
        a.swap(last, last - 1);
    }
    if column {
        b.push(1);
    } else if trans_b {
        let last = b.len() - 1;
        b.swap(last, last - 1);
    }
    let ((batch_a, a), (batch_b, b)) = (a.split_at(a.len() - 2), b.split_at(b.len() - 2));
    if a[1] != b[0] {
        return Err(call.fault(format!("a product of {:?} and {:?}", call.shape(0)?, call.shape(1)?)));
    }
    let mut shape = call.broadcast(&[batch_a, batch_b])?;
    shape.extend((!row).then_some(a[0]));
    shape.extend((!column).then_some(b[1]));
    Ok(shape)
}

/// `ab,bc->ac`; without an arrow, the letters that stand once, in alphabetical order.
fn einsum(call: &Call<'_, '_>, equation: &str) -> Result<Shape> {
    let bad = |what: &str| call.fault(format!("the equation {equation:?} {what}"));
    let equation: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let operands: Vec<&str> = left.split(',').collect();
    let inputs = call.inputs()?;
    if operands.len() != inputs.len() {
        return Err(bad("is for another number of operands"));
    }
    let mut sizes: BTreeMap<char, (usize, usize)> = BTreeMap::new();
    for (operand, input) in operands.iter().zip(&inputs) {
        if !operand.chars().all(char::is_alphabetic) || operand.chars().count() != input.shape.len() {
            return Err(bad(&format!("does not fit the shape {:?}", input.shape)));
        }
        for (letter, &size) in operand.chars().zip(&input.shape) {
            let (known, times) = sizes.entry(letter).or_insert((size, 0));
            *times += 1;
            if *known == 1 {
                *known = size;
            } else if size != *known && size != 1 {
                return Err(bad(&format!("gives {letter} the sizes {known} and {size}")));
            }
        }
    }
    match right {
        Some(right) => right
            .chars()
            .map(|letter| sizes.get(&letter).map(|(size, _)| *size))
            .collect::<Option<_>>()
            .ok_or_else(|| bad("has a result with a letter that no operand has")),
        None => Ok(sizes.values().filter(|(_, times)| *times == 1).map(|(size, _)| *size).collect()),
    }
}

/// The query's shape, with the width of the values. Packed heads are three dimensions, others four.
fn attention(call: &Call<'_, '_>) -> Result<Made> {
    let Prim::Attention { q_heads, kv_heads, heads_third } = call.prim() else { return Ok(Vec::new()) };
    let split = |index: usize, heads: &Option<usize>| match heads {
        Some(heads) => {
            let [batch, tokens, width] = call.dims(index)?;
            match width.checked_div(*heads).filter(|_| width.is_multiple_of(*heads)) {
                Some(dim) => Ok([batch, *heads, tokens, dim]),
                None => Err(call.fault(format!("{} is {width} wide, which are not {heads} heads", call.named(index)))),
            }
        }
        None => {
            let mut shape: [usize; 4] = call.dims(index)?;
            if *heads_third {
                shape.swap(1, 2);
            }
            Ok(shape)
        }
    };
    let (query, key, value) = (split(0, q_heads)?, split(1, kv_heads)?, split(2, kv_heads)?);
    let same = |index: usize| key[index] == value[index];
    if query[3] != key[3] || query[0] != key[0] || !(0..3).all(same) || key[1] == 0 || query[1] % key[1] != 0 {
        return Err(call.fault(format!(
            "queries {query:?}, keys {key:?} and values {value:?} (batch, heads, tokens, width) do not fit together"
        )));
    }
    let mut shape = call.shape(0)?.to_vec();
    if let Some(width) = shape.last_mut() {
        *width = if q_heads.is_some() { value[3].saturating_mul(query[1]) } else { value[3] };
    }
    one(shape, call.dtype())
}
