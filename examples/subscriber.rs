//! Any `tracing` subscriber sees the spans of blocks and operations; here the formatter, beside a recorder:
//! `cargo run --release --example subscriber`

use candle_core::Device;
use detrace::nn::{Recorder, Structure};
use detrace::rtdetr::RtDetr;
use detrace::weights::{Seeded, seeded_image};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = detrace::config::Config::load("rtdetr_r18vd")?;
    let model = RtDetr::new(&config, Structure::Train, Seeded::var_builder(0, &Device::Cpu, |_| {}))?;
    let image = seeded_image(&[1, 3, 320, 320], 0, &Device::Cpu)?;

    let recorder = Recorder::new();
    // A line as each span closes, with its time; to standard output.
    let lines = tracing_subscriber::fmt::layer().with_span_events(FmtSpan::CLOSE).with_ansi(false);
    let subscriber = tracing_subscriber::registry().with(recorder.layer()).with(lines);
    tracing::subscriber::with_default(subscriber, || model.forward(&image))?;

    let operations = recorder.take()?.ops.len();
    tracing::subscriber::with_default(tracing_subscriber::fmt().finish(), || {
        tracing::info!(operations, "recorded beside");
    });
    Ok(())
}
