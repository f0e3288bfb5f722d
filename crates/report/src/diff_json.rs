use detrace_flops::{Agreement, Call, Diff, DiffRow, SCHEMA, Side};
use serde_json::{Map, Value, json};

use crate::Versions;

/// A comparison as JSON, schema 1: both sides, a summary, the rows that differ, and the groups of those that have a reason.
pub fn diff_json(diff: &Diff<'_>, fail_over: f64, versions: &Versions) -> Value {
    let tallies: Map<String, Value> = Agreement::ALL
        .into_iter()
        .map(|verdict| (verdict.name().replace(' ', "_"), diff.tally(verdict).into()))
        .collect();
    let explained: Vec<Value> = diff
        .explained()
        .iter()
        .map(|group| {
            json!({
                "reason": group.reason, "why": group.reason.why(), "excuses": group.reason.excuses(),
                "here": group.here, "there": group.there,
            })
        })
        .collect();
    json!({
        "schema": SCHEMA, "convention": diff.convention, "unit": diff.unit, "joined": diff.joined,
        "here": side(&diff.here), "there": side(&diff.there),
        "summary": tallies,
        "unexplained": {
            "rows": diff.unexplained().count() + diff.params.len(), "macs": diff.unexplained_macs(), "of": diff.here.product_macs,
            // Where the left side has no products at all there is no share of them.
            "percent": Some(diff.percent()).filter(|percent| percent.is_finite()),
        },
        "fail_over": fail_over, "failed": diff.is_over(fail_over),
        "rows": diff.differing().map(row).collect::<Vec<_>>(),
        "params": diff.params,
        "explained": explained,
        "versions": versions,
    })
}

fn side(side: &Side) -> Value {
    let meta = &side.meta;
    json!({
        "model": meta.model, "structure": meta.structure, "input": meta.input, "source": meta.source,
        "operations": side.ops, "total": side.total, "params": side.params,
        "macs": side.macs, "flops": side.flops, "product_macs": side.product_macs,
    })
}

fn row(row: &DiffRow<'_>) -> Value {
    json!({
        "kind": row.kind, "verdict": row.verdict, "reason": row.reason, "note": row.note,
        "unexplained": row.is_unexplained(),
        "here": row.here.iter().map(call).collect::<Vec<_>>(),
        "there": row.there.iter().map(call).collect::<Vec<_>>(),
    })
}

fn call(call: &Call<'_>) -> Value {
    let op = call.op;
    json!({
        "path": op.path, "call": call.nth, "inputs": op.inputs, "output": op.output, "params": op.params, "attrs": op.attrs,
        "count": call.count, "macs": call.work.macs, "flops": call.work.flops,
    })
}
