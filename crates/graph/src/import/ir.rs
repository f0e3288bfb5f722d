//! What a graph file says, whichever format it is in: nodes in one small vocabulary, and the tensors between them.
//!
//! A reader (`onnx`, `paddle`) turns a file into a [`Graph`] and knows nothing else: shapes are inferred by
//! shape inference, compound operations are recognised by a recogniser, for every format alike.
//!
//! What a reader has to do:
//!
//! - One [`Node`] per operation of the file, in any order. Its `op_type` is the file's own word, and its `inputs` stand in
//!   the order given at each [`Prim`]; the first is the one that the program calls `X`.
//! - An attribute that some versions of a format pass as a tensor (axes, sizes, bounds) is always an input here. A reader
//!   makes a constant of the attribute with [`Graph::ints`]. So there is one way to infer each primitive.
//! - An operation that needs several primitives becomes several nodes: all but the one that does the arithmetic have an
//!   empty `op_type`, which keeps them out of the program's own operations.
//! - A weight whose data is elsewhere is a tensor with a shape and without a value. Values matter only where they decide
//!   shapes: integers and small floats of at most [`MAX_FOLDED`] elements; a reader leaves others out.
//! - What it cannot express is an error of the reader ([`ImportError::Unsupported`](super::ImportError)) with the node's
//!   name and type, never a guess.

use std::collections::HashMap;

use super::ImportError;

/// The most elements of a tensor whose value is kept or computed. Shapes, axes, bounds and scales are far below it.
pub const MAX_FOLDED: usize = 1024;

/// Index of a tensor in [`Graph::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// The type of a tensor's elements, as far as shapes and counts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// Any floating point type.
    Float,
    /// Any integer type.
    Int,
    /// Booleans.
    Bool,
}

/// One dimension as a file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A fixed size.
    Known(usize),
    /// A size to be bound, the same wherever the name is the same.
    Named(String),
    /// A size to be bound.
    Unknown,
}

/// The elements of a small tensor, in row-major order. Booleans are 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Integers and booleans.
    Ints(Vec<i64>),
    /// Floating point numbers.
    Floats(Vec<f64>),
}

impl Value {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Value::Ints(values) => values.len(),
            Value::Floats(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a tensor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An input of the graph.
    Input,
    /// Stored in or beside the file: a weight or a constant.
    Stored,
    /// Computed by a node.
    Node,
}

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name in the file; unique.
    pub name: String,
    /// Its elements' type.
    pub dtype: DType,
    /// Where it comes from.
    pub origin: Origin,
    /// Its shape as the file declares it. Needed for inputs and stored tensors. For computed ones it is not used: files
    /// declare the sizes of the day of the export.
    pub declared: Option<Vec<Dim>>,
    /// Its elements, for small stored tensors.
    pub value: Option<Value>,
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name in the file. Need not be unique; an empty one is replaced by its first output's.
    pub name: String,
    /// The file's own word for it (`elementwise_add`, `Conv`), empty for a helper that is no operation of the file.
    pub op_type: String,
    /// What it does.
    pub prim: Prim,
    /// What it reads; an optional input that is left out is `None`.
    pub inputs: Vec<Option<TensorId>>,
    /// What it makes. An output that nobody wants need not be listed if it is after the last one wanted.
    pub outputs: Vec<TensorId>,
}

/// Padding of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Before and after each spatial dimension: `[h0, w0]`, `[h1, w1]`.
    Explicit([usize; 2], [usize; 2]),
    /// The output is ⌈input / stride⌉.
    Same,
    /// None.
    Valid,
}

/// A convolution's window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Height, width.
    pub stride: [usize; 2],
    /// Padding.
    pub padding: Padding,
    /// Height, width.
    pub dilation: [usize; 2],
    /// Groups.
    pub groups: usize,
}

/// A pool's window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pool {
    /// A window that slides.
    Window {
        /// Height, width.
        kernel: [usize; 2],
        /// Height, width.
        stride: [usize; 2],
        /// Padding.
        padding: Padding,
        /// Height, width.
        dilation: [usize; 2],
        /// Whether a last window that is partly outside counts.
        ceil: bool,
        /// Whether such a window is left out when it starts outside the input and its leading padding, as in PyTorch
        /// and ONNX. Paddle keeps it.
        clip_last: bool,
    },
    /// One window over the whole.
    Global,
    /// Windows such that the output is of this height and width.
    Adaptive([usize; 2]),
}

