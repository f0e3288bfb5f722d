//! Parameters: what a model owns, and why a tool's number of them is not that of `full`.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{Term, Terms};
use crate::conventions::FULL;
use crate::{
    Convention, CountError, CustomOps, Framework, Kind, Param, ParamRole, Standing, Verdict, View, count_as, numel,
};

/// What a tensor of a model is held for. The order is that of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// A parameter of a module that does something.
    Called,
    /// A parameter of a module that has modules in it and works on the parameter itself: the packed projections of
    /// attention.
    NonLeaf,
    /// A parameter that only training reads.
    TrainingOnly,
    /// A parameter of a module that inference does not call.
    Uncalled,
    /// Scale or shift of a frozen norm: a buffer in PyTorch.
    FrozenAffine,
    /// Running mean or variance of a norm: a buffer in PyTorch.
    Statistic,
}

impl Holding {
    /// What it is, in words.
    pub fn words(self) -> &'static str {
        match self {
            Holding::Called => "called modules",
            Holding::NonLeaf => "owned by a module with modules in it (packed projections of attention)",
            Holding::TrainingOnly => "read by training only (denoising)",
            Holding::Uncalled => "never called by inference",
            Holding::FrozenAffine => "buffers: scale and shift of frozen norms",
            Holding::Statistic => "buffers: running statistics of norms",
        }
    }

    /// Whether `full` takes it for a parameter.
    pub fn is_learned(self) -> bool {
        self != Holding::Statistic
    }
}

/// Tensors of a model, by what they are held for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// Elements of all tensors of a sort, and the modules that own them.
    pub sorts: Vec<Sort>,
}

/// All tensors of one sort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sort {
    /// What they are held for.
    pub holding: Holding,
    /// Elements.
    pub params: u64,
    /// The modules that own them, in the order in which the model made them.
    pub modules: Vec<String>,
}

impl Holdings {
    /// Elements of what `full` takes for parameters.
    pub fn learned(&self) -> u64 {
        self.sorts.iter().filter(|sort| sort.holding.is_learned()).map(|sort| sort.params).sum()
    }

    /// Elements of one sort.
    pub fn of(&self, holding: Holding) -> u64 {
        self.sorts.iter().filter(|sort| sort.holding == holding).map(|sort| sort.params).sum()
    }
}

/// Sorts the tensors that a trace lists. Every tensor is in one sort.
pub fn holdings(view: &View<'_>) -> Holdings {
    let mut sorts: Vec<Sort> = Vec::new();
    for param in &view.trace().params {
        let holding = holding(view, param);
        let at = sorts.iter().position(|sort| sort.holding == holding).unwrap_or_else(|| {
            sorts.push(Sort { holding, params: 0, modules: Vec::new() });
            sorts.len() - 1
        });
        let sort = &mut sorts[at];
        sort.params += param.numel();
        if sort.modules.last().is_none_or(|last| last != param.owner()) {
            sort.modules.push(param.owner().to_owned());
        }
    }
    sorts.sort_by_key(|sort| sort.holding);
    Holdings { sorts }
}

fn holding(view: &View<'_>, param: &Param) -> Holding {
    match view.standing(param.owner(), param.role) {
        Standing::Statistic => Holding::Statistic,
        Standing::FrozenAffine => Holding::FrozenAffine,
        Standing::Trained | Standing::Untrained => {
            if view.is_called(param) {
                let inside = format!("{}.", param.owner());
                let has_modules = view.trace().modules.iter().any(|module| module.starts_with(&inside));
                if has_modules { Holding::NonLeaf } else { Holding::Called }
            } else if param.owner() == "decoder.denoising_class_embed" {
                Holding::TrainingOnly
            } else {
                Holding::Uncalled
            }
        }
    }
}

/// A buffer that no checkpoint needs: it follows from the configuration, or inference does not read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Buffer {
    /// What it is.
    pub buffer: &'static str,
    /// Elements of all of its sort.
    pub elements: u64,
}

