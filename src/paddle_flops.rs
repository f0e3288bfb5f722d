use std::io::Write;

use candle_core::Tensor;
use detrace_flops::{Count, CountError, CustomOps, Meta, conventions, count};
use detrace_nn::{Traced, trace};
use detrace_report::{paddle_table, paddle_totals};

/// Why a model could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum FlopsError {
    /// The forward pass failed.
    #[error("the forward pass failed: {0}")]
    Forward(#[from] candle_core::Error),
    /// The facts cannot be counted.
    #[error(transparent)]
    Count(#[from] CountError),
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

/// Runs `model` on `input` and counts what it did, in the spirit of `paddle.flops(net, input, custom_ops, print_detail)`:
/// prints the line with the totals, and the table of layers in front of it if `print_detail` is set. The total of the
/// returned [`Count`] is what Paddle returns: multiply-accumulates.
///
/// `model` is an RT-DETR or any model made of `detrace_nn`'s layers. `custom_ops` replace or add rules by kind; what Paddle
/// cannot see stays invisible, and the count's `audit` lists it.
///
/// # Errors
/// If the forward pass fails, a rule of the user's own gives no count, or standard output is closed.
pub fn flops(
    model: &impl Traced,
    input: &Tensor,
    custom_ops: &CustomOps,
    print_detail: bool,
) -> Result<Count, FlopsError> {
    let trace = trace(model, input, Meta::default())?;
    let counted = count(&trace, &conventions::PADDLE, custom_ops)?;
    let text = if print_detail { paddle_table(&counted, &trace) } else { paddle_totals(&counted) + "\n" };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(counted)
}
