use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use detrace_flops::{Kind, Param};

use crate::linear::Product;
use crate::{Facts, Linear, Probe, declare};

/// Multi-head attention with a packed input projection, as `torch.nn.MultiheadAttention` stores it.
#[derive(Clone, Debug)]
pub struct MultiheadAttention {
    q_proj: Product,
    k_proj: Product,
    v_proj: Product,
    out_proj: Linear,
    slice: Vec<Param>,
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
            slice: vec![
                Param::named("in_proj_weight", &[embed_dim, embed_dim]),
                Param::named("in_proj_bias", &[embed_dim]),
            ],
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
            let head_dim = q.dim(2)? / self.heads;
            let q = probe.scale("scale", &q, (head_dim as f64).powf(-0.5))?;
            let q = probe.copy("q_heads", &self.split(&q)?)?;
            let k = probe.copy("k_heads", &self.split(&k)?)?;
            let v = probe.copy("v_heads", &self.split(&v)?)?;
            let scores = probe.matmul("scores", &q, &k.transpose(2, 3)?)?;
            let weights = probe.softmax("softmax", &scores)?;
            let mixed = probe.matmul("mix", &weights, &v)?;
            let merged = probe.copy("merge_heads", &mixed.transpose(1, 2)?)?.flatten_from(2)?;
            self.out_proj.forward(&merged)
        })
    }

    /// A third of the packed projection: one product with its slice of the weight.
    fn project(&self, role: &'static str, product: &Product, x: &Tensor) -> Result<Tensor> {
        self.probe.role(role, Kind::Linear, || product.run(x), |y| Facts::new(&[x], y).params(&self.slice))
    }

    /// [N, L, E] → [N, heads, L, E / heads], a view.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, length, embed_dim) = x.dims3()?;
        x.reshape((batch, length, self.heads, embed_dim / self.heads))?.transpose(1, 2)
    }
}
