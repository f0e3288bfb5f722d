use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::op::owner;
use crate::{Convention, CustomOps, Framework, Kind, Meta, Op, Param, Rule, Shape, Trace, Unit, Verdict, View, Work};

/// A trace under a convention.
#[derive(Clone, Debug)]
pub struct Count {
    /// Name of the convention.
    pub convention: &'static str,
    /// The tool whose rules it mirrors.
    pub mirrors: &'static str,
    /// Whose modules it looked at, if it is a tool for PyTorch.
    pub framework: Option<Framework>,
    /// What `total` is a number of.
    pub unit: Unit,
    /// The tool's total.
    pub total: u64,
    /// Multiply-accumulates, where the convention tells them apart (`full`).
    pub macs: u64,
    /// Floating point operations, where the convention tells them apart (`full`).
    pub flops: u64,
    /// The tool's number of parameters.
    pub params: u64,
    /// One row per module or role, in the order of their first calls.
    pub rows: Vec<Row>,
    /// What is not in the total, and why.
    pub audit: Audit,
    /// What ran.
    pub meta: Meta,
}

/// One module, or one operation of a block, with all its calls.
#[derive(Clone, Debug)]
pub struct Row {
    /// Dotted name, unique.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// What it is for, when it has no module.
    pub role: String,
    /// Number of calls.
    pub calls: u64,
    /// Shape of the first input of the last call.
    pub input: Shape,
    /// Shape of the output of the last call.
    pub output: Shape,
    /// Parameters, once however often it is called.
    pub params: u64,
    /// The count in the convention's unit, over all calls.
    pub count: u64,
    /// Multiply-accumulates over all calls.
    pub macs: u64,
    /// Floating point operations over all calls.
    pub flops: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Time of all calls in nanoseconds.
    pub time_ns: u64,
}

/// What is not in a total, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Operations without a rule: their arithmetic is missing from the total.
    pub unknown: Vec<AuditOp>,
    /// Modules with parameters that nothing called.
    pub uncalled: Vec<Uncalled>,
    /// Operations that the tool cannot see.
    pub invisible: Vec<AuditOp>,
}

/// An operation that is not in the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditOp {
    /// Dotted name.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its parameters, which are missing from the total as well.
    pub params: u64,
}

/// A module that nothing called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncalled {
    /// Dotted name.
    pub path: String,
    /// Its parameters.
    pub params: u64,
}

/// Why a trace cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the count of {path:?} under `{convention}`: {fault}")]
pub struct CountError {
    path: String,
    convention: &'static str,
    fault: String,
}

impl CountError {
    pub(crate) fn new(path: &str, convention: &Convention, fault: impl Into<String>) -> CountError {
        CountError { path: path.to_owned(), convention: convention.name, fault: fault.into() }
    }
}

/// Applies a convention, with the user's own rules, to a trace that was made by a forward pass or passed
/// [`Trace::check`], as the official code would have made it.
pub fn count(trace: &Trace, convention: &'static Convention, custom: &CustomOps) -> Result<Count, CountError> {
    count_as(&View::new(trace, Framework::default()), convention, custom)
}

/// The same for a trace as a framework would have made it.
pub fn count_as(view: &View<'_>, convention: &'static Convention, custom: &CustomOps) -> Result<Count, CountError> {
    let trace = view.trace();
    let mut rows: Vec<Row> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for op in seen_ops(view, convention) {
        let (verdict, work) =
            judge(op, view, convention, custom).map_err(|fault| CountError::new(&op.path, convention, fault))?;
        let is_param = |param: &&Param| (convention.is_param)(view.standing(op.owner(), param.role));
        let at = *index.entry(&op.path).or_insert_with(|| {
            rows.push(Row {
                path: op.path.clone(),
                kind: op.kind.clone(),
                role: op.role.clone(),
                calls: 0,
                input: Shape::new(),
                output: Shape::new(),
                params: op.params.iter().filter(is_param).map(Param::numel).sum(),
                count: 0,
                macs: 0,
                flops: 0,
                verdict,
                time_ns: 0,
            });
            rows.len() - 1
        });
        let row = &mut rows[at];
        let too_large = || CountError::new(&op.path, convention, "it is over 2^64");
        row.calls += 1;
        row.input = op.input().to_vec();
        row.output = op.output.clone();
        row.count = row.count.checked_add(work.of(convention.unit)).ok_or_else(too_large)?;
        row.macs = row.macs.checked_add(work.macs).ok_or_else(too_large)?;
        row.flops = row.flops.checked_add(work.flops).ok_or_else(too_large)?;
        row.time_ns = row.time_ns.saturating_add(op.time_ns);
    }
    let sum = |of: fn(&Row) -> u64| {
        rows.iter().try_fold(0u64, |sum, row| {
            sum.checked_add(of(row)).ok_or_else(|| CountError::new(&row.path, convention, "the total is over 2^64"))
        })
    };
    let (total, macs, flops) = (sum(|row| row.count)?, sum(|row| row.macs)?, sum(|row| row.flops)?);
    let params = params(view, convention, &rows);
    let audit = audit(view, convention, &rows);
    Ok(Count {
        convention: convention.name,
        mirrors: convention.mirrors,
        framework: convention.of_torch.then_some(view.framework),
        unit: convention.unit,
        total,
        macs,
        flops,
        params,
        rows,
        audit,
        meta: trace.meta.clone(),
    })
}

