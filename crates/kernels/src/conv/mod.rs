//! 2-D convolution of channels-last images, with packed weights and bias, residual and activation in its last step.
//!
//! A [`Conv`] is made once, from weights in PyTorch's order, and applied to any image size. Images are rows of pixels, a
//! pixel's channels side by side (N, H, W, C): a kernel's tap then reads a run of channels, so there is no shuffling and no
//! copy of the image.

mod direct;
mod micro;
mod panels;
mod winograd;

use std::ops::Range;
use std::sync::OnceLock;

use crate::{Act, concat_columns};
use panels::Panels;

/// What shapes a convolution. Groups are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Channels in.
    pub input: usize,
    /// Channels out.
    pub output: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub padding: [usize; 4],
}

impl ConvShape {
    /// A product with a matrix: one tap.
    pub fn linear(input: usize, output: usize) -> ConvShape {
        ConvShape { input, output, kernel: [1; 2], stride: [1; 2], padding: [0; 4] }
    }

    /// Height and width that it leaves of an image; 0 where the kernel does not fit.
    pub fn over(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let axis = |size: usize, axis: usize| {
            let room = (size + self.padding[axis] + self.padding[axis + 2]).checked_sub(self.kernel[axis]);
            room.map_or(0, |room| room / self.stride[axis] + 1)
        };
        [axis(height, 0), axis(width, 1)]
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// A convolution with its weights packed for this machine.
#[derive(Clone, Debug)]
pub struct Conv {
    shape: ConvShape,
    form: Form,
    bias: Vec<f32>,
}

/// What happens to a convolution's sums in its last step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last<'a> {
    /// An activation.
    pub act: Act,
    /// Numbers to add, as many as results.
    pub residual: Option<&'a [f32]>,
    /// Which comes first.
    pub order: Order,
    /// What sums start with instead of the bias: a map of half the height and width, whose pixels are each taken for four.
    pub coarse: Option<&'a [f32]>,
}

/// Whether a residual is added before the activation or after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// `act(sum + residual)`, as at the end of ResNet's blocks.
    #[default]
    AddFirst,
    /// `act(sum) + residual`.
    ActFirst,
}

#[derive(Clone, Debug)]
enum Form {
    Direct(Panels),
    Winograd(Vec<Panels>),
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// By shape, unless the environment says `DETRACE_WINOGRAD=off`.
    #[default]
    Auto,
    /// The same, and by what it will be applied to: so many images of that height and width. Few tiles are not worth
    /// Winograd's weights, which are four times as many.
    For {
        /// Images.
        batch: usize,
        /// Height and width.
        size: [usize; 2],
    },
    /// Every product of the definition.
    Direct,
    /// F(4×4, 3×3) where it is possible, else direct.
    Winograd,
}

/// An image batch: its elements and N, H, W.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// N × H × W × C numbers.
    pub data: &'a [f32],
    /// Images.
    pub batch: usize,
    /// Height and width.
    pub size: [usize; 2],
}

impl<'a> Images<'a> {
    /// The channels of a pixel, if it is inside.
    fn run(&self, image: usize, y: usize, x: usize, channels: usize) -> Option<&'a [f32]> {
        let [height, width] = self.size;
        let inside = y < height && x < width;
        inside.then(|| &self.data[((image * height + y) * width + x) * channels..][..channels])
    }
}

/// Bytes of a panel that one block of depth may take.
const BLOCK_BYTES: usize = 32 << 10;

/// A block of depth: runs of channels of one length, and which channels of each.
type Block = (Range<usize>, Range<usize>);

/// Cuts runs of so many channels into blocks: several of the same length together, or pieces of one.
fn blocks(runs: &[usize], width: usize) -> Vec<Block> {
    let longest = (BLOCK_BYTES / (4 * width)).max(1);
    let (mut blocks, mut first) = (Vec::with_capacity(runs.len()), 0);
    while let Some(&run) = runs.get(first) {
        let pieces = run.div_ceil(longest).max(1);
        let together = (longest / run.max(1)).max(1);
        let alike = runs[first..].iter().take(together).take_while(|other| **other == run).count();
        let all = first..first + alike;
        blocks.extend((0..pieces).map(|piece| (all.clone(), piece * run / pieces..(piece + 1) * run / pieces)));
        first = all.end;
    }
    blocks
}

impl Conv {
    /// Packs `weight`, out × in × kh × kw, and `bias`, one per output channel.
    ///
    /// # Panics
    /// If the slices are not of the sizes that the shape says.
    pub fn new(shape: ConvShape, weight: &[f32], bias: Option<&[f32]>, algorithm: Algorithm) -> Conv {
        assert!(shape.stride.iter().all(|&step| step > 0) && shape.taps() > 0, "an empty kernel or step");
        let winograd = match algorithm {
            Algorithm::Auto => winograd::gains(&shape, None) && winograd_wanted(),
            Algorithm::For { batch, size } => winograd::gains(&shape, Some((batch, size))) && winograd_wanted(),
            Algorithm::Direct => false,
            Algorithm::Winograd => true,
        };
        let form = match winograd && winograd::fits(&shape) {
            true => Form::Winograd(winograd::pack(&shape, weight)),
            false => Form::Direct(Panels::pack(shape.output, shape.input, shape.taps(), weight, bias)),
        };
        let bias = bias.map_or_else(|| vec![0.0; shape.output], <[f32]>::to_vec);
        assert_eq!(bias.len(), shape.output, "the bias is not one per output channel");
        Conv { shape, form, bias }
    }

