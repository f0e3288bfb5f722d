use serde::{Deserialize, Serialize};

/// Everything that shapes an RT-DETR network, and what was published about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the variant.
    pub name: String,
    /// RT-DETR or RT-DETRv2. Their inference differs in the decoder's sampling only.
    pub version: Version,
    /// Number of object classes.
    #[serde(default = "defaults::classes")]
    pub classes: usize,
    /// Names of the classes, if the configuration has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Feature extractor.
    pub backbone: Backbone,
    /// Efficient hybrid encoder (RT-DETR paper, section 4.2).
    pub encoder: Encoder,
    /// Query selection and decoder (sections 4.3 and 4.4).
    pub decoder: Decoder,
    /// How images become input tensors.
    #[serde(default)]
    pub preprocess: Preprocess,
    /// Figures that the authors published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
    /// Where the authors offer weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<String>,
}

/// Generation of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// RT-DETR (Zhao et al., 2023).
    V1,
    /// RT-DETRv2 (Lv et al., 2024): points per level, optional discrete sampling.
    V2,
}

impl Version {
    /// The name in files: `v1` or `v2`.
    pub fn name(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        }
    }
}

/// Feature extractor. Feature levels are consecutive stages; level 0 of ResNet and HGNetv2 has stride 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Backbone {
    /// ResNet-vd: three-convolution stem, average pool in the shortcut of a strided block (He et al. 2019, "ResNet-D").
    ResnetVd {
        /// 18, 34, 50 or 101.
        depth: usize,
        /// Whether norms are frozen in training, so that PyTorch tools see buffers instead of parameters.
        #[serde(default)]
        freeze_norm: bool,
        /// Stages whose output is a feature level.
        #[serde(default = "defaults::return_idx")]
        return_idx: Vec<usize>,
    },
    /// HGNetv2 (PP-HGNetV2, PaddlePaddle).
    #[serde(rename = "hgnetv2")]
    HgNetV2 {
        /// L, X or H.
        arch: HgNetArch,
        /// Whether norms are frozen in training, so that PyTorch tools see buffers instead of parameters.
        #[serde(default)]
        freeze_norm: bool,
        /// Stages whose output is a feature level.
        #[serde(default = "defaults::return_idx")]
        return_idx: Vec<usize>,
    },
}

/// Size of an HGNetv2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the published sizes' names
pub enum HgNetArch {
    L,
    X,
    H,
}

/// One stage of an HGNetv2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HgNetStage {
    /// Channels into the first block.
    pub input: usize,
    /// Channels of every layer inside a block.
    pub middle: usize,
    /// Channels out of every block.
    pub output: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Whether a strided depthwise convolution comes first.
    pub downsample: bool,
    /// Whether layers are light: 1×1 convolution and depthwise convolution.
    pub light: bool,
    /// Kernel of a layer's (depthwise) convolution.
    pub kernel: usize,
    /// Layers in a block.
    pub layers: usize,
}

impl HgNetArch {
    /// Channels in the middle of the stem and out of it.
    pub fn stem(self) -> (usize, usize) {
        match self {
            HgNetArch::L => (32, 48),
            HgNetArch::X => (32, 64),
            HgNetArch::H => (48, 96),
        }
    }

    /// The four stages (rtdetrv2_pytorch, `src/nn/backbone/hgnetv2.py`, `arch_configs`).
    pub fn stages(self) -> [HgNetStage; 4] {
        let stage = |index: usize, input, middle, output, blocks| HgNetStage {
            input,
            middle,
            output,
            blocks,
            downsample: index > 0,
            light: index > 1,
            kernel: if index > 1 { 5 } else { 3 },
            layers: 6,
        };
        let (_, stem) = self.stem();
        match self {
            HgNetArch::L => [
                stage(0, stem, 48, 128, 1),
                stage(1, 128, 96, 512, 1),
                stage(2, 512, 192, 1024, 3),
                stage(3, 1024, 384, 2048, 1),
            ],
            HgNetArch::X => [
                stage(0, stem, 64, 128, 1),
                stage(1, 128, 128, 512, 2),
                stage(2, 512, 256, 1024, 5),
                stage(3, 1024, 512, 2048, 2),
            ],
            HgNetArch::H => [
                stage(0, stem, 96, 192, 2),
                stage(1, 192, 192, 512, 3),
                stage(2, 512, 384, 1024, 6),
                stage(3, 1024, 768, 2048, 3),
            ],
        }
    }
}

impl Backbone {
    /// Stages whose output is a feature level.
    pub fn return_idx(&self) -> &[usize] {
        match self {
            Backbone::ResnetVd { return_idx, .. } | Backbone::HgNetV2 { return_idx, .. } => return_idx,
        }
    }

