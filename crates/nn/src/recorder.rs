use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Result};
use detrace_flops::{Block, Op, Timing};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Span, Subscriber, subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::Facts;
use crate::clock::{Clock, Moment};
use crate::facts::{Own, Place, Shapes, Step};

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

/// Collects the facts of everything that runs while it listens.
#[derive(Clone, Debug)]
pub struct Recorder {
    listener: Arc<Listener>,
}

/// Where operations and blocks report to.
#[derive(Debug)]
pub(crate) struct Listener {
    clock: Clock,
    tape: Mutex<Tape>,
}

/// What was seen, in the order of its ends. Operations and times are made of it when everything is over: the model is
/// disturbed less, and a device may be behind.
#[derive(Debug, Default)]
struct Tape {
    seen: Vec<Seen>,
    /// Steps and shapes of the operations in `seen`.
    steps: Vec<Step>,
    shapes: Shapes,
}

impl Tape {
    /// An empty one with room for as much: the next run is probably like this one.
    fn room(&self) -> Tape {
        Tape {
            seen: Vec::with_capacity(self.seen.len()),
            steps: Vec::with_capacity(self.steps.len()),
            shapes: self.shapes.room(),
        }
    }
}

#[derive(Debug)]
struct Seen {
    moments: [Moment; 2],
    /// The call of the block that it was in.
    inside: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// An operation with so many steps.
    Op(Place, Own, usize),
    /// A call of the block of that path.
    Block(Arc<str>, u64),
}

impl Listener {
    /// The one that listens on this thread.
    pub(crate) fn here() -> Option<Arc<Listener>> {
        tracing::dispatcher::get_default(|dispatch| {
            let alone = dispatch.downcast_ref().map(|Alone(listener)| listener);
            let listener = alone.or_else(|| dispatch.downcast_ref().map(|RecorderLayer(listener)| listener));
            listener.map(Arc::clone)
        })
    }

    pub(crate) fn start(&self) -> Result<Moment> {
        self.clock.start()
    }

    pub(crate) fn stop(&self) -> Result<Moment> {
        self.clock.stop()
    }

    /// An operation ran in the call `inside` of a block.
    pub(crate) fn op(&self, moments: [Moment; 2], inside: u64, place: Place, facts: Facts) {
        let Facts { own, mut steps, shapes } = facts;
        let tape = &mut *self.lock();
        tape.seen.push(Seen { moments, inside, what: What::Op(place, own, steps.len()) });
        tape.steps.append(&mut steps);
        tape.shapes.append(&shapes);
    }

    /// A call of a block ran in the call `inside` of another.
    pub(crate) fn block(&self, moments: [Moment; 2], inside: u64, path: Arc<str>, call: u64) {
        self.lock().seen.push(Seen { moments, inside, what: What::Block(path, call) });
    }

    fn lock(&self) -> MutexGuard<'_, Tape> {
        // Lists that are only ever appended to, which does not panic, so a panic elsewhere leaves them whole.
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        Recorder { listener: Arc::new(Listener { clock, tape: Mutex::default() }) }
    }

    /// Runs `forward` with this recorder listening on the current thread, and no other `tracing` subscriber.
    pub fn record<T>(&self, forward: impl FnOnce() -> T) -> T {
        let RecorderLayer(listener) = self.layer();
        subscriber::with_default(Alone(listener), forward)
    }

    /// The recorder as a layer of a `tracing` subscriber of the user's own, beside others.
    pub fn layer(&self) -> RecorderLayer {
        let nobody = tracing::subscriber::NoSubscriber::default();
        subscriber::with_default(nobody, || drop((op_span("", "", ""), block_span(""))));
        RecorderLayer(Arc::clone(&self.listener))
    }

    /// Takes what was recorded so far; the recorder starts anew.
    ///
    /// # Errors
    /// If a device cannot tell its times.
    pub fn take(&self) -> Result<Recorded> {
        let Tape { seen, steps, shapes } = {
            let mut tape = self.listener.lock();
            let room = tape.room();
            std::mem::replace(&mut *tape, room)
        };
        let (mut steps, mut shapes) = (steps.into_iter(), shapes.iter());
        let clock = &self.listener.clock;
        clock.settle()?;
        let mut recorded = Recorded::default();
        let mut blocks: HashMap<Arc<str>, usize> = HashMap::new();
        // What the operations and blocks took that were in a call.
        let mut explained: HashMap<u64, u64> = HashMap::new();
        for Seen { moments: [start, stop], inside, what } in seen {
            let time_ns = clock.between(&start, &stop)?;
            *explained.entry(inside).or_default() += time_ns;
            match what {
                What::Op(place, own, fused) => {
                    let op = Op { time_ns, ..own.op(place, &mut shapes) };
                    let whole = op.path.clone();
                    recorded.ops.push(op);
                    recorded.ops.extend(steps.by_ref().take(fused).map(|step| step.op(&whole, &mut shapes)));
                }
                What::Block(path, call) => {
                    let glue_ns = time_ns.saturating_sub(explained.remove(&call).unwrap_or_default());
                    let at = *blocks.entry(path).or_insert_with_key(|path| {
                        recorded.blocks.push(Block { path: path.to_string(), calls: 0, time_ns: 0, glue_ns: 0 });
                        recorded.blocks.len() - 1
                    });
                    let block = &mut recorded.blocks[at];
                    block.calls += 1;
                    block.time_ns = block.time_ns.saturating_add(time_ns);
                    block.glue_ns = block.glue_ns.saturating_add(glue_ns);
                }
            }
        }
        Ok(recorded)
    }
}

/// See [`Recorder::layer`].
#[derive(Debug)]
pub struct RecorderLayer(Arc<Listener>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RecorderLayer {}

/// A subscriber of a recorder and nobody else: spans are of no use to it, so it has them all disabled.
struct Alone(Arc<Listener>);

impl Subscriber for Alone {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    /// Probes look at the level, not at their span.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Values<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
