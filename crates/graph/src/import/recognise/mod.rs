//! From a graph with shapes to a [`Trace`]: what a program writes as several operations is one again.
//!
//! Every operation of the program that does arithmetic or copies is listed once, with its own word for it. What several of
//! them are together (a linear layer with its bias, a layer norm, an activation) stands before them, and they are its parts;
//! see [`Program`]. Views of the same elements and lookups of shapes are left out.

mod compound;
mod emit;
mod parts;
mod roles;
mod simple;
mod view;

use detrace_flops::{Meta, SCHEMA, Timing, Trace, TraceError};

use super::ImportError;
use super::infer::Facts;
use super::ir::Graph;
use emit::Emitter;
use view::View;

/// The trace of a graph that was read from the file called `name`.
pub(super) fn trace(name: &str, graph: &Graph, facts: &Facts<'_>) -> Result<Trace, ImportError> {
    let view = View::new(graph, facts);
    let wholes = compound::find(&view);
    let roles = roles::find(&view);
    let mut emitter = Emitter::new(&view, &wholes, &roles);
    for &node in &facts.order {
        emitter.node(node)?;
    }
    let (ops, params) = emitter.finish();
    let model = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let meta = Meta {
        model,
        version: String::new(),
        framework: String::new(),
        structure: "graph".to_owned(),
        input: facts.image.clone(),
        device: "none".to_owned(),
        dtype: "f32".to_owned(),
        timing: Timing::None,
        source: name.to_owned(),
        detrace: env!("CARGO_PKG_VERSION").to_owned(),
        ..Meta::default()
    };
    let trace = Trace { schema: SCHEMA, meta, ops, blocks: Vec::new(), params, modules: Vec::new() };
    match trace.check() {
        Ok(()) => Ok(trace),
        Err(TraceError::Op(bad)) => Err(bad.into()),
        Err(other) => Err(ImportError::NotAGraph(other.to_string())),
    }
}
