use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_flops::Kind;
use detrace_kernels::{Deformable, sample_bilinear, sample_discrete};

use crate::engine::{is_ours, slice, stored_like, widened, with_slice};
use crate::{Facts, Linear, Probe};

/// How a sampling point reads its level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// Bilinear interpolation, zeros outside.
    Bilinear,
    /// The nearest pixel, clamped to the border.
    Discrete,
}

/// What shapes a multi-scale deformable attention.
#[derive(Clone, Debug)]
pub struct DeformableConfig {
    /// Width.
    pub embed_dim: usize,
    /// Attention heads.
    pub heads: usize,
    /// Sampling points per head on each level.
    pub points: Vec<usize>,
    /// Scale of the offsets relative to the reference box.
    pub offset_scale: f64,
    /// How a point reads its level.
    pub sampler: Sampler,
}

/// What deformable attention gives.
#[derive(Clone, Debug)]
pub struct Attended {
    /// [N, Q, E].
    pub output: Tensor,
    /// Where it sampled, (x, y) relative to the image, [N, Q, heads, points, 2].
    pub locations: Tensor,
}

/// Multi-scale deformable attention around reference boxes (Deformable DETR, Zhu et al. 2021, equation 3; RT-DETRv2). Boxes,
/// locations and attention weights are f32, whatever the layers compute in.
#[derive(Clone, Debug)]
pub struct DeformableAttention {
    config: DeformableConfig,
    sampling_offsets: Linear,
    attention_weights: Linear,
    value_proj: Linear,
    output_proj: Linear,
    /// `offset_scale / points of the level`, one per point, [points, 1].
    point_scale: Tensor,
    probe: Probe,
}

impl DeformableAttention {
    /// From `sampling_offsets`, `attention_weights`, `value_proj` and `output_proj`.
    pub fn new(config: DeformableConfig, vb: VarBuilder) -> Result<DeformableAttention> {
        let DeformableConfig { embed_dim, heads, ref points, offset_scale, .. } = config;
        let total: usize = points.iter().sum();
        let scales: Vec<f32> =
            points.iter().flat_map(|&n| std::iter::repeat_n((offset_scale / n as f64) as f32, n)).collect();
        Ok(DeformableAttention {
            sampling_offsets: Linear::new(embed_dim, 2 * heads * total, vb.pp("sampling_offsets"))?,
            attention_weights: Linear::new(embed_dim, heads * total, vb.pp("attention_weights"))?,
            value_proj: Linear::new(embed_dim, embed_dim, vb.pp("value_proj"))?,
            output_proj: Linear::new(embed_dim, embed_dim, vb.pp("output_proj"))?,
            point_scale: Tensor::from_vec(scales, (total, 1), vb.device())?,
            probe: Probe::new(vb.prefix()),
            config,
        })
    }

    /// `query`: [N, Q, E]; `boxes`: reference boxes [N, Q, 4] as cx, cy, w, h in 0 … 1; `memory`: tokens of all levels
    /// [N, L, E]; `levels`: their heights and widths; `forced`: pixels [N, Q, heads, points, 2] (x, y; u32) to read instead
    /// of those that discrete sampling would round to.
    pub fn forward(
        &self,
        query: &Tensor,
        boxes: &Tensor,
        memory: &Tensor,
        levels: &[(usize, usize)],
        forced: Option<&Tensor>,
    ) -> Result<Attended> {
        let probe = &self.probe;
        probe.block(|| {
            let (batch, queries, _) = query.dims3()?;
            let heads = self.config.heads;
            let points: usize = self.config.points.iter().sum();
            let value = self.value_proj.forward(memory)?;
            let wide = |layer: &Linear| layer.forward(query)?.to_dtype(DType::F32);
            let offsets = wide(&self.sampling_offsets)?.reshape((batch, queries, heads, points, 2))?;
            let weights = wide(&self.attention_weights)?.reshape((batch, queries, heads, points))?;
            let weights = probe.softmax("softmax", &weights)?;
            let shape = Deformable {
                batch,
                queries,
                heads,
                channels: self.config.embed_dim / heads,
                levels: levels.to_vec(),
                points: self.config.points.clone(),
            };
            let locations = self.locations(&shape, &offsets, boxes)?;
            let mixed = self.sample(shape, &value, &locations, &weights, forced)?;
            Ok(Attended { output: self.output_proj.forward(&mixed)?, locations })
        })
    }

    /// Scales the offsets, by what their point stands for and by the box, and adds them to the box's centre.
    fn locations(&self, shape: &Deformable, offsets: &Tensor, boxes: &Tensor) -> Result<Tensor> {
        let scales = &self.point_scale;
        let run = || {
            if is_ours(offsets) && is_ours(boxes) {
                let (offsets, boxes) = (offsets.contiguous()?, boxes.contiguous()?);
                let locations = with_slice(&offsets, |offsets| {
                    with_slice(scales, |scales| with_slice(&boxes, |boxes| Ok(shape.locations(offsets, scales, boxes))))
                })?;
                return Tensor::from_vec(locations, offsets.shape(), offsets.device());
            }
            let part = |start| boxes.narrow(2, start, 2)?.reshape((shape.batch, shape.queries, 1, 1, 2));
            offsets.broadcast_mul(scales)?.broadcast_mul(&part(2)?)?.broadcast_add(&part(0)?)
        };
        self.probe.role("locations", Kind::Add, run, |locations| {
            let (all, corner) = (locations.dims(), &[shape.batch, shape.queries, 1, 1, 2]);
            Facts::shapes(&[all, corner], all)
                .step(&self.probe, Kind::Mul, "offset_scale", &[all, scales.dims()], all)
                .step(&self.probe, Kind::Mul, "offset_size", &[all, corner], all)
        })
    }