/// Elementwise operations of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the variants are the operations' usual names
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// On integers it truncates, as in ONNX.
    Div,
    /// Division rounded down.
    FloorDiv,
    Mod,
    Pow,
    Max,
    Min,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Xor,
}

/// Elementwise operations of one operand.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the variants are the operations' usual names
pub enum Unary {
    Relu,
    Sigmoid,
    Silu,
    Gelu,
    Erf,
    Exp,
    Log,
    Sqrt,
    Rsqrt,
    Square,
    Reciprocal,
    Neg,
    Abs,
    Sin,
    Cos,
    Floor,
    Ceil,
    Round,
    Not,
    Cast(DType),
    /// `scale × x + bias`, as Paddle's `scale`.
    Affine {
        scale: f64,
        bias: f64,
    },
    /// A copy: `Identity`, `assign`, dropout at inference.
    Identity,
    /// Any other, of which only its name matters (`tanh`, `hard_sigmoid`, `leaky_relu` …).
    Other(&'static str),
}

/// Reductions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the variants are the operations' usual names
pub enum Reduce {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    ArgMax,
    ArgMin,
    Any,
    All,
    L2,
}

/// What a node does. The inputs are given as `(first, second, [optional])`; axes may be negative.
#[derive(Clone, Debug, PartialEq)]
pub enum Prim {
    /// 2-D convolution `(x, weight, [bias])`; the weight is `[out, in / groups, kh, kw]`.
    Conv(Conv),
    /// Product over the last two dimensions with broadcasting, as numpy's `matmul`: `(a, b)`.
    MatMul {
        /// Whether `a`'s last two dimensions are swapped.
        trans_a: bool,
        /// Whether `b`'s are.
        trans_b: bool,
    },
    /// Product of matrices `(a, b, [c])`, with `c` added.
    Gemm {
        /// Whether `a` is transposed.
        trans_a: bool,
        /// Whether `b` is.
        trans_b: bool,
    },
    /// Product `(x, weight, [bias])` with the weight `[in, out]` and `x` taken as a matrix of its first `flatten_at`
    /// dimensions by the others: Paddle's `mul` and `fc`.
    Mul2d {
        /// How many dimensions are rows.
        flatten_at: usize,
    },
    /// Einstein summation in explicit or implicit form, without an ellipsis: `(operands …)`.
    Einsum(String),
    /// Softmax over an axis: `(x)`.
    Softmax {
        /// Over which.
        axis: i64,
    },
    /// Normalisation over the dimensions from `axis` on: `(x, [scale], [bias])`.
    LayerNorm {
        /// The first.
        axis: i64,
    },
    /// Normalisation by stored statistics: `(x, scale, bias, mean, variance)`.
    BatchNorm,
    /// Another norm by name (`instance_norm`, `group_norm` …): `(x, [scale], [bias])`.
    OtherNorm(&'static str),
    /// Elementwise with numpy's broadcasting: `(x, y)`. With an `axis`, `y`'s dimensions stand against `x`'s from there on.
    Binary(Binary, Option<i64>),
    /// Elementwise: `(x)`.
    Unary(Unary),
    /// Between bounds: `(x, [min], [max])`.
    Clip,
    /// `(condition, x, y)`.
    Where,
    /// Reduction: `(x, [axes])`; without axes, of everything.
    Reduce {
        /// Which.
        op: Reduce,
        /// Whether reduced dimensions stay as 1.
        keep_dims: bool,
        /// Whether empty or missing axes mean that nothing is reduced.
        noop_if_empty: bool,
    },
    /// Sum along an axis: `(x)`. The shape stays.
    CumSum,
    /// Largest of a window: `(x)`.
    MaxPool(Pool),
    /// Mean of a window: `(x)`.
    AvgPool(Pool),
    /// Interpolation of the last two dimensions to `sizes` (of all dimensions or of the last two) or by `scales` (likewise):
    /// `(x, [sizes], [scales])`.
    Resize,
    /// Sampling of `x` `[n, c, h, w]` at `grid` `[n, oh, ow, 2]`: `(x, grid)`.
    GridSample,
    /// New shape with the same elements: `(x, shape)`; −1 is what remains, 0 copies the input's unless `zero` is a size.
    Reshape {
        /// Whether 0 means 0.
        zero: bool,
    },
    /// Dimensions `start ..= stop` become one: `(x)`.
    Flatten {
        /// First.
        start: i64,
        /// Last.
        stop: i64,
    },
    /// Two dimensions, those before `axis` and those from it on: `(x)`.
    FlattenTo2d {
        /// The first of the second.
        axis: i64,
    },
    /// Drops dimensions of size 1: `(x, [axes])`; without axes, all such. In Paddle an axis of another size stays.
    Squeeze {
        /// Whether an axis of another size is kept and not a fault.
        lenient: bool,
    },
    /// Inserts dimensions of size 1, at positions in the output: `(x, axes)`. With `one_by_one`, each at its place in the
    /// result so far, as Paddle does.
    Unsqueeze {
        /// See above.
        one_by_one: bool,
    },
    /// Reorders dimensions: `(x)`; without an order, reverses them.
    Transpose(Option<Vec<usize>>),
    /// One dimension at another place, the others in order: `(x)`.
    MoveAxis {
        /// Where it is.
        from: i64,
        /// Where it will be.
        to: i64,
    },
    /// Broadcasts to a shape: `(x, shape)`; 1 keeps the input's size, and so does −1.
    Expand,
    /// Broadcasts to the shape of another: `(x, like)`.
    ExpandAs,
    /// Broadcasts several tensors to the shape that they have in common, one to an output: `(x …)`.
    Broadcast,
    /// Repeats: `(x, repeats)`; fewer repeats than dimensions are for the last ones.
    Tile,
    /// Part of each axis: `(x, starts, ends, [axes], [steps])`, bounds as in numpy.
    Slice,
    /// Rows of an axis by index: `(x, index)`; a scalar index drops the axis.
    Gather {
        /// Which.
        axis: i64,
    },
    /// One element per index along an axis: `(x, index)`; the result has the index's shape. Paddle's `take_along_axis`
    /// broadcasts the other dimensions.
    GatherElements {
        /// Which.
        axis: i64,
    },
    /// Slices by tuples of indices: `(x, index)`.
    GatherNd {
        /// Leading dimensions that both share.
        batch_dims: usize,
    },
    /// `x` with some elements replaced: `(x, …)`. The result has `x`'s shape.
    Scatter,
    /// Joined along an axis: `(x …)`.
    Concat {
        /// Which.
        axis: i64,
    },
    /// Joined along a new axis: `(x …)`.
    Stack {
        /// Which.
        axis: i64,
    },
    /// Parts of an axis, one to an output: `(x, [sizes])`; without sizes, equal parts (the last may be smaller). One of the
    /// sizes may be −1.
    Split {
        /// Which.
        axis: i64,
    },
    /// Slices of an axis, one to an output, without that axis: `(x)`.
    Unstack {
        /// Which.
        axis: i64,
    },
    /// Around each dimension: `(x, pads, [axes])`, first all the befores, then all the afters.
    Pad,
    /// `(start, limit, step)`.
    Range,
    /// One coordinate grid per input, as `meshgrid(indexing="ij")`: `(x …)`.
    Meshgrid,
    /// The shape, from `start` to `end`: `(x)`.
    Shape {
        /// First.
        start: i64,
        /// One past the last.
        end: Option<i64>,
    },
    /// The number of elements: `(x)`.
    Size,
    /// A tensor of one value: `(shape)`.
    Fill {
        /// Type of the result.
        dtype: DType,
        /// The value.
        value: f64,
    },
    /// A tensor of one value in another's shape: `(like)`.
    FillLike {
        /// Type of the result.
        dtype: DType,
        /// The value.
        value: f64,
    },
    /// The `k` largest of an axis and where they were: `(x, [k])`; without `k`, all of them (a sort).
    TopK {
        /// Which.
        axis: i64,
    },
    /// `(index, depth, [values])`: a new axis of that size.
    OneHot {
        /// Where.
        axis: i64,
        /// Type of the result.
        dtype: DType,
    },
    /// One triangle: `(x, [k])`. The shape stays.
    Triangle,
    /// Attention `(q, k, v, [mask])` on `[batch, heads, tokens, dim]`, or on `[batch, tokens, heads × dim]` with the number of
    /// heads given.
    Attention {
        /// Heads of the query, where tokens are packed.
        q_heads: Option<usize>,
        /// Heads of key and value, likewise.
        kv_heads: Option<usize>,
        /// Whether the order is `[batch, tokens, heads, dim]`, as Paddle's fused kernels have it.
        heads_third: bool,
    },
}

/// A graph as its file has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// What the file says that made it, for instance `pytorch 2.1`.
    pub producer: String,
    /// Tensors; names are unique.
    pub tensors: Vec<Tensor>,
    /// Operations, in the file's order.
    pub nodes: Vec<Node>,
    /// Inputs, without stored tensors.
    pub inputs: Vec<TensorId>,
    /// Outputs.
    pub outputs: Vec<TensorId>,
    by_name: HashMap<String, TensorId>,
    made_up: usize,
}

impl Graph {
    /// The tensor.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// The tensor with that name.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.by_name.get(name).copied()
    }

