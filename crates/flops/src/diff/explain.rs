//! Why two traces of one network may differ, by name.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::key::{self, Key};
use super::side::uncalled;
use super::{Agreement, Call, DiffRow, is_product};
use crate::{Kind, Op, Trace, Work, numel};

/// Why operations differ that are the same network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Norms, which exporters fold into convolutions or write in steps.
    Norms,
    /// A bias that one side adds and the other has folded or not.
    Biases,
    /// Activations, which exporters fuse, split or rewrite.
    Activations,
    /// One product here is several there, or the other way round, with the same MACs in all.
    Split,
    /// A head of a decoder layer that one side runs and the other only owns.
    UncalledHead,
    /// RepVGG branches that one side has merged into one convolution. A name for the difference, not an excuse: it is work.
    Branches,
    /// Sums, differences, products and quotients of elements, written in other steps.
    Elementwise,
    /// What moves or selects data: copies, concatenations, gathers, top-k, embeddings.
    ShapeArithmetic,
    /// What comes after the network's last product.
    PostProcessing,
    /// Arithmetic on shapes and constants alone.
    Constants,
    /// Arithmetic on integers.
    Integers,
}

impl Reason {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Norms => "norms",
            Reason::Biases => "biases",
            Reason::Activations => "activations",
            Reason::Split => "split or merged products",
            Reason::UncalledHead => "uncalled heads",
            Reason::Branches => "RepVGG branches",
            Reason::Elementwise => "elementwise steps",
            Reason::ShapeArithmetic => "shape arithmetic",
            Reason::PostProcessing => "post-processing",
            Reason::Constants => "constant arithmetic",
            Reason::Integers => "integer arithmetic",
        }
    }

    /// One sentence for people.
    pub fn why(self) -> &'static str {
        match self {
            Reason::Norms => "a norm is folded into the convolution before it, or written in steps",
            Reason::Biases => "a folded norm leaves a bias",
            Reason::Activations => "an activation is fused, split or written in other steps",
            Reason::Split => "one product is written as several or several as one; their MACs add up",
            Reason::UncalledHead => "a head of a decoder layer runs on one side; the other owns it and leaves it out",
            Reason::Branches => "two branches are merged into one convolution in deploy; this is work and counts",
            Reason::Elementwise => "scales, offsets, masks and residuals are written in other steps",
            Reason::ShapeArithmetic => "copies, concatenations, selections and embeddings are written in other steps",
            Reason::PostProcessing => "one side goes on behind the network's last product",
            Reason::Constants => "position embeddings, anchors and scale factors are computed in the graph",
            Reason::Integers => "shapes and indices are computed in the graph",
        }
    }

    /// Whether a difference for this reason is no fault. Merged branches are other work, so they are.
    pub fn excuses(self) -> bool {
        self != Reason::Branches
    }

    /// The arithmetic that the reason is about: of a bias its additions, else the operations' all.
    pub(super) fn work<'c>(self, calls: &'c [Call<'_>]) -> impl Iterator<Item = Work> + 'c {
        calls.iter().filter(move |call| self != Reason::Biases || call.op.has_bias()).map(move |call| match self {
            Reason::Biases => Work::flops(numel(&call.op.output)),
            _ => call.work,
        })
    }
}

