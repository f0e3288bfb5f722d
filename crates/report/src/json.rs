use detrace_flops::{Audit, Count, SCHEMA, Unit};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Rename, shown};

/// The versions that matter to a count.
#[derive(Clone, Debug, Serialize)]
pub struct Versions {
    /// Ours.
    pub detrace: &'static str,
    /// The tensor library that ran the forward pass.
    pub candle: &'static str,
    /// The Paddle whose rules are mirrored.
    pub paddle: &'static str,
}

/// The count as JSON, schema 1.
pub fn json(count: &Count, versions: &Versions, rename: Rename<'_>) -> Value {
    let meta = &count.meta;
    let layers: Vec<Value> = count
        .rows
        .iter()
        .map(|row| {
            json!({
                "path": shown(&row.path, rename), "kind": row.kind, "role": row.role, "calls": row.calls,
                "input": row.input, "output": row.output, "params": row.params, "count": row.count,
                "macs": row.macs, "flops": row.flops, "verdict": row.verdict, "time_ns": row.time_ns,
            })
        })
        .collect();
    let mut value = json!({
        "schema": SCHEMA, "model": meta.model, "structure": meta.structure, "input": meta.input,
        "device": meta.device, "dtype": meta.dtype, "threads": meta.threads, "timing": meta.timing,
        "source": meta.source, "seed": meta.seed,
        "convention": count.convention, "mirrors": count.mirrors, "unit": count.unit,
        "total": count.total, "params": count.params,
        "layers": layers, "audit": audit(&count.audit, rename),
        "versions": versions,
    });
    if let Some(framework) = count.framework {
        value["framework"] = framework.name().into();
    }
    if count.unit == Unit::Flop {
        value["macs"] = count.macs.into();
    }
    if count.convention == "full" {
        value["macs"] = count.macs.into();
        value["flops"] = count.flops.into();
    }
    value
}

fn audit(audit: &Audit, rename: Rename<'_>) -> Value {
    let ops = |ops: &[detrace_flops::AuditOp]| -> Vec<Value> {
        ops.iter().map(|op| json!({"path": shown(&op.path, rename), "kind": op.kind, "params": op.params})).collect()
    };
    let uncalled: Vec<Value> =
        audit.uncalled.iter().map(|one| json!({"path": shown(&one.path, rename), "params": one.params})).collect();
    json!({"unknown": ops(&audit.unknown), "uncalled": uncalled, "invisible": ops(&audit.invisible)})
}
