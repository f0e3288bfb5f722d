//! HGNetv2 (PP-HGNetV2; original: `src/nn/backbone/hgnetv2.py`).

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use detrace_config::{HgNetArch, HgNetStage};
use detrace_nn::{
    Activation, Conv2dConfig, ConvNorm, ConvNormConfig, Maps, MaxPool2d, PoolConfig, Probe, Residual, Structure,
};

use super::levels;

/// A stem and four stages.
#[derive(Clone, Debug)]
pub(crate) struct HgNetV2 {
    stem: Stem,
    stages: Vec<Stage>,
    return_idx: Vec<usize>,
    probe: Probe,
}

/// What all convolutions of one network share.
#[derive(Clone, Copy)]
struct Style {
    frozen: bool,
    structure: Structure,
}

impl Style {
    fn conv(self, conv: Conv2dConfig, act: bool, vb: VarBuilder) -> Result<ConvNorm> {
        self.named("conv", conv, act, vb)
    }

    /// A convolution that the original pads in a module of its own, below and to the right, so that the size stays.
    fn same_conv(self, input: usize, output: usize, vb: VarBuilder) -> Result<ConvNorm> {
        let conv = Conv2dConfig { padding: [0, 0, 1, 1], ..Conv2dConfig::same(input, output, 2, 1) };
        self.named("conv.1", conv, true, vb)
    }

    fn named(self, conv_name: &'static str, conv: Conv2dConfig, act: bool, vb: VarBuilder) -> Result<ConvNorm> {
        let config = ConvNormConfig {
            conv,
            conv_name,
            norm_name: "bn",
            frozen: self.frozen,
            activation: act.then_some(Activation::Relu),
        };
        ConvNorm::new(config, self.structure, vb)
    }
}

impl HgNetV2 {
    pub(crate) fn new(
        arch: HgNetArch,
        frozen: bool,
        return_idx: &[usize],
        structure: Structure,
        vb: VarBuilder,
    ) -> Result<HgNetV2> {
        let style = Style { frozen, structure };
        let stem = Stem::new(arch, style, vb.pp("stem"))?;
        let stages = arch
            .stages()
            .into_iter()
            .enumerate()
            .map(|(index, stage)| Stage::new(stage, style, vb.pp("stages").pp(index)))
            .collect::<Result<_>>()?;
        Ok(HgNetV2 { stem, stages, return_idx: return_idx.to_vec(), probe: Probe::new(vb.prefix()) })
    }

    pub(crate) fn forward(&self, image: &Tensor) -> Result<Vec<Tensor>> {
        self.probe.block(|| levels(self.stem.forward(image)?, &self.stages, &self.return_idx, Stage::forward))
    }
}

/// Stride 4: a strided convolution, a pooled and a convolved branch side by side, two more convolutions.
#[derive(Clone, Debug)]
struct Stem {
    stem1: ConvNorm,
    stem2a: ConvNorm,
    stem2b: ConvNorm,
    stem3: ConvNorm,
    stem4: ConvNorm,
    pool: MaxPool2d,
    structure: Structure,
    probe: Probe,
}

impl Stem {
    fn new(arch: HgNetArch, style: Style, vb: VarBuilder) -> Result<Stem> {
        let (middle, output) = arch.stem();
        let pool = PoolConfig { kernel: 2, stride: 1, padding: [0, 0, 1, 1], ceil: true };
        Ok(Stem {
            stem1: style.conv(Conv2dConfig::same(3, middle, 3, 2), true, vb.pp("stem1"))?,
            stem2a: style.same_conv(middle, middle / 2, vb.pp("stem2a"))?,
            stem2b: style.same_conv(middle / 2, middle, vb.pp("stem2b"))?,
            stem3: style.conv(Conv2dConfig::same(2 * middle, middle, 3, 2), true, vb.pp("stem3"))?,
            stem4: style.conv(Conv2dConfig::same(middle, output, 1, 1), true, vb.pp("stem4"))?,
            pool: MaxPool2d::module(pool, vb.pp("pool").pp("1").prefix()),
            structure: style.structure,
            probe: Probe::new(vb.prefix()),
        })
    }

