use serde::{Deserialize, Serialize};

use crate::Kind;

/// A tensor's dimensions, outermost first.
pub type Shape = Vec<usize>;

/// The number of elements of a shape. Shapes in a checked [`Trace`](crate::Trace) never overflow.
pub fn numel(shape: &[usize]) -> u64 {
    shape.iter().map(|&dim| dim as u64).product()
}

/// What a parameter is for. Tools differ in which of these they call parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamRole {
    /// A learned weight or scale.
    Weight,
    /// A learned bias.
    Bias,
    /// A running mean or variance of a norm: a buffer in PyTorch, a parameter in Paddle.
    Statistic,
}

/// One parameter tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Its name below its module, for instance `weight`.
    pub name: String,
    /// Its dimensions, in PyTorch's order.
    pub shape: Shape,
    /// What it is for.
    pub role: ParamRole,
}

impl Param {
    /// A parameter whose role follows from its name, as PyTorch names parameters.
    pub fn named(name: &str, shape: &[usize]) -> Param {
        let role = match name {
            "running_mean" | "running_var" => ParamRole::Statistic,
            _ if name == "bias" || name.ends_with("_bias") => ParamRole::Bias,
            _ => ParamRole::Weight,
        };
        Param { name: name.to_owned(), shape: shape.to_vec(), role }
    }

    /// The number of elements.
    pub fn numel(&self) -> u64 {
        numel(&self.shape)
    }

    /// The module that owns the parameter, for one with its full dotted name.
    pub fn owner(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(owner, _)| owner)
    }
}

/// What shapes alone do not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attrs {
    /// Window of a convolution or pool: height, width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<[usize; 2]>,
    /// Step of the window: height, width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<[usize; 2]>,
    /// Padding: top, left, bottom, right. Asymmetric padding belongs to its convolution or pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<[usize; 4]>,
    /// Groups of a convolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
    /// A norm whose affine parameters are frozen: buffers in the official PyTorch code.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

/// What a program that was read from a graph file calls an operation.
///
/// A program writes as several operations what a network has as one: a layer norm, a linear layer with its bias. Such a
/// trace holds both, the whole (an [`Op`] without a `Program`) and after it its parts. Conventions of networks count the
/// whole and pass over the parts; conventions of programs ([`Convention::of_programs`](crate::Convention)) do the reverse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The operation's type in the program, for instance `elementwise_add` or `Conv`.
    pub op: String,
    /// Path of the operation that this one is a part of, or [`Program::CONSTANT`] or [`Program::INTEGER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
}

impl Program {
    /// `part_of` of what depends on shapes and constants alone: position embeddings, anchors, scale factors.
    pub const CONSTANT: &str = "<constant arithmetic>";
    /// `part_of` of arithmetic on integers: shapes, indices.
    pub const INTEGER: &str = "<integer arithmetic>";
}

/// The module in a path: the path itself, or the block before `#`.
pub(crate) fn owner(path: &str) -> &str {
    path.split('#').next().unwrap_or(path)
}

/// Facts of one call of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Op {
    /// The module's dotted name; an operation without a module has its block's path, `#` and its role.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// What it is for, when it has no module of its own: `scores`, `residual`, `q_proj` …; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Shapes of the data inputs, the one a hook would see first.
    pub inputs: Vec<Shape>,
    /// Shape of the result.
    pub output: Shape,
    /// The parameters it used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// Stride, padding and the like.
    #[serde(default)]
    pub attrs: Attrs,
    /// The operation that did this one's work in its own kernel, if it is a sub-fact of a fused one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fused_into: Option<String>,
    /// What the program calls it, if the trace was read from a graph file and this is one operation there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
    /// Time of this call in nanoseconds; 0 where nothing was timed.
    #[serde(default)]
    pub time_ns: u64,
}

/// Why an operation's facts cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {path:?} ({kind}): {what}")]
pub struct BadOp {
    /// Its path.
    pub path: String,
    /// Its kind.
    pub kind: Kind,
    /// What is wrong.
    pub what: String,
}

impl Op {
    /// An operation of which only shapes are known: without parameters, attributes or a time. `path` is a module's dotted
    /// name, or with `role` the block's path, `#` and the role.
    pub fn new(path: String, kind: Kind, role: &str, inputs: Vec<Shape>, output: Shape) -> Op {
        Op {
            path,
            kind,
            role: role.to_owned(),
            inputs,
            output,
            params: Vec::new(),
            attrs: Attrs::default(),
            fused_into: None,
            program: None,
            time_ns: 0,
        }
    }

    /// The first input; every operation that passed [`Op::check`] and has a rule that reads it has one.
    pub fn input(&self) -> &[usize] {
        self.inputs.first().map_or(&[], Vec::as_slice)
    }

    /// The parameter with that name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    /// Whether a bias is added.
    pub fn has_bias(&self) -> bool {
        self.params.iter().any(|param| param.role == ParamRole::Bias)
    }

    /// Whether this is a module's own operation, as opposed to one that a block does by itself.
    pub fn is_module(&self) -> bool {
        self.role.is_empty()
    }

