//! ResNet-vd on paper (He et al. 2019, "Bag of Tricks", figure 2: ResNet-B, -C and -D; original: `presnet.py`).

use detrace_config::Backbone;
use detrace_flops::Kind;

use super::layers::{ConvNorm, ConvNormSpec, Window, pool};
use super::sheet::{Map, Sheet, inside};

/// Makes the network, then runs it on `image`; the result is the output of each of the four stages.
pub(super) fn stages(sheet: &mut Sheet, depth: usize, frozen: bool, image: Map) -> Vec<Map> {
    let root = "backbone";
    let relu = |input, output, kernel, stride| ConvNormSpec {
        frozen,
        ..ConvNormSpec::new(input, output, kernel, stride).act(Kind::Relu)
    };
    let stem: Vec<ConvNorm> = [relu(3, 32, 3, 2), relu(32, 32, 3, 1), relu(32, 64, 3, 1)]
        .into_iter()
        .zip(1..)
        .map(|(spec, number)| spec.make(sheet, &inside(root, format_args!("conv1.conv1_{number}"))))
        .collect();
    let mut width_in = 64;
    let counts = Backbone::resnet_blocks(depth).unwrap_or_default();
    let stages: Vec<Vec<Block>> = counts
        .into_iter()
        .enumerate()
        .map(|(stage, count)| {
            (0..count)
                .map(|index| {
                    let path = inside(root, format_args!("res_layers.{stage}.blocks.{index}"));
                    let block = Block::make(sheet, path, width_in, Form { depth, stage, first: index == 0, frozen });
                    width_in = block.width_out;
                    block
                })
                .collect()
        })
        .collect();

    let stemmed = stem.iter().fold(image, |x, conv| conv.on(sheet, x));
    let mut x = pool(sheet, root, "max_pool", Kind::MaxPool2d, Window::centred(3, 2), stemmed);
    stages
        .iter()
        .map(|blocks| {
            x = blocks.iter().fold(x, |x, block| block.on(sheet, x));
            x
        })
        .collect()
}

/// What decides how a block is made.
#[derive(Clone, Copy)]
struct Form {
    depth: usize,
    stage: usize,
    first: bool,
    frozen: bool,
}

/// A residual block; the first of a stage has a convolution in its shortcut.
struct Block {
    path: String,
    width_out: usize,
    convs: Vec<ConvNorm>,
    short: Option<ConvNorm>,
    /// Where the shortcut halves the map before its convolution.
    halves: bool,
}

impl Block {
    fn make(sheet: &mut Sheet, path: String, width_in: usize, form: Form) -> Block {
        let Form { depth, stage, first, frozen } = form;
        let width = 64 << stage;
        let halves = first && stage > 0;
        let stride = if halves { 2 } else { 1 };
        let bottleneck = depth > 34;
        let width_out = if bottleneck { width * 4 } else { width };
        let conv = |input, output, kernel, stride, act: bool| {
            let spec = ConvNormSpec { frozen, ..ConvNormSpec::new(input, output, kernel, stride) };
            if act { spec.act(Kind::Relu) } else { spec }
        };
        let branch = if bottleneck {
            vec![
                conv(width_in, width, 1, 1, true),
                conv(width, width, 3, stride, true),
                conv(width, width_out, 1, 1, false),
            ]
        } else {
            vec![conv(width_in, width, 3, stride, true), conv(width, width, 3, 1, false)]
        };
        let make_branch = |sheet: &mut Sheet| -> Vec<ConvNorm> {
            branch
                .into_iter()
                .zip(["branch2a", "branch2b", "branch2c"])
                .map(|(spec, name)| spec.make(sheet, &inside(&path, name)))
                .collect()
        };
        let make_short = |sheet: &mut Sheet| {
            first.then(|| {
                let spec = conv(width_in, width_out, 1, 1, false);
                let short = inside(&path, "short");
                if halves {
                    sheet.own(&inside(&short, "pool"), &[]);
                    spec.make(sheet, &inside(&short, "conv"))
                } else {
                    spec.make(sheet, &short)
                }
            })
        };
        // The original makes a basic block's shortcut before its branch, a bottleneck's after it.
        let (convs, short) = if bottleneck {
            let convs = make_branch(sheet);
            (convs, make_short(sheet))
        } else {
            let short = make_short(sheet);
            (make_branch(sheet), short)
        };
        Block { path, width_out, convs, short, halves }
    }

    fn on(&self, sheet: &mut Sheet, x: Map) -> Map {
        let short = match &self.short {
            None => x,
            Some(conv) => {
                let mut short = x;
                if self.halves {
                    let window = Window { kernel: 2, stride: 2, padding: [0; 4], ceil: true };
                    short = pool(sheet, &inside(&self.path, "short.pool"), "", Kind::AvgPool2d, window, short);
                }
                conv.on(sheet, short)
            }
        };
        let (last, before) = (&self.convs[self.convs.len() - 1], &self.convs[..self.convs.len() - 1]);
        let y = before.iter().fold(x, |y, conv| conv.on(sheet, y));
        last.on_residual(sheet, y, &self.path, short, Some(Kind::Relu))
    }
}
