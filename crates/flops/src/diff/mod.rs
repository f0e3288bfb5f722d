//! Two traces, operation by operation.
//!
//! Traces whose operations have the same names are joined on (path, kind, n-th call). A graph file has names of its own:
//! its operations are joined by what they compute, in order ([`align`]). What exporters fold, split or add is not
//! hidden: it has a [`Reason`], and stands in a group of that name with its arithmetic.

mod align;
mod explain;
mod key;
mod name;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::count::judge;
use crate::{
    Convention, CountError, CustomOps, Framework, Kind, Meta, Op, Param, Program, Trace, Unit, View, Work, conventions,
    count,
};

pub use explain::Reason;

/// How two traces agree about an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Nothing differs.
    Same,
    /// The left trace alone has it.
    OnlyHere,
    /// The right trace alone has it.
    OnlyThere,
    /// Inputs, output, stride, padding or groups differ.
    OtherShape,
    /// Shapes and parameters are the same, the counts are not.
    OtherCount,
    /// Shapes are the same, parameters are not.
    OtherParams,
}

impl Agreement {
    /// All of them, in the order of reports.
    pub const ALL: [Agreement; 6] = [
        Agreement::Same,
        Agreement::OnlyHere,
        Agreement::OnlyThere,
        Agreement::OtherShape,
        Agreement::OtherCount,
        Agreement::OtherParams,
    ];

    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Agreement::Same => "same",
            Agreement::OnlyHere => "only here",
            Agreement::OnlyThere => "only there",
            Agreement::OtherShape => "other shape",
            Agreement::OtherCount => "other count",
            Agreement::OtherParams => "other params",
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What two traces were joined on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Joined {
    /// Path, kind and number of the call.
    Names,
    /// What operations compute, in order.
    Shapes,
}

/// One call of one operation, with its arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Its facts.
    pub op: &'a Op,
    /// Which call of its path and kind, from 0.
    pub nth: usize,
    /// Count under the chosen convention.
    pub count: u64,
    /// MACs and FLOPs under `full`.
    pub work: Work,
    /// Its place among the trace's operations.
    at: usize,
}

/// An operation of one trace or of both.
#[derive(Clone, Debug)]
pub struct DiffRow<'a> {
    /// What it is.
    pub kind: Kind,
    /// The left trace's calls: one, none, or several where an exporter splits or merges.
    pub here: Vec<Call<'a>>,
    /// The right trace's.
    pub there: Vec<Call<'a>>,
    /// How they agree.
    pub verdict: Agreement,
    /// Why they may differ, if there is a reason with a name.
    pub reason: Option<Reason>,
    /// What the reason is about, for instance the path of an uncalled head; else empty.
    pub note: String,
}

impl<'a> DiffRow<'a> {
    fn pair(here: Call<'a>, there: Call<'a>, verdict: Agreement) -> DiffRow<'a> {
        DiffRow::new(vec![here], vec![there], verdict)
    }

    fn new(here: Vec<Call<'a>>, there: Vec<Call<'a>>, verdict: Agreement) -> DiffRow<'a> {
        let kind = here.first().or(there.first()).map_or(Kind::custom(""), |call| call.op.kind.clone());
        DiffRow { kind, here, there, verdict, reason: None, note: String::new() }
    }

    /// Whether anything differs.
    pub fn differs(&self) -> bool {
        self.verdict != Agreement::Same
    }

    /// Whether it differs and no reason excuses that.
    pub fn is_unexplained(&self) -> bool {
        self.differs() && !self.reason.is_some_and(Reason::excuses)
    }

    /// Whether its MACs count towards the threshold.
    pub fn is_product(&self) -> bool {
        is_product(&self.kind)
    }

    /// By how many MACs the sides differ.
    pub fn macs_apart(&self) -> u64 {
        macs(&self.here).abs_diff(macs(&self.there))
    }
}

fn macs(calls: &[Call<'_>]) -> u64 {
    calls.iter().map(|call| call.work.macs).fold(0, u64::saturating_add)
}

/// Whether operations of that kind are nearly all of a network's work: those whose MACs count towards the threshold.
pub fn is_product(kind: &Kind) -> bool {
    matches!(kind, Kind::Conv2d | Kind::Linear | Kind::Matmul | Kind::GridSample)
}

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
    fn add(&mut self, work: Work) {
        self.ops += 1;
        self.macs = self.macs.saturating_add(work.macs);
        self.flops = self.flops.saturating_add(work.flops);
    }
}

/// Differences with the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Why they differ.
    pub reason: Reason,
    /// What differs on the left.
    pub here: Tally,
    /// What differs on the right.
    pub there: Tally,
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

/// Two traces compared.
#[derive(Clone, Debug)]
pub struct Diff<'a> {
    /// The left trace.
    pub here: Side,
    /// The right one.
    pub there: Side,
    /// Name of the convention that the sides' totals are under.
    pub convention: &'static str,
    /// What its counts are numbers of.
    pub unit: Unit,
    /// What they were joined on.
    pub joined: Joined,
    /// Every operation, in the left trace's order; then those of the right trace alone, in its order.
    pub rows: Vec<DiffRow<'a>>,
    /// Parameters of uncalled modules that differ. Only of traces joined by name that list their parameters.
    pub params: Vec<ParamDiff>,
    /// Arithmetic of programs on constants and integers, left and right.
    aside: Vec<Explained>,
}

