//! Channels-last images moved about: no arithmetic.

use crate::Plane;
use crate::rows::fill;

/// N × C × H × W to N × H × W × C.
///
/// # Panics
/// If the slice is not the plane's size.
pub fn to_channels_last(input: &[f32], plane: Plane) -> Vec<f32> {
    assert_eq!(input.len(), plane.numel(), "the slice is not the plane's size");
    let Plane { batch, channels, height, width } = plane;
    fill(batch * height, width * channels, |row, out| {
        let (image, row) = (row / height, row % height);
        for channel in 0..channels {
            let line = &input[((image * channels + channel) * height + row) * width..][..width];
            for (pixel, &value) in out.chunks_exact_mut(channels).zip(line) {
                pixel[channel] = value;
            }
        }
    })
}

/// Rows of several matrices behind each other: as many rows as all have, each part given with its columns.
///
/// # Panics
/// If a part has another number of rows.
pub fn concat_columns(parts: &[(&[f32], usize)], rows: usize) -> Vec<f32> {
    assert!(parts.iter().all(|(part, columns)| part.len() == rows * columns), "a part is not as long as its rows");
    fill(rows, parts.iter().map(|(_, columns)| columns).sum(), |row, out| {
        let mut out = out;
        for (part, columns) in parts {
            let (left, right) = out.split_at_mut(*columns);
            left.copy_from_slice(&part[row * columns..][..*columns]);
            out = right;
        }
    })
}

/// Some rows of each of several matrices: `indices` has as many for each, counted in its own matrix.
///
/// # Panics
/// If the indices are no whole number for each matrix, or one is not in it.
pub fn gather_rows(x: &[f32], (batch, rows, columns): (usize, usize, usize), indices: &[u32]) -> Vec<f32> {
    assert_eq!(x.len(), batch * rows * columns, "the slice is not the matrices' size");
    assert!(indices.len().is_multiple_of(batch.max(1)), "not as many indices for each");
    let each = indices.len() / batch.max(1);
    fill(indices.len(), columns, |at, out| {
        let index = indices[at] as usize;
        assert!(index < rows, "row {index} of {rows}");
        out.copy_from_slice(&x[(at / each * rows + index) * columns..][..columns]);
    })
}

/// Twice the height and width, each pixel four times.
///
/// # Panics
/// If the slice is not the plane's size.
pub fn upsample2x(input: &[f32], plane: Plane) -> Vec<f32> {
    assert_eq!(input.len(), plane.numel(), "the slice is not the plane's size");
    let Plane { batch, channels, height, width } = plane;
    fill(batch * 2 * height, 2 * width * channels, |row, out| {
        let (image, row) = (row / (2 * height), row % (2 * height));
        let line = &input[(image * height + row / 2) * width * channels..][..width * channels];
        for (pair, pixel) in out.chunks_exact_mut(2 * channels).zip(line.chunks_exact(channels)) {
            pair[..channels].copy_from_slice(pixel);
            pair[channels..].copy_from_slice(pixel);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANE: Plane = Plane { batch: 2, channels: 3, height: 2, width: 2 };

    /// What stands where: 1000 × image + 100 × channel + 10 × row + column.
    fn value(image: usize, channel: usize, row: usize, column: usize) -> f32 {
        (1000 * image + 100 * channel + 10 * row + column) as f32
    }

    fn places(sizes: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
        (0..sizes.iter().product()).map(move |at: usize| {
            let [_, b, c, d] = sizes;
            [at / (b * c * d), at / (c * d) % b, at / d % c, at % d]
        })
    }

    fn channels_last() -> Vec<f32> {
        places([2, 2, 2, 3]).map(|[image, row, column, channel]| value(image, channel, row, column)).collect()
    }

    #[test]
    fn channels_come_last() {
        let first: Vec<f32> =
            places([2, 3, 2, 2]).map(|[image, channel, row, column]| value(image, channel, row, column)).collect();
        assert_eq!(to_channels_last(&first, PLANE), channels_last());
    }

    #[test]
    fn rows_stand_behind_each_other() {
        let (a, b, c) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0], [7.0, 8.0]);
        let got = concat_columns(&[(&a, 2), (&b, 1), (&c, 1)], 2);
        assert_eq!(got, [1.0, 2.0, 5.0, 7.0, 3.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn rows_are_taken_from_their_own_matrix() {
        let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
        assert_eq!(gather_rows(&x, (2, 3, 2), &[2, 0, 1, 1]), [4.0, 5.0, 0.0, 1.0, 8.0, 9.0, 8.0, 9.0]);
        assert!(gather_rows(&[], (0, 3, 2), &[]).is_empty());
    }

    #[test]
    fn each_pixel_stands_four_times() {
        let want: Vec<f32> = places([2, 4, 4, 3])
            .map(|[image, row, column, channel]| value(image, channel, row / 2, column / 2))
            .collect();
        assert_eq!(upsample2x(&channels_last(), PLANE), want);
    }
}