    /// Samples and mixes in one kernel, which is recorded as the sampling, the products with the attention weights and
    /// their sum.
    fn sample(
        &self,
        shape: Deformable,
        value: &Tensor,
        locations: &Tensor,
        weights: &Tensor,
        forced: Option<&Tensor>,
    ) -> Result<Tensor> {
        let tokens = value.dim(1)?;
        if shape.tokens() != tokens || shape.levels.len() != shape.points.len() {
            bail!("{}: levels {:?} do not add up to {tokens} tokens", self.probe.path(), shape.levels);
        }
        let (batch, queries, heads, points, _) = locations.dims5()?;
        let channels = shape.channels;
        let kind = match self.config.sampler {
            Sampler::Bilinear => Kind::GridSample,
            Sampler::Discrete => Kind::Gather,
        };
        let read = forced.unwrap_or(locations).contiguous()?;
        let discrete = self.config.sampler == Sampler::Discrete;
        let run = || {
            let kernel = Sample { shape, discrete, forced: forced.is_some() };
            value.contiguous()?.apply_op3_no_bwd(&read, &weights.contiguous()?, &kernel)
        };
        self.probe.role("sampling", kind, run, |mixed| {
            let sampled = &[batch, queries, heads, points, channels][..];
            let grid = locations.dims();
            let mut facts = Facts::shapes(&[value.dims(), grid], sampled);
            if discrete {
                facts = facts.step(&self.probe, Kind::Mul, "to_pixels", &[grid], grid).step(
                    &self.probe,
                    Kind::Add,
                    "round",
                    &[grid],
                    grid,
                );
            }
            facts.step(&self.probe, Kind::Mul, "weight", &[sampled, weights.dims()], sampled).step(
                &self.probe,
                Kind::Add,
                "sum",
                &[sampled],
                mixed.dims(),
            )
        })
    }
}

/// The pixels (x, y; u32) of `levels` with so many `points` each that discrete sampling reads at `locations` [N, Q, heads,
/// points, 2].
pub fn nearest_pixels(locations: &Tensor, levels: &[(usize, usize)], points: &[usize]) -> Result<Tensor> {
    let (batch, queries, heads, total, _) = locations.dims5()?;
    let shape = Deformable { batch, queries, heads, channels: 1, levels: levels.to_vec(), points: points.to_vec() };
    if shape.total_points() != total || levels.len() != points.len() {
        bail!("{total} points are not {points:?} on levels {levels:?}");
    }
    let pixels = shape.nearest(&locations.flatten_all()?.to_vec1::<f32>()?);
    Tensor::from_vec(pixels.into_iter().flatten().collect::<Vec<u32>>(), locations.shape(), &Device::Cpu)
}

struct Sample {
    shape: Deformable,
    discrete: bool,
    forced: bool,
}

impl CustomOp3 for Sample {
    fn name(&self) -> &'static str {
        "deformable-sample"
    }

    fn cpu_fwd(
        &self,
        value: &CpuStorage,
        value_layout: &Layout,
        read: &CpuStorage,
        read_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (wide, weights) = (widened(value, value_layout)?, slice(weights, weights_layout)?);
        let output = if self.forced {
            let Some((start, end)) = read_layout.contiguous_offsets() else {
                bail!("forced pixels are not contiguous");
            };
            let pixels = &read.as_slice::<u32>()?[start..end];
            let pixels: Vec<[u32; 2]> = pixels.chunks_exact(2).map(|pixel| [pixel[0], pixel[1]]).collect();
            sample_discrete(&self.shape, &wide, &pixels, weights)
        } else if self.discrete {
            let pixels = self.shape.nearest(slice(read, read_layout)?);
            sample_discrete(&self.shape, &wide, &pixels, weights)
        } else {
            sample_bilinear(&self.shape, &wide, slice(read, read_layout)?, weights)
        };
        let Deformable { batch, queries, heads, channels, .. } = self.shape;
        Ok((stored_like(value, output), (batch, queries, heads * channels).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        value: &candle_core::CudaStorage,
        value_layout: &Layout,
        read: &candle_core::CudaStorage,
        read_layout: &Layout,
        weights: &candle_core::CudaStorage,
        weights_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let sampling = match (self.forced, self.discrete) {
            (true, _) => detrace_cuda::Sampling::Pixels,
            (false, true) => detrace_cuda::Sampling::Discrete,
            (false, false) => detrace_cuda::Sampling::Bilinear,
        };
        let sources = [(value, value_layout), (read, read_layout), (weights, weights_layout)];
        let output = detrace_cuda::sample(&self.shape, sampling, sources)?;
        let Deformable { batch, queries, heads, channels, .. } = self.shape;
        Ok((output, (batch, queries, heads * channels).into()))
    }
}
