//! Gives layer norm, which Paddle counts as zero, a rule: `cargo run --release --example custom_op`

use candle_core::Device;
use detrace::flops::{CustomOps, Kind, numel};
use detrace::nn::Structure;
use detrace::rtdetr::RtDetr;
use detrace::weights::{Seeded, seeded_image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = detrace::config::Config::load("rtdetr_r18vd")?;
    let model = RtDetr::new(&config, Structure::Train, Seeded::var_builder(0, &Device::Cpu, |_| {}))?;
    let image = seeded_image(&[1, 3, 640, 640], 0, &Device::Cpu)?;

    let mut custom_ops = CustomOps::new();
    custom_ops.add(Kind::LayerNorm, |op| 5 * numel(&op.output)).map_err(|kind| format!("two rules for {kind}"))?;
    let plain = detrace::flops(&model, &image, &CustomOps::new(), false)?;
    let custom = detrace::flops(&model, &image, &custom_ops, false)?;
    assert_eq!((plain.total, custom.total), (30_362_009_600, 30_377_241_600));
    Ok(())
}