    /// Whether this is a part of another operation of a program, or does nothing but prepare for them.
    pub fn is_part(&self) -> bool {
        self.program.as_ref().is_some_and(|program| program.part_of.is_some())
    }

    /// The path of the module that owns the operation: itself, or the block before `#`.
    pub fn owner(&self) -> &str {
        owner(&self.path)
    }

    /// Checks that the facts are whole enough for every rule, so that rules are plain integer formulas:
    /// ranks and parameters as the kind asks, and no product of dimensions near the limits of `u64`.
    pub fn check(&self) -> Result<(), BadOp> {
        let bad = |what: String| Err(BadOp { path: self.path.clone(), kind: self.kind.clone(), what });
        if self.path.is_empty() {
            return bad("it has no path".into());
        }
        let rank = |shape: &[usize], want: usize| shape.len() == want;
        let weight_rank = match self.kind {
            Kind::Conv2d => 4,
            Kind::Linear => 2,
            _ => 0,
        };
        if weight_rank > 0 {
            match self.params.iter().find(|param| param.role == ParamRole::Weight) {
                None => return bad("it has no weight".into()),
                Some(weight) if !rank(&weight.shape, weight_rank) => {
                    return bad(format!("its weight has shape {:?}, not {weight_rank} dimensions", weight.shape));
                }
                Some(_) => {}
            }
        }
        let needs_input = !matches!(self.kind, Kind::Embedding | Kind::Custom(_));
        if needs_input && self.inputs.is_empty() {
            return bad("it has no input shape".into());
        }
        if matches!(self.kind, Kind::Conv2d | Kind::MaxPool2d | Kind::AvgPool2d)
            && !(rank(self.input(), 4) && rank(&self.output, 4))
        {
            return bad(format!("shapes {:?} -> {:?} are not N, C, H, W", self.input(), self.output));
        }
        if matches!(self.kind, Kind::MaxPool2d | Kind::AvgPool2d) && self.attrs.kernel.is_none() {
            return bad("a pool without its kernel size".into());
        }
        let last_dim =
            matches!(self.kind, Kind::Matmul | Kind::LayerNorm | Kind::Softmax | Kind::GridSample | Kind::TopK);
        if last_dim
            && (self.input().last().is_none_or(|&dim| dim == 0) || self.output.last().is_none_or(|&dim| dim == 0))
        {
            return bad(format!("shapes {:?} -> {:?} have no last dimension", self.input(), self.output));
        }
        // The largest product that any rule forms: output x weight x a small constant.
        let product = |shape: &[usize]| shape.iter().map(|&dim| dim.max(1) as u128).try_fold(1u128, u128::checked_mul);
        let weights = self
            .params
            .iter()
            .map(|param| product(&param.shape))
            .try_fold(1u128, |sum, n| n.and_then(|n| sum.checked_add(n)));
        let inputs =
            self.inputs.iter().map(|shape| product(shape)).try_fold(1u128, |sum, n| n.and_then(|n| sum.checked_add(n)));
        let contracted = self.input().last().map_or(1, |&dim| dim.max(1) as u128);
        let kernel = self.attrs.kernel.map_or(1, |[h, w]| (h.max(1) as u128).saturating_mul(w.max(1) as u128));
        let bound = (|| {
            let widest = weights?.max(inputs?).max(contracted).max(kernel);
            product(&self.output)?.checked_mul(widest)?.checked_mul(64)
        })();
        match bound {
            Some(bound) if bound <= i64::MAX as u128 => Ok(()),
            _ => bad("its dimensions multiply to more than can be counted exactly".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(input: Shape, weight: Shape, output: Shape) -> Op {
        let params = vec![Param::named("weight", &weight)];
        Op { params, ..Op::new("a.conv".into(), Kind::Conv2d, "", vec![input], output) }
    }

    #[test]
    fn checks_ranks_weights_and_overflow() {
        assert!(conv(vec![1, 3, 8, 8], vec![4, 3, 3, 3], vec![1, 4, 8, 8]).check().is_ok());
        let error = conv(vec![1, 3, 8], vec![4, 3, 3, 3], vec![1, 4, 8, 8]).check().expect_err("rank 3");
        assert!(error.to_string().contains("N, C, H, W"), "{error}");
        let error = conv(vec![1, 3, 8, 8], vec![4, 3], vec![1, 4, 8, 8]).check().expect_err("2-D weight");
        assert!(error.to_string().contains("4 dimensions"), "{error}");
        let huge = usize::MAX / 2;
        let error = conv(vec![huge, 3, 8, 8], vec![4, 3, 3, 3], vec![huge, huge, 8, 8]).check().expect_err("huge");
        assert!(error.to_string().contains("counted exactly"), "{error}");
    }

    #[test]
    fn roles_of_parameters_follow_their_names() {
        assert_eq!(Param::named("in_proj_bias", &[1]).role, ParamRole::Bias);
        assert_eq!(Param::named("running_var", &[1]).role, ParamRole::Statistic);
        assert_eq!(Param::named("weight", &[1]).role, ParamRole::Weight);
    }
}
