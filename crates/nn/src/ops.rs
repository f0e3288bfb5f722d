//! Operations that blocks do by themselves. Each takes the role it plays in its block, unique there.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use detrace_flops::Kind;
use detrace_kernels::{Arithmetic, Operand, Plane, concat_columns, elementwise, gather_rows, softmax, upsample2x};

use crate::engine::{add_maps, channels_first, channels_last, is_ours, is_planar, slice, with_slice, with_slices};
use crate::{Facts, Probe};

impl Probe {
    /// `a + b`, broadcasting.
    pub fn add(&self, role: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.role(
            role,
            Kind::Add,
            || match elements(Arithmetic::Add, a, b)? {
                Some(sum) => Ok(sum),
                None if a.shape() == b.shape() => add_maps(a, b),
                None => a.broadcast_add(b),
            },
            |y| Facts::new(&[a, b], y),
        )
    }

    /// `a · b`, broadcasting.
    pub fn mul(&self, role: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.role(
            role,
            Kind::Mul,
            || match elements(Arithmetic::Mul, a, b)? {
                Some(product) => Ok(product),
                None => a.broadcast_mul(b),
            },
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
        let run = || joined(parts, dim);
        self.role(role, Kind::Concat, run, |y| Facts::new(parts, y))
    }

    /// A contiguous copy of a permuted or sliced view.
    pub fn copy(&self, role: &'static str, view: &Tensor) -> Result<Tensor> {
        self.role(role, Kind::Copy, || view.contiguous(), |y| Facts::new(&[view], y))
    }

    /// Twice the height and width, each pixel repeated: [N, C, H, W] → [N, C, 2H, 2W].
    pub fn upsample2x(&self, role: &'static str, x: &Tensor) -> Result<Tensor> {
        self.role(role, Kind::Interpolate, || doubled(x), |y| Facts::new(&[x], y))
    }

    /// A map's pixels as tokens: [N, C, H, W] → [N, H W, C]. Nothing is copied where the map is channels-last.
    pub fn flatten(&self, role: &'static str, map: &Tensor) -> Result<Tensor> {
        self.role(role, Kind::Copy, || channels_last(map)?.flatten(1, 2), |y| Facts::shapes(&[y.dims()], y.dims()))
    }

    /// Tokens as a map of that height and width: [N, H W, C] → [N, C, H, W].
    pub fn unflatten(&self, role: &'static str, tokens: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
        let (batch, _, channels) = tokens.dims3()?;
        let run = || {
            let map = channels_first(&tokens.contiguous()?.reshape((batch, height, width, channels))?)?;
            if is_planar(&map) { map.contiguous() } else { Ok(map) }
        };
        self.role(role, Kind::Copy, run, |_| {
            let shape = vec![batch, channels, height * width];
            Facts::shapes(&[&shape], &shape)
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
            let (images, rows, columns) = x.dims3()?;
            if is_ours(x) && indices.device().is_cpu() && images == batch {
                let chosen = indices.flatten_all()?.to_vec1::<u32>()?;
                if let Some(index) = chosen.iter().find(|index| **index as usize >= rows) {
                    bail!("{}#{role}: row {index} of {rows}", self.path());
                }
                let size = (batch, rows, columns);
                let y = with_slice(&x.contiguous()?, |x| Ok(gather_rows(x, size, &chosen)))?;
                return Tensor::from_vec(y, (batch, queries, columns), x.device());
            }
            let index = indices.unsqueeze(2)?.broadcast_as((batch, queries, x.dim(2)?))?.contiguous()?;
            x.contiguous()?.gather(&index, 1)
        };
        self.role(role, Kind::Gather, run, |y| Facts::new(&[x, indices], y))
    }
}

/// [N, C, H, W] → [N, C, 2H, 2W], each pixel repeated.
pub(crate) fn doubled(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    if !is_ours(x) {
        return x.upsample_nearest2d(2 * height, 2 * width);
    }
    let plane = Plane { batch, channels, height, width };
    let y = with_slice(&channels_last(x)?, |x| Ok(upsample2x(x, plane)))?;
    channels_first(&Tensor::from_vec(y, (batch, 2 * height, 2 * width, channels), x.device())?)
}

/// Tensors behind each other along `dim`.
pub(crate) fn joined(parts: &[&Tensor], dim: usize) -> Result<Tensor> {
    match parts.iter().all(|part| part.rank() == 4 && !is_planar(part)) && dim == 1 {
        true => channels_first(&concat_maps(parts)?),
        false => Tensor::cat(parts, dim),
    }
}

/// Maps of one size side by side, [N, H, W, C].
fn concat_maps(parts: &[&Tensor]) -> Result<Tensor> {
    let parts = parts.iter().map(|part| channels_last(part)).collect::<Result<Vec<_>>>()?;
    let pixels = parts[0].dims()[..3].to_vec();
    if !parts.iter().all(|part| is_ours(part) && part.dims()[..3] == pixels) {
        return Tensor::cat(&parts, 3);
    }
    let joined = with_slices(&parts, |slices| {
        let parts: Vec<(&[f32], usize)> = slices.iter().zip(&parts).map(|(x, part)| (*x, part.dims()[3])).collect();
        Ok(concat_columns(&parts, pixels.iter().product()))
    })?;
    let channels: usize = parts.iter().map(|part| part.dims()[3]).sum();
    Tensor::from_vec(joined, [pixels, vec![channels]].concat(), parts[0].device())
}

/// `a` and `b` number by number by our kernel, where it can: contiguous tensors of which one is broadcast to the other's
/// shape by repeating all of it, or each of its numbers.
fn elements(op: Arithmetic, a: &Tensor, b: &Tensor) -> Result<Option<Tensor>> {
    let whole = if a.elem_count() >= b.elem_count() { a } else { b };
    let operand = |x: &Tensor| each(x.dims(), whole.dims()).filter(|_| x.is_contiguous() && is_ours(x));
    let (Some(each_a), Some(each_b)) = (operand(a), operand(b)) else { return Ok(None) };
    let data = with_slice(a, |a| {
        with_slice(b, |b| {
            let (a, b) = (Operand { data: a, each: each_a }, Operand { data: b, each: each_b });
            Ok(elementwise(op, a, b, whole.elem_count()))
        })
    })?;
    Tensor::from_vec(data, whole.shape(), whole.device()).map(Some)
}

/// How many numbers of `whole` behind each other a number of `part` is broadcast to, if part is `whole` with ones in place of
/// some first and some last dimensions.
fn each(part: &[usize], whole: &[usize]) -> Option<usize> {
    let missing = whole.len().checked_sub(part.len())?;
    let part = [vec![1; missing], part.to_vec()].concat();
    let ones = |sizes: &mut dyn Iterator<Item = &usize>| sizes.take_while(|size| **size == 1).count();
    let end = part.len() - ones(&mut part.iter().rev());
    let start = ones(&mut part.iter()).min(end);
    (part[start..end] == whole[start..end]).then(|| whole[end..].iter().product())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broadcast_meets_so_many_numbers() {
        for (part, whole, want) in [
            (&[2, 3, 4][..], &[2, 3, 4][..], Some(1)),
            (&[3, 4], &[2, 3, 4], Some(1)),
            (&[1, 3, 1], &[2, 3, 4], Some(4)),
            (&[2, 1, 1], &[2, 3, 4], Some(12)),
            (&[1], &[2, 3, 4], Some(24)),
            (&[2, 1, 4], &[2, 3, 4], None),
            (&[3], &[2, 3, 4], None),
            (&[2, 3, 4], &[3, 4], None),
        ] {
            assert_eq!(each(part, whole), want, "{part:?} to {whole:?}");
        }
    }
}
