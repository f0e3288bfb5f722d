//! What an operation computes, whatever it is called and however its tensors are laid out.

use super::Call;
use super::row::macs;
use crate::{Kind, Op, ParamRole, numel};

/// Numbers that are equal where two operations of one kind do the same work.
pub(super) type Key = Vec<u64>;

/// The leading dimensions of a product are one number: `[N, heads, L, d]` and `[N × heads, L, d]` are the same.
pub(super) fn exact(op: &Op) -> Key {
    let weight = weight(op);
    match op.kind {
        // The input's height and width follow from the output's, or differ by a padding that stands apart.
        Kind::Conv2d => {
            let stride = op.attrs.stride.unwrap_or([1, 1]).map(|step| step as u64);
            let channels = op.input().get(1).map_or(0, |&channels| channels as u64);
            [dims(&op.output), dims(weight), stride.to_vec(), vec![channels]].concat()
        }
        Kind::Linear => match linear(op) {
            Some([rows, input, output]) => vec![rows, input, output],
            None => vec![],
        },
        Kind::Matmul => match matmul(op) {
            Some([batch, m, k, n]) => vec![batch, m, k, n],
            None => vec![],
        },
        Kind::GridSample => vec![numel(&op.output)],
        Kind::MaxPool2d | Kind::AvgPool2d => {
            let kernel = op.attrs.kernel.unwrap_or_default().map(|size| size as u64);
            [dims(&op.output), kernel.to_vec()].concat()
        }
        _ => vec![numel(op.input()), numel(&op.output)],
    }
}

/// Numbers that are equal where two operations of one kind can stand for the same layer, on other shapes.
pub(super) fn layer(op: &Op) -> Key {
    match op.kind {
        Kind::Conv2d | Kind::Linear => dims(weight(op)),
        _ => vec![],
    }
}

/// Numbers that are equal where two operations of one kind give a result of the same shape.
pub(super) fn result(op: &Op) -> Key {
    dims(&op.output)
}

/// Rows, input features, output features.
pub(super) fn linear(op: &Op) -> Option<[u64; 3]> {
    let &[output, input] = weight(op) else { return None };
    Some([numel(&op.output) / (output as u64).max(1), input as u64, output as u64])
}

/// Number of products, and of one product rows, contracted dimension, columns.
pub(super) fn matmul(op: &Op) -> Option<[u64; 4]> {
    let contracted = *op.input().last()? as u64;
    let (batch, [rows, columns]) = op.output.split_last_chunk::<2>()?;
    Some([numel(batch), *rows as u64, contracted, *columns as u64])
}

fn dims(shape: &[usize]) -> Key {
    shape.iter().map(|&dim| dim as u64).collect()
}

pub(super) fn weight(op: &Op) -> &[usize] {
    op.params.iter().find(|param| param.role == ParamRole::Weight).map_or(&[], |param| &param.shape)
}

/// Whether one operation does what several do together: they have its MACs, and its numbers but for one, which is divided
/// among them.
pub(super) fn is_sum(whole: &Call<'_>, parts: &[Call<'_>]) -> bool {
    if whole.work.macs == 0 || macs(parts) != whole.work.macs {
        return false;
    }
    let divides = |numbers: &dyn Fn(&Op) -> Option<Key>, divided: usize| {
        let rest = |call: &Call<'_>| {
            let mut numbers = numbers(call.op)?;
            numbers.remove(divided);
            Some(numbers)
        };
        rest(whole)
            .is_some_and(|of_whole| parts.iter().all(|part| rest(part).is_some_and(|of_part| of_part == of_whole)))
    };
    match whole.op.kind {
        Kind::Linear => {
            let numbers = |op: &Op| linear(op).map(Vec::from);
            divides(&numbers, 2) || divides(&numbers, 0)
        }
        Kind::Matmul => divides(&|op| matmul(op).map(Vec::from), 0),
        Kind::GridSample => true,
        Kind::Conv2d => {
            // Output channels are the first dimension of the weight and the second of the result.
            let numbers = |op: &Op| {
                let (&[batch, _, height, width], &[out, cin, kh, kw]) = (op.output.as_slice(), weight(op)) else {
                    return None;
                };
                Some([out, batch, height, width, cin, kh, kw].map(|number| number as u64).to_vec())
            };
            divides(&numbers, 0)
        }
        _ => false,
    }
}
