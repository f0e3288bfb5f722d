//! Names in PaddleDetection (`ppdet`): `.pdparams` checkpoints and the tables of `paddle.flops`.

use detrace_config::{Backbone, Config};

use super::table::{Row, Table};

/// More blocks than this in a ResNet's third stage are numbered (`res4a`, `res4b1`, `res4b2`) instead of lettered.
const LETTERED_BLOCKS: usize = 10;

pub(super) const TABLE: Table = Table {
    rows: &[
        Row("backbone.res_layers.2.blocks.{b}", &["backbone.res4.res4{b:letter}", "backbone.res4.res4{b:lettered}"]),
        Row("backbone.res_layers.{s}.blocks.{b}", &["backbone.res{s:+2}.res{s:+2}{b:letter}"]),
        Row("backbone.res_layers.{s}", &["backbone.res{s:+2}"]),
        Row("backbone.stem.stem2{k:letter}.conv.1", &["backbone.stem.stem2{k:letter}.conv"]),
        Row("backbone.stem.pool.1", &["backbone.stem.pool"]),
        Row("backbone", &["backbone"]),
        Row("encoder.input_proj.{n}.conv", &["neck.input_proj.{n}.0"]),
        Row("encoder.input_proj.{n}.norm", &["neck.input_proj.{n}.1"]),
        Row("encoder.{w=lateral|downsample}_convs.{n}.norm", &["neck.{w=lateral|downsample}_convs.{n}.bn"]),
        Row("encoder.{w=fpn|pan}_blocks.{n}.conv{k}.norm", &["neck.{w=fpn|pan}_blocks.{n}.conv{k}.bn"]),
        Row(
            "encoder.{w=fpn|pan}_blocks.{n}.bottlenecks.{b}.conv{k}.norm",
            &["neck.{w=fpn|pan}_blocks.{n}.bottlenecks.{b}.conv{k}.bn"],
        ),
        Row("encoder", &["neck"]),
        Row("decoder.enc_output.proj", &["transformer.enc_output.0"]),
        Row("decoder.enc_output.norm", &["transformer.enc_output.1"]),
        Row("decoder", &["transformer"]),
    ],
    leaves: &[("running_mean", "_mean"), ("running_var", "_variance")],
};

/// Paddle's names for one network. Only a ResNet-101 needs to be told apart: its third stage has 23 blocks, which
/// Paddle numbers where it letters fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaddleNames {
    numbered: bool,
}

impl PaddleNames {
    /// Names for a backbone whose third stage (`res_layers.2`) has that many blocks.
    pub fn new(third_stage_blocks: usize) -> Self {
        PaddleNames { numbered: third_stage_blocks > LETTERED_BLOCKS }
    }

    /// Names for a configured network.
    pub fn of(config: &Config) -> Self {
        match config.backbone {
            Backbone::ResnetVd { depth, .. } => {
                PaddleNames::new(Backbone::resnet_blocks(depth).map_or(0, |[_, _, third, _]| third))
            }
            Backbone::HgNetV2 { .. } => PaddleNames::default(),
        }
    }

    /// Names for the network that has these canonical module paths.
    pub fn for_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let eleventh = format!("backbone.res_layers.2.blocks.{LETTERED_BLOCKS}");
        let is_in =
            |path: &str| path.strip_prefix(&eleventh).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        PaddleNames { numbered: paths.into_iter().any(is_in) }
    }

    /// Paddle's name of a module, or of an operation in a module (`path#role`); `None` for a path outside the network.
    pub fn module(&self, canonical: &str) -> Option<String> {
        let (path, role) = canonical.split_once('#').map_or((canonical, None), |(path, role)| (path, Some(role)));
        let names = TABLE.module_from_canonical(path);
        let mut name = names.get(usize::from(self.numbered)).or(names.first()).cloned()?;
        if let Some(role) = role {
            name.push('#');
            name.push_str(role);
        }
        Some(name)
    }

    /// Paddle's name of a tensor; `None` if an RT-DETR has no such tensor.
    pub fn tensor(&self, canonical: &str) -> Option<String> {
        super::canonical::kind(canonical)?;
        let names = TABLE.tensor_from_canonical(canonical);
        names.get(usize::from(self.numbered)).or(names.first()).cloned()
    }
}

/// Paddle's name of a module of every network but one on ResNet-101, for which [`PaddleNames`] is needed:
/// `backbone.res_layers.0.blocks.0.branch2a.conv` becomes `backbone.res2.res2a.branch2a.conv`. An operation's role
/// (`…#scores`) is kept. `None` for a path outside `backbone`, `encoder` and `decoder`.
pub fn paddle_module(canonical: &str) -> Option<String> {
    PaddleNames::default().module(canonical)
}
