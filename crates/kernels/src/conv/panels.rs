//! Packed weights: panels of as many output channels as a micro-kernel computes at once.

use std::ops::Range;

use crate::rows::Room;
use crate::scratch::Aligned;
use crate::threads::share_out;
use crate::vector::{Vector, dispatch};

/// Weights as `[panel][tap][channel in][channel out in the panel]`, and biases, both padded with zeros to whole panels.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    /// Output channels.
    pub(super) output: usize,
    /// Input channels.
    pub(super) input: usize,
    /// Taps of the kernel.
    pub(super) taps: usize,
    weights: Aligned,
    bias: Aligned,
    /// Each panel's first channel and width.
    columns: Vec<(usize, usize)>,
}

impl Panels {
    /// From out × in × taps.
    pub(super) fn pack(output: usize, input: usize, taps: usize, weight: &[f32], bias: Option<&[f32]>) -> Panels {
        assert_eq!(weight.len(), output * input * taps, "the weight is not out x in x taps");
        assert!(bias.is_none_or(|bias| bias.len() == output), "the bias is not one per output channel");
        let mut panels = Panels::zeros(output, input, taps);
        let to = panels.room();
        share_out(panels.count(), |index| {
            // Neighbours in the panel are written one after the other: its lines are filled at once.
            for channel in 0..input {
                for tap in 0..taps {
                    for out in panels.outputs(index) {
                        let at = panels.position(index, out, channel, tap);
                        // SAFETY: the weight lies in the panel, and each panel is one task's.
                        unsafe { to.write(at, weight[(out * input + channel) * taps + tap]) };
                    }
                }
            }
        });
        if let Some(bias) = bias {
            panels.bias[..output].copy_from_slice(bias);
        }
        panels
    }

    /// Weights and biases of zero.
    pub(super) fn zeros(output: usize, input: usize, taps: usize) -> Panels {
        let columns = columns(output);
        let padded = columns.last().map_or(0, |(first, width)| first + width);
        let (weights, bias) = (Aligned::zeros(padded * input * taps), Aligned::zeros(padded));
        Panels { output, input, taps, weights, bias, columns }
    }

    /// Where the weight of an output channel lies, which is one of the panel's.
    pub(super) fn position(&self, panel: usize, out: usize, channel: usize, tap: usize) -> usize {
        let (first, width) = self.columns[panel];
        let row = tap * self.input + channel;
        first * self.taps * self.input + row * width + out - first
    }

    /// All weights.
    pub(super) fn room(&mut self) -> Room {
        Room(self.weights.as_mut_ptr())
    }

    /// The output channels of a panel.
    pub(super) fn outputs(&self, panel: usize) -> Range<usize> {
        let (first, width) = self.columns[panel];
        first..self.output.min(first + width)
    }

    /// Whether the weights take more than what stays in the second level of the caches beside everything else.
    pub(super) fn are_far(&self) -> bool {
        self.weights.len() > 1 << 16
    }

    pub(super) fn count(&self) -> usize {
        self.columns.len()
    }

    /// One panel.
    pub(super) fn panel(&self, index: usize) -> Panel<'_> {
        let (first, width) = self.columns[index];
        let depth = self.taps * self.input;
        Panel {
            first,
            width,
            weights: &self.weights[first * depth..][..width * depth],
            bias: &self.bias[first..][..width],
        }
    }
}

/// A panel's weights and biases.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    /// Its first output channel.
    pub(super) first: usize,
    /// Its output channels, with those that pad it.
    pub(super) width: usize,
    pub(super) weights: &'a [f32],
    pub(super) bias: &'a [f32],
}

/// First channel and width of each panel: as wide as fills the registers, then one of half or a quarter.
fn columns(output: usize) -> Vec<(usize, usize)> {
    /// # Safety
    /// Nothing is asked: it does no arithmetic.
    unsafe fn widths<V: Vector>() -> (usize, usize) {
        (V::LANES, V::WIDE)
    }
    let (lanes, wide) = dispatch!(widths() -> (usize, usize));
    let (mut first, mut columns) = (0, Vec::new());
    while first < output {
        let vectors = (output - first).div_ceil(lanes);
        let vectors = if vectors >= wide {
            wide
        } else if vectors >= 2 && wide > 2 {
            2
        } else {
            vectors
        };
        columns.push((first, vectors * lanes));
        first += vectors * lanes;
    }
    columns
}