    /// Whether it is computed by Winograd's algorithm.
    pub fn is_winograd(&self) -> bool {
        matches!(self.form, Form::Winograd(_))
    }

    /// Its shape.
    pub fn shape(&self) -> ConvShape {
        self.shape
    }

    /// N × H′ × W′ × out.
    ///
    /// # Panics
    /// If the slices are not of the sizes that shape and image say.
    pub fn forward(&self, x: Images<'_>, last: Last<'_>) -> Vec<f32> {
        self.forward_parts(&[(x, self.shape.input)], last)
    }

    /// The same of images whose channels lie in several places: each part with its channels, which follow on each other.
    ///
    /// # Panics
    /// As for [`forward`](Conv::forward); if parts differ in size or their channels do not add up; if
    /// [`Last::coarse`] is given to a convolution that [is Winograd's](Conv::is_winograd).
    pub fn forward_parts(&self, parts: &[(Images<'_>, usize)], last: Last<'_>) -> Vec<f32> {
        let Conv { shape, .. } = self;
        assert_eq!(parts.iter().map(|(_, channels)| channels).sum::<usize>(), shape.input, "channels do not add up");
        let Images { batch, size, .. } = parts[0].0;
        for (x, channels) in parts {
            assert_eq!((x.batch, x.size), (batch, size), "parts differ in size");
            assert_eq!(x.data.len(), batch * size[0] * size[1] * channels, "the image is not N x H x W x C");
        }
        let [height, width] = shape.over(size);
        let numel = batch * height * width * shape.output;
        assert!(last.residual.is_none_or(|residual| residual.len() == numel), "the residual is not the result's size");
        assert!(
            last.coarse.is_none_or(|coarse| 4 * coarse.len() == numel && height % 2 + width % 2 == 0),
            "the coarse map is not half the result's size"
        );
        let mut y = Vec::with_capacity(numel);
        let room = &mut y.spare_capacity_mut()[..numel];
        match (&self.form, parts) {
            (Form::Direct(panels), parts) => direct::run(self, panels, parts, last, room),
            (Form::Winograd(places), [(x, _)]) => winograd::run(self, places, *x, last, room),
            (Form::Winograd(places), parts) => {
                let slices: Vec<(&[f32], usize)> = parts.iter().map(|(x, channels)| (x.data, *channels)).collect();
                let data = &concat_columns(&slices, batch * size[0] * size[1]);
                winograd::run(self, places, Images { data, batch, size }, last, room);
            }
        }
        // SAFETY: the kernel wrote every element.
        unsafe { y.set_len(numel) };
        y
    }

    /// Rows × out from rows × in, for a product with a matrix.
    ///
    /// # Panics
    /// As for [`forward`](Conv::forward).
    pub fn rows(&self, x: &[f32], last: Last<'_>) -> Vec<f32> {
        let rows = x.len() / self.shape.input.max(1);
        self.forward(Images { data: x, batch: 1, size: [1, rows] }, last)
    }

    /// The same in plain arithmetic: the definition.
    #[cfg(test)]
    pub(crate) fn reference(
        shape: ConvShape,
        weight: &[f32],
        bias: Option<&[f32]>,
        x: Images<'_>,
        last: Last<'_>,
    ) -> Vec<f32> {
        let [height, width] = shape.over(x.size);
        let mut y = Vec::new();
        for place in 0..x.batch * height * width {
            let (image, row, column) = (place / (height * width), place / width % height, place % width);
            for out in 0..shape.output {
                let mut sum = match last.coarse {
                    Some(coarse) => {
                        let pixel = (image * (height / 2) + row / 2) * (width / 2) + column / 2;
                        f64::from(coarse[pixel * shape.output + out])
                    }
                    None => bias.map_or(0.0, |bias| f64::from(bias[out])),
                };
                for tap in 0..shape.taps() {
                    let (ky, kx) = (tap / shape.kernel[1], tap % shape.kernel[1]);
                    let y_at = (row * shape.stride[0] + ky).wrapping_sub(shape.padding[0]);
                    let x_at = (column * shape.stride[1] + kx).wrapping_sub(shape.padding[1]);
                    for channel in 0..shape.input {
                        let pixel = |y: usize, x_at: usize| (image * x.size[0] + y) * x.size[1] + x_at;
                        let value = match y_at < x.size[0] && x_at < x.size[1] {
                            true => x.data[pixel(y_at, x_at) * shape.input + channel],
                            false => 0.0,
                        };
                        sum += f64::from(weight[(out * shape.input + channel) * shape.taps() + tap]) * f64::from(value);
                    }
                }
                let residual = last.residual.map_or(0.0, |residual| f64::from(residual[y.len()]));
                y.push(match last.order {
                    Order::AddFirst => last.act.reference((sum + residual) as f32),
                    Order::ActFirst => last.act.reference(sum as f32) + residual as f32,
                });
            }
        }
        y
    }
}

fn winograd_wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var_os("DETRACE_WINOGRAD").is_none_or(|word| word != "off"))
}

#[cfg(test)]
mod tests;
