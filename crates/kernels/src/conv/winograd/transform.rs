//! The transforms of F(4×4, 3×3): correlation of a 6×6 tile with a 3×3 kernel as 36 products (Lavin & Gray 2016,
//! section 4), with the points 0, ±√½, ±√2, ∞, whose products lose the fewest digits.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use crate::vector::Vector;

/// Height and width of a tile that goes in.
pub(super) const IN: usize = 6;
/// Height and width of a tile that comes out.
pub(super) const OUT: usize = 4;
/// Products of a tile.
pub(super) const PRODUCTS: usize = IN * IN;

/// Kernels that are transformed together, each in a lane.
pub(super) const KERNELS: usize = 8;

/// One number of each of some kernels.
pub(super) type Lanes = [f64; KERNELS];

/// `G g Gᵀ` of 3×3 kernels, `[row][column]`.
#[inline(always)]
pub(super) fn weights(kernels: &[[Lanes; 3]; 3]) -> [[Lanes; IN]; IN] {
    let columns: [[Lanes; IN]; 3] = std::array::from_fn(|x| points(std::array::from_fn(|y| &kernels[y][x])));
    std::array::from_fn(|y| points(std::array::from_fn(|x| &columns[x][y])))
}

/// `G g`: for each point p but ∞ the sum of 1, p, p² times `g`, over ∏ (p − q) for the other points q.
#[inline(always)]
fn points(g: [&Lanes; 3]) -> [Lanes; IN] {
    let mut out = [[0.0; KERNELS]; IN];
    for lane in 0..KERNELS {
        let [first, middle, last] = g.map(|lanes| lanes[lane]);
        let even_a = -2.0 / 3.0 * first - last / 3.0;
        let odd_a = 2.0 / 3.0 * FRAC_1_SQRT_2 * middle;
        let even_b = first / 6.0 + last / 3.0;
        let odd_b = SQRT_2 / 6.0 * middle;
        for (out, value) in
            out.iter_mut().zip([first, even_a - odd_a, even_a + odd_a, even_b + odd_b, even_b - odd_b, last])
        {
            out[lane] = value;
        }
    }
    out
}

/// `Bᵀ d` for one column of a tile: the coefficients of ∏ (x − q) over the points but one.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(super) unsafe fn input<V: Vector>(d: [V; IN]) -> [V; IN] {
    // SAFETY: the caller's promise.
    unsafe {
        let (a, b) = (V::splat(FRAC_1_SQRT_2 as f32), V::splat(SQRT_2 as f32));
        let ends = V::splat(-2.5);
        let even_a = d[2].mul_add(V::splat(-2.0), d[4]);
        let odd_a = a.mul(d[3]).sub(b.mul(d[1]));
        let even_b = d[2].mul_add(V::splat(-0.5), d[4]);
        let odd_b = b.mul(d[3]).sub(a.mul(d[1]));
        [
            d[2].mul_add(ends, d[0].add(d[4])),
            even_a.add(odd_a),
            even_a.sub(odd_a),
            even_b.add(odd_b),
            even_b.sub(odd_b),
            d[3].mul_add(ends, d[1].add(d[5])),
        ]
    }
}

/// `Aᵀ m` for one column of products: the powers 1, p, p², p³ of the points.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(super) unsafe fn output<V: Vector>(m: [V; IN]) -> [V; OUT] {
    // SAFETY: the caller's promise.
    unsafe {
        let (even_a, odd_a) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (even_b, odd_b) = (m[3].add(m[4]), m[3].sub(m[4]));
        let (a, b) = (FRAC_1_SQRT_2 as f32, SQRT_2 as f32);
        [
            m[0].add(even_a).add(even_b),
            odd_a.mul(V::splat(a)).add(odd_b.mul(V::splat(b))),
            even_a.mul(V::splat(0.5)).add(even_b.mul(V::splat(2.0))),
            odd_a.mul_add(V::splat(a / 2.0), odd_b.mul_add(V::splat(2.0 * b), m[5])),
        ]
    }
}
