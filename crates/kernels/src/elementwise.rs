//! Sums and products of numbers one by one, with operands that repeat.

use crate::rows::fill;

/// What is done to two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Their sum.
    Add,
    /// Their product.
    Mul,
}

/// Numbers of which each meets `each` numbers of the result behind each other, and all of which start again when they
/// are used up.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// The numbers.
    pub data: &'a [f32],
    /// How many numbers of the result each meets.
    pub each: usize,
}

impl Operand<'_> {
    /// How many numbers of the result all meet before they start again.
    fn span(&self) -> usize {
        self.data.len() * self.each
    }
}

/// `count` sums or products.
///
/// # Panics
/// If an operand starts again in the middle of the other's last use.
pub fn elementwise(op: Arithmetic, a: Operand<'_>, b: Operand<'_>, count: usize) -> Vec<f32> {
    if count == 0 {
        return Vec::new();
    }
    // A run of the result in which each operand is one number, or goes through numbers one by one.
    let run = [a, b].iter().map(|operand| if operand.each > 1 { operand.each } else { operand.span() }).min();
    let run = run.unwrap_or(1).max(1);
    let fits = |x: &Operand<'_>| {
        let whole = x.each == run || x.each == 1 && x.data.len().is_multiple_of(run);
        whole && x.span() > 0 && count.is_multiple_of(x.span())
    };
    assert!(fits(&a) && fits(&b), "operands that do not repeat together");
    let part = |x: &Operand<'_>, row: usize| match x.each {
        1 => row * run % x.data.len()..row * run % x.data.len() + run,
        _ => row % x.data.len()..row % x.data.len() + 1,
    };
    fill(count / run, run, |row, out| {
        let (a, b) = (&a.data[part(&a, row)], &b.data[part(&b, row)]);
        match op {
            Arithmetic::Add => zip(a, b, out, |a, b| a + b),
            Arithmetic::Mul => zip(a, b, out, |a, b| a * b),
        }
    })
}

/// Where a side has one number it meets all of the other's.
#[inline(always)]
fn zip(a: &[f32], b: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    match (a, b) {
        (&[a], b) => out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(a, b)),
        (a, &[b]) => out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, b)),
        _ => out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = f(a, b)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_meets_its_partner(
            (rows, width, times) in (1usize..20, 1usize..40, 1usize..4),
            whole in 0usize..3,
            turned in any::<bool>(),
        ) {
            let count = times * rows * width;
            let numbers = |count: usize, from: f32| (0..count).map(|i| from + i as f32).collect::<Vec<_>>();
            let all = numbers(count, 1.0);
            let (few, each) = [(rows * width, 1), (width, 1), (rows, width)][whole];
            let few = numbers(few, 2000.0);
            let mut operands = [Operand { data: &all, each: 1 }, Operand { data: &few, each }];
            if turned {
                operands.reverse();
            }
            let partner = |i: usize| few[i / each % few.len()];
            let sums: Vec<f32> = (0..count).map(|i| all[i] + partner(i)).collect();
            let products: Vec<f32> = (0..count).map(|i| all[i] * partner(i)).collect();
            prop_assert_eq!(elementwise(Arithmetic::Add, operands[0], operands[1], count), sums);
            prop_assert_eq!(elementwise(Arithmetic::Mul, operands[0], operands[1], count), products);
        }
    }

    #[test]
    fn nothing_is_nothing() {
        let none = Operand { data: &[], each: 1 };
        assert!(elementwise(Arithmetic::Add, none, none, 0).is_empty());
    }
}
