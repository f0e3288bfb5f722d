//! Padding that stands before its convolution or pool.

use super::super::parts::{Facts, Whole};
use super::super::simple;
use super::super::view::View;
use crate::import::ir::Prim;

/// A convolution or pool of a map that was only padded for it: its input is the map before.
pub(super) fn window(view: &View<'_>, node: usize) -> Option<Whole> {
    if !matches!(view.prim(node), Prim::Conv(_) | Prim::MaxPool(_) | Prim::AvgPool(_)) {
        return None;
    }
    let pad = view.maker(view.input(node, 0)?).filter(|&maker| matches!(view.prim(maker), Prim::Pad))?;
    let (inner, outer) = (view.shape(view.input(pad, 0)?), view.shape(view.output(pad)?));
    let &[batch, channels, ..] = inner else { return None };
    if outer.len() != 4 || inner.len() != 4 || outer[..2] != [batch, channels] {
        return None;
    }
    let facts = simple::facts(view, node).ok().flatten()?;
    let [top, left] = view.facts.befores(view.graph, pad)?;
    let mut attrs = facts.attrs.clone();
    if let Some([own_top, own_left, own_bottom, own_right]) = attrs.padding {
        let (down, right) = (outer[2].checked_sub(inner[2] + top)?, outer[3].checked_sub(inner[3] + left)?);
        attrs.padding = Some([own_top + top, own_left + left, own_bottom + down, own_right + right]);
    }
    Some(Whole { facts: Facts { inputs: vec![inner.to_vec()], attrs, ..facts }, parts: vec![node] })
}