    /// Whether norms are frozen in training.
    pub fn freeze_norm(&self) -> bool {
        match self {
            Backbone::ResnetVd { freeze_norm, .. } | Backbone::HgNetV2 { freeze_norm, .. } => *freeze_norm,
        }
    }

    /// Blocks in each stage of a ResNet; `None` for a depth that was not published.
    pub fn resnet_blocks(depth: usize) -> Option<[usize; 4]> {
        match depth {
            18 => Some([2, 2, 2, 2]),
            34 | 50 => Some([3, 4, 6, 3]),
            101 => Some([3, 4, 23, 3]),
            _ => None,
        }
    }

    /// Channels of each feature level.
    pub fn out_channels(&self) -> Vec<usize> {
        let stages = match self {
            Backbone::ResnetVd { depth, .. } => {
                let expansion = if *depth >= 50 { 4 } else { 1 };
                [64, 128, 256, 512].map(|width| width * expansion)
            }
            Backbone::HgNetV2 { arch, .. } => arch.stages().map(|stage| stage.output),
        };
        self.return_idx().iter().filter_map(|&stage| stages.get(stage).copied()).collect()
    }

    /// Stride of each feature level.
    pub fn strides(&self) -> Vec<usize> {
        self.return_idx().iter().map(|&stage| 4 << stage).collect()
    }
}

/// The efficient hybrid encoder: attention inside one scale (AIFI), convolutions across scales (CCFM).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Channels of every level.
    pub hidden_dim: usize,
    /// Transformer layers in AIFI.
    #[serde(default = "defaults::one")]
    pub layers: usize,
    /// Attention heads.
    #[serde(default = "defaults::heads")]
    pub heads: usize,
    /// Width of the feed-forward network.
    pub dim_feedforward: usize,
    /// Levels that go through AIFI.
    #[serde(default = "defaults::use_encoder_idx")]
    pub use_encoder_idx: Vec<usize>,
    /// Hidden channels of a CSP block over its output channels.
    #[serde(default = "defaults::one_f64")]
    pub expansion: f64,
    /// Scales the number of RepVGG blocks in a CSP block, 3 at 1.0.
    #[serde(default = "defaults::one_f64")]
    pub depth_mult: f64,
    /// Temperature of the positional embedding.
    #[serde(default = "defaults::temperature")]
    pub pe_temperature: f64,
    /// Activation of the feed-forward network.
    #[serde(default = "defaults::gelu")]
    pub activation: FeedForward,
}

/// Activation of a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the activations' usual names
pub enum FeedForward {
    Relu,
    Gelu,
}

impl Encoder {
    /// Hidden channels of a CSP block: `int(hidden_dim * expansion)`, as the official code truncates.
    pub fn csp_channels(&self) -> usize {
        (self.hidden_dim as f64 * self.expansion) as usize
    }

    /// RepVGG blocks in a CSP block: `round(3 * depth_mult)`, halves to even as Python rounds.
    pub fn csp_blocks(&self) -> usize {
        (3.0 * self.depth_mult).round_ties_even() as usize
    }
}

/// Query selection and the deformable decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoder {
    /// Width of the decoder.
    #[serde(default = "defaults::hidden_dim")]
    pub hidden_dim: usize,
    /// Object queries.
    #[serde(default = "defaults::queries")]
    pub queries: usize,
    /// Layers that are built.
    pub layers: usize,
    /// Layer after which inference stops, counted from 0; negative counts from the end.
    #[serde(default = "defaults::eval_idx")]
    pub eval_idx: i64,
    /// Attention heads.
    #[serde(default = "defaults::heads")]
    pub heads: usize,
    /// Width of the feed-forward network.
    #[serde(default = "defaults::dim_feedforward")]
    pub dim_feedforward: usize,
    /// Feature levels; more than the backbone has are made by strided convolutions.
    #[serde(default = "defaults::levels")]
    pub levels: usize,
    /// Sampling points per head on each level.
    #[serde(default = "defaults::points")]
    pub points: Vec<usize>,
    /// How a sampling point reads its level.
    #[serde(default)]
    pub sampling: Sampling,
    /// Scale of the offsets relative to the reference box.
    #[serde(default = "defaults::half")]
    pub offset_scale: f64,
    /// Whether query contents are learned rather than selected.
    #[serde(default)]
    pub learn_query_content: bool,
    /// Activation of the feed-forward network.
    #[serde(default = "defaults::relu")]
    pub activation: FeedForward,
}