/// Names the reasons of rows that differ.
pub(super) fn explain(rows: &mut [DiffRow<'_>], here: &Trace, there: &Trace) {
    let ends = [here, there].map(|trace| trace.ops.iter().rposition(|op| is_product(&op.kind)).unwrap_or(0));
    let branches = [here, there].map(branches);
    for row in rows.iter_mut().filter(|row| row.differs() && row.reason.is_none()) {
        row.reason = reason(row, ends, &branches);
    }
}

fn reason(row: &DiffRow<'_>, ends: [usize; 2], branches: &[HashSet<&str>; 2]) -> Option<Reason> {
    let sides = [&row.here, &row.there];
    let all = |fits: &dyn Fn(usize, &Call<'_>) -> bool| {
        sides.iter().enumerate().all(|(side, calls)| calls.iter().all(|call| fits(side, call)))
    };
    let alone = row.here.is_empty() || row.there.is_empty();
    if alone && all(&|side, call| branches[side].contains(call.op.path.as_str())) {
        return Some(Reason::Branches);
    }
    if is_product(&row.kind) {
        return only_bias_differs(row).then_some(Reason::Biases);
    }
    // A pair that is joined by name and has other shapes is no matter of an exporter.
    if row.verdict == Agreement::OtherShape {
        return None;
    }
    if all(&|side, call| call.at > ends[side]) {
        return Some(Reason::PostProcessing);
    }
    match row.kind {
        Kind::BatchNorm | Kind::LayerNorm => Some(Reason::Norms),
        Kind::Relu | Kind::Silu | Kind::Gelu | Kind::Sigmoid | Kind::Softmax => Some(Reason::Activations),
        Kind::Add | Kind::Sub | Kind::Mul | Kind::Div | Kind::Custom(_) => Some(Reason::Elementwise),
        Kind::Concat | Kind::Gather | Kind::TopK | Kind::Embedding | Kind::Copy => Some(Reason::ShapeArithmetic),
        Kind::MaxPool2d | Kind::AvgPool2d | Kind::Interpolate => None,
        Kind::Conv2d | Kind::Linear | Kind::Matmul | Kind::GridSample => None,
    }
}

/// Whether a pair does the same products and one of them adds a bias.
fn only_bias_differs(row: &DiffRow<'_>) -> bool {
    let ([here], [there]) = (row.here.as_slice(), row.there.as_slice()) else { return false };
    row.verdict == Agreement::OtherParams
        && key::exact(here.op) == key::exact(there.op)
        && here.op.has_bias() != there.op.has_bias()
}

/// Paths of what merging a RepVGG block takes away: its 1×1 branch and the sum of the branches. In a graph file, whose names
/// say nothing, a 1×1 convolution beside a 3×3 one that does the same to its shape is taken to be one.
fn branches(trace: &Trace) -> HashSet<&str> {
    let paths: HashSet<&str> = trace.ops.iter().map(|op| op.path.as_str()).collect();
    let of_branch = |path: &str| {
        let block = path.strip_suffix("#sum_branches").or_else(|| path.strip_suffix(".conv2.conv"));
        block.is_some_and(|block| {
            let parts = ["#sum_branches", ".conv1.conv", ".conv2.conv"];
            parts.iter().all(|part| paths.contains(format!("{block}{part}").as_str()))
        })
    };
    let named = paths.iter().copied().filter(|path| of_branch(path));
    let convs: Vec<&Op> = trace.ops.iter().filter(|op| op.kind == Kind::Conv2d && op.program.is_some()).collect();
    let is_square = |op: &Op, size: usize| {
        op.input() == op.output && matches!(key::weight(op), [out, cin, h, w] if out == cin && [*h, *w] == [size; 2])
    };
    let beside = convs.windows(2).flat_map(|pair| [(pair[0], pair[1]), (pair[1], pair[0])]);
    let beside = beside.filter(|(a, b)| is_square(a, 1) && is_square(b, 3) && a.output == b.output);
    named.chain(beside.map(|(point, _)| point.path.as_str())).collect()
}

/// Heads that a trace's network owns and does not run, by the work that they would do.
#[derive(Default)]
pub(super) struct UncalledHeads(HashMap<Key, Vec<String>>);

/// Of both traces.
pub(super) struct Heads {
    pub(super) here: UncalledHeads,
    pub(super) there: UncalledHeads,
}

impl UncalledHeads {
    /// The path of a head that would do what the operation does; every head is given once.
    pub(super) fn take(&mut self, op: &Op) -> Option<String> {
        match op.kind {
            Kind::Linear => self.0.get_mut(&key::exact(op))?.pop(),
            _ => None,
        }
    }
}

/// Finds the uncalled linear layers of lists of heads of which another member is called: the work of an uncalled
/// `dec_score_head.0` is that of the called `dec_score_head.2`.
pub(super) fn uncalled_heads(trace: &Trace) -> UncalledHeads {
    let mut work: HashMap<String, (Key, Vec<usize>)> = HashMap::new();
    for op in trace.ops.iter().filter(|op| op.kind == Kind::Linear && !op.is_part()) {
        if let Some(member) = any_member(&op.path) {
            work.insert(member, (key::exact(op), key::weight(op).to_vec()));
        }
    }
    let mut heads = UncalledHeads::default();
    for param in uncalled(trace).into_iter().rev() {
        let Some(path) = param.name.strip_suffix(".weight") else { continue };
        let called = any_member(path).and_then(|member| work.get(&member));
        if let Some((key, _)) = called.filter(|(_, weight)| *weight == param.shape) {
            heads.0.entry(key.clone()).or_default().push(path.to_owned());
        }
    }
    heads
}

/// The path of a list's member with its number taken out: `decoder.dec_bbox_head.*.layers.0`. `None` for what is no head.
fn any_member(path: &str) -> Option<String> {
    let names: Vec<&str> = path.split('.').collect();
    let head = names.iter().position(|name| name.ends_with("_head"))?;
    let number = names.get(head + 1)?;
    number.parse::<usize>().ok()?;
    let mut names = names;
    names[head + 1] = "*";
    Some(names.join("."))
}
