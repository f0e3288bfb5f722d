use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Result};
use detrace_flops::{Block, Op};
use tracing::{Span, Subscriber, subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// `tracing` target of an operation's span; its fields are `path` (dotted), `role` and `kind`. Level TRACE.
pub const OP: &str = "detrace::op";
/// `tracing` target of a block's span; its field is `path`. Level DEBUG.
pub const BLOCK: &str = "detrace::block";

/// The one callsite of all operations. A callsite that an untraced thread touches first can stay disabled for a
/// recorder that comes later (tracing issue 3611), so there is only one, and [`Recorder`] touches it before listening.
pub(crate) fn op_span(path: &str, role: &str, kind: &str) -> Span {
    tracing::trace_span!(target: OP, "op", path, role, kind)
}

/// The one callsite of all blocks; see [`op_span`].
pub(crate) fn block_span(path: &str) -> Span {
    tracing::debug_span!(target: BLOCK, "block", path)
}

/// Calls `with` on the recorder that listens on this thread, if there is one.
pub(crate) fn with_recorder<T>(with: impl FnOnce(&RecorderLayer) -> T) -> Option<T> {
    let mut with = Some(with);
    tracing::dispatcher::get_default(|dispatch| {
        dispatch.downcast_ref::<RecorderLayer>().and_then(|recorder| with.take().map(|with| with(recorder)))
    })
}

/// Collects the facts of everything that runs while it listens.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    state: Arc<Mutex<State>>,
    device: Option<Device>,
}

#[derive(Debug, Default)]
struct State {
    recorded: Recorded,
    blocks: HashMap<Box<str>, usize>,
}

/// What a recorder collected.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Every call of every operation, in order.
    pub ops: Vec<Op>,
    /// Every block with its time over all calls.
    pub blocks: Vec<Block>,
}

impl Recorder {
    /// A recorder that takes wall time around each operation, which is right where operations are synchronous.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// A recorder that synchronises the device after each operation, so that times are those of the operation.
    pub fn synchronized(device: Device) -> Recorder {
        Recorder { device: Some(device), ..Recorder::default() }
    }

    /// Runs `forward` with this recorder listening on the current thread.
    pub fn record<T>(&self, forward: impl FnOnce() -> T) -> T {
        subscriber::with_default(tracing_subscriber::registry().with(self.layer()), forward)
    }

    /// The recorder as a layer of a `tracing` subscriber of the user's own, beside others.
    pub fn layer(&self) -> RecorderLayer {
        let nobody = tracing::subscriber::NoSubscriber::default();
        subscriber::with_default(nobody, || drop((op_span("", "", ""), block_span(""))));
        RecorderLayer { state: Arc::clone(&self.state), device: self.device.clone() }
    }

    /// Takes what was recorded so far; the recorder starts anew.
    pub fn take(&self) -> Recorded {
        std::mem::take(&mut *lock(&self.state)).recorded
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // The state is a list that is only ever appended to, so a panic elsewhere leaves it whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See [`Recorder::layer`].
#[derive(Debug)]
pub struct RecorderLayer {
    state: Arc<Mutex<State>>,
    device: Option<Device>,
}

impl RecorderLayer {
    pub(crate) fn synchronize(&self) -> Result<()> {
        self.device.as_ref().map_or(Ok(()), Device::synchronize)
    }

    /// Appends an operation and the sub-facts of what its kernel did besides.
    pub(crate) fn push(&self, op: Op, mut fused: Vec<Op>) {
        for sub in &mut fused {
            sub.fused_into = Some(op.path.clone());
        }
        let ops = &mut lock(&self.state).recorded.ops;
        ops.push(op);
        ops.append(&mut fused);
    }

    pub(crate) fn push_block(&self, path: &str, time_ns: u64, glue_ns: u64) {
        let state = &mut *lock(&self.state);
        let at = *state.blocks.entry(path.into()).or_insert_with(|| {
            state.recorded.blocks.push(Block { path: path.to_owned(), calls: 0, time_ns: 0, glue_ns: 0 });
            state.recorded.blocks.len() - 1
        });
        let block = &mut state.recorded.blocks[at];
        block.calls += 1;
        block.time_ns = block.time_ns.saturating_add(time_ns);
        block.glue_ns = block.glue_ns.saturating_add(glue_ns);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RecorderLayer {}
