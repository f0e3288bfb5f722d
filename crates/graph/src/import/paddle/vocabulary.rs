//! Paddle 3's operations in the words of Paddle 2.x, whose slots have names. Inputs and outputs of PIR stand in the order of
//! `paddle/phi/ops/yaml`; what was an attribute in 2.x and is a tensor in 3 goes into the slot that 2.x has for such a tensor.

/// One operation of PIR.
pub(super) struct Word {
    pir: &'static str,
    /// Its type in Paddle 2.x.
    pub(super) op: &'static str,
    /// Slots of its inputs, in order.
    pub(super) inputs: &'static [&'static str],
    /// Slots of its outputs, in order.
    pub(super) outputs: &'static [&'static str],
    /// Attributes with another name there: PIR's, then 2.x's.
    pub(super) attrs: &'static [(&'static str, &'static str)],
}

/// The word for an operation without its dialect; one that works in place (`relu_`) is the same as one that does not.
pub(super) fn word(pir: &str) -> Option<&'static Word> {
    let find = |name: &str| WORDS.iter().find(|word| word.pir == name);
    find(pir).or_else(|| find(pir.strip_suffix('_')?))
}

const X: &[&str] = &["X"];
const XY: &[&str] = &["X", "Y"];
const OUT: &[&str] = &["Out"];
const REDUCED: &[&str] = &["X", "AxisTensor"];
const KEEP: &[(&str, &str)] = &[("keepdim", "keep_dim"), ("axis", "dim")];
const RESIZED: &[&str] = &["X", "OutSize", "SizeTensor", "Scale"];

const fn word_of(
    pir: &'static str,
    op: &'static str,
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
    attrs: &'static [(&'static str, &'static str)],
) -> Word {
    Word { pir, op, inputs, outputs, attrs }
}

/// From `X` to `Out`.
const fn unary(pir: &'static str, op: &'static str) -> Word {
    word_of(pir, op, X, OUT, &[])
}

/// From `X` and `Y` to `Out`.
const fn binary(pir: &'static str, op: &'static str) -> Word {
    word_of(pir, op, XY, OUT, &[])
}

