//! Operations on contiguous N × C × H × W maps, which is how maps lie on CUDA: candle's convolutions there take and give
//! that. On the CPU, where f16 takes this way, they go through the channels-last kernels, which compute in f32.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use detrace_kernels::{Act, Plane, Window, avg_pool2d, depthwise_conv2d, max_pool2d, to_channels_last};

use crate::engine::{stored_like, widened};

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    Max,
    Mean,
}

/// A pool of a map.
pub(crate) fn pool(x: &Tensor, window: Window, pool: Pool) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&PoolOp { window, pool })
}

/// A depthwise convolution with weight [C, 1, kh, kw] and bias \[C\].
pub(crate) fn depthwise(x: &Tensor, weight: &Tensor, bias: &Tensor, window: Window, act: Act) -> Result<Tensor> {
    x.contiguous()?.apply_op3_no_bwd(&weight.contiguous()?, &bias.contiguous()?, &DepthwiseOp { window, act })
}

/// A bias for each channel, then an activation.
pub(crate) fn bias_act(x: &Tensor, bias: &Tensor, act: Act) -> Result<Tensor> {
    x.contiguous()?.apply_op2_no_bwd(&bias.contiguous()?, &BiasActOp(act))
}

fn plane(layout: &Layout) -> Result<Plane> {
    let (batch, channels, height, width) = layout.shape().dims4()?;
    Ok(Plane { batch, channels, height, width })
}

/// The shape that a window leaves of a map.
fn shape(plane: Plane, window: Window) -> Result<Shape> {
    match window.output(plane.height, plane.width) {
        Some((height, width)) => Ok((plane.batch, plane.channels, height, width).into()),
        None => bail!("a window of {:?} does not fit an image of {}x{}", window.kernel, plane.height, plane.width),
    }
}

/// N × H × W × C to N × C × H × W: pixels and channels change places, as for `to_channels_last`.
fn to_planes(y: &[f32], shape: &Shape) -> Result<Vec<f32>> {
    let (batch, channels, height, width) = shape.dims4()?;
    Ok(to_channels_last(y, Plane { batch, channels: height * width, height: 1, width: channels }))
}

struct PoolOp {
    window: Window,
    pool: Pool,
}

