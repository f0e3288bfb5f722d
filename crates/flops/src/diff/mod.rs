//! Two traces, operation by operation.
//!
//! Traces whose operations have the same names are joined on (path, kind, n-th call). A graph file has names of its own:
//! its operations are joined by what they compute, in order ([`align`]). What exporters fold, split or add is not
//! hidden: it has a [`Reason`], and stands in a group of that name with its arithmetic.

mod align;
mod explain;
mod key;
mod name;
mod row;
mod side;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::{Convention, CountError, Framework, Op, Program, Trace, Unit, View, conventions};
use side::{calls, one, side, uncalled_params};

pub use explain::Reason;
pub use row::{Agreement, Call, DiffRow, is_product};
pub use side::{ParamDiff, Side, Tally};

/// What two traces were joined on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Joined {
    /// Path, kind and number of the call.
    Names,
    /// What operations compute, in order.
    Shapes,
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
