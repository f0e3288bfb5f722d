//! Small computations on a device, compared with what is known of their results.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use detrace_nn::{
    Activation, Conv2d, Conv2dConfig, DeformableAttention, DeformableConfig, MaxPool2d, PoolConfig, Probe, Sampler,
};
use serde::Serialize;

/// What a computation gave.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    name: String,
    /// Largest absolute difference; none where it could not run.
    error: Option<f32>,
    /// The largest that is right.
    bound: f32,
    pub(super) passed: bool,
    /// Why it could not run.
    fault: Option<String>,
}

impl Display for Check {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Check { name, error, bound, passed, fault } = self;
        let word = if *passed { "right" } else { "WRONG" };
        write!(out, "{word}  {name}")?;
        match (error, fault) {
            (Some(error), _) => write!(out, ": differs by {error:.1e}, at most {bound:.0e} is right"),
            (None, fault) => write!(out, ": {}", fault.as_deref().unwrap_or("did not run")),
        }
    }
}

/// Results of one computation and what they must be.
pub(super) type Pair = (Vec<f32>, Vec<f32>);

/// A computation with its bound.
type Test = (&'static str, f32, fn(&Device) -> Result<Pair>);

/// All of them on a device.
pub(super) fn run(device: &Device) -> Vec<Check> {
    let tests: [Test; 5] = [
        ("convolution 3x3 with bias and ReLU", 1e-5, |device| convolution(device, 1)),
        ("depthwise convolution 3x3", 1e-5, |device| convolution(device, CHANNELS)),
        ("max pool with padding", 0.0, max_pool),
        ("bilinear deformable sampling", 1e-5, deformable),
        ("the 300 best of 24000", 0.0, top_k),
    ];
    tests.map(|(name, bound, test)| check(name.to_owned(), bound, test(device))).into()
}

/// Whether results are as near as `bound` to what they must be.
pub(super) fn check(name: String, bound: f32, ran: Result<Pair>) -> Check {
    let (got, want) = match ran {
        Ok(pair) => pair,
        Err(error) => {
            return Check { name, error: None, bound, passed: false, fault: Some(error.to_string()) };
        }
    };
    let apart = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
    let error = apart.fold(0.0, |most: f32, apart| if apart > most || apart.is_nan() { apart } else { most });
    Check { name, error: Some(error), bound, passed: got.len() == want.len() && error <= bound, fault: None }
}

const CHANNELS: usize = 8;
const HEIGHT: usize = 9;
const WIDTH: usize = 7;

/// Numbers of both signs without a pattern that a wrong order would keep.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect()
}

fn image(device: &Device) -> Result<Tensor> {
    Tensor::from_vec(numbers(CHANNELS * HEIGHT * WIDTH), (1, CHANNELS, HEIGHT, WIDTH), device)
}

/// The pixels of the 3×3 window around a place of a channel that are inside, each with its tap.
fn window(image: &[f32], channel: usize, row: usize, column: usize) -> impl Iterator<Item = (usize, f32)> {
    (0..9).filter_map(move |tap| {
        let (y, x) = ((row + tap / 3).checked_sub(1)?, (column + tap % 3).checked_sub(1)?);
        (y < HEIGHT && x < WIDTH).then(|| (tap, image[(channel * HEIGHT + y) * WIDTH + x]))
    })
}

/// Output channel, row and column of every result.
fn places() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..CHANNELS * HEIGHT * WIDTH).map(|at| (at / (HEIGHT * WIDTH), at / WIDTH % HEIGHT, at % WIDTH))
}

pub(super) fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

fn convolution(device: &Device, groups: usize) -> Result<Pair> {
    let inputs = CHANNELS / groups;
    let (weight, bias) = (numbers(CHANNELS * inputs * 9), numbers(CHANNELS));
    let config = Conv2dConfig { groups, ..Conv2dConfig::same(CHANNELS, CHANNELS, 3, 1) };
    let tensors = (Tensor::from_slice(&weight, config.weight(), device)?, Tensor::from_slice(&bias, CHANNELS, device)?);
    let conv = Conv2d::from_tensors(config, tensors.0, Some(tensors.1), "doctor".to_owned())?
        .fuse(Activation::Relu, "doctor.act".to_owned());
    let pixels = numbers(CHANNELS * HEIGHT * WIDTH);
    let want = places().map(|(out, row, column)| {
        let sums = (0..inputs).flat_map(|input| {
            let weight = &weight[(out * inputs + input) * 9..];
            let channel = if groups == 1 { input } else { out };
            window(&pixels, channel, row, column).map(move |(tap, pixel)| f64::from(weight[tap]) * f64::from(pixel))
        });
        (f64::from(bias[out]) + sums.sum::<f64>()).max(0.0) as f32
    });
    Ok((flat(&conv.forward(&image(device)?)?)?, want.collect()))
}