    fn forward(&self, image: &Tensor) -> Result<Tensor> {
        self.probe.block(|| {
            let x = self.stem1.forward(image)?;
            let convolved = self.stem2b.forward(&self.stem2a.forward(&x)?)?;
            // The original pads with zeros, here nothing wins over a pixel: the same, since the pool follows a ReLU.
            let pooled = self.pool.forward(&x)?;
            let both = self.probe.side_by_side("concat", &[&pooled, &convolved], self.structure)?;
            self.stem4.forward(&self.stem3.forward_maps(&both, None)?)
        })
    }
}

/// An optional strided depthwise convolution, then blocks.
#[derive(Clone, Debug)]
struct Stage {
    downsample: Option<ConvNorm>,
    blocks: Vec<Block>,
}

impl Stage {
    fn new(stage: HgNetStage, style: Style, vb: VarBuilder) -> Result<Stage> {
        let downsample = stage
            .downsample
            .then(|| {
                let conv = Conv2dConfig { groups: stage.input, ..Conv2dConfig::same(stage.input, stage.input, 3, 2) };
                style.conv(conv, false, vb.pp("downsample"))
            })
            .transpose()?;
        let blocks = (0..stage.blocks)
            .map(|index| {
                let input = if index == 0 { stage.input } else { stage.output };
                Block::new(stage, input, index > 0, style, vb.pp("blocks").pp(index))
            })
            .collect::<Result<_>>()?;
        Ok(Stage { downsample, blocks })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = match &self.downsample {
            Some(conv) => conv.forward(x)?,
            None => x.clone(),
        };
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

/// Layers in a chain whose outputs, with the input, are concatenated and squeezed.
#[derive(Clone, Debug)]
struct Block {
    layers: Vec<Vec<ConvNorm>>,
    squeeze: ConvNorm,
    excitation: ConvNorm,
    identity: bool,
    structure: Structure,
    probe: Probe,
}

impl Block {
    fn new(stage: HgNetStage, input: usize, identity: bool, style: Style, vb: VarBuilder) -> Result<Block> {
        let HgNetStage { middle, output, kernel, layers: count, light, .. } = stage;
        let layers = (0..count)
            .map(|index| {
                let input = if index == 0 { input } else { middle };
                let vb = vb.pp("layers").pp(index);
                if !light {
                    return Ok(vec![style.conv(Conv2dConfig::same(input, middle, kernel, 1), true, vb)?]);
                }
                let depthwise = Conv2dConfig { groups: middle, ..Conv2dConfig::same(middle, middle, kernel, 1) };
                Ok(vec![
                    style.conv(Conv2dConfig::same(input, middle, 1, 1), false, vb.pp("conv1"))?,
                    style.conv(depthwise, true, vb.pp("conv2"))?,
                ])
            })
            .collect::<Result<_>>()?;
        let total = input + count * middle;
        Ok(Block {
            layers,
            squeeze: style.conv(
                Conv2dConfig::same(total, output / 2, 1, 1),
                true,
                vb.pp("aggregation_squeeze_conv"),
            )?,
            excitation: style.conv(
                Conv2dConfig::same(output / 2, output, 1, 1),
                true,
                vb.pp("aggregation_excitation_conv"),
            )?,
            identity,
            structure: style.structure,
            probe: Probe::new(vb.prefix()),
        })
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.probe.block(|| {
            let mut outputs = vec![input.clone()];
            for layer in &self.layers {
                let mut x = outputs[outputs.len() - 1].clone();
                for conv in layer {
                    x = conv.forward(&x)?;
                }
                outputs.push(x);
            }
            let parts: Vec<&Tensor> = outputs.iter().collect();
            let joined = self.probe.side_by_side("concat", &parts, self.structure)?;
            let x = self.squeeze.forward_maps(&joined, None)?;
            let residual = Residual { tensor: input, block: &self.probe, act: None };
            self.excitation.forward_maps(&Maps::from(&x), self.identity.then_some(residual))
        })
    }
}
