use candle_core::{Result, Tensor};
use detrace_flops::{Meta, SCHEMA, Timing, Trace};

use crate::{Clock, Owned, Recorder};

/// A model that can be run for its facts.
pub trait Traced {
    /// Runs the model.
    fn run(&self, input: &Tensor) -> Result<()>;

    /// The modules and parameters it is made of, as [`owned_by`](crate::owned_by) collected them. Without them only
    /// parameters of operations that ran are known.
    fn owned(&self) -> Owned {
        Owned::default()
    }
}

/// Runs a model with a recorder listening. `meta` says what ran and how times are taken (synchronised, or on the CPU by wall
/// clock, if it says [`Timing::None`]); threads, device and input are filled in.
///
/// # Errors
/// If the model fails, or the device cannot be timed so.
pub fn trace(model: &impl Traced, input: &Tensor, meta: Meta) -> Result<Trace> {
    let on_gpu = !input.device().is_cpu();
    let timing = match (on_gpu, meta.timing) {
        (false, Timing::Launch | Timing::Synchronized | Timing::None) => Timing::Wall,
        (true, Timing::None) => Timing::Synchronized,
        (_, timing) => timing,
    };
    let recorder = Recorder::with_clock(Clock::new(timing, input.device())?);
    recorder.record(|| model.run(input))?;
    let (recorded, owned) = (recorder.take()?, model.owned());
    let trace = Trace {
        schema: SCHEMA,
        meta: Meta {
            input: input.dims().to_vec(),
            device: if on_gpu { "cuda" } else { "cpu" }.to_owned(),
            dtype: format!("{:?}", input.dtype()).to_lowercase(),
            threads: candle_core::utils::get_num_threads(),
            timing,
            source: "traced".to_owned(),
            ..meta
        },
        ops: recorded.ops,
        blocks: recorded.blocks,
        params: owned.params,
        modules: owned.modules,
    };
    trace.check().map_err(candle_core::Error::wrap)?;
    Ok(trace)
}
