//! f16: every layer beside itself in f32, and that what must stay f32 does.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use detrace_nn::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, Conv2dConfig, ConvNorm, ConvNormConfig, DeformableAttention,
    DeformableConfig, LayerNorm, Linear, MaxPool2d, MultiheadAttention, PoolConfig, Probe, Sampler, Structure,
};

/// What rounding to f16 once moves a number by, relatively.
const ULP: f32 = 1.0 / 2048.0;

/// Numbers of both signs that f16 holds exactly.
fn tensor(shape: &[usize], scale: f32, seed: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let hash = |i: usize| ((i + 1 + 7919 * seed).wrapping_mul(2_654_435_761) >> 9) % 2001;
    let values: Vec<f32> = (0..count).map(|i| scale * (hash(i) as f32 / 1000.0 - 1.0)).collect();
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor");
    narrow(&tensor).to_dtype(DType::F32).expect("f32")
}

fn narrow(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F16).expect("f16")
}

fn builders(tensors: &[(&str, Tensor)]) -> [VarBuilder<'static>; 2] {
    let map: HashMap<String, Tensor> =
        tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
    [DType::F32, DType::F16].map(|dtype| VarBuilder::from_tensors(map.clone(), dtype, &Device::Cpu))
}

/// f16 whose distance from f32 is at most so many roundings of the largest number, and more than none.
fn near(half: &Tensor, single: &Tensor, roundings: f32) {
    assert_eq!((half.dtype(), single.dtype()), (DType::F16, DType::F32));
    let flat = |x: &Tensor| x.to_dtype(DType::F32).and_then(|x| x.flatten_all()?.to_vec1::<f32>()).expect("numbers");
    let (half, single) = (flat(half), flat(single));
    assert_eq!(half.len(), single.len());
    let most = single.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let apart =
        half.iter().zip(&single).fold(0.0_f32, |most, (a, b)| if (a - b).abs() <= most { most } else { (a - b).abs() });
    assert!(apart <= roundings * ULP * most, "{apart} of {most}: {} roundings", apart / most / ULP);
}

#[test]
fn convolutions_dense_depthwise_and_grouped() {
    for (groups, padding) in [(1, [1; 4]), (8, [1; 4]), (2, [0, 0, 1, 1])] {
        let config = Conv2dConfig { groups, padding, ..Conv2dConfig::same(8, 8, 3, 2) };
        let tensors = [("weight", tensor(&[8, 8 / groups, 3, 3], 0.5, 1)), ("bias", tensor(&[8], 0.5, 2))];
        let [wide, half] = builders(&tensors);
        let make = |vb| Conv2d::with_bias(config, vb).expect("a layer").fuse(Activation::Silu, "act".to_owned());
        let x = tensor(&[2, 8, 9, 7], 2.0, 3);
        let single = make(wide).forward(&x).expect("f32");
        let layer = make(half);
        near(&layer.forward(&narrow(&x)).expect("f16"), &single, 3.0);
        // An input in f32 is taken as well.
        near(&layer.forward(&x).expect("f16"), &single, 3.0);
    }
}

/// A running variance that f16 would round to nothing: the norm is folded in f32.
#[test]
fn norms_are_folded_and_applied_in_f32() {
    let tiny = Tensor::full(1e-9_f32, 4, &Device::Cpu).expect("variances");
    let mut tensors = vec![("conv.weight", tensor(&[4, 4, 3, 3], 0.003, 1)), ("norm.running_var", tiny.clone())];
    for (seed, name) in ["norm.weight", "norm.bias", "norm.running_mean"].into_iter().enumerate() {
        tensors.push((name, tensor(&[4], 0.01, seed)));
    }
    let x = tensor(&[1, 4, 8, 8], 1.0, 9);
    for structure in [Structure::Train, Structure::Fast] {
        let [single, half] = builders(&tensors).map(|vb| {
            let config = ConvNormConfig::new(Conv2dConfig::same(4, 4, 3, 1)).act(Activation::Relu);
            ConvNorm::new(config, structure, vb).expect("a layer").forward(&x).expect("runs")
        });
        near(&half, &single, 4.0);
    }
    let tensors: Vec<(&str, Tensor)> =
        tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("norm.")?, tensor.clone()))).collect();
    let [single, half] =
        builders(&tensors).map(|vb| BatchNorm2d::new(4, false, vb).expect("a norm").forward(&x).expect("runs"));
    near(&half, &single, 1.0);
}

/// Sums and squares are beyond f16's largest number, 65504.
#[test]
fn layer_norm_sums_and_squares_in_f32() {
    let [wide, half] = builders(&[("weight", tensor(&[64], 1.0, 1)), ("bias", tensor(&[64], 1.0, 2))]);
    let (x, residual) = (tensor(&[2, 3, 64], 60_000.0, 3), tensor(&[2, 3, 64], 60_000.0, 4));
    let probe = Probe::new("block");
    let layers = [wide, half].map(|vb| LayerNorm::new(64, vb).expect("a norm"));
    near(&layers[1].forward(&narrow(&x)).expect("f16"), &layers[0].forward(&x).expect("f32"), 1.0);
    let sum = layers[1].forward_sum(&narrow(&x), &narrow(&residual), &probe, "sum").expect("f16");
    near(&sum, &layers[0].forward_sum(&x, &residual, &probe, "sum").expect("f32"), 1.0);
}

