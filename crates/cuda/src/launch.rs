//! What a kernel is launched with: its name, grid, parameters, and how many elements it writes.

use detrace_kernels::{Act, Deformable, Plane, Window};

/// A kernel's file and its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// File in `kernels/`, without its ending.
    pub file: &'static str,
    /// `extern "C"` name.
    pub function: &'static str,
}

/// What a kernel's maps are made of; its sums are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// 32 bit.
    F32,
    /// 16 bit, IEEE 754 binary16.
    F16,
}

/// A kernel's names in `$file` for both number types.
macro_rules! kernel {
    ($file:literal, $function:literal, $number:expr) => {
        Kernel {
            file: $file,
            function: match $number {
                Number::F32 => concat!($function, "_f32"),
                Number::F16 => concat!($function, "_f16"),
            },
        }
    };
}

/// One launch. Grids are one-dimensional; parameters are u32, in the order of the kernel's struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch<const WORDS: usize> {
    /// Which kernel.
    pub kernel: Kernel,
    /// Blocks.
    pub blocks: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Fields of the parameter struct.
    pub words: [u32; WORDS],
    /// Elements of the result.
    pub elements: usize,
}

/// Why something cannot be launched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// Indices are 32 bit.
    #[error("{0} elements are more than a CUDA kernel can index; take a smaller batch or image")]
    TooLarge(usize),
    /// The window does not fit the image.
    #[error("the window does not fit an image of {0}x{1}")]
    Window(usize, usize),
    /// Sampling knows so many levels.
    #[error(
        "{levels} levels with points on {points}: as many of each, and at most {MOST_LEVELS}, can be sampled on CUDA"
    )]
    Levels {
        /// Levels.
        levels: usize,
        /// Levels that points are given for.
        points: usize,
    },
    /// Shared memory holds so many.
    #[error("the best {k} of {columns}: a CUDA kernel takes at most {MOST} and no more than there are")]
    TopK {
        /// Wanted.
        k: usize,
        /// There are.
        columns: usize,
    },
}

/// Levels that the sampling kernels have room for.
const MOST_LEVELS: usize = 8;
/// The most that the top-k kernel can keep; `MOST` in `kernels/top_k.cu`.
const MOST: usize = 1024;
/// Threads of a block where each makes one element.
const THREADS: u32 = 256;
/// Threads that share a row of scores.
const ROW_THREADS: u32 = 512;

/// How points are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Bilinear interpolation of locations.
    Bilinear,
    /// The pixel nearest to a location.
    Discrete,
    /// Pixels decided elsewhere.
    Pixels,
}

fn word(number: usize) -> Result<u32, LaunchError> {
    // Half of the range, so that sums of two sizes and the last block's threads fit as well.
    u32::try_from(number).ok().filter(|&word| word <= u32::MAX / 2).ok_or(LaunchError::TooLarge(number))
}

fn words<const WORDS: usize>(numbers: [usize; WORDS]) -> Result<[u32; WORDS], LaunchError> {
    let mut words = [0; WORDS];
    for (to, number) in words.iter_mut().zip(numbers) {
        *to = word(number)?;
    }
    Ok(words)
}

/// The number that kernels know an activation by.
fn act_word(act: Act) -> usize {
    match act {
        Act::None => 0,
        Act::Relu => 1,
        Act::Silu => 2,
        Act::Gelu => 3,
    }
}

impl<const WORDS: usize> Launch<WORDS> {
    /// One thread for each element.
    fn each(kernel: Kernel, words: [u32; WORDS], elements: usize) -> Result<Launch<WORDS>, LaunchError> {
        Ok(Launch { kernel, blocks: word(elements)?.div_ceil(THREADS), threads: THREADS, words, elements })
    }
}

impl Launch<13> {
    fn window(kernel: Kernel, plane: Plane, window: Window, act: Act) -> Window13 {
        let Plane { batch, channels, height, width } = plane;
        let Some((out_height, out_width)) = window.output(height, width) else {
            return Err(LaunchError::Window(height, width));
        };
        word(plane.numel())?;
        let (planes, [top, left, ..]) = (batch * channels, window.padding);
        let [[kernel_height, kernel_width], [down, right]] = [window.kernel, window.stride];
        let image = [planes, channels, height, width, out_height, out_width];
        let [a, b, c, d, e, f] = image;
        let words = words([a, b, c, d, e, f, kernel_height, kernel_width, down, right, top, left, act_word(act)])?;
        Launch::each(kernel, words, planes * out_height * out_width)
    }

    /// Maximum over each window, [`max_pool2d`](detrace_kernels::max_pool2d) on N × C × H × W.
    ///
    /// # Errors
    /// If the window does not fit or there are too many elements; so for the others.
    pub fn max_pool(number: Number, plane: Plane, window: Window) -> Window13 {
        Launch::window(kernel!("pool", "max_pool", number), plane, window, Act::None)
    }

    /// Mean over what of each window is inside, [`avg_pool2d`](detrace_kernels::avg_pool2d) on N × C × H × W.
    pub fn avg_pool(number: Number, plane: Plane, window: Window) -> Window13 {
        Launch::window(kernel!("pool", "avg_pool", number), plane, window, Act::None)
    }

