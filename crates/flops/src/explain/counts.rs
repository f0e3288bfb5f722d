//! Differences of totals.

use std::collections::HashSet;

use super::{Term, Terms};
use crate::conventions::FULL;
use crate::count::{judge, seen_ops};
use crate::{Convention, Count, CountError, CustomOps, Form, Kind, Op, Rule, Unit, View, Work, conventions, count_as};

/// A count, and what its total has more or less than `full`'s in the same unit.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The count.
    pub count: Count,
    /// The total of `full` in the convention's unit: its MACs, or its FLOPs.
    pub full: u64,
    /// What the difference is made of; the terms add up to it.
    pub terms: Vec<Term>,
}

impl Explained {
    /// The convention's total less that of `full`.
    pub fn difference(&self) -> i128 {
        i128::from(self.count.total) - i128::from(self.full)
    }
}

/// Counts and says why the total is not that of `full`.
///
/// # Errors
/// If a total is over 2^64.
pub fn explain(view: &View<'_>, convention: &'static Convention) -> Result<Explained, CountError> {
    let custom = CustomOps::new();
    let full = count_as(view, &FULL, &custom)?;
    let count = count_as(view, convention, &custom)?;
    let looked_at: HashSet<*const Op> = seen_ops(view, convention).map(std::ptr::from_ref).collect();
    let in_full: HashSet<*const Op> = seen_ops(view, &FULL).map(std::ptr::from_ref).collect();
    let added: HashSet<*const Op> = view.added().iter().map(std::ptr::from_ref).collect();
    let mut terms = Terms::default();
    for op in view.trace().ops.iter().chain(view.added()) {
        let at = std::ptr::from_ref(op);
        let unit = convention.unit;
        let counted = if looked_at.contains(&at) {
            let (_, work) =
                judge(op, view, convention, &custom).map_err(|fault| CountError::new(&op.path, convention, fault))?;
            work
        } else {
            Work::default()
        };
        let ours = if in_full.contains(&at) { conventions::full_work(op).unwrap_or_default() } else { Work::default() };
        let (mut counted, ours) = (i128::from(counted.of(unit)), i128::from(ours.of(unit)));
        let seen = looked_at.contains(&at) && (convention.sees)(op, view);
        if seen && matches!((convention.rule)(op, view), Rule::Twice(_)) {
            counted /= 2;
            terms.add("counted twice, by a hook and by a patch", counted);
        }
        let reason = if added.contains(&at) { of_transformers(op) } else { reason(op, view, unit, counted) };
        terms.add(reason, counted - ours);
    }
    let full = match convention.unit {
        Unit::Mac => full.macs,
        Unit::Flop => full.flops,
    };
    Ok(Explained { count, full, terms: terms.ordered() })
}

/// What transformers does besides.
fn of_transformers(op: &Op) -> &'static str {
    match op.kind {
        Kind::Linear => "class heads of earlier decoder layers, which transformers runs",
        _ => "masks of the padding, which transformers scales",
    }
}

/// The name of what a convention's count of an operation can differ by.
fn reason(op: &Op, view: &View<'_>, unit: Unit, counted: i128) -> &'static str {
    let samples = matches!(op.role.as_str(), "sampling" | "to_pixels" | "round" | "weight" | "sum");
    match op.kind {
        Kind::Conv2d if counted > 0 => "biases of convolutions",
        Kind::Conv2d => "convolutions",
        Kind::Linear if view.form(op) == Form::InAttention && counted == 0 => "projections of multi-head attention",
        Kind::Linear if counted == 0 => "linear layers",
        Kind::Linear if differs_by_bias(op, unit, counted) => "biases of linear layers",
        Kind::Linear => "linear layers, counted once an image instead of once a token",
        Kind::Matmul => "products of attention",
        Kind::BatchNorm if view.is_frozen(op) => "frozen norms",
        Kind::BatchNorm => "batch norms",
        Kind::LayerNorm => "layer norms",
        Kind::Relu | Kind::Silu | Kind::Gelu => "activations",
        Kind::Sigmoid => "sigmoids",
        Kind::Softmax => "softmax",
        Kind::GridSample => "deformable sampling",
        Kind::Gather | Kind::Mul | Kind::Add if samples => "deformable sampling",
        Kind::Mul | Kind::Add if op.path.contains(".cross_attn#") => "sampling locations",
        Kind::Mul if view.form(op) == Form::InKernel => "scale of attention",
        Kind::Mul => "products of tensors",
        Kind::Add => "sums of tensors",
        Kind::Sub | Kind::Div => "differences and quotients of tensors",
        Kind::MaxPool2d | Kind::AvgPool2d => "pools",
        Kind::Interpolate => "interpolation",
        Kind::TopK => "selection of the best queries",
        Kind::Embedding => "position embedding and anchors",
        Kind::Concat | Kind::Gather | Kind::Copy => "copies",
        Kind::Custom(_) => "operations of other kinds",
    }
}

/// Whether a linear layer is counted in full, with its bias or without.
fn differs_by_bias(op: &Op, unit: Unit, counted: i128) -> bool {
    let Some(work) = conventions::full_work(op) else { return false };
    let products = i128::from(Work::macs(work.macs).of(unit));
    counted == products || counted == products + i128::from(crate::numel(&op.output))
}