impl Decoder {
    /// Layers that run at inference: `eval_idx + 1`.
    pub fn layers_run(&self) -> usize {
        let last = if self.eval_idx < 0 { self.layers as i64 + self.eval_idx } else { self.eval_idx };
        usize::try_from(last + 1).unwrap_or(0)
    }
}

/// How a sampling point reads its level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Bilinear interpolation, zeros outside (`grid_sample`).
    #[default]
    Default,
    /// The nearest pixel, clamped to the border (RT-DETRv2, section 3.2).
    Discrete,
}

/// How images become input tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocess {
    /// Height and width that images are stretched to; the aspect ratio is not kept.
    pub size: [usize; 2],
    /// How they are stretched.
    pub resize: Resize,
    /// What a channel's value, 0 to 255, is multiplied by.
    pub scale: f64,
    /// Mean per channel, subtracted after scaling.
    pub mean: [f64; 3],
    /// Standard deviation per channel, divided by.
    pub std: [f64; 3],
}

impl Default for Preprocess {
    fn default() -> Self {
        Preprocess { size: [640, 640], resize: Resize::default(), scale: 1.0 / 255.0, mean: [0.0; 3], std: [1.0; 3] }
    }
}

/// Whose resize stretches images, and with which filter. All work on bytes and differ in rounding, in the cubic's
/// coefficient, and in what happens when an image gets smaller: OpenCV reads the nearest pixels only, the others average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Pillow's `Image.resize`, as the official PyTorch code and the older processors of transformers have it.
    #[default]
    PilBilinear,
    /// The same with the bicubic filter.
    PilBicubic,
    /// torchvision's `resize` of a byte tensor with antialiasing, as the fast processors of transformers have it.
    TorchvisionBilinear,
    /// The same with the bicubic filter.
    TorchvisionBicubic,
    /// OpenCV's `INTER_LINEAR`, which PaddleDetection's RT-DETRv2 configurations ask for (`interp: 1`).
    OpencvBilinear,
    /// OpenCV's `INTER_CUBIC`, which its RT-DETR configurations ask for (`interp: 2`).
    OpencvBicubic,
}

impl Resize {
    /// Every way.
    pub const ALL: [Resize; 6] = [
        Resize::PilBilinear,
        Resize::PilBicubic,
        Resize::TorchvisionBilinear,
        Resize::TorchvisionBicubic,
        Resize::OpencvBilinear,
        Resize::OpencvBicubic,
    ];

    /// Its name in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Resize::PilBilinear => "pil-bilinear",
            Resize::PilBicubic => "pil-bicubic",
            Resize::TorchvisionBilinear => "torchvision-bilinear",
            Resize::TorchvisionBicubic => "torchvision-bicubic",
            Resize::OpencvBilinear => "opencv-bilinear",
            Resize::OpencvBicubic => "opencv-bicubic",
        }
    }
}

/// Figures that the authors published, for 640×640.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// "Params(M)".
    pub params_m: u64,
    /// "FLOPs(G)": twice the MACs that `paddle.flops` prints.
    pub flops_g: u64,
    /// Average precision on COCO val2017.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ap: Option<f64>,
    /// Frames per second on a T4 with TensorRT in FP16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t4_fps: Option<u64>,
    /// Where they were published.
    pub source: String,
}

impl Config {
    /// Channels of each of the decoder's input levels that come from the encoder.
    pub fn encoder_levels(&self) -> usize {
        self.backbone.return_idx().len()
    }
}

mod defaults {
    use super::FeedForward;

    pub(super) fn classes() -> usize {
        80
    }
    pub(super) fn return_idx() -> Vec<usize> {
        vec![1, 2, 3]
    }
    pub(super) fn use_encoder_idx() -> Vec<usize> {
        vec![2]
    }
    pub(super) fn one() -> usize {
        1
    }
    pub(super) fn one_f64() -> f64 {
        1.0
    }
    pub(super) fn half() -> f64 {
        0.5
    }
    pub(super) fn heads() -> usize {
        8
    }
    pub(super) fn temperature() -> f64 {
        10_000.0
    }
    pub(super) fn hidden_dim() -> usize {
        256
    }
    pub(super) fn dim_feedforward() -> usize {
        1024
    }
    pub(super) fn queries() -> usize {
        300
    }
    pub(super) fn eval_idx() -> i64 {
        -1
    }
    pub(super) fn levels() -> usize {
        3
    }
    pub(super) fn points() -> Vec<usize> {
        vec![4, 4, 4]
    }
    pub(super) fn gelu() -> FeedForward {
        FeedForward::Gelu
    }
    pub(super) fn relu() -> FeedForward {
        FeedForward::Relu
    }
}
