use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Result;
use detrace_flops::Kind;
use tracing::Level;

use crate::facts::Place;
use crate::recorder::{Listener, block_span, op_span};
use crate::{Facts, declare};

/// A module's or block's name, and the way its operations are observed.
#[derive(Clone, Debug)]
pub struct Probe {
    path: Arc<str>,
}

thread_local! {
    /// The call of a block that runs now; 0 outside of all.
    static CALL: Cell<u64> = const { Cell::new(0) };
}
/// Calls of blocks so far.
static CALLS: AtomicU64 = AtomicU64::new(0);

impl Probe {
    /// A probe for the module or block with that dotted name, as `vb.prefix()` gives it.
    pub fn new(path: impl Into<Arc<str>>) -> Probe {
        Probe { path: path.into() }
    }

    /// A probe for a module without parameters, which is [`declare`]d to be there.
    pub fn module(path: String) -> Probe {
        declare(&path, &[]);
        Probe::new(path)
    }

    /// The dotted name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Runs the operation that this module is. `facts` is called only if somebody records.
    #[inline]
    pub fn op<T>(&self, kind: Kind, run: impl FnOnce() -> Result<T>, facts: impl FnOnce(&T) -> Facts) -> Result<T> {
        self.observe(kind, "", run, facts)
    }

    /// Runs an operation that this block does by itself; `role` says what it is for and is unique within the block.
    #[inline]
    pub fn role<T>(
        &self,
        role: &'static str,
        kind: Kind,
        run: impl FnOnce() -> Result<T>,
        facts: impl FnOnce(&T) -> Facts,
    ) -> Result<T> {
        self.observe(kind, role, run, facts)
    }

    #[inline]
    fn observe<T>(
        &self,
        kind: Kind,
        role: &'static str,
        run: impl FnOnce() -> Result<T>,
        facts: impl FnOnce(&T) -> Facts,
    ) -> Result<T> {
        if !tracing::level_enabled!(Level::TRACE) {
            return run();
        }
        let span = op_span(&self.path, role, kind.name());
        let _entered = span.enter();
        let Some(recorder) = Listener::here() else { return run() };
        let start = recorder.start()?;
        let output = run()?;
        recorder.op([start, recorder.stop()?], CALL.get(), self.place(role, kind), facts(&output));
        Ok(output)
    }

    /// The operation of that role, or of the module itself.
    pub(crate) fn place(&self, role: &'static str, kind: Kind) -> Place {
        Place { path: Arc::clone(&self.path), role, kind }
    }

    /// Runs this block: its time, and what of it neither operations nor inner blocks explain, become a row of their own.
    #[inline]
    pub fn block<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        if !tracing::level_enabled!(Level::DEBUG) {
            return run();
        }
        let span = block_span(&self.path);
        let _entered = span.enter();
        let Some(recorder) = Listener::here() else { return run() };
        let start = recorder.start()?;
        let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let outside = CALL.replace(call);
        let output = run();
        CALL.set(outside);
        recorder.block([start, recorder.stop()?], outside, Arc::clone(&self.path), call);
        output
    }
}
