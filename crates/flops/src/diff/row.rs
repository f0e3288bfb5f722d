use std::fmt;

use serde::Serialize;

use super::Reason;
use crate::{Kind, Op, Work};

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
    pub(super) at: usize,
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
    pub(super) fn pair(here: Call<'a>, there: Call<'a>, verdict: Agreement) -> DiffRow<'a> {
        DiffRow::new(vec![here], vec![there], verdict)
    }

    pub(super) fn new(here: Vec<Call<'a>>, there: Vec<Call<'a>>, verdict: Agreement) -> DiffRow<'a> {
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

pub(super) fn macs(calls: &[Call<'_>]) -> u64 {
    calls.iter().map(|call| call.work.macs).fold(0, u64::saturating_add)
}

/// Whether operations of that kind are nearly all of a network's work: those whose MACs count towards the threshold.
pub fn is_product(kind: &Kind) -> bool {
    matches!(kind, Kind::Conv2d | Kind::Linear | Kind::Matmul | Kind::GridSample)
}
