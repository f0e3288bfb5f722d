use std::process::ExitCode;

use anyhow::{Context, Result};
use candle_core::Device;
use detrace_config::Config;
use detrace_flops::Trace;

use crate::args::FlopsArgs;
use crate::trace::{DEFAULT_INPUT, Input, check, parse_shape, trace};
use crate::{blob, files, graph, open, read_trace};

/// `detrace flops`.
pub(crate) fn run(args: &FlopsArgs) -> Result<ExitCode> {
    let show = args.show.check()?;
    let (trace, config) = facts(args)?;
    show.show(&trace, config.as_ref())
}

/// The facts: of a forward pass, or as saved.
fn facts(args: &FlopsArgs) -> Result<(Trace, Option<Config>)> {
    if let Some(path) = &args.from {
        let trace = read_trace(path)?;
        let config = detrace_config::zoo::get(&trace.meta.model).and_then(Result::ok);
        return Ok((trace, config));
    }
    let model = args.model.as_deref().context("a model is needed")?;
    let unfit = [
        ("--seed", args.seed.is_some()),
        ("--structure", args.structure.is_some()),
        ("--blob", args.blob.is_some()),
        ("--device", args.device.is_some()),
        ("--timing", args.timing.is_some()),
    ];
    let unfit: Vec<&str> = unfit.iter().filter(|(_, given)| *given).map(|(option, _)| *option).collect();
    if let Some(trace) = graph::open(model, args.input.as_deref(), &args.show, &unfit)? {
        return Ok((trace, None));
    }
    // An image is prepared as the model's files say.
    let loaded = if args.blob.is_some() { files(model)?.loaded } else { open(model)? };
    let framework = loaded.framework();
    let config = loaded.config;
    let shape = args.input.as_deref().map(parse_shape).transpose()?;
    let input = match &args.blob {
        Some(path) => {
            let size = shape.map(|shape| check(&config, &shape, &Device::Cpu)).transpose()?;
            Input::Real(blob::read(path, &config, size.map(|size| (size.height, size.width)))?)
        }
        None => Input::Random(shape.unwrap_or(DEFAULT_INPUT)),
    };
    let mut trace = trace(
        &config,
        input,
        args.seed.unwrap_or(0),
        args.structure.unwrap_or_default().into(),
        (args.device.unwrap_or_default(), args.timing),
    )?;
    trace.meta.framework = framework.to_owned();
    Ok((trace, Some(config)))
}
