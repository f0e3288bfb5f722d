use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{BadOp, Op, Param, Shape};

/// The version of the trace file format and of the JSON reports.
pub const SCHEMA: u32 = 1;

/// How the times in a trace were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// Nothing ran, so nothing was timed (a plan, an imported graph).
    #[default]
    None,
    /// Wall clock around each operation; right where operations are synchronous (CPU).
    Wall,
    /// Wall clock with the device synchronised after each operation.
    Synchronized,
    /// Events of the device around each operation: its own time, and its waiting for the processor.
    Events,
    /// Wall clock around the call, which comes back before a device has computed: the time that launching takes.
    Launch,
}

impl Timing {
    /// The name as in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Timing::None => "none",
            Timing::Wall => "wall",
            Timing::Synchronized => "synchronized",
            Timing::Events => "events",
            Timing::Launch => "launch",
        }
    }
}

/// What the numbers of a trace mean nothing without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// The model's name.
    pub model: String,
    /// `v1` for RT-DETR, `v2` for RT-DETRv2, empty for any other model: the two are written with different modules.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// `hf` where the model was made from a configuration of Hugging Face transformers, else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub framework: String,
    /// `train`, `deploy` or `fast`.
    pub structure: String,
    /// Shape of the input image: N, C, H, W.
    pub input: Shape,
    /// Where it ran, for instance `cpu`.
    pub device: String,
    /// Number type, for instance `f32`.
    pub dtype: String,
    /// Threads it ran on; 0 where nothing ran.
    pub threads: usize,
    /// How times were taken.
    pub timing: Timing,
    /// Where the facts come from: `traced` or `plan` or the name of a graph file.
    pub source: String,
    /// Seed of weights and input, where both were made from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Version of detrace that wrote the trace.
    pub detrace: String,
    /// Version of candle that ran it, empty where nothing ran.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub candle: String,
}

/// Time of a block (a module made of modules), with what the operations inside do not explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The block's dotted name; the whole network is the empty one.
    pub path: String,
    /// How often it ran.
    pub calls: u64,
    /// Wall time of all calls in nanoseconds.
    pub time_ns: u64,
    /// Of that, the time in neither an operation nor an inner block: reshapes, copies, bookkeeping.
    pub glue_ns: u64,
}

/// What a forward pass did, or what a graph says it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What ran, on what.
    pub meta: Meta,
    /// Every call of every operation, in the order in which they ran.
    pub ops: Vec<Op>,
    /// Blocks with their times, in the order in which they first ended.
    #[serde(default)]
    pub blocks: Vec<Block>,
    /// Every parameter tensor by its full dotted name, in the order in which the model made them. Empty for a model
    /// whose builder was not watched; then only parameters of operations that ran are known.
    #[serde(default)]
    pub params: Vec<Param>,
    /// Every module's dotted name, with parameters or without, in the order in which the model made them; empty like
    /// `params`.
    #[serde(default)]
    pub modules: Vec<String>,
}

/// Why a trace file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not JSON, or not of this form.
    #[error("not a detrace trace: {0}")]
    Json(serde_json::Error),
    /// Written by another version.
    #[error("the trace has schema {found}, this program reads schema {SCHEMA}")]
    Schema {
        /// The file's schema.
        found: u64,
    },
    /// JSON, but no trace.
    #[error("not a detrace trace: {0}")]
    Shape(&'static str),
    /// An operation whose facts contradict themselves.
    #[error(transparent)]
    Op(#[from] BadOp),
    /// A parameter listed twice.
    #[error("the trace lists parameter {0:?} twice")]
    Twice(String),
    /// A parameter too large to be one.
    #[error("the trace's parameter {0:?} has dimensions that multiply to more than can be counted exactly")]
    Huge(String),
}

impl From<serde_json::Error> for TraceError {
    fn from(error: serde_json::Error) -> Self {
        TraceError::Json(error)
    }
}

impl Trace {
    /// Reads a saved trace and checks every fact in it, so that counting cannot fail on it later.
    pub fn from_json(text: &str) -> Result<Trace, TraceError> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let object = value.as_object().ok_or(TraceError::Shape("the file is not a JSON object"))?;
        let Some(schema) = object.get("schema").and_then(serde_json::Value::as_u64) else {
            return Err(TraceError::Shape("there is no \"schema\""));
        };
        if schema != u64::from(SCHEMA) {
            return Err(TraceError::Schema { found: schema });
        }
        if !object.contains_key("ops") {
            return Err(TraceError::Shape(
                "there is no \"ops\" list; a report of counts (--format json) is not a trace (--trace-out)",
            ));
        }
        let trace: Trace = serde_json::from_value(value)?;
        trace.check()?;
        Ok(trace)
    }

    /// The trace as JSON.
    pub fn to_json(&self) -> Result<String, TraceError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Checks every operation and parameter.
    pub fn check(&self) -> Result<(), TraceError> {
        for op in &self.ops {
            op.check()?;
        }
        let mut seen = HashSet::new();
        for param in &self.params {
            let size = param.shape.iter().map(|&dim| dim as u128).try_fold(1u128, u128::checked_mul);
            if size.is_none_or(|size| size > u128::from(u32::MAX) * 64) {
                return Err(TraceError::Huge(param.name.clone()));
            }
            if !seen.insert(param.name.as_str()) {
                return Err(TraceError::Twice(param.name.clone()));
            }
        }
        Ok(())
    }

    /// Sum of all operations' times in nanoseconds.
    pub fn ops_time_ns(&self) -> u64 {
        self.ops.iter().map(|op| op.time_ns).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_trace() {
        for (text, want) in [
            ("", "not a detrace trace"),
            ("[]", "not a JSON object"),
            ("{}", "no \"schema\""),
            (r#"{"schema":2,"ops":[]}"#, "schema 2"),
            (r#"{"schema":1,"layers":[]}"#, "no \"ops\""),
            (r#"{"schema":1,"ops":[]}"#, "missing field"),
        ] {
            let error = Trace::from_json(text).expect_err(text);
            assert!(error.to_string().contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_trace_survives_a_round_trip() {
        let trace = Trace { schema: SCHEMA, params: vec![Param::named("a.weight", &[2, 3])], ..Trace::default() };
        let text = trace.to_json().expect("serialises");
        assert_eq!(Trace::from_json(&text).expect("reads back"), trace);
    }
}
