//! What the formulas of several conventions are made of. Elements, unless a name says MACs.

use crate::{Op, ParamRole, numel};

/// Elements of the first input.
pub(super) fn input(op: &Op) -> u64 {
    numel(op.input())
}

/// Elements of the result.
pub(super) fn output(op: &Op) -> u64 {
    numel(&op.output)
}

/// Elements of the result if a bias is added to it, else 0.
pub(super) fn bias(op: &Op) -> u64 {
    if op.has_bias() { output(op) } else { 0 }
}

/// MACs of a convolution without its bias: every output is a sum over the window and the input channels of its group.
pub(super) fn conv_macs(op: &Op) -> u64 {
    output(op) * op.param("weight").map_or(0, |weight| numel(&weight.shape[1..]))
}

/// MACs of a linear layer without its bias. A product with a slice of a packed weight (attention's in_proj) has the slice's
/// shape as its parameter.
pub(super) fn linear_macs(op: &Op) -> u64 {
    let weight = op.params.iter().find(|param| param.role == ParamRole::Weight);
    output(op) * weight.map_or(0, |weight| weight.shape[1] as u64)
}

/// MACs of a product of two tensors: a dot product along the first operand's last dimension for every output.
pub(super) fn matmul_macs(op: &Op) -> u64 {
    output(op) * last(op.input())
}

/// The last dimension.
pub(super) fn last(shape: &[usize]) -> u64 {
    shape.last().map_or(1, |&dim| dim.max(1) as u64)
}

/// Elements of a pool's window.
pub(super) fn window(op: &Op) -> u64 {
    op.attrs.kernel.map_or(0, |[height, width]| height as u64 * width as u64)
}

/// Elements that a pool is called with in PyTorch. Padding that is not the same on both sides is an operation before the
/// pool there.
pub(super) fn pool_input(op: &Op) -> u64 {
    let (&[batch, channels, height, width], Some([top, left, bottom, right])) = (op.input(), op.attrs.padding) else {
        return input(op);
    };
    if top == bottom && left == right {
        return input(op);
    }
    numel(&[batch, channels, height + top + bottom, width + left + right])
}

/// Learned scale and shift of the operation, weight and bias of a linear layer: elements of its trained parameters.
pub(super) fn learned(op: &Op) -> u64 {
    op.params.iter().filter(|param| param.role != ParamRole::Statistic).map(|param| param.numel()).sum()
}
