//! The encoder's fusion block on paper (RT-DETR paper, figure 5).

use detrace_config as config;
use detrace_flops::{Kind, Structure};

use super::layers::{Conv, ConvNorm, ConvNormSpec, Window};
use super::sheet::{Map, Sheet, inside};

/// The fusion block: two 1×1 convolutions beside each other, RepVGG blocks behind the first (figure 5).
pub(super) struct Fusion {
    path: String,
    enter: Enter,
    blocks: Vec<RepVgg>,
    out: Option<ConvNorm>,
}

/// Its first convolutions: the one that goes deep and the one that does not.
enum Enter {
    /// Of one map.
    Joined { deep: ConvNorm, flat: ConvNorm },
    /// Of a coarse map and a fine one.
    Apart { deep: Upsampled, flat: Upsampled },
}

impl Fusion {
    /// `fine`: channels of the fine map, if there is a coarse one to be upsampled beside it.
    pub(super) fn make(sheet: &mut Sheet, path: String, config: &config::Encoder, fine: Option<usize>) -> Fusion {
        let (width, hidden) = (config.hidden_dim, config.csp_channels());
        let point = |sheet: &mut Sheet, name: &str, input, output| {
            ConvNormSpec::new(input, output, 1, 1).act(Kind::Silu).make(sheet, &inside(&path, name))
        };
        let enter = match fine {
            Some(fine) => {
                let mut make =
                    |name: &str| Upsampled::make(sheet, &inside(&path, name), [width, fine], hidden, Kind::Silu);
                Enter::Apart { deep: make("conv1"), flat: make("conv2") }
            }
            None => Enter::Joined {
                deep: point(sheet, "conv1", width * 2, hidden),
                flat: point(sheet, "conv2", width * 2, hidden),
            },
        };
        let blocks = (0..config.csp_blocks())
            .map(|index| RepVgg::make(sheet, inside(&path, format_args!("bottlenecks.{index}")), hidden))
            .collect();
        let out = if hidden == width { None } else { Some(point(sheet, "conv3", hidden, width)) };
        Fusion { path, enter, blocks, out }
    }

    /// On a map, or on a coarse map and a fine one.
    pub(super) fn on(&self, sheet: &mut Sheet, x: Map, coarse: Option<Map>) -> Map {
        let through = |sheet: &mut Sheet, deep| self.blocks.iter().fold(deep, |x, block| block.on(sheet, x));
        let deep = match (&self.enter, coarse) {
            (Enter::Apart { deep, flat }, Some(coarse)) => {
                let first = deep.on(sheet, coarse, x, None);
                let deep = through(sheet, first);
                flat.on(sheet, coarse, x, Some((&self.path, deep)))
            }
            (Enter::Joined { deep, flat }, _) => {
                let first = deep.on(sheet, x);
                let deep = through(sheet, first);
                flat.on_residual(sheet, x, &self.path, deep, None)
            }
            (Enter::Apart { .. }, None) => return x,
        };
        self.out.as_ref().map_or(deep, |conv| conv.on(sheet, deep))
    }
}

/// A RepVGG block (Ding et al. 2021): two branches added up, or the one convolution that they amount to.
struct RepVgg {
    path: String,
    square: ConvNorm,
    point: Option<ConvNorm>,
}

impl RepVgg {
    fn make(sheet: &mut Sheet, path: String, channels: usize) -> RepVgg {
        let square = ConvNormSpec::new(channels, channels, 3, 1);
        match sheet.structure {
            Structure::Train => {
                let square = square.make(sheet, &inside(&path, "conv1"));
                let point = ConvNormSpec::new(channels, channels, 1, 1).make(sheet, &inside(&path, "conv2"));
                RepVgg { path, square, point: Some(point) }
            }
            // Its convolution is called `conv` and its activation `act`, as in every other block.
            Structure::Deploy | Structure::Fast => {
                let square = square.act(Kind::Silu).make(sheet, &path);
                RepVgg { path, square, point: None }
            }
        }
    }

    fn on(&self, sheet: &mut Sheet, x: Map) -> Map {
        let y = self.square.on(sheet, x);
        if let Some(point) = &self.point {
            let other = point.on(sheet, x);
            sheet.add(&self.path, "sum_branches", &y, &other);
            sheet.call(&inside(&self.path, "act"), Kind::Silu, &[&y], &y);
        }
        y
    }
}

/// A 1×1 convolution of a coarse map, upsampled, and a fine one side by side, which computes what depends on the coarse
/// map before it is upsampled.
struct Upsampled {
    path: String,
    coarse: Conv,
    fine: Conv,
    act: Kind,
}

impl Upsampled {
    /// Makes it as the block `block`; `channels`: of the coarse map and of the fine one.
    fn make(sheet: &mut Sheet, block: &str, channels: [usize; 2], output: usize, act: Kind) -> Upsampled {
        let name = |part: &str| inside(block, format_args!("conv.{part}"));
        let window = Window::centred(1, 1);
        let coarse = Conv::made(sheet, name("coarse"), channels[0], output, 1, window, true);
        let fine = Conv::made(sheet, name("fine"), channels[1], output, 1, window, false);
        Upsampled { path: block.to_owned(), coarse, fine, act }
    }

    /// On a map and one of twice its size; perhaps with an addition of the block `block`.
    fn on(&self, sheet: &mut Sheet, coarse: Map, fine: Map, residual: Option<(&str, Map)>) -> Map {
        let sums = self.coarse.on(sheet, coarse);
        let y = self.fine.on(sheet, fine);
        sheet.fused(&self.fine.path, |sheet| {
            sheet.step(&self.path, "upsample", Kind::Interpolate, &[&sums], &y);
            sheet.add(&self.path, "sum", &y, &y);
            sheet.call(&inside(&self.path, "act"), self.act.clone(), &[&y], &y);
            if let Some((block, residual)) = residual {
                sheet.step(block, "residual", Kind::Add, &[&y, &residual], &y);
            }
        });
        y
    }
}