/// A layer in f32 gives f32 whatever goes in: heads do.
#[test]
fn linear_layers_compute_in_their_own_type() {
    let [wide, half] = builders(&[("weight", tensor(&[5, 64], 0.2, 1)), ("bias", tensor(&[5], 0.5, 2))]);
    let x = tensor(&[2, 3, 64], 2.0, 3);
    let head = Linear::new(64, 5, wide).expect("a layer");
    let single = head.forward(&x).expect("f32");
    let from_half = head.forward(&narrow(&x)).expect("f32");
    assert_eq!(from_half.dtype(), DType::F32);
    assert_eq!(from_half.to_vec3::<f32>().expect("numbers"), single.to_vec3::<f32>().expect("numbers"));
    near(&Linear::new(64, 5, half).expect("a layer").forward(&narrow(&x)).expect("f16"), &single, 2.0);
}

/// The sum of 5000 weights of nearly one: in f16 it would stop at 2048.
#[test]
fn attention_has_its_softmax_in_f32() {
    let tensors = [
        ("in_proj_weight", tensor(&[48, 16], 0.5, 1)),
        ("in_proj_bias", tensor(&[48], 0.1, 2)),
        ("out_proj.weight", tensor(&[16, 16], 0.3, 3)),
        ("out_proj.bias", tensor(&[16], 0.1, 4)),
    ];
    let layers = builders(&tensors).map(|vb| MultiheadAttention::new(16, 2, vb).expect("a layer"));
    let (query, key) = (tensor(&[1, 3, 16], 1.0, 5), tensor(&[1, 5000, 16], 0.1, 6));
    let value = (tensor(&[1, 5000, 16], 0.5, 7) + 1.0).expect("values");
    let half = layers[1].forward(&narrow(&query), &narrow(&key), &narrow(&value)).expect("f16");
    near(&half, &layers[0].forward(&query, &key, &value).expect("f32"), 6.0);
}

/// Locations keep f32: those of f16 would be a sixth of a pixel apart at the right of an image of 640.
#[test]
fn deformable_attention_keeps_boxes_locations_and_weights_in_f32() {
    for sampler in [Sampler::Bilinear, Sampler::Discrete] {
        let config = DeformableConfig { embed_dim: 16, heads: 2, points: vec![4, 4], offset_scale: 0.5, sampler };
        let layer = |name: &'static str, rows: usize, seed| {
            [
                (format!("{name}.weight"), tensor(&[rows, 16], 0.2, seed)),
                (format!("{name}.bias"), tensor(&[rows], 0.2, seed + 9)),
            ]
        };
        let named: Vec<(String, Tensor)> =
            [("sampling_offsets", 32, 1), ("attention_weights", 16, 2), ("value_proj", 16, 3), ("output_proj", 16, 4)]
                .into_iter()
                .flat_map(|(name, rows, seed)| layer(name, rows, seed))
                .collect();
        let tensors: Vec<(&str, Tensor)> = named.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
        let layers = builders(&tensors).map(|vb| DeformableAttention::new(config.clone(), vb).expect("a layer"));
        let levels = [(12, 16), (6, 8)];
        let (query, memory) = (tensor(&[1, 9, 16], 1.0, 5), tensor(&[1, 240, 16], 1.0, 6));
        let boxes = (tensor(&[1, 9, 4], 0.25, 7) + 0.74).expect("boxes");
        let single = layers[0].forward(&query, &boxes, &memory, &levels, None).expect("f32");
        let half = layers[1].forward(&narrow(&query), &boxes, &narrow(&memory), &levels, None).expect("f16");
        let locations =
            (&half.locations - &single.locations).and_then(|apart| apart.abs()?.max_all()?.to_scalar::<f32>());
        let apart = locations.expect("f32");
        assert!(apart < 1.5e-4, "{apart}");
        let forced = detrace_nn::nearest_pixels(&single.locations, &levels, &config.points).expect("pixels");
        let half = match config.sampler {
            Sampler::Bilinear => half,
            Sampler::Discrete => {
                layers[1].forward(&narrow(&query), &boxes, &narrow(&memory), &levels, Some(&forced)).expect("f16")
            }
        };
        near(&half.output, &single.output, 6.0);
    }
}

#[test]
fn pools_and_what_blocks_do_by_themselves() {
    let x = tensor(&[2, 3, 8, 6], 2.0, 1);
    let config = PoolConfig { kernel: 3, stride: 2, padding: [1; 4], ceil: false };
    let max = MaxPool2d::module(config, "pool".to_owned());
    near(&max.forward(&narrow(&x)).expect("f16"), &max.forward(&x).expect("f32"), 0.0);
    let mean = AvgPool2d::module(PoolConfig { kernel: 2, padding: [0; 4], ceil: true, ..config }, "pool".to_owned());
    near(&mean.forward(&narrow(&x)).expect("f16"), &mean.forward(&x).expect("f32"), 1.0);
    let probe = Probe::new("block");
    let both = |run: &dyn Fn(&Tensor) -> Tensor, roundings| near(&run(&narrow(&x)), &run(&x), roundings);
    both(&|x| probe.upsample2x("up", x).expect("a map"), 0.0);
    both(&|x| probe.concat("concat", &[x, x], 1).expect("a map"), 0.0);
    both(&|x| probe.add("add", x, &x.affine(0.5, 0.0).expect("half of it")).expect("a sum"), 1.0);
    both(&|x| probe.flatten("flatten", x).expect("tokens"), 0.0);
    both(&|x| probe.unflatten("unflatten", &probe.flatten("flatten", x).expect("tokens"), (8, 6)).expect("a map"), 0.0);
}
