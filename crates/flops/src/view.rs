//! A trace as one PyTorch implementation of the network would make it.
//!
//! The official code (lyuwenyu/RT-DETR) and Hugging Face transformers compute the same, but write it in different modules
//! and functions, and a tool counts what its hooks and patches meet. A [`View`] says how an operation is written, and
//! adds the operations that one implementation does besides. What it knows of RT-DETR it knows by the canonical names of
//! modules; of any other model every operation with a module of its own is a module, and everything else is arithmetic.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Kind, Meta, Op, Param, ParamRole, Trace};

/// Whose modules a PyTorch tool looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framework {
    /// lyuwenyu/RT-DETR, `rtdetr_pytorch` for RT-DETR and `rtdetrv2_pytorch` for RT-DETRv2, in eval mode.
    #[default]
    #[serde(rename = "official")]
    Official,
    /// Hugging Face transformers, `RTDetrForObjectDetection` and `RTDetrV2ForObjectDetection`, in eval mode.
    #[serde(rename = "hf")]
    HuggingFace,
}

impl Framework {
    /// Both with their names on the command line.
    pub const ALL: [(Framework, &'static str); 2] = [(Framework::Official, "official"), (Framework::HuggingFace, "hf")];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Framework::Official => "official",
            Framework::HuggingFace => "hf",
        }
    }
}

impl fmt::Display for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Framework {
    type Err = String;

    fn from_str(name: &str) -> Result<Framework, String> {
        let found = Framework::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(framework, _)| *framework).ok_or_else(|| format!("there is no framework {name:?}; official, hf"))
    }
}

/// How a framework writes an operation, which decides whether a tool meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A module without children: hooks meet it.
    Module,
    /// A projection of `nn.MultiheadAttention`, which calls `F.linear` on its own weights: no hook meets it.
    InAttention,
    /// Inside the kernel of `F.scaled_dot_product_attention`.
    InKernel,
    /// A function of `torch.nn.functional` that is looked up when it is called: a patch meets it.
    Function,
    /// A function that the network took a reference to when it was built: no patch meets it.
    Bound,
    /// Arithmetic on tensors, and their methods: only the dispatcher meets it.
    Arithmetic,
}

/// What a parameter tensor is to PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A parameter that training changes.
    Trained,
    /// A parameter with `requires_grad=False` in the official code: the stem of a frozen backbone, the offsets of discrete
    /// sampling. transformers trains both.
    Untrained,
    /// Scale or shift of a frozen norm: a buffer.
    FrozenAffine,
    /// Running mean or variance: a buffer.
    Statistic,
}

impl Standing {
    /// Whether `model.parameters()` yields it.
    pub fn is_parameter(self) -> bool {
        matches!(self, Standing::Trained | Standing::Untrained)
    }
}

/// A trace as a framework would make it.
pub struct View<'a> {
    /// Whose modules these are.
    pub framework: Framework,
    trace: &'a Trace,
    /// What the framework does besides.
    added: Vec<Op>,
    /// Modules that do something.
    called: HashSet<String>,
    /// Blocks that are multi-head attention.
    attentions: HashSet<&'a str>,
    /// Norms whose scale and shift are buffers.
    frozen: HashSet<&'a str>,
    /// Whether the decoder samples whole pixels.
    discrete: bool,
    /// Modules that exist in the trace's model and not in the framework's.
    absent: Vec<String>,
}

/// Modules of a decoder layer, by index.
const OF_DECODER_LAYERS: [&str; 3] = ["decoder.decoder.layers.", "decoder.dec_score_head.", "decoder.dec_bbox_head."];

impl<'a> View<'a> {
    /// The trace as that framework would make it.
    pub fn new(trace: &'a Trace, framework: Framework) -> View<'a> {
        let owners = |kind: Kind, role: &'static str| {
            trace.ops.iter().filter(move |op| op.kind == kind && op.role == role).map(Op::owner)
        };
        let frozen = |op: &&Op| op.kind == Kind::BatchNorm && (op.attrs.frozen || freezes(&trace.meta, framework, op));
        let mut view = View {
            framework,
            trace,
            added: Vec::new(),
            called: HashSet::new(),
            attentions: owners(Kind::Matmul, "scores").collect(),
            frozen: trace.ops.iter().filter(frozen).map(|op| op.path.as_str()).collect(),
            discrete: owners(Kind::Gather, "sampling").next().is_some(),
            absent: Vec::new(),
        };
        if framework == Framework::HuggingFace {
            view.add_what_transformers_does();
        }
        view.called = trace.ops.iter().chain(&view.added).map(|op| op.owner().to_owned()).collect();
        if trace.ops.iter().any(|op| op.role == "tile_content") {
            view.called.insert("decoder.tgt_embed".to_owned());
        }
        view
    }

