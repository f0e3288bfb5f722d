//! Networks of the zoo on a device beside the CPU, forced to the CPU's decisions.

use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use candle_core::{DType, Device};
use detrace_config::Config;
use detrace_nn::Structure;
use detrace_report::Agreement;
use detrace_rtdetr::{Forced, RtDetr, Stages};
use detrace_weights::{Seeded, seeded_image};
use serde::Serialize;

use crate::agreement::agreement;
use crate::device::name;
use crate::network::SEED;

/// Largest differences in f32.
const LOGITS: f32 = 2e-3;
const BOXES: f32 = 2e-4;
/// Least share of the 100 surest detections in f16.
const TOP: f64 = 0.98;

/// A network on a device, beside the CPU's f32.
#[derive(Debug, Serialize)]
pub(super) struct Network {
    model: String,
    device: String,
    dtype: &'static str,
    /// None where it could not run.
    agreement: Option<Agreement>,
    pub(super) passed: bool,
    /// Why it could not run.
    fault: Option<String>,
}

impl Display for Network {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Network { model, device, dtype, agreement, passed, fault } = self;
        let word = if *passed { "right" } else { "WRONG" };
        write!(out, "{word}  {model} on {device} in {dtype}: ")?;
        match agreement {
            Some(agreement) => agreement.fmt(out),
            None => write!(out, "{}", fault.as_deref().unwrap_or("did not run")),
        }
    }
}

/// A model of the zoo on each device in f32 and f16; the CPU's f32 is what they are compared with.
pub(super) fn run(config: &Config, input: &[usize], devices: &[Device]) -> Result<Vec<Network>> {
    let build = |device: &Device, dtype| {
        let vb = Seeded::var_builder(SEED, device, |_| {}).to_dtype(dtype);
        RtDetr::new(config, Structure::Fast, vb)
    };
    let exact = build(&Device::Cpu, DType::F32)?;
    let image = seeded_image(input, SEED, &Device::Cpu)?;
    let reference = exact.stages(&image, &Forced::default())?;
    let mut networks = Vec::new();
    for device in devices {
        for (dtype, word) in [(DType::F32, "f32"), (DType::F16, "f16")] {
            if device.is_cpu() && dtype == DType::F32 {
                continue;
            }
            let stages = || -> candle_core::Result<Stages> {
                let forced = Forced::as_in(&reference, &exact, device)?;
                build(device, dtype)?.stages(&image.to_device(device)?, &forced)
            };
            let ran = stages().and_then(|stages| agreement(&reference, &stages));
            networks.push(judge(&config.name, name(device), word, ran));
        }
    }
    Ok(networks)
}

fn judge(model: &str, device: String, dtype: &'static str, ran: candle_core::Result<Agreement>) -> Network {
    let (agreement, fault) = match ran {
        Ok(agreement) => (Some(agreement), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let passed = agreement.as_ref().is_some_and(|agreement| match dtype {
        "f32" => agreement.logits <= LOGITS && agreement.boxes <= BOXES,
        _ => agreement.top100 >= TOP,
    });
    Network { model: model.to_owned(), device, dtype, agreement, passed, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_far_or_failed_is_wrong() {
        let good = || Agreement { images: 1, top100: 0.98, selected: 0.9, logits: 2e-3, boxes: 2e-4 };
        let passes = |dtype, ran| judge("model", "cpu".to_owned(), dtype, ran).passed;
        for dtype in ["f32", "f16"] {
            assert!(passes(dtype, Ok(good())), "{dtype}");
            assert!(!passes(dtype, Err(candle_core::Error::Msg("no".to_owned()))), "{dtype}");
        }
        assert!(!passes("f32", Ok(Agreement { logits: 2.1e-3, ..good() })));
        assert!(!passes("f32", Ok(Agreement { boxes: 2.1e-4, ..good() })));
        assert!(!passes("f16", Ok(Agreement { top100: 0.97, ..good() })));
        assert!(passes("f16", Ok(Agreement { logits: 0.1, ..good() })));
    }
}
