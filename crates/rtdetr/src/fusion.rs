//! The encoder's fusion block (RT-DETR paper, figure 5): CSP with RepVGG blocks.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_config as config;
use detrace_nn::{
    Activation, Conv2d, Conv2dConfig, ConvNorm, ConvNormConfig, Folded, Maps, Probe, Residual, Structure, UpsampledConv,
};

/// What a fusion block will read.
pub(crate) enum Inputs {
    /// Maps of one size.
    Fine,
    /// A coarse map and a fine one, which it projects itself if it is given the projection.
    Coarse(Option<Folded>),
}

/// Two maps that a fusion block reads side by side.
pub(crate) enum Beside<'a> {
    /// Of one size.
    Fine(Maps),
    /// A coarse one, to be upsampled, and a fine one.
    Coarse(&'a Tensor, &'a Tensor),
}

/// A fusion block's first convolutions, for one or the other.
#[derive(Clone, Debug)]
enum Enter {
    Fine(ConvNorm),
    Coarse(UpsampledConv),
}

impl Enter {
    fn forward(&self, x: &Beside<'_>, residual: Option<Residual<'_>>) -> Result<Tensor> {
        match (self, x) {
            (Enter::Fine(conv), Beside::Fine(maps)) => conv.forward_maps(maps, residual),
            (Enter::Coarse(conv), Beside::Coarse(high, low)) => conv.forward(high, low, residual),
            _ => bail!("a fusion block was made for other maps"),
        }
    }
}

/// CSP block of RepVGG blocks (the paper's fusion block, figure 5).
#[derive(Clone, Debug)]
pub(crate) struct CspRepLayer {
    conv1: Enter,
    conv2: Enter,
    bottlenecks: Vec<RepVgg>,
    conv3: Option<ConvNorm>,
    probe: Probe,
}

impl CspRepLayer {
    pub(crate) fn new(
        config: &config::Encoder,
        structure: Structure,
        inputs: &Inputs,
        vb: VarBuilder,
    ) -> Result<CspRepLayer> {
        let (input, output, hidden) = (2 * config.hidden_dim, config.hidden_dim, config.csp_channels());
        let point = |input, output| ConvNormConfig::new(Conv2dConfig::same(input, output, 1, 1)).act(Activation::Silu);
        let enter = |name: &str| {
            let (config, vb) = (point(input, hidden), vb.pp(name));
            match inputs {
                Inputs::Coarse(before) => UpsampledConv::new(config, input / 2, before.as_ref(), vb).map(Enter::Coarse),
                Inputs::Fine => ConvNorm::new(config, structure, vb).map(Enter::Fine),
            }
        };
        Ok(CspRepLayer {
            conv1: enter("conv1")?,
            conv2: enter("conv2")?,
            bottlenecks: (0..config.csp_blocks())
                .map(|block| RepVgg::new(hidden, structure, vb.pp("bottlenecks").pp(block)))
                .collect::<Result<_>>()?,
            conv3: (hidden != output)
                .then(|| ConvNorm::new(point(hidden, output), structure, vb.pp("conv3")))
                .transpose()?,
            probe: Probe::new(vb.prefix()),
        })
    }

    pub(crate) fn forward(&self, x: &Beside<'_>) -> Result<Tensor> {
        self.probe.block(|| {
            let mut deep = self.conv1.forward(x, None)?;
            for block in &self.bottlenecks {
                deep = block.forward(&deep)?;
            }
            let residual = Residual { tensor: &deep, block: &self.probe, act: None };
            let sum = self.conv2.forward(x, Some(residual))?;
            match &self.conv3 {
                Some(conv) => conv.forward(&sum),
                None => Ok(sum),
            }
        })
    }
}

/// RepVGG block (Ding et al. 2021): a 3×3 and a 1×1 convolution added up, or both merged into one.
#[derive(Clone, Debug)]
enum RepVgg {
    Branches(Box<[ConvNorm; 2]>, Probe, Probe),
    Merged(Conv2d),
}

impl RepVgg {
    fn new(channels: usize, structure: Structure, vb: VarBuilder) -> Result<RepVgg> {
        let square = ConvNormConfig::new(Conv2dConfig::same(channels, channels, 3, 1));
        let point = ConvNormConfig::new(Conv2dConfig::same(channels, channels, 1, 1));
        let act = vb.pp("act").prefix();
        match structure {
            Structure::Train => {
                let conv1 = ConvNorm::new(square, structure, vb.pp("conv1"))?;
                let conv2 = ConvNorm::new(point, structure, vb.pp("conv2"))?;
                Ok(RepVgg::Branches(Box::new([conv1, conv2]), Probe::new(vb.prefix()), Probe::new(act)))
            }
            Structure::Deploy | Structure::Fast => {
                let square_folded = Folded::new(&square, &vb.pp("conv1"))?;
                let point_folded = Folded::new(&point, &vb.pp("conv2"))?;
                // The 1×1 kernel is the centre of a 3×3 one.
                let centred = point_folded.weight.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
                let merged = Folded {
                    weight: (square_folded.weight + centred)?,
                    bias: (square_folded.bias + point_folded.bias)?,
                };
                let conv = merged.conv(square.conv, vb.dtype(), vb.pp("conv").prefix())?;
                Ok(RepVgg::Merged(conv.fuse(Activation::Silu, act)))
            }
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            RepVgg::Merged(conv) => conv.forward(x),
            RepVgg::Branches(convs, probe, act) => probe.block(|| {
                let [conv1, conv2] = &**convs;
                let sum = probe.add("sum_branches", &conv1.forward(x)?, &conv2.forward(x)?)?;
                Activation::Silu.forward(act, &sum)
            }),
        }
    }
}
