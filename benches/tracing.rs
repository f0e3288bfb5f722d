//! What recording costs: `cargo bench --bench tracing`.
//!
//! Three figures, each interleaved with what it is compared to: an operation with nobody listening against the bare
//! call; an operation that is recorded against the bare call; an R18 forward with a recorder against one without.

use std::hint::black_box;
use std::io::{Result as IoResult, Write};
use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use detrace::flops::Kind;
use detrace::nn::{Facts, Probe, Recorder, Structure};
use detrace::rtdetr::RtDetr;
use detrace::weights::{Seeded, seeded_image};

const CALLS: u32 = 20_000;
const ROUNDS: usize = 25;

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

        let config = detrace::config::Config::load("rtdetr_r18vd").map_err(candle_core::Error::wrap)?;
        let model = RtDetr::new(&config, Structure::Train, Seeded::var_builder(0, &Device::Cpu, |_| {}))?;
        let image = seeded_image(&[1, 3, 640, 640], 0, &Device::Cpu)?;
        model.forward(&image)?;
        let (mut plain, mut recorded, mut ratios, mut ops) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for round in 0..ROUNDS {
            let without = || -> Result<f64> { timed(|| model.forward(&image).map(drop)) };
            let with = || -> Result<f64> { timed(|| recorder.record(|| model.forward(&image)).map(drop)) };
            // The order alternates, so that a drift of the machine favours neither.
            let (a, b) = if round % 2 == 0 {
                let a = without()?;
                (a, with()?)
            } else {
                let b = with()?;
                (without()?, b)
            };
            ops = recorder.take().expect("times").ops.len();
            plain.push(a);
            recorded.push(b);
            ratios.push(b / a);
        }
        let plain_ms = median(&mut plain) * 1e3;
        let share = |ns: f64| 100.0 * ns * ops as f64 / (plain_ms * 1e6);
        Ok(format!(
            "one operation, nobody listening: {off:.1} ns over the bare call\n\
             one operation, recorded:         {on:.0} ns over the bare call\n\
             R18 forward, median of {ROUNDS}:      {plain_ms:.1} ms without, {:.1} ms with a recorder, ratio {:.4}\n\
             {ops} operations: off {:.4} %, on {:.3} % of the forward\n",
            median(&mut recorded) * 1e3,
            median(&mut ratios),
            share(off),
            share(on),
        ))
    };
    let report = run().map_err(std::io::Error::other)?;
    std::io::stdout().write_all(report.as_bytes())
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
