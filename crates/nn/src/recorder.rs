use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Result};
use detrace_flops::{Block, Op, Timing};
use tracing::{Span, Subscriber, subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock, Moment};

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
#[derive(Clone, Debug)]
pub struct Recorder {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    recorded: Recorded,
    blocks: HashMap<Box<str>, usize>,
    spans: Vec<Timed>,
}

/// What took time, in the order of its ends. Times are told when everything is over, as a device may be behind.
#[derive(Debug)]
struct Timed {
    moments: [Moment; 2],
    /// The call of the block that it was in.
    inside: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The operation of that index.
    Op(usize),
    /// A call of the block of that index.
    Block(usize, u64),
}

/// What a recorder collected.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Every call of every operation, in order.
    pub ops: Vec<Op>,
    /// Every block with its time over all calls.
    pub blocks: Vec<Block>,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

impl Recorder {
    /// A recorder that takes wall time around each operation, which is right where operations are synchronous.
    pub fn new() -> Recorder {
        Recorder::with_clock(Clock::with(Timing::Wall, Arc::new(Device::Cpu)))
    }

    /// A recorder that takes times by that clock.
    pub fn with_clock(clock: Clock) -> Recorder {
        Recorder { state: Arc::default(), clock }
    }

    /// Runs `forward` with this recorder listening on the current thread.
    pub fn record<T>(&self, forward: impl FnOnce() -> T) -> T {
        subscriber::with_default(tracing_subscriber::registry().with(self.layer()), forward)
    }

    /// The recorder as a layer of a `tracing` subscriber of the user's own, beside others.
    pub fn layer(&self) -> RecorderLayer {
        let nobody = tracing::subscriber::NoSubscriber::default();
        subscriber::with_default(nobody, || drop((op_span("", "", ""), block_span(""))));
        RecorderLayer { state: Arc::clone(&self.state), clock: self.clock.clone() }
    }

    /// Takes what was recorded so far; the recorder starts anew.
    ///
    /// # Errors
    /// If a device cannot tell its times.
    pub fn take(&self) -> Result<Recorded> {
        let State { mut recorded, spans, .. } = std::mem::take(&mut *lock(&self.state));
        self.clock.settle()?;
        // What the operations and blocks took that were in a call.
        let mut explained: HashMap<u64, u64> = HashMap::new();
        for Timed { moments: [start, stop], inside, what } in spans {
            let time_ns = self.clock.between(&start, &stop)?;
            *explained.entry(inside).or_default() += time_ns;
            match what {
                What::Op(at) => recorded.ops[at].time_ns = time_ns,
                What::Block(at, call) => {
                    let glue_ns = time_ns.saturating_sub(explained.remove(&call).unwrap_or_default());
                    let block = &mut recorded.blocks[at];
                    block.time_ns = block.time_ns.saturating_add(time_ns);
                    block.glue_ns = block.glue_ns.saturating_add(glue_ns);
                }
            }
        }
        Ok(recorded)
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
    clock: Clock,
}

impl RecorderLayer {
    pub(crate) fn start(&self) -> Result<Moment> {
        self.clock.start()
    }

    pub(crate) fn stop(&self, start: Moment) -> Result<[Moment; 2]> {
        Ok([start, self.clock.stop()?])
    }

    /// Appends an operation that ran in that call of a block, and the sub-facts of what its kernel did besides.
    pub(crate) fn push(&self, op: Op, mut fused: Vec<Op>, moments: [Moment; 2], inside: u64) {
        for sub in &mut fused {
            sub.fused_into = Some(op.path.clone());
        }
        let state = &mut *lock(&self.state);
        state.spans.push(Timed { moments, inside, what: What::Op(state.recorded.ops.len()) });
        state.recorded.ops.push(op);
        state.recorded.ops.append(&mut fused);
    }

    /// Appends a call of a block that ran in the call `inside`.
    pub(crate) fn push_block(&self, path: &str, moments: [Moment; 2], call: u64, inside: u64) {
        let state = &mut *lock(&self.state);
        let at = *state.blocks.entry(path.into()).or_insert_with(|| {
            state.recorded.blocks.push(Block { path: path.to_owned(), calls: 0, time_ns: 0, glue_ns: 0 });
            state.recorded.blocks.len() - 1
        });
        state.recorded.blocks[at].calls += 1;
        state.spans.push(Timed { moments, inside, what: What::Block(at, call) });
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RecorderLayer {}
