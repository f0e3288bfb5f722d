use detrace_flops::BadOp;

/// Why a graph file cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read, or is none that could be.
    #[error("{0}")]
    File(String),
    /// The file's bytes are not what its format asks for.
    #[error("at byte {offset}: {what}")]
    Bytes {
        /// Where.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// The file is no graph.
    #[error("{0}")]
    NotAGraph(String),
    /// An operation that is not known here.
    #[error("node {node:?}: the operation `{op_type}` is not supported")]
    Unsupported {
        /// The node's name.
        node: String,
        /// The file's word for what it does.
        op_type: String,
    },
    /// An operation whose inputs or attributes are impossible, or do not determine its output's shape.
    #[error("node {node:?} ({op_type}): {what}")]
    Node {
        /// The node's name.
        node: String,
        /// The file's word for what it does.
        op_type: String,
        /// What is wrong.
        what: String,
    },
    /// A tensor that contradicts itself.
    #[error("tensor {name:?}: {what}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The graph's inputs do not fit the wanted input.
    #[error("{0}")]
    Input(String),
    /// An operation whose numbers are too large to be counted.
    #[error(transparent)]
    Op(#[from] BadOp),
}
