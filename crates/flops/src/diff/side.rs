//! One of the two traces: its calls with their arithmetic, its totals, what nothing calls.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{Call, is_product};
use crate::count::judge;
use crate::{
    Convention, CountError, CustomOps, Framework, Kind, Meta, Op, Param, Trace, View, Work, conventions, count,
};

/// One of the two traces in numbers.
#[derive(Clone, Debug)]
pub struct Side {
    /// What ran, or what was read.
    pub meta: Meta,
    /// Number of calls, without what a program writes as parts of others.
    pub ops: u64,
    /// Total under the chosen convention.
    pub total: u64,
    /// Parameters under the chosen convention.
    pub params: u64,
    /// MACs under `full`.
    pub macs: u64,
    /// FLOPs under `full`.
    pub flops: u64,
    /// MACs under `full` of conv2d, linear, matmul and grid_sample.
    pub product_macs: u64,
}

/// Calls with their arithmetic under `full`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Number of calls.
    pub ops: u64,
    /// Their MACs.
    pub macs: u64,
    /// Their FLOPs.
    pub flops: u64,
}

impl Tally {
    pub(super) fn add(&mut self, work: Work) {
        self.ops += 1;
        self.macs = self.macs.saturating_add(work.macs);
        self.flops = self.flops.saturating_add(work.flops);
    }
}

/// A parameter of a module that nothing calls, which the traces do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParamDiff {
    /// Its full dotted name.
    pub name: String,
    /// Its shape on the left, if it is there.
    pub here: Option<Vec<usize>>,
    /// Its shape on the right.
    pub there: Option<Vec<usize>>,
}

/// Every call that is no part of another, with its arithmetic.
pub(super) fn calls<'a>(trace: &'a Trace, convention: &'static Convention) -> Result<Vec<Call<'a>>, CountError> {
    let mut seen: HashMap<(&str, &Kind), usize> = HashMap::new();
    let view = View::new(trace, Framework::default());
    let whole = trace.ops.iter().enumerate().filter(|(_, op)| !op.is_part());
    whole
        .map(|(at, op)| {
            let nth = seen.entry((&op.path, &op.kind)).or_default();
            let count = one(op, &view, convention)?.of(convention.unit);
            let work = one(op, &view, &conventions::FULL)?;
            *nth += 1;
            Ok(Call { op, nth: *nth - 1, count, work, at })
        })
        .collect()
}

/// The arithmetic of one call.
pub(super) fn one(op: &Op, view: &View<'_>, convention: &'static Convention) -> Result<Work, CountError> {
    let judged = judge(op, view, convention, &CustomOps::new());
    judged.map(|(_, work)| work).map_err(|fault| CountError::new(&op.path, convention, fault))
}

/// A trace's totals.
pub(super) fn side(trace: &Trace, convention: &'static Convention) -> Result<Side, CountError> {
    let counted = count(trace, convention, &CustomOps::new())?;
    let full = count(trace, &conventions::FULL, &CustomOps::new())?;
    Ok(Side {
        meta: trace.meta.clone(),
        ops: trace.ops.iter().filter(|op| !op.is_part()).count() as u64,
        total: counted.total,
        params: counted.params,
        macs: full.macs,
        flops: full.flops,
        product_macs: full.rows.iter().filter(|row| is_product(&row.kind)).map(|row| row.macs).sum(),
    })
}

/// Parameters of modules that nothing calls: no operation shows them.
pub(super) fn uncalled_params(here: &Trace, there: &Trace) -> Vec<ParamDiff> {
    if here.params.is_empty() || there.params.is_empty() {
        return Vec::new();
    }
    let (left, right) = (uncalled(here), uncalled(there));
    let shapes = |params: &[&Param]| -> HashMap<String, Vec<usize>> {
        params.iter().map(|param| (param.name.clone(), param.shape.clone())).collect()
    };
    let (in_left, in_right) = (shapes(&left), shapes(&right));
    let names = left.iter().chain(right.iter().filter(|param| !in_left.contains_key(&param.name)));
    names
        .map(|param| ParamDiff {
            name: param.name.clone(),
            here: in_left.get(&param.name).cloned(),
            there: in_right.get(&param.name).cloned(),
        })
        .filter(|param| param.here != param.there)
        .collect()
}

/// The parameters of modules that nothing calls.
pub(super) fn uncalled(trace: &Trace) -> Vec<&Param> {
    let called: HashSet<&str> = trace.ops.iter().map(Op::owner).collect();
    let owner = |name: &str| name.rsplit_once('.').map_or(0, |(owner, _)| owner.len());
    trace.params.iter().filter(|param| !called.contains(&param.name[..owner(&param.name)])).collect()
}
