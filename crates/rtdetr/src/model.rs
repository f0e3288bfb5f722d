use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use detrace_config::{Config, ImageSize, Needed, Sampling};
use detrace_flops::Param;
use detrace_nn::{Mlp, Owned, Probe, Structure, Traced, declare, nearest_pixels, owned_by};

use crate::backbone::Backbone;
use crate::decoder::{Decoder, DecoderLayer};
use crate::encoder::HybridEncoder;
use crate::selection::{InputProjection, QuerySelection, Selection};

/// The embedding of class labels, which only training reads: no tensor of it is asked for.
const DENOISING: &str = "decoder.denoising_class_embed.weight";

/// An RT-DETR network.
#[derive(Clone, Debug)]
pub struct RtDetr {
    config: Config,
    structure: Structure,
    backbone: Backbone,
    encoder: HybridEncoder,
    projection: InputProjection,
    selection: QuerySelection,
    decoder: Decoder,
    owned: Owned,
    root: Probe,
    decoder_probe: Probe,
}

/// What the network says about an image batch.
#[derive(Clone, Debug)]
pub struct Output {
    /// Class scores before the sigmoid, [N, Q, classes].
    pub logits: Tensor,
    /// Boxes, cx, cy, w, h relative to the image, [N, Q, 4].
    pub boxes: Tensor,
}

/// The output with everything it came from, for comparing networks stage by stage.
#[derive(Clone, Debug)]
pub struct Stages {
    /// Backbone's feature maps, finest first.
    pub backbone: Vec<Tensor>,
    /// Hybrid encoder's feature maps, finest first.
    pub encoder: Vec<Tensor>,
    /// Tokens of all levels in the decoder's width, [N, L, C].
    pub memory: Tensor,
    /// Heights and widths of the levels.
    pub levels: Vec<(usize, usize)>,
    /// Query selection.
    pub selection: Selection,
    /// Queries after each decoder layer, [N, Q, C].
    pub decoder: Vec<Tensor>,
    /// Where each decoder layer sampled, (x, y) relative to the image, [N, Q, heads, points, 2].
    pub locations: Vec<Tensor>,
    /// The output.
    pub output: Output,
}

/// Decisions taken from elsewhere, so that two networks are compared on the same ones.
#[derive(Clone, Debug, Default)]
pub struct Forced {
    /// Selected tokens, [N, Q], u32.
    pub selection: Option<Tensor>,
    /// Pixels that discrete sampling reads in each layer, [N, Q, heads, points, 2] (x, y), u32.
    pub pixels: Vec<Tensor>,
}

impl Forced {
    /// To decide as a run of `network` did: the same tokens are selected and discrete sampling reads the same pixels.
    ///
    /// # Errors
    /// If tensors cannot be brought to the device.
    pub fn as_in(stages: &Stages, network: &RtDetr, device: &Device) -> Result<Forced> {
        let decoder = &network.config().decoder;
        let pixels = match decoder.sampling {
            Sampling::Default => Vec::new(),
            Sampling::Discrete => {
                let pixels = |at: &Tensor| nearest_pixels(at, &stages.levels, &decoder.points)?.to_device(device);
                stages.locations.iter().map(pixels).collect::<Result<_>>()?
            }
        };
        Ok(Forced { selection: Some(stages.selection.indices.to_device(device)?), pixels })
    }
}

impl RtDetr {
    /// Builds the network from the tensors of `vb`, which have canonical names (the official `rtdetrv2_pytorch`'s). It computes
    /// in the number type of `vb`, f32 or f16; in f16 the scores, the boxes and what decides on them stay f32, and so do norms
    /// and softmaxes (`docs/precision.md`).
    ///
    /// # Errors
    /// If the configuration contradicts itself, or a tensor is missing or has another shape.
    pub fn new(config: &Config, structure: Structure, vb: VarBuilder) -> Result<RtDetr> {
        config.check().map_err(candle_core::Error::wrap)?;
        let (built, owned) = owned_by(|| RtDetr::build(config, structure, vb));
        Ok(RtDetr { owned, ..built? })
    }