    /// A node's name for people: its own, or its first output's.
    pub fn name<'a>(&'a self, node: &'a Node) -> &'a str {
        match node.outputs.first() {
            Some(&output) if node.name.is_empty() => &self.tensor(output).name,
            _ => &node.name,
        }
    }

    /// A fault of a node.
    pub(super) fn fault(&self, node: &Node, what: impl Into<String>) -> ImportError {
        // A helper has no word of the file's own; what it does says more than nothing.
        let op_type = match node.op_type.as_str() {
            "" => format!("{:?}", node.prim),
            word => word.to_owned(),
        };
        ImportError::Node { node: self.name(node).to_owned(), op_type, what: what.into() }
    }

    /// Adds a tensor, or replaces the one of that name: a file may use a tensor before it describes it.
    pub fn add(&mut self, tensor: Tensor) -> TensorId {
        if let Some(id) = self.find(&tensor.name) {
            self.tensors[id.0] = tensor;
            return id;
        }
        let id = TensorId(self.tensors.len());
        self.by_name.insert(tensor.name.clone(), id);
        self.tensors.push(tensor);
        id
    }

    /// The tensor with that name; a new one is taken to be computed by a node.
    pub fn named(&mut self, name: &str) -> TensorId {
        self.find(name).unwrap_or_else(|| {
            let name = name.to_owned();
            self.add(Tensor { name, dtype: DType::Float, origin: Origin::Node, declared: None, value: None })
        })
    }

