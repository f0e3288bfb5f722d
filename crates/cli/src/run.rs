use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use candle_core::Tensor;
use detrace_kernels::keep_at_most;
use detrace_rtdetr::{Forced, Stages};

use crate::network::NetworkArgs;
use crate::trace::check;
use crate::{VERSIONS, emit, tensors, writable};

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// The checkpoint: .safetensors, .pth (official code) or .pdparams (Paddle)
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    /// Safetensors file with the tensor `image`: f32 [N, 3, H, W], RGB, scaled as the model was trained
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Safetensors file to write: `logits` [N, queries, classes] before the sigmoid, `boxes` [N, queries, 4] as cx, cy, w,
    /// h relative to the image
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Also write what came before: `backbone.0` …, `encoder.0` … [N, C, H, W]; `memory` [N, L, C], the decoder's tokens;
    /// `class_logits` [N, L, classes], `scores` [N, L], their highest, `topk` [N, queries], the tokens selected, `content` and
    /// `reference`, the queries made of them
    #[arg(long)]
    pub(crate) stages: bool,
}

/// `detrace run`.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode> {
    let config = args.network.config()?;
    let device = args.network.device()?;
    writable(&args.output)?;
    let image = tensors::read_image(&args.input, false)?;
    check(&config, image.dims(), &device).with_context(|| format!("{}: tensor \"image\"", args.input.display()))?;
    // The network runs once, so few of its maps are asked for again.
    keep_at_most(32 << 20);
    let network = args.network.load(&config, &args.weights, &device)?;
    let image = image.to_device(&device)?;
    let exact = args.network.exact(&config, Some(&args.weights), &device)?;
    let outputs = if args.stages {
        named(network.stages(&image, &Forced::default())?)
    } else {
        let output = network.forward(&image)?;
        vec![("logits".to_owned(), output.logits), ("boxes".to_owned(), output.boxes)]
    };
    let precision = args.network.precision;
    let check = exact.map(|exact| precision.compare(&network, &exact, &image)).transpose()?;
    let mut metadata = BTreeMap::from([
        ("dtype", precision.dtype.name().to_owned()),
        ("model", config.name.clone()),
        ("producer", format!("detrace {}", VERSIONS.detrace)),
        ("structure", network.structure().name().to_owned()),
    ]);
    if precision.tf32 {
        metadata.insert("tf32", "true".to_owned());
    }
    if let Some(check) = &check {
        metadata.insert("check", serde_json::to_string(check)?);
    }
    tensors::write(&args.output, &outputs, &metadata)?;
    let shapes: Vec<String> = outputs.iter().map(|(name, tensor)| format!("{name} {:?}", tensor.dims())).collect();
    let check = check.map(|check| format!("against f32: {check}\n")).unwrap_or_default();
    emit(&format!("wrote {}: {}\n{check}", args.output.display(), shapes.join(", ")), None)?;
    Ok(ExitCode::SUCCESS)
}

/// The tensors of a forward pass by the names that the file gives them.
fn named(stages: Stages) -> Vec<(String, Tensor)> {
    let Stages { backbone, encoder, memory, selection, output, .. } = stages;
    let levels = |stage: &str, maps: Vec<Tensor>| {
        maps.into_iter().enumerate().map(|(level, map)| (format!("{stage}.{level}"), map)).collect::<Vec<_>>()
    };
    let mut named = vec![("logits".to_owned(), output.logits), ("boxes".to_owned(), output.boxes)];
    named.extend(levels("backbone", backbone));
    named.extend(levels("encoder", encoder));
    named.extend(
        [
            ("memory", memory),
            ("class_logits", selection.class_logits),
            ("scores", selection.scores),
            ("topk", selection.indices),
            ("content", selection.content),
            ("reference", selection.reference),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor)),
    );
    named
}
