//! Weights from a seed: a formula of tensor name and index gives every value, the same here and in
//! `weights-scripts/seeded.py`, so that two implementations of a network can be compared without a checkpoint.
//!
//! Ranges are such that a fault shows: norm statistics are away from 0 and 1, no head is zero, and activations stay of
//! order 1 to 10 in every variant.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use rayon::prelude::*;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// splitmix64's finaliser.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a.
fn fnv(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The state that a tensor's words are made from.
fn base(name: &str, seed: u64) -> u64 {
    mix(fnv(name).wrapping_add(seed.wrapping_mul(GOLDEN)))
}

fn word(base: u64, index: u64) -> u64 {
    mix(base.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// The `index`-th 64-bit word of the tensor called `name`.
pub fn seeded_word(name: &str, seed: u64, index: u64) -> u64 {
    word(base(name, seed), index)
}

/// Lowest and highest value of a tensor, by its canonical name and shape.
fn range(name: &str, dims: &[usize]) -> (f64, f64) {
    if name == "image" {
        return (0.0, 1.0);
    }
    if name.ends_with("running_var") || (dims.len() == 1 && name.ends_with("weight")) {
        return (0.5, 1.5);
    }
    if name.ends_with("running_mean") {
        return (-0.2, 0.2);
    }
    if name.ends_with("bias") {
        return if name.contains("sampling_offsets") { (-2.0, 2.0) } else { (-0.1, 0.1) };
    }
    // Branches that are added to what they branch from, and chains that would grow with depth, are damped.
    let damped = [".branch2", ".bottlenecks.", ".downsample."].iter().any(|part| name.contains(part))
        || (name.starts_with("backbone.stages.") && name.contains(".conv1."));
    let gain = if damped {
        0.8
    } else if name.contains("score_head") {
        2.5
    } else if dims.len() == 4 {
        1.25
    } else {
        1.0
    };
    let fan_in: usize = dims.iter().skip(1).product();
    let bound = gain * (3.0 / fan_in.max(1) as f64).sqrt();
    (-bound, bound)
}

/// All values of the tensor called `name`, row by row.
pub fn seeded_values(name: &str, dims: &[usize], seed: u64) -> Vec<f32> {
    let (low, high) = range(name, dims);
    let base = base(name, seed);
    let count: usize = dims.iter().product();
    let value = |index: usize| {
        let unit = (word(base, index as u64) >> 40) as f64 / (1u64 << 24) as f64;
        (low + (high - low) * unit) as f32
    };
    (0..count).into_par_iter().with_min_len(1 << 14).map(value).collect()
}

/// A random image batch [N, 3, H, W] with values in 0 … 1.
pub fn seeded_image(dims: &[usize], seed: u64, device: &Device) -> Result<Tensor> {
    Tensor::from_vec(seeded_values("image", dims, seed), dims, device)
}

/// Every tensor that a model asks for, made from a seed.
pub struct Seeded {
    seed: u64,
    made: Box<dyn Fn(usize) + Send + Sync>,
}

impl Seeded {
    /// A builder of tensors from `seed`; `made` is told the number of elements of each tensor made.
    pub fn var_builder(
        seed: u64,
        device: &Device,
        made: impl Fn(usize) + Send + Sync + 'static,
    ) -> VarBuilder<'static> {
        let backend = Seeded { seed, made: Box::new(made) };
        VarBuilder::from_backend(Box::new(backend), DType::F32, device.clone())
    }
}

impl SimpleBackend for Seeded {
    fn get(&self, shape: Shape, name: &str, _: candle_nn::Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let values = seeded_values(name, shape.dims(), self.seed);
        (self.made)(values.len());
        Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("a seeded tensor needs a shape, and {name} was asked for without one")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit patterns made by `weights-scripts/seeded.py`.
    #[test]
    fn equals_the_python_formula_bit_for_bit() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/seeded.json");
        let cases: Vec<serde_json::Value> =
            serde_json::from_str(&std::fs::read_to_string(path).expect("the fixture")).expect("JSON");
        assert!(cases.len() > 10);
        for case in cases {
            let name = case["name"].as_str().expect("a name");
            let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).expect("a shape");
            let want: Vec<u32> = serde_json::from_value(case["bits"].clone()).expect("bits");
            let values = seeded_values(name, &shape, case["seed"].as_u64().expect("a seed"));
            let bits: Vec<u32> = values.iter().take(want.len()).map(|value| value.to_bits()).collect();
            assert_eq!(bits, want, "{name}");
        }
    }
}