    /// The tensors that [`new`](RtDetr::new) asks for, in the order of construction.
    ///
    /// # Errors
    /// If the configuration contradicts itself.
    pub fn needed(config: &Config) -> Result<Vec<Needed>> {
        // Nothing is computed while a trained structure is made, so its zeros take no memory.
        let network = RtDetr::new(config, Structure::Train, VarBuilder::zeros(DType::F32, &Device::Cpu))?;
        let run = config.decoder.layers_run();
        let is_idle = |name: &str| {
            ["decoder.decoder.layers.", "decoder.dec_score_head.", "decoder.dec_bbox_head."].iter().any(|list| {
                let index = name.strip_prefix(list).and_then(|rest| rest.split('.').next());
                index.and_then(|index| index.parse::<usize>().ok()).is_some_and(|index| index >= run)
            })
        };
        let params = network.owned.params.into_iter().filter(|param| param.name != DENOISING);
        Ok(params.map(|Param { name, shape, .. }| Needed { idle: is_idle(&name), name, shape }).collect())
    }

    fn build(config: &Config, structure: Structure, vb: VarBuilder) -> Result<RtDetr> {
        let backbone = Backbone::new(&config.backbone, structure, vb.pp("backbone"))?;
        let in_channels = config.backbone.out_channels();
        let encoder = HybridEncoder::new(&config.encoder, &in_channels, structure, vb.pp("encoder"))?;
        let decoder_vb = vb.pp("decoder");
        let projection = InputProjection::new(config, structure, decoder_vb.clone())?;
        let (dim, count) = (config.decoder.hidden_dim, config.decoder.layers);
        let layers = (0..count)
            .map(|layer| DecoderLayer::new(&config.decoder, structure, decoder_vb.pp("decoder").pp("layers").pp(layer)))
            .collect::<Result<Vec<_>>>()?;
        // Used in training only, so there is no tensor of it here, but it is a parameter of the model.
        let denoising = Param::named("weight", &[config.classes + 1, dim]);
        declare(&decoder_vb.pp("denoising_class_embed").prefix(), &[denoising]);
        // Coordinates go in.
        let position_vb = decoder_vb.to_dtype(DType::F32).pp("query_pos_head");
        let query_pos_head = Mlp::new(&[4, 2 * dim, dim], structure, position_vb)?;
        let selection = QuerySelection::new(config, structure, decoder_vb.clone())?;
        let decoder = Decoder::new(config, structure, layers, query_pos_head, &decoder_vb)?;
        Ok(RtDetr {
            config: config.clone(),
            structure,
            backbone,
            encoder,
            projection,
            selection,
            decoder,
            owned: Owned::default(),
            root: Probe::new(vb.prefix()),
            decoder_probe: Probe::new(decoder_vb.prefix()),
        })
    }

    /// `image`: [N, 3, H, W], f32, RGB scaled as the configuration's preprocessing says.
    ///
    /// # Errors
    /// If the network cannot take an image of that size.
    pub fn forward(&self, image: &Tensor) -> Result<Output> {
        Ok(self.stages(image, &Forced::default())?.output)
    }

    /// The forward pass with everything it went through.
    pub fn stages(&self, image: &Tensor, forced: &Forced) -> Result<Stages> {
        ImageSize::check(&self.config, image.dims()).map_err(candle_core::Error::wrap)?;
        if image.dtype() != DType::F32 {
            bail!("the image is {:?}, not f32", image.dtype());
        }
        self.root.block(|| {
            let backbone = self.backbone.forward(image)?;
            let encoder = self.encoder.forward(&backbone)?;
            let (memory, levels, selection, decoded) = self.decoder_probe.block(|| {
                let (memory, levels) = self.projection.forward(&encoder)?;
                let selection = self.selection.forward(&memory, &levels, forced.selection.as_ref())?;
                let decoded = self.decoder.forward(&selection, &memory, &levels, &forced.pixels)?;
                Ok((memory, levels, selection, decoded))
            })?;
            let output = Output { logits: decoded.logits, boxes: decoded.boxes };
            Ok(Stages {
                backbone,
                encoder,
                memory,
                levels,
                selection,
                decoder: decoded.hidden,
                locations: decoded.locations,
                output,
            })
        })
    }

    /// Every parameter that the network owns, by its full name, in the order of construction.
    pub fn params(&self) -> &[Param] {
        &self.owned.params
    }

    /// Every module's dotted name, in the order of construction.
    pub fn modules(&self) -> &[String] {
        &self.owned.modules
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How it was built.
    pub fn structure(&self) -> Structure {
        self.structure
    }
}

impl Traced for RtDetr {
    fn run(&self, image: &Tensor) -> Result<()> {
        self.forward(image).map(drop)
    }

    fn owned(&self) -> Owned {
        self.owned.clone()
    }
}