    /// A constant of a node's attribute: one-dimensional integers.
    pub fn ints(&mut self, node: &str, attribute: &str, values: &[i64]) -> TensorId {
        self.constant(node, attribute, vec![Dim::Known(values.len())], DType::Int, Value::Ints(values.to_vec()))
    }

    /// A constant of a node's attribute: one integer without dimensions.
    pub fn int(&mut self, node: &str, attribute: &str, value: i64) -> TensorId {
        self.constant(node, attribute, vec![], DType::Int, Value::Ints(vec![value]))
    }

    /// A constant of a node's attribute: one-dimensional numbers.
    pub fn floats(&mut self, node: &str, attribute: &str, values: &[f64]) -> TensorId {
        self.constant(node, attribute, vec![Dim::Known(values.len())], DType::Float, Value::Floats(values.to_vec()))
    }

    fn constant(&mut self, node: &str, attribute: &str, shape: Vec<Dim>, dtype: DType, value: Value) -> TensorId {
        let name = self.fresh(&format!("{node}.{attribute}"));
        let value = Some(value);
        self.add(Tensor { name, dtype, origin: Origin::Stored, declared: Some(shape), value })
    }

    /// A tensor between the nodes that a reader makes of one operation.
    pub fn temporary(&mut self, node: &str, what: &str) -> TensorId {
        let name = self.fresh(&format!("{node}.{what}"));
        self.named(&name)
    }

    /// A name that no tensor has yet. The counter never goes back, so names chosen to collide cost their number once.
    fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        while self.find(&name).is_some() {
            self.made_up += 1;
            name = format!("{wanted}~{}", self.made_up);
        }
        name
    }
}