    /// transformers runs the class head behind every decoder layer, builds only the layers that run, and scales a mask of
    /// the image's padding to every level.
    fn add_what_transformers_does(&mut self) {
        const HEAD: &str = "decoder.dec_score_head.";
        let called = self.trace.ops.iter().find(|op| op.path.starts_with(HEAD));
        if let Some((last, head)) = called.and_then(|op| Some((op.path[HEAD.len()..].parse::<usize>().ok()?, op))) {
            self.added.extend((0..last).map(|layer| Op { path: format!("{HEAD}{layer}"), time_ns: 0, ..head.clone() }));
            let layer_of = |param: &Param| {
                let prefix = OF_DECODER_LAYERS.iter().find(|prefix| param.name.starts_with(**prefix))?;
                let layer = param.name[prefix.len()..].split('.').next()?;
                (layer.parse::<usize>().ok()? > last).then(|| format!("{prefix}{layer}."))
            };
            self.absent = self.trace.params.iter().filter_map(layer_of).collect();
            self.absent.dedup();
        }
        for level in 0.. {
            let path = format!("encoder.input_proj.{level}.conv");
            let Some(conv) = self.trace.ops.iter().find(|op| op.path == path) else { break };
            let (&[batch, _, height, width], [image_batch, _, image_height, image_width]) =
                (conv.input(), self.trace.meta.input.as_slice())
            else {
                break;
            };
            let (mask, scaled) = (vec![1, *image_batch, *image_height, *image_width], vec![1, batch, height, width]);
            let path = format!("backbone#pixel_mask.{level}");
            self.added.push(Op::new(path, Kind::Interpolate, "pixel_mask", vec![mask], scaled));
        }
    }

    /// The trace.
    pub fn trace(&self) -> &'a Trace {
        self.trace
    }

    /// What the framework does that is not in the trace.
    pub fn added(&self) -> &[Op] {
        &self.added
    }

    /// Whether this is RT-DETR as opposed to RT-DETRv2.
    pub fn is_v1(&self) -> bool {
        self.trace.meta.version == "v1"
    }

    /// Whether the framework's model lacks a parameter tensor of the trace's, given by its full dotted name.
    pub fn is_absent(&self, param: &Param) -> bool {
        self.absent.iter().any(|prefix| param.name.starts_with(prefix))
    }

    /// Whether the module that owns a parameter, given by its full dotted name, does something.
    pub fn is_called(&self, param: &Param) -> bool {
        self.called.contains(param.owner())
    }

    /// Whether the norm's scale and shift are buffers.
    pub fn is_frozen(&self, op: &Op) -> bool {
        self.frozen.contains(op.path.as_str())
    }

    /// Number of feature levels that the decoder samples.
    pub fn levels(&self) -> u64 {
        self.trace.ops.iter().filter(|op| op.kind == Kind::Copy && op.path.starts_with("decoder#flatten.")).count()
            as u64
    }

    /// What a tensor of the module `owner` is to PyTorch.
    pub fn standing(&self, owner: &str, role: ParamRole) -> Standing {
        if role == ParamRole::Statistic {
            return Standing::Statistic;
        }
        if self.frozen.contains(owner) {
            return Standing::FrozenAffine;
        }
        if self.framework == Framework::HuggingFace {
            return Standing::Trained;
        }
        if self.discrete && owner.ends_with(".cross_attn.sampling_offsets") {
            return Standing::Untrained;
        }
        // The official configurations freeze norms and stem together. Folding norms makes new, trainable convolutions.
        let stem = owner.starts_with("backbone.conv1.") || owner.starts_with("backbone.stem.");
        if stem && !self.frozen.is_empty() {
            return Standing::Untrained;
        }
        Standing::Trained
    }

    /// How the framework writes an operation.
    pub fn form(&self, op: &Op) -> Form {
        let official = self.framework == Framework::Official;
        let of_attention = self.attentions.contains(op.owner());
        match op.kind {
            Kind::Linear => {
                let inside =
                    of_attention || op.path.rsplit_once('.').is_some_and(|(block, _)| self.attentions.contains(block));
                if inside && official { Form::InAttention } else { Form::Module }
            }
            Kind::Matmul | Kind::Softmax | Kind::Mul if of_attention => Form::InKernel,
            Kind::BatchNorm if self.is_frozen(op) => Form::Arithmetic,
            Kind::MaxPool2d if !op.is_module() => {
                if official {
                    Form::Function
                } else {
                    Form::Module
                }
            }
            Kind::Softmax | Kind::Interpolate | Kind::GridSample => Form::Function,
            Kind::Relu | Kind::Gelu => self.form_of_activation(op),
            _ if op.is_module() => Form::Module,
            _ => Form::Arithmetic,
        }
    }

    fn form_of_activation(&self, op: &Op) -> Form {
        let of_feed_forward = op.path.ends_with(".activation");
        let in_decoder = op.path.starts_with("decoder.");
        match self.framework {
            // `getattr(F, activation)` in the constructor of RT-DETR's decoder layer; `nn.ReLU()` in RT-DETRv2's.
            Framework::Official if of_feed_forward && in_decoder && self.is_v1() => Form::Bound,
            // `GELUActivation` keeps a reference to `F.gelu`.
            Framework::HuggingFace if of_feed_forward && op.kind == Kind::Gelu => Form::Bound,
            // `nn.functional.relu` between the layers of RTDetrMLPPredictionHead.
            Framework::HuggingFace if in_decoder && !of_feed_forward => Form::Function,
            _ if op.is_module() => Form::Module,
            _ => Form::Function,
        }
    }
}

/// Whether transformers freezes this norm though the trace's model does not: `freeze_backbone_batch_norms` is true unless a
/// `config.json` says otherwise, and then the trace was made from that.
fn freezes(meta: &Meta, framework: Framework, norm: &Op) -> bool {
    let own = meta.framework == Framework::HuggingFace.name();
    framework == Framework::HuggingFace && !own && norm.path.starts_with("backbone.")
}
