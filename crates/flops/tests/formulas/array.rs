//! Numbers with a shape.

use crate::number::Number;

/// A dense array, last dimension fastest.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    shape: Vec<usize>,
    data: Vec<Number>,
}

impl Array {
    /// An array of that shape, filled with one number.
    pub(crate) fn filled(shape: &[usize], number: Number) -> Array {
        Array { shape: shape.to_vec(), data: vec![number; shape.iter().product()] }
    }

    /// An array of that shape whose values go round −1 … 1.
    pub(crate) fn varied(shape: &[usize]) -> Array {
        let size: usize = shape.iter().product();
        let data = (0..size).map(|at| Number::from(((at * 37 + 11) % 101) as f64 / 50.0 - 1.0)).collect();
        Array { shape: shape.to_vec(), data }
    }

    /// An array from values, for checks by hand.
    pub(crate) fn from_values(shape: &[usize], values: &[f64]) -> Array {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        Array { shape: shape.to_vec(), data: values.iter().map(|&value| value.into()).collect() }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn values(&self) -> Vec<f64> {
        self.data.iter().map(|number| number.value()).collect()
    }

    /// Rows along the last dimension.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[Number]> {
        self.data.chunks(self.shape.last().copied().unwrap_or(1))
    }

    /// An array of the same shape, each number changed.
    pub(crate) fn map(&self, change: impl FnMut(Number) -> Number) -> Array {
        Array { shape: self.shape.clone(), data: self.data.iter().copied().map(change).collect() }
    }

    /// An array of the same shape, each number with the one of the same column of a row.
    pub(crate) fn beside(&self, row: &Array, apply: impl Fn(Number, Number) -> Number) -> Array {
        let rows = self.rows().map(|left| left.iter().zip(&row.data).map(|(&a, &b)| apply(a, b)).collect());
        Array::from_rows(&self.shape, rows)
    }

    /// An array from one row after another.
    pub(crate) fn from_rows(shape: &[usize], rows: impl Iterator<Item = Vec<Number>>) -> Array {
        let data: Vec<Number> = rows.flatten().collect();
        assert_eq!(data.len(), shape.iter().product::<usize>());
        Array { shape: shape.to_vec(), data }
    }

    fn at(&self, index: &[usize]) -> usize {
        assert_eq!(index.len(), self.shape.len());
        index.iter().zip(&self.shape).fold(0, |at, (&index, &size)| {
            assert!(index < size, "{index} of {size}");
            at * size + index
        })
    }

    pub(crate) fn get<const N: usize>(&self, index: [usize; N]) -> Number {
        self.data[self.at(&index)]
    }

    pub(crate) fn set<const N: usize>(&mut self, index: [usize; N], number: Number) {
        let at = self.at(&index);
        self.data[at] = number;
    }
}
