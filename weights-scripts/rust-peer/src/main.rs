//! [rten](https://github.com/robertknight/rten), a Rust engine, as a contender of `bench_peers.py`, with the arguments and the
//! answer of `peers_worker.py`, but for what concerns imports, of which it has none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor, TensorView};
use rustix::time::{ClockId, clock_gettime};
use safetensors::tensor::{Dtype, SafeTensors, TensorView as Stored};
use serde_json::json;

/// What a timed pass hands over.
const ANSWERS: [&str; 2] = ["logits", "boxes"];
/// What is compared.
const OUTPUTS: [&str; 3] = ["logits", "boxes", "class_logits"];

/// Runs FOLDER/network.onnx on FOLDER/image.safetensors and prints its times, memory and clock as one line of JSON.
#[derive(Debug, Parser)]
struct Args {
    /// What `peers_build.py` made
    folder: PathBuf,
    /// Threads of the engine
    #[arg(long)]
    threads: usize,
    /// Passes between the first and the timed ones
    #[arg(long, default_value_t = 2)]
    warmup: usize,
    /// Timed passes
    #[arg(long, default_value_t = 5)]
    iters: usize,
    /// Time nothing; write logits, boxes and class_logits of one pass as safetensors
    #[arg(long)]
    outputs: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let image = image(&args.folder.join("image.safetensors"))?;
    let started = Instant::now();
    let network = Network::load(&args.folder.join("network.onnx"), args.threads)?;
    let (load, rss_load) = (started.elapsed().as_secs_f64(), memory("VmRSS:"));
    if let Some(path) = &args.outputs {
        return save(path, &network.pass(&image, &OUTPUTS)?);
    }
    let first = timed(|| network.pass(&image, &ANSWERS))?;
    let now = clock_gettime(ClockId::Monotonic);
    let ready = now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9;
    for _ in 0..args.warmup {
        network.pass(&image, &ANSWERS)?;
    }
    let times = (0..args.iters).map(|_| timed(|| network.pass(&image, &ANSWERS))).collect::<Result<Vec<f64>>>()?;
    let said = json!({
        "load": load, "rss_load": rss_load, "first": first, "ready": ready,
        "times": times, "rss_peak": memory("VmHWM:"),
    });
    println!("{said}");
    Ok(())
}

/// A model ready to run.
struct Network {
    model: Model,
    input: NodeId,
    outputs: HashMap<&'static str, NodeId>,
    options: RunOptions,
}

impl Network {
    fn load(path: &Path, threads: usize) -> Result<Network> {
        let model = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load_file(path)
            .with_context(|| format!("rten cannot load {}", path.display()))?;
        let outputs = OUTPUTS.iter().map(|&name| Ok((name, model.node_id(name)?))).collect::<Result<_>>()?;
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        let options = RunOptions::default().with_thread_pool(Some(pool));
        Ok(Network { input: model.node_id("image")?, model, outputs, options })
    }

    /// The outputs of these names.
    fn pass(&self, image: &Tensor<f32>, names: &[&str]) -> Result<Vec<Tensor<f32>>> {
        let ids: Vec<NodeId> = names.iter().map(|name| self.outputs[name]).collect();
        let answers = self.model.run(vec![(self.input, image.view().into())], &ids, Some(self.options.clone()))?;
        answers.into_iter().map(|answer| Ok(answer.try_into()?)).collect()
    }
}

/// Seconds that something takes.
fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<f64> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed().as_secs_f64())
}

/// `image` of a safetensors file.
fn image(path: &Path) -> Result<Tensor<f32>> {
    let file = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let tensors =
        SafeTensors::deserialize(&file).with_context(|| format!("{} is no safetensors file", path.display()))?;
    let image = tensors.tensor("image").with_context(|| format!("{} holds no image", path.display()))?;
    ensure!(image.dtype() == Dtype::F32, "the image is {} instead of F32", image.dtype());
    let values = image.data().chunks_exact(4).map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]]));
    Ok(Tensor::from_data(image.shape(), values.collect::<Vec<f32>>()))
}

/// Writes `OUTPUTS` as a safetensors file.
fn save(path: &Path, tensors: &[Tensor<f32>]) -> Result<()> {
    let bytes = |view: TensorView<f32>| view.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<Vec<u8>> = tensors.iter().map(|tensor| bytes(tensor.view())).collect();
    let mut stored = Vec::new();
    for ((name, tensor), data) in OUTPUTS.iter().zip(tensors).zip(&data) {
        stored.push((name.to_string(), Stored::new(Dtype::F32, tensor.shape().to_vec(), data)?));
    }
    safetensors::serialize_to_file(stored, None, path).with_context(|| format!("{} cannot be written", path.display()))
}

/// A size that Linux tells of this process, in MiB.
fn memory(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix(key))?;
    size.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|size| size / 1024.0)
}
