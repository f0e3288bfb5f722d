//! ResNet-vd (He et al. 2019, "Bag of Tricks", figure 2: ResNet-D; original: `src/nn/backbone/presnet.py`).

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_config as config;
use detrace_nn::{
    Activation, AvgPool2d, Conv2dConfig, ConvNorm, ConvNormConfig, Maps, MaxPool2d, PoolConfig, Probe, Residual,
    Structure,
};

use super::levels;

/// Stem of three convolutions, a max pool, four stages of residual blocks.
#[derive(Clone, Debug)]
pub(crate) struct ResNetVd {
    stem: Vec<ConvNorm>,
    pool: MaxPool2d,
    stages: Vec<Vec<Block>>,
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
    fn conv(self, conv: Conv2dConfig, activation: Option<Activation>, vb: VarBuilder) -> Result<ConvNorm> {
        let config = ConvNormConfig { activation, ..ConvNormConfig::new(conv).frozen(self.frozen) };
        ConvNorm::new(config, self.structure, vb)
    }
}

impl ResNetVd {
    pub(crate) fn new(
        depth: usize,
        frozen: bool,
        return_idx: &[usize],
        structure: Structure,
        vb: VarBuilder,
    ) -> Result<ResNetVd> {
        let Some(counts) = config::Backbone::resnet_blocks(depth) else {
            bail!("there is no ResNet of depth {depth}");
        };
        let style = Style { frozen, structure };
        let relu = Some(Activation::Relu);
        let stem = [(3, 32, 2), (32, 32, 1), (32, 64, 1)]
            .into_iter()
            .enumerate()
            .map(|(index, (input, output, stride))| {
                let vb = vb.pp("conv1").pp(format!("conv1_{}", index + 1));
                style.conv(Conv2dConfig::same(input, output, 3, stride), relu, vb)
            })
            .collect::<Result<_>>()?;
        let bottleneck = depth >= 50;
        let expansion = if bottleneck { 4 } else { 1 };
        let mut input = 64;
        let mut stages = Vec::new();
        for (stage, (count, width)) in counts.into_iter().zip([64, 128, 256, 512]).enumerate() {
            let mut blocks = Vec::new();
            for index in 0..count {
                let stride = if index == 0 && stage > 0 { 2 } else { 1 };
                let vb = vb.pp("res_layers").pp(stage).pp("blocks").pp(index);
                blocks.push(Block::new(input, width, stride, index > 0, bottleneck, style, vb)?);
                input = width * expansion;
            }
            stages.push(blocks);
        }
        let pool = PoolConfig { kernel: 3, stride: 2, padding: [1; 4], ceil: false };
        Ok(ResNetVd {
            stem,
            pool: MaxPool2d::role(pool, vb.prefix(), "max_pool"),
            stages,
            return_idx: return_idx.to_vec(),
            probe: Probe::new(vb.prefix()),
        })
    }

    pub(crate) fn forward(&self, image: &Tensor) -> Result<Vec<Tensor>> {
        self.probe.block(|| {
            let mut x = image.clone();
            for conv in &self.stem {
                x = conv.forward(&x)?;
            }
            levels(self.pool.forward(&x)?, &self.stages, &self.return_idx, |blocks, x| {
                blocks.iter().try_fold(x.clone(), |x, block| block.forward(&x))
            })
        })
    }
}

/// A residual block: two 3×3 convolutions (depth 18 and 34), or 1×1, 3×3, 1×1 (depth 50 and 101).
#[derive(Clone, Debug)]
struct Block {
    branch: Vec<ConvNorm>,
    short: Option<Short>,
    probe: Probe,
    act: Probe,
}

/// The shortcut of a stage's first block; a strided one averages before its 1×1 convolution.
#[derive(Clone, Debug)]
struct Short {
    pool: Option<AvgPool2d>,
    conv: ConvNorm,
}

impl Block {
    fn new(
        input: usize,
        width: usize,
        stride: usize,
        identity: bool,
        bottleneck: bool,
        style: Style,
        vb: VarBuilder,
    ) -> Result<Block> {
        let relu = Some(Activation::Relu);
        let output = if bottleneck { 4 * width } else { width };
        let conv = |name: &str, conv: Conv2dConfig, activation| style.conv(conv, activation, vb.pp(name));
        let short = || -> Result<Option<Short>> {
            if identity {
                return Ok(None);
            }
            let vb = vb.pp("short");
            Ok(Some(if stride == 2 {
                let pool = PoolConfig { kernel: 2, stride: 2, padding: [0; 4], ceil: true };
                let pool = Some(AvgPool2d::module(pool, vb.pp("pool").prefix()));
                Short { pool, conv: style.conv(Conv2dConfig::same(input, output, 1, 1), None, vb.pp("conv"))? }
            } else {
                Short { pool: None, conv: style.conv(Conv2dConfig::same(input, output, 1, 1), None, vb)? }
            }))
        };
        // Modules are made in the order of the original, which tools that number them show.
        let (branch, short) = if bottleneck {
            let branch = vec![
                conv("branch2a", Conv2dConfig::same(input, width, 1, 1), relu)?,
                conv("branch2b", Conv2dConfig::same(width, width, 3, stride), relu)?,
                conv("branch2c", Conv2dConfig::same(width, output, 1, 1), None)?,
            ];
            (branch, short()?)
        } else {
            let short = short()?;
            let branch = vec![
                conv("branch2a", Conv2dConfig::same(input, width, 3, stride), relu)?,
                conv("branch2b", Conv2dConfig::same(width, width, 3, 1), None)?,
            ];
            (branch, short)
        };
        Ok(Block { branch, short, probe: Probe::new(vb.prefix()), act: Probe::new(vb.pp("act").prefix()) })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.probe.block(|| {
            let short = match &self.short {
                None => x.clone(),
                Some(Short { pool: None, conv }) => conv.forward(x)?,
                Some(Short { pool: Some(pool), conv }) => conv.forward(&pool.forward(x)?)?,
            };
            let (last, before) = (&self.branch[self.branch.len() - 1], &self.branch[..self.branch.len() - 1]);
            let y = before.iter().try_fold(x.clone(), |y, conv| conv.forward(&y))?;
            let act = Some((Activation::Relu, &self.act));
            last.forward_maps(&Maps::from(&y), Some(Residual { tensor: &short, block: &self.probe, act }))
        })
    }
}
