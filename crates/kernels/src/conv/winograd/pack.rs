//! Transformed weights.

use std::ops::Range;

use super::CHANNELS;
use super::transform::{IN, KERNELS, PRODUCTS, weights};
use crate::conv::ConvShape;
use crate::conv::panels::Panels;
use crate::rows::Room;
use crate::threads::share_out;
use crate::vector::{Vector, dispatch};

/// One matrix for each place of a transformed tile, from out × in × 3 × 3. They are computed in f64 and rounded once.
pub(in crate::conv) fn pack(shape: &ConvShape, weight: &[f32]) -> Vec<Panels> {
    assert_eq!(weight.len(), shape.output * shape.input * 9, "the weight is not out x in x 3 x 3");
    let mut places: Vec<Panels> = (0..PRODUCTS).map(|_| Panels::zeros(shape.output, shape.input, 1)).collect();
    let rooms: Vec<Room> = places.iter_mut().map(Panels::room).collect();
    let kernels = weight.as_chunks::<9>().0;
    let (panels, runs) = (places[0].count(), shape.input / CHANNELS);
    let to = &To { place: &places[0], rooms: &rooms, kernels };
    share_out(panels * runs, |task| {
        let (panel, first) = (task / runs, task % runs * CHANNELS);
        let channels = first..first + CHANNELS;
        // SAFETY: tasks write other panels' rows or other channels', which lie apart in each place.
        dispatch!(piece(to: &To<'_>, panel: usize, channels: Range<usize>));
    });
    places
}

struct To<'a> {
    /// Any place: where weights lie is the same in all.
    place: &'a Panels,
    /// The places' weights.
    rooms: &'a [Room],
    kernels: &'a [[f32; 9]],
}

/// Some channels of a panel.
///
/// # Safety
/// As for [`Vector`]; nobody else uses these channels' weights of the panel meanwhile.
#[inline(always)]
unsafe fn piece<V: Vector>(to: &To<'_>, panel: usize, channels: Range<usize>) {
    // Output channels are a whole number of vectors, so of lanes.
    for out in to.place.outputs(panel).step_by(KERNELS) {
        for channel in channels.clone() {
            let each: [&[f32; 9]; KERNELS] =
                std::array::from_fn(|lane| &to.kernels[(out + lane) * to.place.input + channel]);
            let kernels =
                std::array::from_fn(|y| std::array::from_fn(|x| each.map(|kernel| f64::from(kernel[3 * y + x]))));
            let (transformed, at) = (weights(&kernels), to.place.position(panel, out, channel, 0));
            for (place, room) in to.rooms.iter().enumerate() {
                let values = transformed[place / IN][place % IN].map(|value| value as f32);
                // SAFETY: the panel has as many output channels from `out` on, side by side.
                unsafe { room.0.add(at).cast::<[f32; KERNELS]>().write(values) };
            }
        }
    }
}
