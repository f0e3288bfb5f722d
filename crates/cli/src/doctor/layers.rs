//! Layers on a device, in both number types, beside the CPU's in f32: everything that runs kernels of our own on a GPU.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use detrace_nn::{
    Activation, AvgPool2d, Conv2d, Conv2dConfig, DeformableAttention, DeformableConfig, LayerNorm, Linear, MaxPool2d,
    MultiheadAttention, PoolConfig, Probe, Sampler, Structure, nearest_pixels,
};
use detrace_weights::{Seeded, seeded_values};

use super::selftest::{Check, check, flat};

/// Largest difference that is right, of numbers of the order of 1.
const BOUNDS: [(DType, &str, f32); 2] = [(DType::F32, "f32", 5e-5), (DType::F16, "f16", 1e-2)];

/// What a layer computes in a number type on a device.
type Run = fn(&Place) -> Result<Tensor>;

/// A device and a number type there.
struct Place {
    device: Device,
    dtype: DType,
}

impl Place {
    fn vb(&self) -> VarBuilder<'static> {
        Seeded::var_builder(0, &self.device, |_| {}).to_dtype(self.dtype)
    }

    /// Seeded numbers from −1 to 1.
    fn input(&self, shape: &[usize]) -> Result<Tensor> {
        let values = seeded_values("image", shape, 0).iter().map(|value| 2.0 * value - 1.0).collect::<Vec<_>>();
        Tensor::from_vec(values, shape, &self.device)?.to_dtype(self.dtype)
    }
}

/// All layers on a device.
pub(super) fn run(device: &Device) -> Vec<Check> {
    let layers: [(&str, Run); 13] = [
        ("convolution 3x3 with SiLU", |at| convolution(at, 16, 3, 1, Activation::Silu)),
        ("convolution 1x1 with ReLU", |at| convolution(at, 1, 1, 1, Activation::Relu)),
        ("depthwise convolution 5x5, stride 2, with GELU", |at| convolution(at, 1, 5, 2, Activation::Gelu)),
        ("convolution 2x2, padded on two sides", padded),
        ("max pool 3x3", |at| {
            let config = PoolConfig { kernel: 3, stride: 2, padding: [1; 4], ceil: false };
            MaxPool2d::module(config, "pool".to_owned()).forward(&at.input(&[2, 5, 17, 13])?)
        }),
        ("average pool 2x2, ceil", |at| {
            let config = PoolConfig { kernel: 2, stride: 2, padding: [0; 4], ceil: true };
            AvgPool2d::module(config, "pool".to_owned()).forward(&at.input(&[2, 5, 17, 13])?)
        }),
        ("linear layer with GELU", |at| {
            let layer = Linear::new(48, 70, at.vb().pp("linear"))?;
            layer.act(Activation::Gelu, Structure::Fast, "act".to_owned()).forward(&at.input(&[2, 33, 48])?)
        }),
        ("layer norm of a sum", |at| {
            let norm = LayerNorm::new(48, at.vb().pp("norm"))?;
            let x = at.input(&[2, 33, 48])?;
            norm.forward_sum(&x, &x.affine(0.5, 0.25)?, &Probe::new("doctor"), "sum")
        }),
        ("attention", |at| {
            let x = at.input(&[2, 77, 64])?;
            MultiheadAttention::new(64, 4, at.vb().pp("attention"))?.forward(&x, &x, &x)
        }),
        ("deformable attention, bilinear", |at| deformable(at, Sampler::Bilinear)),
        ("deformable attention, discrete, at given pixels", |at| deformable(at, Sampler::Discrete)),
        ("upsampling and concatenation", |at| {
            let probe = Probe::new("doctor");
            let up = probe.upsample2x("up", &at.input(&[2, 5, 6, 7])?)?;
            probe.concat("concat", &[&up, &at.input(&[2, 3, 12, 14])?], 1)
        }),
        ("the 300 best of 8400", |at| {
            let scores = at.input(&[2, 8400])?.to_dtype(DType::F32)?;
            Probe::new("doctor").top_k("top_k", &scores, 300)?.to_dtype(DType::F32)
        }),
    ];
    let place = |device: &Device, dtype| Place { device: device.clone(), dtype };
    let mut checks = Vec::new();
    for (name, layer) in layers {
        for (dtype, word, bound) in BOUNDS {
            // The CPU in f32 is what the others are compared with; indices are f32 alone.
            if dtype == DType::F32 && device.is_cpu() || dtype == DType::F16 && name.contains("best") {
                continue;
            }
            let pair = || {
                let numbers = |at: &Place| flat(&layer(at)?.to_dtype(DType::F32)?);
                Ok((numbers(&place(device, dtype))?, numbers(&place(&Device::Cpu, DType::F32))?))
            };
            checks.push(check(format!("{name}, {word} as the CPU's f32"), bound, pair()));
        }
    }
    checks
}

fn convolution(at: &Place, inputs: usize, kernel: usize, stride: usize, act: Activation) -> Result<Tensor> {
    const CHANNELS: usize = 16;
    let groups = if inputs == 1 && kernel > 1 { CHANNELS } else { 1 };
    let config = Conv2dConfig { groups, ..Conv2dConfig::same(CHANNELS, CHANNELS, kernel, stride) };
    Conv2d::with_bias(config, at.vb().pp("conv"))?.fuse(act, "act".to_owned()).forward(&at.input(&[2, 16, 17, 13])?)
}

fn padded(at: &Place) -> Result<Tensor> {
    let config = Conv2dConfig { padding: [0, 0, 1, 1], ..Conv2dConfig::same(3, 8, 2, 1) };
    Conv2d::with_bias(config, at.vb().pp("conv"))?.forward(&at.input(&[1, 3, 9, 11])?)
}

fn deformable(at: &Place, sampler: Sampler) -> Result<Tensor> {
    let levels = [(12, 16), (6, 8), (3, 4)];
    let points = vec![4, 4, 4];
    let discrete = sampler == Sampler::Discrete;
    let config = DeformableConfig { embed_dim: 64, heads: 4, points: points.clone(), offset_scale: 0.5, sampler };
    let layer = DeformableAttention::new(config, at.vb().pp("attention"))?;
    // Boxes inside and over the border.
    let boxes = at.input(&[2, 9, 4])?.to_dtype(DType::F32)?.affine(0.4, 0.6)?;
    let pixels = match discrete {
        // The pixels of other locations, which are the same in every number type.
        true => {
            let other = Place { device: Device::Cpu, dtype: DType::F32 }.input(&[2, 9, 4, 12, 2])?.affine(0.6, 0.5)?;
            Some(nearest_pixels(&other, &levels, &points)?.to_device(&at.device)?)
        }
        false => None,
    };
    let memory = at.input(&[2, 252, 64])?;
    Ok(layer.forward(&at.input(&[2, 9, 64])?, &boxes, &memory, &levels, pixels.as_ref())?.output)
}
