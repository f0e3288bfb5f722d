//! What recording costs: `cargo bench --bench tracing`.
//!
//! Three figures, each interleaved with what it is compared to: an operation with nobody listening against the bare
//! call; an operation that is recorded against the bare call; an R18 forward with a recorder against one without.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::hint::black_box;
use std::io::{Result as IoResult, Write};
use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use detrace::flops::Kind;
use detrace::nn::{Facts, Probe, Recorder, Structure};
use detrace::rtdetr::RtDetr;
use detrace::weights::{Seeded, seeded_image};

const CALLS: u32 = 20_000;
/// The program's.
#[global_allocator]
static MEMORY: detrace_kernels::Memory = detrace_kernels::Memory::new();

const ROUNDS: usize = 25;
const PAIRS: usize = 400;

fn main() -> IoResult<()> {
    let run = || -> Result<String> {
        let probe = Probe::new("block.layer");
        let x = Tensor::zeros((1, 8), candle_core::DType::F32, &Device::Cpu)?;
        // Tensors are reference counted, so cloning one is as small as an operation gets.
        let bare = || per_call(|| Ok(black_box(&x).clone()));
        let probed = || per_call(|| probe.op(Kind::Copy, || Ok(black_box(&x).clone()), |y| Facts::new(&[&x], y)));
        let recorder = Recorder::new();
        let (mut off, mut on) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let base = bare()?;
            off.push(probed()? - base);
            on.push(recorder.record(probed)? - base);
            recorder.take().expect("times");
        }
        let (off, on) = (median(&mut off), median(&mut on));

        let forward = Forward::measure(&recorder)?;
        Ok(format!(
            "one operation, nobody listening: {off:.1} ns over the bare call\n\
             one operation, recorded:         {on:.0} ns over the bare call\n\
             {forward}{} operations by the figures above: off {:.4} %, on {:.3} % of the forward\n",
            forward.ops,
            forward.share(off),
            forward.share(on),
        ))
    };
    let report = run().map_err(std::io::Error::other)?;
    std::io::stdout().write_all(report.as_bytes())
}

/// Passes of an R18 forward (structure `fast`, which `run`, `bench` and `detect` use) without and with a recorder.
struct Forward {
    without_ms: f64,
    with_ms: f64,
    /// Of each pass with a recorder to the one beside it without, ascending.
    ratios: Vec<f64>,
    ops: usize,
}

impl Forward {
    fn measure(recorder: &Recorder) -> Result<Forward> {
        let config = detrace::config::Config::load("rtdetr_r18vd").map_err(candle_core::Error::wrap)?;
        let model = RtDetr::new(&config, Structure::Fast, Seeded::var_builder(0, &Device::Cpu, |_| {}))?;
        let image = seeded_image(&[1, 3, 640, 640], 0, &Device::Cpu)?;
        let without = || timed(|| model.forward(&image).map(drop));
        let with = || timed(|| recorder.record(|| model.forward(&image)).map(drop));
        without()?;
        let (mut plain, mut recorded, mut ratios, mut ops) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for pair in 0..PAIRS {
            // The order alternates, so that a drift of the machine favours neither.
            let (a, b) = if pair % 2 == 0 {
                let a = without()?;
                (a, with()?)
            } else {
                let b = with()?;
                (without()?, b)
            };
            ops = recorder.take()?.ops.len();
            plain.push(a * 1e3);
            recorded.push(b * 1e3);
            ratios.push(b / a);
        }
        ratios.sort_by(f64::total_cmp);
        Ok(Forward { without_ms: median(&mut plain), with_ms: median(&mut recorded), ratios, ops })
    }

    /// What that many nanoseconds an operation are of a pass, in percent.
    fn share(&self, ns: f64) -> f64 {
        100.0 * ns * self.ops as f64 / (self.without_ms * 1e6)
    }
}

impl Display for Forward {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Forward { without_ms, with_ms, ratios, .. } = self;
        // The median of n values lies between those of the ranks n/2 -+ sqrt(n) (nearly) 95 times of 100.
        let (middle, spread) = (ratios.len() / 2, (ratios.len() as f64).sqrt() as usize);
        let (low, high) = (ratios[middle - spread], ratios[middle + spread]);
        writeln!(
            f,
            "R18 forward, medians of {PAIRS} pairs: {without_ms:.2} ms without, {with_ms:.2} ms with a recorder"
        )?;
        writeln!(f, "ratio, median of the pairs:      {:.4} (95 % interval {low:.4} to {high:.4})", ratios[middle])
    }
}

/// Nanoseconds a call.
fn per_call<T>(mut call: impl FnMut() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(call()?);
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS))
}

/// Seconds.
fn timed(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
