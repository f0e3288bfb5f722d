//! Converts a checkpoint: `convert IN OUT.safetensors [canonical|torch-v1|hf]`.

use std::error::Error;
use std::io::Write;

use detrace_weights::{Checkpoint, Scheme, Weights};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (source, target, scheme) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [source, target] | [source, target, "canonical"] => (source, target, Scheme::Canonical),
        [source, target, "torch-v1"] => (source, target, Scheme::TorchV1),
        [source, target, "hf"] => (source, target, Scheme::HuggingFace),
        _ => return Err("usage: convert IN OUT.safetensors [canonical|torch-v1|hf]".into()),
    };
    let weights = Weights::all(Checkpoint::open(source)?, false)?;
    weights.save(target, scheme, "unknown")?;
    write!(std::io::stdout(), "{}", weights.report())?;
    Ok(())
}