    /// [`depthwise_conv2d`](detrace_kernels::depthwise_conv2d) on N × C × H × W with weights C × kh × kw.
    pub fn depthwise(number: Number, plane: Plane, window: Window, act: Act) -> Window13 {
        Launch::window(kernel!("depthwise", "depthwise", number), plane, Window { ceil: false, ..window }, act)
    }
}

/// A launch of a window's kernel, if it is one.
type Window13 = Result<Launch<13>, LaunchError>;

impl Launch<4> {
    /// A bias for each channel and an activation, N × C × pixels.
    pub fn bias_act(number: Number, [batch, channels, pixels]: [usize; 3], act: Act) -> Result<Launch<4>, LaunchError> {
        let elements = batch * channels * pixels;
        let words = words([elements, channels, pixels, act_word(act)])?;
        Launch::each(kernel!("bias_act", "bias_act", number), words, elements)
    }
}

impl Launch<31> {
    /// [`sample_bilinear`](detrace_kernels::sample_bilinear) or [`sample_discrete`](detrace_kernels::sample_discrete).
    pub fn sample(number: Number, shape: &Deformable, sampling: Sampling) -> Result<Launch<31>, LaunchError> {
        let Deformable { batch, queries, heads, channels, ref levels, ref points } = *shape;
        if levels.len() != points.len() || levels.len() > MOST_LEVELS {
            return Err(LaunchError::Levels { levels: levels.len(), points: points.len() });
        }
        let elements = batch * queries * heads * channels;
        word(batch * shape.tokens() * heads * channels)?;
        word(2 * batch * queries * heads * shape.total_points())?;
        let mut numbers = [0; 31];
        let sizes = [elements, queries, heads, channels, shape.tokens(), shape.total_points(), levels.len()];
        numbers[..7].copy_from_slice(&sizes);
        for (level, (&(height, width), &points)) in numbers[7..].chunks_exact_mut(3).zip(levels.iter().zip(points)) {
            level.copy_from_slice(&[height, width, points]);
        }
        let kernel = match sampling {
            Sampling::Bilinear => kernel!("deformable", "sample_bilinear", number),
            Sampling::Discrete => kernel!("deformable", "sample_discrete", number),
            Sampling::Pixels => kernel!("deformable", "sample_pixels", number),
        };
        Launch::each(kernel, words(numbers)?, elements)
    }
}

impl Launch<3> {
    /// [`top_k`](detrace_kernels::top_k) of each row: a block for a row.
    pub fn top_k(rows: usize, columns: usize, k: usize) -> Result<Launch<3>, LaunchError> {
        if k > columns || k > MOST {
            return Err(LaunchError::TopK { k, columns });
        }
        word(rows * columns)?;
        let words = words([columns, k, k.next_power_of_two()])?;
        let kernel = Kernel { file: "top_k", function: "top_k_f32" };
        Ok(Launch { kernel, blocks: word(rows)?, threads: ROW_THREADS, words, elements: rows * k })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_element_and_no_block_is_idle() {
        for elements in [1, 255, 256, 257, 8400 * 80, 1 << 30] {
            let launch = Launch::bias_act(Number::F32, [1, 1, elements], Act::None).expect("fits");
            let threads = u64::from(launch.blocks) * u64::from(launch.threads);
            assert!(
                threads >= elements as u64 && threads - (elements as u64) < u64::from(launch.threads),
                "{elements}"
            );
        }
    }

    #[test]
    fn what_kernels_cannot_index_or_keep_is_refused() {
        let plane = Plane { batch: 64, channels: 1024, height: 256, width: 256 };
        let window = Window { kernel: [3; 2], stride: [2; 2], padding: [1; 4], ceil: false };
        assert_eq!(Launch::max_pool(Number::F32, plane, window), Err(LaunchError::TooLarge(1 << 32)));
        let tiny = Plane { batch: 1, channels: 1, height: 1, width: 1 };
        let wide = Window { padding: [0; 4], ..window };
        assert_eq!(Launch::depthwise(Number::F16, tiny, wide, Act::None), Err(LaunchError::Window(1, 1)));
        assert_eq!(Launch::top_k(1, 300, 301), Err(LaunchError::TopK { k: 301, columns: 300 }));
        assert_eq!(Launch::top_k(1, 8400, 1025), Err(LaunchError::TopK { k: 1025, columns: 8400 }));
        let shape =
            Deformable { batch: 1, queries: 1, heads: 1, channels: 1, levels: vec![(1, 1); 9], points: vec![1; 9] };
        assert_eq!(
            Launch::sample(Number::F32, &shape, Sampling::Bilinear),
            Err(LaunchError::Levels { levels: 9, points: 9 })
        );
    }

    #[test]
    fn rows_of_the_models_fit() {
        for columns in [8400, 24_000] {
            let launch = Launch::top_k(8, columns, 300).expect("fits");
            assert_eq!((launch.blocks, launch.words, launch.elements), (8, [columns as u32, 300, 512], 2400));
        }
    }
}