#[rustfmt::skip]
static WORDS: &[Word] = &[
    // In and out.
    word_of("data", "feed", &[], OUT, &[]),
    word_of("feed", "feed", &[], OUT, &[]),
    word_of("fetch", "fetch", X, OUT, &[]),
    word_of("full", "fill_constant", &[], OUT, &[]),
    word_of("full_int_array", "assign_value", &[], OUT, &[("value", "values")]),
    word_of("full_with_tensor", "fill_constant", &["ValueTensor", "ShapeTensor"], OUT, &[]),
    word_of("full_like", "fill_any_like", &["X", "ValueTensor"], OUT, &[]),
    word_of("assign_value", "assign_value", &["Output"], OUT, &[]),
    unary("assign", "assign"),
    unary("assign_out", "assign"),
    unary("share_data", "share_data"),
    unary("memcpy_d2h", "memcpy"),
    unary("memcpy_h2d", "memcpy"),
    word_of("arange", "range", &["Start", "End", "Step"], OUT, &[]),
    word_of("shape", "shape", &["Input"], OUT, &[]),
    word_of("shape64", "shape", &["Input"], OUT, &[]),
    word_of("numel", "size", &["Input"], OUT, &[]),
    // Windows.
    word_of("conv2d", "conv2d", &["Input", "Filter"], &["Output"], &[]),
    word_of("depthwise_conv2d", "depthwise_conv2d", &["Input", "Filter"], &["Output"], &[]),
    word_of("pool2d", "pool2d", &["X", "KSize"], OUT, &[("kernel_size", "ksize")]),
    word_of("nearest_interp", "nearest_interp_v2", RESIZED, OUT, &[]),
    word_of("bilinear_interp", "bilinear_interp_v2", RESIZED, OUT, &[]),
    word_of("bicubic_interp", "bicubic_interp_v2", RESIZED, OUT, &[]),
    word_of("grid_sample", "grid_sampler", &["X", "Grid"], &["Output"], &[]),
    word_of("pad3d", "pad3d", &["X", "Paddings"], OUT, &[]),
    unary("pad", "pad"),
    // Norms.
    word_of("batch_norm", "batch_norm", &["X", "Mean", "Variance", "Scale", "Bias"], &["Y"], &[]),
    word_of("sync_batch_norm", "batch_norm", &["X", "Mean", "Variance", "Scale", "Bias"], &["Y"], &[]),
    word_of("layer_norm", "layer_norm", &["X", "Scale", "Bias"], &["Y"], &[]),
    word_of("group_norm", "group_norm", &["X", "Scale", "Bias"], &["Y"], &[]),
    word_of("instance_norm", "instance_norm", &["X", "Scale", "Bias"], &["Y"], &[]),
    // Products.
    word_of("matmul", "matmul_v2", XY, OUT, &[("transpose_x", "trans_x"), ("transpose_y", "trans_y")]),
    binary("bmm", "bmm"),
    word_of("fc", "fc", &["Input", "W", "Bias"], OUT, &[]),
    word_of("einsum", "einsum", &["Operands"], OUT, &[]),
    word_of("embedding", "lookup_table_v2", &["Ids", "W"], OUT, &[]),
    // Elementwise.
    binary("add", "elementwise_add"),
    binary("subtract", "elementwise_sub"),
    binary("multiply", "elementwise_mul"),
    binary("divide", "elementwise_div"),
    binary("remainder", "elementwise_mod"),
    binary("floor_divide", "elementwise_floordiv"),
    binary("maximum", "elementwise_max"),
    binary("minimum", "elementwise_min"),
    binary("elementwise_pow", "elementwise_pow"),
    binary("equal", "equal"),
    binary("not_equal", "not_equal"),
    binary("less_than", "less_than"),
    binary("less_equal", "less_equal"),
    binary("greater_than", "greater_than"),
    binary("greater_equal", "greater_equal"),
    binary("logical_and", "logical_and"),
    binary("logical_or", "logical_or"),
    binary("logical_xor", "logical_xor"),
    binary("bitwise_and", "bitwise_and"),
    binary("bitwise_or", "bitwise_or"),
    unary("logical_not", "logical_not"),
    unary("bitwise_not", "bitwise_not"),
    unary("add_n", "sum"),
    unary("relu", "relu"),
    unary("relu6", "relu6"),
    unary("sigmoid", "sigmoid"),
    unary("silu", "silu"),
    unary("swish", "swish"),
    unary("gelu", "gelu"),
    unary("tanh", "tanh"),
    unary("hardswish", "hard_swish"),
    unary("hardsigmoid", "hard_sigmoid"),
    unary("leaky_relu", "leaky_relu"),
    unary("elu", "elu"),
    unary("mish", "mish"),
    unary("softplus", "softplus"),
    unary("erf", "erf"),
    unary("exp", "exp"),
    unary("log", "log"),
    unary("sqrt", "sqrt"),
    unary("rsqrt", "rsqrt"),
    unary("square", "square"),
    unary("reciprocal", "reciprocal"),
    unary("abs", "abs"),
    unary("sin", "sin"),
    unary("cos", "cos"),
    unary("floor", "floor"),
    unary("ceil", "ceil"),
    unary("round", "round"),
    word_of("pow", "pow", X, OUT, &[("y", "factor")]),
    word_of("scale", "scale", &["X", "ScaleTensor"], OUT, &[]),
    word_of("clip", "clip", &["X", "Min", "Max"], OUT, &[]),
    word_of("cast", "cast", X, OUT, &[("dtype", "out_dtype")]),
    word_of("where", "where", &["Condition", "X", "Y"], OUT, &[]),
    word_of("dropout", "dropout", X, OUT, &[("p", "dropout_prob"), ("mode", "dropout_implementation")]),
    unary("softmax", "softmax"),
    unary("log_softmax", "log_softmax"),
    // Reductions and order.
    word_of("sum", "reduce_sum", REDUCED, OUT, KEEP),
    word_of("mean", "reduce_mean", REDUCED, OUT, KEEP),
    word_of("max", "reduce_max", REDUCED, OUT, KEEP),
    word_of("min", "reduce_min", REDUCED, OUT, KEEP),
    word_of("prod", "reduce_prod", REDUCED, OUT, KEEP),
    word_of("amax", "reduce_amax", REDUCED, OUT, KEEP),
    word_of("amin", "reduce_amin", REDUCED, OUT, KEEP),
    word_of("any", "reduce_any", REDUCED, OUT, KEEP),
    word_of("all", "reduce_all", REDUCED, OUT, KEEP),
    word_of("argmax", "arg_max", REDUCED, OUT, &[]),
    word_of("argmin", "arg_min", REDUCED, OUT, &[]),
    word_of("cumsum", "cumsum", REDUCED, OUT, &[]),
    word_of("topk", "top_k_v2", &["X", "K"], &["Out", "Indices"], &[]),
    word_of("argsort", "argsort", X, &["Out", "Indices"], &[]),
    // Layout.
    word_of("reshape", "reshape2", &["X", "Shape"], OUT, &[]),
    word_of("transpose", "transpose2", X, OUT, &[("perm", "axis")]),
    unary("flatten", "flatten_contiguous_range"),
    word_of("squeeze", "squeeze2", &["X", "AxesTensor"], OUT, &[("axis", "axes")]),
    word_of("unsqueeze", "unsqueeze2", &["X", "AxesTensor"], OUT, &[("axis", "axes")]),
    word_of("expand", "expand_v2", &["X", "Shape"], OUT, &[]),
    word_of("expand_as", "expand_as_v2", XY, OUT, &[]),
    word_of("tile", "tile", &["X", "RepeatTimes"], OUT, &[]),
    word_of("slice", "slice", &["Input", "StartsTensor", "EndsTensor"], OUT, &[]),
    word_of("strided_slice", "strided_slice", &["Input", "StartsTensor", "EndsTensor", "StridesTensor"], OUT, &[]),
    word_of("concat", "concat", &["X", "AxisTensor"], OUT, &[]),
    word_of("stack", "stack", X, &["Y"], &[]),
    word_of("split", "split", &["X", "SectionsTensor", "AxisTensor"], OUT, &[]),
    word_of("split_with_num", "split", &["X", "AxisTensor"], OUT, &[]),
    word_of("unbind", "unbind", X, OUT, &[]),
    word_of("unstack", "unstack", X, &["Y"], &[]),
    word_of("broadcast_tensors", "broadcast_tensors", X, OUT, &[]),
    word_of("meshgrid", "meshgrid", X, OUT, &[]),
    word_of("gather", "gather", &["X", "Index", "Axis"], OUT, &[]),
    word_of("index_select", "index_select", &["X", "Index"], OUT, &[("axis", "dim")]),
    word_of("gather_nd", "gather_nd", &["X", "Index"], OUT, &[]),
    word_of("take_along_axis", "take_along_axis", &["Input", "Index"], &["Result"], &[("axis", "Axis")]),
    word_of("one_hot", "one_hot_v2", &["X", "depth_tensor"], OUT, &[]),
    unary("flip", "flip"),
    unary("roll", "roll"),
    unary("tril", "tril_triu"),
    unary("triu", "tril_triu"),
    word_of("set_value", "set_value", &["Input"], OUT, &[]),
    word_of("set_value_with_tensor", "set_value", &["Input", "ValueTensor"], OUT, &[]),
    word_of("put_along_axis", "put_along_axis", &["Input", "Index", "Value"], &["Result"], &[]),
    word_of("scatter", "scatter", &["X", "Ids", "Updates"], OUT, &[]),
    word_of("index_put", "index_put", &["x", "indices", "value"], &["out"], &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_in_place_forms_are_known() {
        for (index, word) in WORDS.iter().enumerate() {
            assert!(WORDS[..index].iter().all(|other| other.pir != word.pir), "{} twice", word.pir);
        }
        assert_eq!(word("batch_norm_").expect("in place").op, "batch_norm");
        assert_eq!(word("relu").expect("not in place").op, "relu");
        assert!(word("warp_drive_").is_none());
    }
}
