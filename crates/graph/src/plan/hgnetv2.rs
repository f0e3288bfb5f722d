//! HGNetv2 on paper (PP-HGNetV2; original: `hgnetv2.py`).

use detrace_config::{HgNetArch, HgNetStage};
use detrace_flops::Kind;

use super::layers::{ConvNorm, ConvNormSpec, Window, pool};
use super::sheet::{Map, Sheet, inside};

/// Makes the network, then runs it on `image`; the result is the output of each of the four stages.
pub(super) fn stages(sheet: &mut Sheet, arch: HgNetArch, frozen: bool, image: Map) -> Vec<Map> {
    let root = "backbone";
    let style = Style { frozen };
    let stem = Stem::make(sheet, inside(root, "stem"), style, arch);
    let stages: Vec<Stage> = arch
        .stages()
        .into_iter()
        .enumerate()
        .map(|(index, stage)| Stage::make(sheet, &inside(root, format_args!("stages.{index}")), style, stage))
        .collect();
    let mut x = stem.on(sheet, image);
    stages
        .iter()
        .map(|stage| {
            x = stage.on(sheet, x);
            x
        })
        .collect()
}

/// What all convolutions of one network share.
#[derive(Clone, Copy)]
struct Style {
    frozen: bool,
}

impl Style {
    fn spec(self, input: usize, output: usize, kernel: usize, stride: usize) -> ConvNormSpec {
        let spec = ConvNormSpec::new(input, output, kernel, stride);
        ConvNormSpec { norm_name: "bn", frozen: self.frozen, ..spec }
    }

    fn relu(self, input: usize, output: usize, kernel: usize, stride: usize) -> ConvNormSpec {
        self.spec(input, output, kernel, stride).act(Kind::Relu)
    }

    fn depthwise(self, channels: usize, kernel: usize, stride: usize) -> ConvNormSpec {
        ConvNormSpec { groups: channels, ..self.spec(channels, channels, kernel, stride) }
    }

    /// A 2×2 kernel with a row and a column of padding below and to the right; a pad module comes first in the original.
    fn even(self, input: usize, output: usize) -> ConvNormSpec {
        let window = Window { kernel: 2, stride: 1, padding: [0, 0, 1, 1], ceil: false };
        ConvNormSpec { window, conv_name: "conv.1", ..self.relu(input, output, 2, 1) }
    }
}

/// Quarters the image; a pooled and a convolved copy go side by side in between.
struct Stem {
    path: String,
    first: ConvNorm,
    side: [ConvNorm; 2],
    last: [ConvNorm; 2],
}

impl Stem {
    fn make(sheet: &mut Sheet, path: String, style: Style, arch: HgNetArch) -> Stem {
        let (middle, output) = arch.stem();
        let mut make = |name: &str, spec: ConvNormSpec| spec.make(sheet, &inside(&path, name));
        let first = make("stem1", style.relu(3, middle, 3, 2));
        let side = [make("stem2a", style.even(middle, middle / 2)), make("stem2b", style.even(middle / 2, middle))];
        let last =
            [make("stem3", style.relu(middle * 2, middle, 3, 2)), make("stem4", style.relu(middle, output, 1, 1))];
        sheet.own(&inside(&path, "pool.1"), &[]);
        Stem { path, first, side, last }
    }

    fn on(&self, sheet: &mut Sheet, image: Map) -> Map {
        let x = self.first.on(sheet, image);
        let convolved = self.side.iter().fold(x, |x, conv| conv.on(sheet, x));
        let window = Window { kernel: 2, stride: 1, padding: [0, 0, 1, 1], ceil: true };
        let pooled = pool(sheet, &inside(&self.path, "pool.1"), "", Kind::MaxPool2d, window, x);
        let both = sheet.concat_channels(&self.path, "concat", &[pooled, convolved]);
        self.last.iter().fold(both, |x, conv| conv.on(sheet, x))
    }
}

/// Blocks, behind a depthwise convolution that halves the map in all stages but the first.
struct Stage {
    halve: Option<ConvNorm>,
    blocks: Vec<Block>,
}

impl Stage {
    fn make(sheet: &mut Sheet, path: &str, style: Style, stage: HgNetStage) -> Stage {
        let halve =
            stage.downsample.then(|| style.depthwise(stage.input, 3, 2).make(sheet, &inside(path, "downsample")));
        let blocks = (0..stage.blocks)
            .map(|index| Block::make(sheet, inside(path, format_args!("blocks.{index}")), style, stage, index == 0))
            .collect();
        Stage { halve, blocks }
    }

    fn on(&self, sheet: &mut Sheet, x: Map) -> Map {
        let x = self.halve.as_ref().map_or(x, |conv| conv.on(sheet, x));
        self.blocks.iter().fold(x, |x, block| block.on(sheet, x))
    }
}

/// A chain of layers, every one's output and the block's input side by side, squeezed to the block's width.
struct Block {
    path: String,
    layers: Vec<Vec<ConvNorm>>,
    aggregation: [ConvNorm; 2],
    /// Whether the input is added; the first block of a stage does not.
    identity: bool,
}

impl Block {
    fn make(sheet: &mut Sheet, path: String, style: Style, stage: HgNetStage, first: bool) -> Block {
        let HgNetStage { input, middle, output, kernel, .. } = stage;
        let input = if first { input } else { output };
        let layers = (0..stage.layers)
            .map(|index| {
                let input = if index == 0 { input } else { middle };
                let layer = inside(&path, format_args!("layers.{index}"));
                if stage.light {
                    let point = style.spec(input, middle, 1, 1).make(sheet, &inside(&layer, "conv1"));
                    let spread = style.depthwise(middle, kernel, 1).act(Kind::Relu);
                    vec![point, spread.make(sheet, &inside(&layer, "conv2"))]
                } else {
                    vec![style.relu(input, middle, kernel, 1).make(sheet, &layer)]
                }
            })
            .collect();
        let joined = input + stage.layers * middle;
        let mut make = |name: &str, spec: ConvNormSpec| spec.make(sheet, &inside(&path, name));
        let aggregation = [
            make("aggregation_squeeze_conv", style.relu(joined, output / 2, 1, 1)),
            make("aggregation_excitation_conv", style.relu(output / 2, output, 1, 1)),
        ];
        Block { path, layers, aggregation, identity: !first }
    }

    fn on(&self, sheet: &mut Sheet, input: Map) -> Map {
        let mut outputs = vec![input];
        let mut x = input;
        for layer in &self.layers {
            x = layer.iter().fold(x, |x, conv| conv.on(sheet, x));
            outputs.push(x);
        }
        let joined = sheet.concat_channels(&self.path, "concat", &outputs);
        let [squeeze, excitation] = &self.aggregation;
        let x = squeeze.on(sheet, joined);
        match self.identity {
            true => excitation.on_residual(sheet, x, &self.path, input, None),
            false => excitation.on(sheet, x),
        }
    }
}
