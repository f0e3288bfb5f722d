use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use detrace_flops::{Kind, Param};
use detrace_kernels::Attention;

use crate::engine::{is_ours, with_slice};
use crate::linear::Product;
use crate::{Facts, Linear, Probe, declare};

/// Multi-head attention with a packed input projection, as `torch.nn.MultiheadAttention` stores it. Its softmax is f32.
#[derive(Clone, Debug)]
pub struct MultiheadAttention {
    q_proj: Product,
    k_proj: Product,
    v_proj: Product,
    out_proj: Linear,
    slice: Arc<[Param]>,
    heads: usize,
    probe: Probe,
}

impl MultiheadAttention {
    /// From `in_proj_weight` [3E, E] and `in_proj_bias` \[3E\] (query, key, value in that order) and `out_proj`.
    pub fn new(embed_dim: usize, heads: usize, vb: VarBuilder) -> Result<MultiheadAttention> {
        let weight = vb.get((3 * embed_dim, embed_dim), "in_proj_weight")?;
        let bias = vb.get(3 * embed_dim, "in_proj_bias")?;
        declare(
            &vb.prefix(),
            &[Param::named("in_proj_weight", weight.dims()), Param::named("in_proj_bias", bias.dims())],
        );
        let projection = |index: usize| -> Result<Product> {
            let rows = |tensor: &Tensor| tensor.narrow(0, index * embed_dim, embed_dim)?.contiguous();
            Product::new(rows(&weight)?, rows(&bias)?)
        };
        Ok(MultiheadAttention {
            q_proj: projection(0)?,
            k_proj: projection(1)?,
            v_proj: projection(2)?,
            out_proj: Linear::new(embed_dim, embed_dim, vb.pp("out_proj"))?,
            slice: Arc::new([
                Param::named("in_proj_weight", &[embed_dim, embed_dim]),
                Param::named("in_proj_bias", &[embed_dim]),
            ]),
            heads,
            probe: Probe::new(vb.prefix()),
        })
    }

    /// `query` and `key`: [N, L, E], which carry the positions; `value`: [N, L, E]. Result: [N, L, E].
    pub fn forward(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor> {
        let probe = &self.probe;
        probe.block(|| {
            let q = self.project("q_proj", &self.q_proj, query)?;
            let k = self.project("k_proj", &self.k_proj, key)?;
            let v = self.project("v_proj", &self.v_proj, value)?;
            let mixed = self.attend(&q, &k, &v)?;
            self.out_proj.forward(&mixed)
        })
    }

    /// Scales, scores, weighs and mixes in one kernel, which is recorded as these steps and what it takes to bring heads
    /// together and apart.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (batch, queries, embed_dim) = q.dims3()?;
        let (heads, channels, keys) = (self.heads, embed_dim / self.heads, k.dim(1)?);
        let scale = (channels as f64).powf(-0.5);
        let run = || {
            if !is_ours(q) || keys == 0 {
                let q = self.split(&(q * scale)?)?.contiguous()?;
                let (k, v) = (self.split(k)?.contiguous()?, self.split(v)?.contiguous()?);
                let scores = q.matmul(&k.t()?)?.to_dtype(DType::F32)?;
                let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
                return weights.matmul(&v)?.transpose(1, 2)?.contiguous()?.flatten_from(2);
            }
            let shape = Attention { batch, heads, channels, queries, keys, scale: scale as f32 };
            let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
            let mixed = with_slice(&q, |q| with_slice(&k, |k| with_slice(&v, |v| Ok(shape.forward(q, k, v)))))?;
            Tensor::from_vec(mixed, (batch, queries, embed_dim), q.device())
        };
        self.probe.role("scores", Kind::Matmul, run, |_| {
            let scores = &[batch, heads, queries, keys][..];
            let split = |length: usize| [batch, heads, length, channels];
            let (q_heads, kv_heads) = (&split(queries)[..], &split(keys)[..]);
            let merged = &[batch, queries, heads, channels][..];
            Facts::shapes(&[q_heads, &[batch, heads, channels, keys]], scores)
                .step(&self.probe, Kind::Mul, "scale", &[q.dims()], q.dims())
                .step(&self.probe, Kind::Copy, "q_heads", &[q_heads], q_heads)
                .step(&self.probe, Kind::Copy, "k_heads", &[kv_heads], kv_heads)
                .step(&self.probe, Kind::Copy, "v_heads", &[kv_heads], kv_heads)
                .step(&self.probe, Kind::Softmax, "softmax", &[scores], scores)
                .step(&self.probe, Kind::Matmul, "mix", &[scores, kv_heads], q_heads)
                .step(&self.probe, Kind::Copy, "merge_heads", &[merged], merged)
        })
    }

    /// A third of the packed projection: one product with its slice of the weight.
    fn project(&self, role: &'static str, product: &Product, x: &Tensor) -> Result<Tensor> {
        self.probe.role(role, Kind::Linear, || product.run(x, None), |y| Facts::new(&[x], y).params(&self.slice))
    }

    /// [N, L, E] → [N, heads, L, E / heads], a view.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, length, embed_dim) = x.dims3()?;
        x.reshape((batch, length, self.heads, embed_dim / self.heads))?.transpose(1, 2)
    }
}
