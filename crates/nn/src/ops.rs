//! Operations that blocks do by themselves. Each takes the role it plays in its block, unique there.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use detrace_flops::Kind;
use detrace_kernels::{Plane, softmax, upsample2x};

use crate::engine::{add_maps, channels_first, channels_last, is_ours, slice, with_slice};
use crate::{Facts, Probe};

impl Probe {
    /// `a + b`, broadcasting.
    pub fn add(&self, role: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.role(
            role,
            Kind::Add,
            || if a.shape() == b.shape() { add_maps(a, b) } else { a.broadcast_add(b) },
            |y| Facts::new(&[a, b], y),
        )
    }

    /// `a · b`, broadcasting.
    pub fn mul(&self, role: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.role(
            role,
            Kind::Mul,
            || if a.shape() == b.shape() { a * b } else { a.broadcast_mul(b) },
            |y| Facts::new(&[a, b], y),
        )
    }

    /// Softmax over the last dimension.
    pub fn softmax(&self, role: &'static str, x: &Tensor) -> Result<Tensor> {
        let run = || {
            let (x, width) = (x.contiguous()?, x.dim(D::Minus1)?);
            match is_ours(&x) && width > 0 {
                true => Tensor::from_vec(with_slice(&x, |x| Ok(softmax(x, width)))?, x.shape(), x.device()),
                false => candle_nn::ops::softmax_last_dim(&x),
            }
        };
        self.role(role, Kind::Softmax, run, |y| Facts::new(&[x], y))
    }

    /// Logistic function.
    pub fn sigmoid(&self, role: &'static str, x: &Tensor) -> Result<Tensor> {
        self.role(role, Kind::Sigmoid, || candle_nn::ops::sigmoid(x), |y| Facts::new(&[x], y))
    }

    /// `log(x / (1 − x))` with x clamped to 0 … 1 and both terms to at least 1e-5, as the official `inverse_sigmoid`.
    pub fn inverse_sigmoid(&self, role: &'static str, x: &Tensor) -> Result<Tensor> {
        const EPS: f64 = 1e-5;
        let run = || {
            let x = x.clamp(0f32, 1f32)?;
            let rest = x.affine(-1.0, 1.0)?.maximum(EPS)?;
            (x.maximum(EPS)? / rest)?.log()
        };
        self.role(role, Kind::Sigmoid, run, |y| Facts::new(&[x], y))
    }

    /// Concatenation along `dim`.
    pub fn concat(&self, role: &'static str, parts: &[&Tensor], dim: usize) -> Result<Tensor> {
        let run = || match parts.iter().all(|part| part.rank() == 4 && part.device().is_cpu()) && dim == 1 {
            true => channels_first(&concat_maps(parts)?),
            false => Tensor::cat(parts, dim),
        };
        self.role(role, Kind::Concat, run, |y| Facts::new(parts, y))
    }

    /// A contiguous copy of a permuted or sliced view.
    pub fn copy(&self, role: &'static str, view: &Tensor) -> Result<Tensor> {
        self.role(role, Kind::Copy, || view.contiguous(), |y| Facts::new(&[view], y))
    }

    /// Twice the height and width, each pixel repeated: [N, C, H, W] → [N, C, 2H, 2W].
    pub fn upsample2x(&self, role: &'static str, x: &Tensor) -> Result<Tensor> {
        let run = || {
            let (batch, channels, height, width) = x.dims4()?;
            if !is_ours(x) {
                return x.upsample_nearest2d(2 * height, 2 * width);
            }
            let plane = Plane { batch, channels, height, width };
            let y = with_slice(&channels_last(x)?, |x| Ok(upsample2x(x, plane)))?;
            channels_first(&Tensor::from_vec(y, (batch, 2 * height, 2 * width, channels), x.device())?)
        };
        self.role(role, Kind::Interpolate, run, |y| Facts::new(&[x], y))
    }

    /// A map's pixels as tokens: [N, C, H, W] → [N, H W, C]. Nothing is copied where the map is channels-last.
    pub fn flatten(&self, role: &'static str, map: &Tensor) -> Result<Tensor> {
        self.role(
            role,
            Kind::Copy,
            || channels_last(map)?.flatten(1, 2),
            |y| Facts::shapes(vec![y.dims().to_vec()], y.dims().to_vec()),
        )
    }

    /// Tokens as a map of that height and width: [N, H W, C] → [N, C, H, W].
    pub fn unflatten(&self, role: &'static str, tokens: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
        let (batch, _, channels) = tokens.dims3()?;
        let run = || {
            let map = channels_first(&tokens.contiguous()?.reshape((batch, height, width, channels))?)?;
            if map.device().is_cuda() { map.contiguous() } else { Ok(map) }
        };
        self.role(role, Kind::Copy, run, |_| {
            let shape = vec![batch, channels, height * width];
            Facts::shapes(vec![shape.clone()], shape)
        })
    }

    /// Largest value along the last dimension: […, K] → […].
    pub fn max_last(&self, role: &'static str, x: &Tensor) -> Result<Tensor> {
        self.role(role, Kind::TopK, || x.max(D::Minus1), |y| Facts::new(&[x], y))
    }

    /// Indices of the `k` largest scores of each row, largest first: [N, L] → [N, k], u32.
    pub fn top_k(&self, role: &'static str, scores: &Tensor, k: usize) -> Result<Tensor> {
        self.role(role, Kind::TopK, || scores.contiguous()?.apply_op1_no_bwd(&TopK(k)), |y| Facts::new(&[scores], y))
    }

    /// Rows of each image by index: x [N, L, C], indices [N, Q] → [N, Q, C].
    pub fn gather_rows(&self, role: &'static str, x: &Tensor, indices: &Tensor) -> Result<Tensor> {
        let run = || {
            let (batch, queries) = indices.dims2()?;
            let index = indices.unsqueeze(2)?.broadcast_as((batch, queries, x.dim(2)?))?.contiguous()?;
            x.contiguous()?.gather(&index, 1)
        };
        self.role(role, Kind::Gather, run, |y| Facts::new(&[x, indices], y))
    }
}

/// Maps of one size side by side, [N, H, W, C].
fn concat_maps(parts: &[&Tensor]) -> Result<Tensor> {
    let parts = parts.iter().map(|part| channels_last(part)).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, 3)
}

struct TopK(usize);

impl CustomOp1 for TopK {
    fn name(&self) -> &'static str {
        "top-k"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        if self.0 > columns {
            bail!("cannot take the top {} of {columns} scores", self.0);
        }
        let scores = slice(scores, layout)?;
        let indices = scores.chunks(columns.max(1)).flat_map(|row| detrace_kernels::top_k(row, self.0)).collect();
        Ok((CpuStorage::U32(indices), (rows, self.0).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        scores: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        Ok((detrace_cuda::top_k((scores, layout), rows, columns, self.0)?, (rows, self.0).into()))
    }
}