fn max_pool(device: &Device) -> Result<Pair> {
    let config = PoolConfig { kernel: 3, stride: 1, padding: [1; 4], ceil: false };
    // Below zero everywhere, so that a padding of zeros would win.
    let image = (image(device)? - 2.0)?;
    let pixels = flat(&image)?;
    let largest = |(channel, row, column)| {
        window(&pixels, channel, row, column).map(|(_, pixel)| pixel).fold(f32::NEG_INFINITY, f32::max)
    };
    let got = MaxPool2d::module(config, "doctor".to_owned()).forward(&image)?;
    Ok((flat(&got)?, places().map(largest).collect()))
}

/// All points of a query read its box's centre, which lies between four pixels: the result is their mean.
fn deformable(device: &Device) -> Result<Pair> {
    const POINTS: usize = 4;
    let zeros = |name: &str, shape: &[usize]| Ok((name.to_owned(), Tensor::zeros(shape, DType::F32, device)?));
    let same = |name: &str| Ok((name.to_owned(), Tensor::eye(CHANNELS, DType::F32, device)?));
    let tensors: Result<HashMap<String, Tensor>> = [
        zeros("sampling_offsets.weight", &[2 * 2 * POINTS, CHANNELS]),
        zeros("sampling_offsets.bias", &[2 * 2 * POINTS]),
        zeros("attention_weights.weight", &[2 * POINTS, CHANNELS]),
        zeros("attention_weights.bias", &[2 * POINTS]),
        same("value_proj.weight"),
        zeros("value_proj.bias", &[CHANNELS]),
        same("output_proj.weight"),
        zeros("output_proj.bias", &[CHANNELS]),
    ]
    .into_iter()
    .collect();
    let vb = VarBuilder::from_tensors(tensors?, DType::F32, device);
    let config = DeformableConfig {
        embed_dim: CHANNELS,
        heads: 2,
        points: vec![POINTS],
        offset_scale: 0.5,
        sampler: Sampler::Bilinear,
    };
    let attention = DeformableAttention::new(config, vb)?;
    let values = numbers(HEIGHT * WIDTH * CHANNELS);
    let memory = Tensor::from_slice(&values, (1, HEIGHT * WIDTH, CHANNELS), device)?;
    let corners = [(0, 0), (2, 3), (HEIGHT - 2, WIDTH - 2)];
    let boxes = corners
        .map(|(row, column)| [(column as f32 + 1.0) / WIDTH as f32, (row as f32 + 1.0) / HEIGHT as f32, 0.5, 0.5]);
    let boxes = Tensor::from_slice(boxes.as_flattened(), (1, corners.len(), 4), device)?;
    let queries = Tensor::zeros((1, corners.len(), CHANNELS), DType::F32, device)?;
    let got = attention.forward(&queries, &boxes, &memory, &[(HEIGHT, WIDTH)], None)?.output;
    let values = &values;
    let want = corners.iter().flat_map(|(row, column)| {
        let first = row * WIDTH + column;
        let mean = move |channel| [0, 1, WIDTH, WIDTH + 1].map(|step| values[(first + step) * CHANNELS + channel]);
        (0..CHANNELS).map(move |channel| mean(channel).iter().sum::<f32>() / 4.0)
    });
    Ok((flat(&got)?, want.collect()))
}

fn top_k(device: &Device) -> Result<Pair> {
    const SCORES: usize = 24_000;
    const BEST: usize = 300;
    // A permutation: 7919 has no factor in common with 24000.
    let place = |score: usize| (score * 7919) % SCORES;
    let mut scores = vec![0.0; SCORES];
    for score in 0..SCORES {
        scores[place(score)] = score as f32;
    }
    let scores = Tensor::from_vec(scores, (1, SCORES), device)?;
    let got = Probe::new("doctor").top_k("top_k", &scores, BEST)?;
    Ok((flat(&got.to_dtype(DType::F32)?)?, (SCORES - BEST..SCORES).rev().map(|score| place(score) as f32).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_short_and_failed_results_do_not_pass() {
        assert!(check(String::new(), 0.1, Ok((vec![1.0], vec![1.05]))).passed);
        for ran in [
            Ok((vec![1.0], vec![1.2])),
            Ok((vec![f32::NAN], vec![1.0])),
            Ok((vec![1.0], vec![1.0, 2.0])),
            Err(candle_core::Error::Msg("no".to_owned())),
        ] {
            assert!(!check(String::new(), 0.1, ran).passed);
        }
    }
}