impl CustomOp1 for PoolOp {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let plane = plane(layout)?;
        let shape = shape(plane, self.window)?;
        let pool = match self.pool {
            Pool::Max => max_pool2d,
            Pool::Mean => avg_pool2d,
        };
        let y = pool(&to_channels_last(&widened(x, layout)?, plane), plane, self.window);
        Ok((stored_like(x, to_planes(&y, &shape)?), shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let plane = plane(layout)?;
        let pool = match self.pool {
            Pool::Max => detrace_cuda::Pool::Max,
            Pool::Mean => detrace_cuda::Pool::Mean,
        };
        Ok((detrace_cuda::pool((x, layout), plane, self.window, pool)?, shape(plane, self.window)?))
    }
}

struct DepthwiseOp {
    window: Window,
    act: Act,
}

impl CustomOp3 for DepthwiseOp {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (plane, weight) = (plane(layout)?, widened(weight, weight_layout)?);
        let shape = shape(plane, self.window)?;
        let (channels, taps) = (plane.channels, self.window.kernel[0] * self.window.kernel[1]);
        let weight: Vec<f32> = (0..taps * channels).map(|at| weight[at % channels * taps + at / channels]).collect();
        let last = to_channels_last(&widened(x, layout)?, plane);
        let y = depthwise_conv2d(&last, &weight, &widened(bias, bias_layout)?, self.act, plane, self.window);
        Ok((stored_like(x, to_planes(&y, &shape)?), shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let plane = plane(layout)?;
        let sources = [(x, layout), (weight, weight_layout), (bias, bias_layout)];
        Ok((detrace_cuda::depthwise(sources, plane, self.window, self.act)?, shape(plane, self.window)?))
    }
}

struct BiasActOp(Act);

impl CustomOp2 for BiasActOp {
    fn name(&self) -> &'static str {
        "bias-act"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Plane { channels, height, width, .. } = plane(layout)?;
        let bias = widened(bias, bias_layout)?;
        if bias.len() != channels {
            bail!("{} biases for {channels} channels", bias.len());
        }
        let pixels = (height * width).max(1);
        let sums = widened(x, layout)?;
        let y = sums.iter().enumerate().map(|(at, x)| self.0.reference(x + bias[at / pixels % channels])).collect();
        Ok((stored_like(x, y), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let y = detrace_cuda::bias_act((x, layout), (bias, bias_layout), plane(layout)?, self.0)?;
        Ok((y, layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use candle_core::{DType, Device};

    use super::*;
    use crate::Activation;

    /// The CPU, and a GPU if there is one.
    fn devices() -> Vec<Device> {
        match Device::new_cuda(0) {
            Ok(gpu) => vec![Device::Cpu, gpu],
            Err(error) => {
                // Not by a macro, whose text the test harness would keep to itself.
                let mut stderr = std::io::stderr();
                let test = std::thread::current();
                let name = test.name().unwrap_or("a test");
                let _ =
                    writeln!(stderr, "SKIPPED on a GPU: {name}: {}", error.to_string().lines().next().unwrap_or(""));
                vec![Device::Cpu]
            }
        }
    }

    fn map(shape: (usize, usize, usize, usize), device: &Device) -> Tensor {
        let count = shape.0 * shape.1 * shape.2 * shape.3;
        let values: Vec<f32> = (0..count).map(|i| (i * 37 % 101) as f32 / 25.0 - 2.0).collect();
        Tensor::from_vec(values, shape, device).expect("a tensor")
    }

    fn near(got: &Tensor, want: &Tensor) {
        assert_eq!(got.dims(), want.dims());
        let got = got.to_device(&Device::Cpu).expect("the CPU");
        let apart = (got - want).and_then(|apart| apart.abs()?.max_all()?.to_scalar::<f32>()).expect("a number");
        assert!(apart <= 1e-5, "differs by {apart}");
    }

    #[test]
    fn pools_are_candles_where_it_has_them() {
        let window = Window { kernel: [2, 3], stride: [2, 1], padding: [0; 4], ceil: false };
        for device in devices() {
            let x = map((2, 5, 8, 7), &device);
            let cpu = map((2, 5, 8, 7), &Device::Cpu);
            let want = cpu.max_pool2d_with_stride((2, 3), (2, 1)).expect("candle's");
            near(&pool(&x, window, Pool::Max).expect("a map"), &want);
            let want = cpu.avg_pool2d_with_stride((2, 3), (2, 1)).expect("candle's");
            near(&pool(&x, window, Pool::Mean).expect("a map"), &want);
            assert!(pool(&x, Window { kernel: [9, 9], ..window }, Pool::Max).is_err());
        }
    }

    #[test]
    fn depthwise_convolution_with_bias_and_activation_is_candles() {
        let window = Window { kernel: [3; 2], stride: [2; 2], padding: [1; 4], ceil: false };
        let cpu = |shape| map(shape, &Device::Cpu);
        let bias = cpu((1, 6, 1, 1));
        for (act, activation) in
            [(Act::None, None), (Act::Relu, Some(Activation::Relu)), (Act::Gelu, Some(Activation::Gelu))]
        {
            let sums = cpu((2, 6, 9, 7)).conv2d(&cpu((6, 1, 3, 3)), 1, 2, 1, 6).expect("candle's");
            let want = sums.broadcast_add(&bias).expect("candle's");
            let want = activation.map_or(Ok(want.clone()), |activation| activation.apply(&want)).expect("candle's");
            for device in devices() {
                let (x, weight) = (map((2, 6, 9, 7), &device), map((6, 1, 3, 3), &device));
                let flat = map((1, 6, 1, 1), &device).flatten_all().expect("a bias");
                near(&depthwise(&x, &weight, &flat, window, act).expect("a map"), &want);
                let sums = sums.to_device(&device).expect("the device");
                near(&bias_act(&sums, &flat, act).expect("a map"), &want);
            }
        }
    }

    #[test]
    fn the_best_of_long_rows_are_the_same_everywhere() {
        for columns in [8400, 24_000] {
            for device in devices() {
                let scores = map((1, 1, 2, columns), &device).reshape((2, columns)).expect("rows");
                let best = crate::Probe::new("test").top_k("top_k", &scores, 300).expect("the best");
                let rows = scores.to_vec2::<f32>().expect("rows");
                let want: Vec<Vec<u32>> = rows.iter().map(|row| detrace_kernels::top_k(row, 300)).collect();
                assert_eq!(best.dtype(), DType::U32);
                assert_eq!(best.to_vec2::<u32>().expect("indices"), want);
            }
        }
    }
}