/// The buffers that a framework's model has besides statistics and frozen norms. The trace does not list them; that they
/// exist follows from what ran.
pub fn other_buffers(view: &View<'_>) -> Vec<Buffer> {
    let ops = &view.trace().ops;
    let role = |role: &str| ops.iter().filter(|op| op.role == role).map(|op| numel(&op.output)).sum::<u64>();
    let counters = ops.iter().filter(|op| op.kind == Kind::BatchNorm && !view.is_frozen(op)).count() as u64;
    let mut buffers = vec![Buffer { buffer: "counters of training batches (num_batches_tracked)", elements: counters }];
    let official = view.framework == Framework::Official;
    if official {
        buffers.push(Buffer { buffer: "position embedding of the input's size", elements: role("pos_embed") });
    }
    if official && !view.is_v1() {
        let anchors = role("anchors");
        buffers.push(Buffer { buffer: "anchors and their mask", elements: anchors + anchors / 4 });
    }
    if !view.is_v1() {
        let offsets = |param: &&Param| param.name.ends_with(".cross_attn.sampling_offsets.weight");
        let layers = view.trace().params.iter().filter(offsets).filter(|param| !view.is_absent(param)).count() as u64;
        let points = ops.iter().find(|op| op.kind == Kind::Softmax && op.path.contains(".cross_attn#"));
        let points = points.and_then(|op| op.output.last()).map_or(0, |&points| points as u64);
        buffers.push(Buffer { buffer: "scales of sampling points", elements: layers * points });
    }
    buffers.retain(|buffer| buffer.elements > 0);
    buffers
}

/// A tool's number of parameters, and what it has more or less than `full`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParamTerms {
    /// Name of the convention.
    pub convention: &'static str,
    /// The tool and version.
    pub mirrors: &'static str,
    /// The tool's number of parameters.
    pub params: u64,
    /// That of `full`: all learned weights and biases.
    pub full: u64,
    /// What the difference is made of; the terms add up to it.
    pub terms: Vec<Term>,
}

impl ParamTerms {
    /// The convention's number less that of `full`.
    pub fn difference(&self) -> i128 {
        i128::from(self.params) - i128::from(self.full)
    }
}

/// Counts parameters and says why the number is not that of `full`.
///
/// # Errors
/// If a total is over 2^64.
pub fn explain_params(view: &View<'_>, convention: &'static Convention) -> Result<ParamTerms, CountError> {
    let custom = CustomOps::new();
    let full = count_as(view, &FULL, &custom)?;
    let counted = count_as(view, convention, &custom)?;
    let mut terms = Terms::default();
    let mut seen: HashMap<&str, u64> = HashMap::new();
    for row in counted.rows.iter().filter(|row| row.verdict != Verdict::Invisible) {
        *seen.entry(crate::op::owner(&row.path)).or_default() += row.params;
    }
    let mut owners: Vec<&str> = view.trace().params.iter().map(Param::owner).collect();
    let mut known = HashSet::new();
    owners.retain(|owner| known.insert(*owner));
    let mut tensors: HashMap<&str, Vec<&Param>> = HashMap::new();
    for param in &view.trace().params {
        tensors.entry(param.owner()).or_default().push(param);
    }
    for owner in owners {
        let params = tensors.get(owner).map_or(&[][..], Vec::as_slice);
        let learned: u64 =
            params.iter().filter(|param| param.role != ParamRole::Statistic).map(|param| param.numel()).sum();
        let by_tool = if convention.params_of_called_only {
            seen.get(owner).copied().unwrap_or_default()
        } else {
            let is_param = |param: &&&Param| {
                let exists = !convention.of_torch || !view.is_absent(param);
                exists && (convention.is_param)(view.standing(owner, param.role))
            };
            params.iter().filter(is_param).map(|param| param.numel()).sum()
        };
        if let Some(param) = params.first() {
            terms.add(reason(view, convention, param, by_tool > learned), i128::from(by_tool) - i128::from(learned));
        }
    }
    if !convention.params_of_called_only {
        for besides in (convention.params_besides)(view) {
            terms.add(besides.what, i128::from(besides.params));
        }
    }
    let (params, full) = (counted.params, full.params);
    Ok(ParamTerms { convention: convention.name, mirrors: convention.mirrors, params, full, terms: terms.ordered() })
}

/// Why a tool has another number of a module's parameters.
fn reason(view: &View<'_>, convention: &Convention, param: &Param, more: bool) -> &'static str {
    if more {
        return "running statistics of norms";
    }
    if convention.of_torch && view.is_absent(param) {
        return "decoder layers that transformers does not build";
    }
    match view.standing(param.owner(), ParamRole::Weight) {
        Standing::FrozenAffine if convention.of_torch => "scale and shift of frozen norms, which are buffers",
        Standing::Untrained if !(convention.is_param)(Standing::Untrained) => "not trained (requires_grad=False)",
        _ => match holding(view, param) {
            Holding::TrainingOnly => "read by training only (denoising)",
            Holding::Uncalled => "never called",
            _ => "inside multi-head attention, which it does not see",
        },
    }
}
