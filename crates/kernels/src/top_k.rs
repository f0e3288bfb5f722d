use std::cmp::Ordering;

/// Indices of the `k` largest values, largest first; equal values in the order of their indices. NaN is larger than any
/// number, as in PyTorch.
///
/// # Panics
/// If there are fewer than `k` values.
pub fn top_k(values: &[f32], k: usize) -> Vec<u32> {
    assert!(k <= values.len(), "{k} of {} values", values.len());
    let order = |&a: &u32, &b: &u32| -> Ordering {
        let (x, y) = (values[a as usize], values[b as usize]);
        y.partial_cmp(&x).unwrap_or_else(|| y.is_nan().cmp(&x.is_nan())).then(a.cmp(&b))
    };
    let mut indices: Vec<u32> = (0..values.len() as u32).collect();
    if k < indices.len() {
        indices.select_nth_unstable_by(k, order);
        indices.truncate(k);
    }
    indices.sort_unstable_by(order);
    indices
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_keep_their_order_and_nan_comes_first() {
        assert_eq!(top_k(&[1.0, 3.0, 3.0, f32::NAN, 2.0], 4), [3, 1, 2, 4]);
        assert_eq!(top_k(&[1.0], 1), [0]);
        assert_eq!(top_k(&[1.0], 0), [0u32; 0]);
    }

    proptest! {
        #[test]
        fn equals_a_full_sort(values in prop::collection::vec(-4i8..4, 1..200), k in 0usize..200) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let k = k.min(values.len());
            let mut all: Vec<u32> = (0..values.len() as u32).collect();
            all.sort_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]));
            prop_assert_eq!(top_k(&values, k), &all[..k]);
        }
    }
}
