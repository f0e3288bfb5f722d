/// A tensor that a configured network is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Canonical name: the official RT-DETRv2 code's.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Whether inference never reaches it: it belongs to a decoder layer after [`Decoder::eval_idx`](crate::Decoder).
    pub idle: bool,
}
