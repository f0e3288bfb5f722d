use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;
use detrace_config::{Config, Needed, Version};
use detrace_rtdetr::RtDetr;
use detrace_weights::{Checkpoint, DENOISING, Scheme, Weights};

use crate::guess::guess;
use crate::network::strict;
use crate::{emit, load, warn, writable};

#[derive(Debug, clap::Args)]
pub(crate) struct ConvertArgs {
    /// The checkpoint: .safetensors, .pth (official code) or .pdparams (Paddle); what it is, is seen from its content
    #[arg(value_name = "IN")]
    pub(crate) source: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT.safetensors")]
    pub(crate) target: PathBuf,
    /// Whose names to write
    #[arg(long, value_enum, default_value = "canonical")]
    pub(crate) to: Target,
    /// The model that the checkpoint is of, if it is none of the zoo's: a YAML file, a yml, a config.json
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Write what fits, though tensors are missing or have no place in the model
    #[arg(long)]
    pub(crate) allow_partial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// The official RT-DETRv2 code's, for both versions: detrace's own
    Canonical,
    /// Hugging Face transformers'
    Hf,
    /// The official PyTorch code's of the model's version
    Torch,
}

/// `detrace convert`.
pub(crate) fn run(args: &ConvertArgs) -> Result<ExitCode> {
    let target = &args.target;
    if !target.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors")) {
        bail!("{}: convert writes safetensors; name a file that ends in .safetensors", target.display());
    }
    writable(target)?;
    let everything = Weights::all(Checkpoint::open(&args.source)?, true)?;
    let has_embedding = everything.contains(DENOISING);
    let (models, names) = match &args.model {
        Some(model) => {
            let config = load(model)?;
            let name = config.name.clone();
            (vec![config], name)
        }
        None => {
            let guess = guess(&everything)?;
            if !guess.fits {
                let source = args.source.display();
                warn(&format!("{source} is of no model of the zoo exactly; the nearest is {}", guess.names()));
            }
            let names = guess.names();
            (guess.models, names)
        }
    };
    let Some(config) = models.first() else { bail!("there is no model to compare the checkpoint with; give --model") };
    let mut needed = RtDetr::needed(config)?;
    if has_embedding {
        let shape = vec![config.classes + 1, config.decoder.hidden_dim];
        needed.push(Needed { name: DENOISING.to_owned(), shape, idle: true });
    }
    let cure = |classes: usize| format!("or leave --model out: the model is then taken with {classes} classes");
    let weights = strict(everything.into_checkpoint(), &needed, args.allow_partial, cure)?;
    let scheme = scheme(args.to, &models);
    let count = weights.save(target, scheme, &names)?;
    let classes = config.classes;
    let text = format!(
        "{}wrote {}: {count} tensors of {names} ({classes} classes), names: {scheme}\n",
        weights.report(),
        target.display()
    );
    emit(&text, None)?;
    Ok(ExitCode::SUCCESS)
}

fn scheme(target: Target, models: &[Config]) -> Scheme {
    match target {
        Target::Canonical => Scheme::Canonical,
        Target::Hf => Scheme::HuggingFace,
        Target::Torch if models.iter().all(|config| config.version == Version::V2) => Scheme::Canonical,
        Target::Torch => {
            if models.iter().any(|config| config.version == Version::V2) {
                warn(
                    "the tensors are those of RT-DETR and of RT-DETRv2; the names are the first version's, --model says which",
                );
            }
            Scheme::TorchV1
        }
    }
}
