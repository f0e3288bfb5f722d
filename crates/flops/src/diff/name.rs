//! Joining by name: path, kind, n-th call.

use std::collections::{HashMap, HashSet};

use super::{Agreement, Call, DiffRow, is_product};
use crate::{Kind, Op};

/// Whether the traces name their operations alike: at least half of the products of the trace that has fewer.
pub(super) fn are_shared(here: &[Call<'_>], there: &[Call<'_>]) -> bool {
    let names = |calls: &[Call<'_>]| -> HashSet<(String, Kind)> {
        let products = calls.iter().filter(|call| is_product(&call.op.kind));
        products.map(|call| (call.op.path.clone(), call.op.kind.clone())).collect()
    };
    let (left, right) = (names(here), names(there));
    2 * left.intersection(&right).count() >= left.len().min(right.len())
}

/// Joins what both have; the rest is given back, in order.
pub(super) fn join<'a>(
    here: Vec<Call<'a>>,
    there: Vec<Call<'a>>,
    rows: &mut Vec<DiffRow<'a>>,
) -> (Vec<Call<'a>>, Vec<Call<'a>>) {
    type Name<'a> = (&'a str, &'a Kind, usize);
    fn name<'a>(call: &Call<'a>) -> Name<'a> {
        (&call.op.path, &call.op.kind, call.nth)
    }
    let mut waiting: HashMap<Name<'a>, Call<'a>> = there.iter().map(|call| (name(call), *call)).collect();
    let mut rest = Vec::new();
    for call in here {
        match waiting.remove(&name(&call)) {
            Some(other) => rows.push(DiffRow::pair(call, other, agreement(&call, &other))),
            None => rest.push(call),
        }
    }
    (rest, there.into_iter().filter(|call| waiting.contains_key(&name(call))).collect())
}

/// How two calls of one name agree.
fn agreement(here: &Call<'_>, there: &Call<'_>) -> Agreement {
    let (left, right): (&Op, &Op) = (here.op, there.op);
    if left.inputs != right.inputs || left.output != right.output || left.attrs != right.attrs {
        Agreement::OtherShape
    } else if left.params != right.params {
        Agreement::OtherParams
    } else if here.count != there.count || here.work != there.work {
        Agreement::OtherCount
    } else {
        Agreement::Same
    }
}