/// The operations that a convention looks at: of a program its parts or its wholes, never both; and what the framework
/// does besides.
pub(crate) fn seen_ops<'v>(view: &'v View<'_>, convention: &Convention) -> impl Iterator<Item = &'v Op> {
    let trace = view.trace();
    let of_program = convention.of_programs && trace.ops.iter().any(|op| op.program.is_some());
    let passed_over = move |op: &&Op| if of_program { op.program.is_none() } else { op.is_part() };
    let added = if convention.of_torch { view.added() } else { &[] };
    trace.ops.iter().filter(move |op| !passed_over(op)).chain(added)
}

/// The tool's number of parameters.
fn params(view: &View<'_>, convention: &Convention, rows: &[Row]) -> u64 {
    let trace = view.trace();
    let seen_rows = || rows.iter().filter(|row| row.verdict != Verdict::Invisible).map(|row| row.params).sum();
    if convention.params_of_called_only || trace.params.is_empty() {
        return seen_rows();
    }
    let besides = (convention.params_besides)(view).iter().map(|besides| besides.params).sum();
    owned(view, convention).map(Param::numel).sum::<u64>().saturating_add_signed(besides)
}

/// The tensors of the model that are parameters to the tool, called or not.
fn owned<'v>(view: &'v View<'_>, convention: &'v Convention) -> impl Iterator<Item = &'v Param> {
    let exists = move |param: &&Param| !convention.of_torch || !view.is_absent(param);
    let is_param = move |param: &&Param| (convention.is_param)(view.standing(param.owner(), param.role));
    view.trace().params.iter().filter(exists).filter(is_param)
}

/// The verdict on one call, and its arithmetic.
pub(crate) fn judge(
    op: &Op,
    view: &View<'_>,
    convention: &Convention,
    custom: &CustomOps,
) -> Result<(Verdict, Work), String> {
    if !(convention.sees)(op, view) {
        return Ok((Verdict::Invisible, Work::default()));
    }
    if let Some(rule) = custom.get(&op.kind) {
        let units = rule(op)?;
        let work = match convention.unit {
            Unit::Mac => Work { macs: units, flops: units.saturating_mul(2) },
            Unit::Flop => Work::flops(units),
        };
        return Ok((Verdict::Counted, work));
    }
    Ok(match (convention.rule)(op, view) {
        Rule::Count(work) => (Verdict::Counted, work),
        Rule::Twice(work) => (Verdict::Counted, work.twice()),
        Rule::Zero => (Verdict::Zero, Work::default()),
        Rule::Ignore => (Verdict::Ignored, Work::default()),
        Rule::Unknown => (Verdict::Unknown, Work::default()),
    })
}

fn audit(view: &View<'_>, convention: &Convention, rows: &[Row]) -> Audit {
    let listed = |verdict: Verdict| {
        rows.iter()
            .filter(|row| row.verdict == verdict)
            .map(|row| AuditOp { path: row.path.clone(), kind: row.kind.clone(), params: row.params })
            .collect()
    };
    let called: HashSet<&str> = rows.iter().map(|row| owner(&row.path)).collect();
    let mut uncalled: Vec<Uncalled> = Vec::new();
    // A graph file has what is called and nothing else, and its parameters' names need not be those of its operations.
    let of_graph = view.trace().ops.iter().any(|op| op.program.is_some());
    for param in owned(view, convention).filter(|_| !of_graph) {
        let owner = param.owner();
        if called.contains(owner) {
            continue;
        }
        match uncalled.last_mut().filter(|last| last.path == owner) {
            Some(last) => last.params += param.numel(),
            None => uncalled.push(Uncalled { path: owner.to_owned(), params: param.numel() }),
        }
    }
    Audit { unknown: listed(Verdict::Unknown), uncalled, invisible: listed(Verdict::Invisible) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Program, conventions};

    fn op(path: &str, kind: Kind, program: Option<Program>) -> Op {
        Op { program, ..Op::new(path.into(), kind, "", vec![vec![1, 4]], vec![1, 4]) }
    }

    #[test]
    fn a_whole_and_its_parts_are_never_both_counted() {
        static OF_PROGRAMS: Convention = Convention {
            name: "of-programs",
            of_programs: true,
            rule: |op, _| Rule::Count(Work::units(crate::numel(&op.output))),
            ..conventions::FULL
        };
        let part = |name: &str, of: &str| Some(Program { op: name.into(), part_of: Some(of.into()) });
        let trace = Trace {
            ops: vec![
                op("silu", Kind::Silu, None),
                op("silu/sigmoid", Kind::Sigmoid, part("sigmoid", "silu")),
                op("silu/mul", Kind::Mul, part("elementwise_mul", "silu")),
                op("relu", Kind::Relu, Some(Program { op: "relu".into(), part_of: None })),
                op("sizes", Kind::Mul, part("elementwise_mul", Program::INTEGER)),
            ],
            ..Trace::default()
        };
        let paths = |convention| {
            let counted = count(&trace, convention, &CustomOps::new()).expect("counts");
            counted.rows.into_iter().map(|row| row.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(&conventions::FULL), ["silu", "relu"]);
        assert_eq!(paths(&OF_PROGRAMS), ["silu/sigmoid", "silu/mul", "relu", "sizes"]);
    }
}
