//! A bias that is added by itself.

use detrace_flops::{Kind, Shape};

use super::super::parts::Whole;
use super::super::simple;
use super::super::view::View;
use crate::import::ir::{Binary, Prim, TensorId};

/// A convolution and a constant for each channel.
pub(super) fn conv(view: &View<'_>, node: usize) -> Option<Whole> {
    added(view, node, Kind::Conv2d, |bias, output, axis| {
        let channels = *output.get(1)?;
        let shape: Shape = match axis {
            Some(1) => bias.to_vec(),
            Some(_) => return None,
            // Aligned with the last dimension; one of size 1 for the batch changes nothing.
            None if bias.len() == 4 && bias[0] == 1 => bias[1..].to_vec(),
            None if bias.len() == 3 => bias.to_vec(),
            None => return None,
        };
        let (first, rest) = shape.split_first()?;
        (*first == channels && rest.iter().all(|&size| size == 1)).then_some(())
    })
}

/// A product with a constant matrix and a constant for each column.
pub(super) fn linear(view: &View<'_>, node: usize) -> Option<Whole> {
    added(view, node, Kind::Linear, |bias, output, axis| {
        let (last, rest) = bias.split_last()?;
        let in_place = axis.is_none_or(|axis| axis == -1 || axis + bias.len() as i64 == output.len() as i64);
        (in_place && Some(last) == output.last() && rest.iter().all(|&size| size == 1)).then_some(())
    })
}

/// `fits` is asked for the shapes of bias and result, and the axis where the bias stands.
fn added(
    view: &View<'_>,
    node: usize,
    kind: Kind,
    fits: impl Fn(&[usize], &[usize], Option<i64>) -> Option<()>,
) -> Option<Whole> {
    let facts = simple::facts(view, node).ok().flatten().filter(|facts| facts.kind == kind)?;
    if facts.has_bias() {
        return None;
    }
    let sum = view.reader(node)?;
    let [_, bias]: [TensorId; 2] = view.with_constant(sum, Binary::Add)?;
    let Prim::Binary(_, axis) = view.prim(sum) else { return None };
    fits(view.shape(bias), &facts.output, *axis)?;
    Some(Whole { facts: facts.vector(view, "bias", Some(bias)), parts: vec![node, sum] })
}