impl<'a> Diff<'a> {
    /// The rows that differ.
    pub fn differing(&self) -> impl Iterator<Item = &DiffRow<'a>> {
        self.rows.iter().filter(|row| row.differs())
    }

    /// The rows that differ without a reason that excuses it.
    pub fn unexplained(&self) -> impl Iterator<Item = &DiffRow<'a>> {
        self.rows.iter().filter(|row| row.is_unexplained())
    }

    /// Number of rows with that verdict.
    pub fn tally(&self, verdict: Agreement) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// Sum of the unexplained differences in MACs of conv2d, linear, matmul and grid_sample.
    pub fn unexplained_macs(&self) -> u64 {
        self.unexplained().filter(|row| row.is_product()).map(DiffRow::macs_apart).fold(0, u64::saturating_add)
    }

    /// [`Diff::unexplained_macs`] as a percentage of the left side's MACs of these kinds.
    pub fn percent(&self) -> f64 {
        match (self.unexplained_macs(), self.here.product_macs) {
            (0, _) => 0.0,
            (_, 0) => f64::INFINITY,
            (apart, all) => 100.0 * apart as f64 / all as f64,
        }
    }

    /// Whether the differences are over `percent`. At 0 a convolution, linear layer, product or sampling of another shape
    /// is over it even if it costs the same.
    pub fn is_over(&self, percent: f64) -> bool {
        self.percent() > percent || (percent <= 0.0 && self.unexplained().any(DiffRow::is_product))
    }

    /// The differences that have a reason, by reason.
    pub fn explained(&self) -> Vec<Explained> {
        let mut groups = self.aside.clone();
        for row in self.differing() {
            let Some(reason) = row.reason else { continue };
            let at = groups.iter().position(|group| group.reason == reason).unwrap_or_else(|| {
                groups.push(Explained { reason, here: Tally::default(), there: Tally::default() });
                groups.len() - 1
            });
            let group = &mut groups[at];
            for (calls, tally) in [(&row.here, &mut group.here), (&row.there, &mut group.there)] {
                reason.work(calls).for_each(|work| tally.add(work));
            }
        }
        groups.sort_by_key(|group| group.reason);
        groups
    }
}

/// Compares two traces operation by operation; `convention` counts their totals and the rows' counts. What is a part of
/// another operation of a program is not compared apart from it.
///
/// # Errors
/// If a total is over 2⁶⁴.
pub fn diff<'a>(here: &'a Trace, there: &'a Trace, convention: &'static Convention) -> Result<Diff<'a>, CountError> {
    let (left, right) = (calls(here, convention)?, calls(there, convention)?);
    let same_names = name::are_shared(&left, &right);
    let imported = [here, there].iter().any(|trace| trace.ops.iter().any(|op| op.program.is_some()));
    let may_explain = imported || !same_names || here.meta.structure != there.meta.structure;
    let mut rows = Vec::new();
    let (mut rest_left, mut rest_right) = (left.clone(), right.clone());
    if same_names {
        (rest_left, rest_right) = name::join(left, right, &mut rows);
    }
    if may_explain {
        let heads = explain::Heads { here: explain::uncalled_heads(here), there: explain::uncalled_heads(there) };
        (rest_left, rest_right) = align::align(rest_left, rest_right, heads, &mut rows);
    }
    rows.extend(rest_left.into_iter().map(|call| DiffRow::new(vec![call], vec![], Agreement::OnlyHere)));
    rows.extend(rest_right.into_iter().map(|call| DiffRow::new(vec![], vec![call], Agreement::OnlyThere)));
    if may_explain {
        explain::explain(&mut rows, here, there);
    }
    let place = |calls: &[Call<'_>]| calls.first().map_or(usize::MAX, |call| call.at);
    rows.sort_by_key(|row| (place(&row.here), place(&row.there)));
    let joined = if same_names { Joined::Names } else { Joined::Shapes };
    Ok(Diff {
        here: side(here, convention)?,
        there: side(there, convention)?,
        convention: convention.name,
        unit: convention.unit,
        joined,
        rows,
        params: if same_names { uncalled_params(here, there) } else { Vec::new() },
        aside: aside(here, there)?,
    })
}

/// Every call that is no part of another, with its arithmetic.
fn calls<'a>(trace: &'a Trace, convention: &'static Convention) -> Result<Vec<Call<'a>>, CountError> {
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

fn one(op: &Op, view: &View<'_>, convention: &'static Convention) -> Result<Work, CountError> {
    let judged = judge(op, view, convention, &CustomOps::new());
    judged.map(|(_, work)| work).map_err(|fault| CountError::new(&op.path, convention, fault))
}

fn side(trace: &Trace, convention: &'static Convention) -> Result<Side, CountError> {
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

/// Arithmetic that programs do on constants and integers. A network on candle does not write it down.
fn aside(here: &Trace, there: &Trace) -> Result<Vec<Explained>, CountError> {
    let mut groups = Vec::new();
    for (reason, part_of) in [(Reason::Constants, Program::CONSTANT), (Reason::Integers, Program::INTEGER)] {
        let mut group = Explained { reason, here: Tally::default(), there: Tally::default() };
        for (trace, tally) in [(here, &mut group.here), (there, &mut group.there)] {
            let of = |op: &&Op| op.program.as_ref().is_some_and(|program| program.part_of.as_deref() == Some(part_of));
            let view = View::new(trace, Framework::default());
            for op in trace.ops.iter().filter(of) {
                tally.add(one(op, &view, &conventions::FULL)?);
            }
        }
        if group.here != group.there {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// Parameters of modules that nothing calls: no operation shows them.
fn uncalled_params(here: &Trace, there: &Trace) -> Vec<ParamDiff> {
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
fn uncalled(trace: &Trace) -> Vec<&Param> {
    let called: HashSet<&str> = trace.ops.iter().map(Op::owner).collect();
    let owner = |name: &str| name.rsplit_once('.').map_or(0, |(owner, _)| owner.len());
    trace.params.iter().filter(|param| !called.contains(&param.name[..owner(&param.name)])).collect()
}
