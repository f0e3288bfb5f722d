use std::borrow::Cow;

use half::{bf16, f16};

/// Type of a tensor's elements, which are stored in little-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the usual names
pub enum Dtype {
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Dtype {
    /// All types.
    pub const ALL: [Dtype; 10] = [
        Dtype::Bool,
        Dtype::U8,
        Dtype::I8,
        Dtype::I16,
        Dtype::I32,
        Dtype::I64,
        Dtype::F16,
        Dtype::BF16,
        Dtype::F32,
        Dtype::F64,
    ];

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::I16 | Dtype::F16 | Dtype::BF16 => 2,
            Dtype::I32 | Dtype::F32 => 4,
            Dtype::I64 | Dtype::F64 => 8,
        }
    }

    /// The name in a safetensors file.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Bool => "BOOL",
            Dtype::U8 => "U8",
            Dtype::I8 => "I8",
            Dtype::I16 => "I16",
            Dtype::I32 => "I32",
            Dtype::I64 => "I64",
            Dtype::F16 => "F16",
            Dtype::BF16 => "BF16",
            Dtype::F32 => "F32",
            Dtype::F64 => "F64",
        }
    }

    /// The elements as `f32`, rounded to the nearest where `f32` cannot hold them. A last, incomplete element is left
    /// out.
    pub fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|element| convert(*element)).collect()
        }
        match self {
            Dtype::Bool => each(bytes, |[byte]| if byte == 0 { 0.0 } else { 1.0 }),
            Dtype::U8 => each(bytes, |[byte]| f32::from(byte)),
            Dtype::I8 => each(bytes, |byte| f32::from(i8::from_le_bytes(byte))),
            Dtype::I16 => each(bytes, |pair| f32::from(i16::from_le_bytes(pair))),
            Dtype::I32 => each(bytes, |four| i32::from_le_bytes(four) as f32),
            Dtype::I64 => each(bytes, |eight| i64::from_le_bytes(eight) as f32),
            Dtype::F16 => each(bytes, |pair| f16::from_le_bytes(pair).to_f32()),
            Dtype::BF16 => each(bytes, |pair| bf16::from_le_bytes(pair).to_f32()),
            Dtype::F32 => each(bytes, f32::from_le_bytes),
            Dtype::F64 => each(bytes, |eight| f64::from_le_bytes(eight) as f32),
        }
    }
}

/// Elements of a shape; `None` if the product overflows.
pub(crate) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
}

/// How a tensor lies in its bytes, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) offset: usize,
    /// Whether the elements are big-endian.
    pub(crate) swap: bool,
}

/// Strides of a row-major tensor.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

impl Layout {
    pub(crate) fn contiguous(dtype: Dtype, shape: Vec<usize>) -> Self {
        Layout { dtype, strides: row_major(&shape), shape, offset: 0, swap: false }
    }

    /// Bytes of the tensor once it is row-major; `None` if that overflows.
    pub(crate) fn bytes(&self) -> Option<usize> {
        elements(&self.shape)?.checked_mul(self.dtype.size())
    }

    /// Elements that the storage must have; `None` if that overflows.
    pub(crate) fn reach(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (&size, &stride)| last.checked_add((size - 1).checked_mul(stride)?))?;
        last.checked_add(1)
    }

    fn is_row_major(&self) -> bool {
        let expected = row_major(&self.shape);
        self.shape.iter().zip(self.strides.iter().zip(&expected)).all(|(&size, (have, want))| size == 1 || have == want)
    }

    /// The row-major, little-endian bytes of the tensor; `None` if the storage is too short.
    pub(crate) fn gather<'a>(&self, storage: Cow<'a, [u8]>) -> Option<Cow<'a, [u8]>> {
        let size = self.dtype.size();
        let bytes = self.bytes()?;
        if bytes == 0 {
            return Some(Cow::Borrowed(&[]));
        }
        if self.reach()?.checked_mul(size)? > storage.len() {
            return None;
        }
        let start = self.offset * size;
        let mut gathered = if self.is_row_major() {
            match storage {
                Cow::Borrowed(all) => Cow::Borrowed(&all[start..start + bytes]),
                Cow::Owned(all) if all.len() == bytes => Cow::Owned(all),
                Cow::Owned(all) => Cow::Owned(all[start..start + bytes].to_vec()),
            }
        } else {
            Cow::Owned(self.collect(&storage, bytes))
        };
        if self.swap && size > 1 {
            gathered.to_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Some(gathered)
    }

    /// The elements in row-major order. The storage was checked to be long enough.
    fn collect(&self, storage: &[u8], bytes: usize) -> Vec<u8> {
        let size = self.dtype.size();
        let mut gathered = Vec::with_capacity(bytes);
        let mut index = vec![0_usize; self.shape.len()];
        let mut at = self.offset;
        while gathered.len() < bytes {
            gathered.extend_from_slice(&storage[at * size..(at + 1) * size]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at = at.wrapping_add(self.strides[axis]); // an axis of one element may have any stride
                if index[axis] < self.shape[axis] {
                    break;
                }
                at = at.wrapping_sub(self.strides[axis].wrapping_mul(self.shape[axis]));
                index[axis] = 0;
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(shape: &[usize], strides: &[usize], offset: usize) -> Layout {
        Layout { dtype: Dtype::U8, shape: shape.into(), strides: strides.into(), offset, swap: false }
    }

    #[test]
    fn a_transposed_view_is_made_contiguous() {
        let storage: Vec<u8> = (0..7).collect();
        let gather = |layout: Layout| layout.gather(Cow::Borrowed(&storage)).map(Cow::into_owned);
        assert_eq!(gather(layout(&[2, 3], &[3, 1], 1)), Some(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(gather(layout(&[3, 2], &[1, 3], 1)), Some(vec![1, 4, 2, 5, 3, 6]));
        assert_eq!(gather(layout(&[2, 1, 2], &[2, 9, 1], 0)), Some(vec![0, 1, 2, 3]));
        assert_eq!(gather(layout(&[2, 1], &[1, usize::MAX], 0)), Some(vec![0, 1]));
        assert_eq!(gather(layout(&[], &[], 6)), Some(vec![6]));
        assert_eq!(gather(layout(&[0, 4], &[4, 1], 99)), Some(vec![]));
        assert_eq!(gather(layout(&[2, 3], &[3, 1], 2)), None);
        assert_eq!(gather(layout(&[2], &[usize::MAX], 2)), None);
        assert_eq!(gather(layout(&[usize::MAX, 2], &[0, 0], 0)), None);
    }

    #[test]
    fn big_endian_elements_are_turned() {
        let layout = Layout { swap: true, ..Layout::contiguous(Dtype::F32, vec![1]) };
        let storage = 1.5_f32.to_be_bytes();
        assert_eq!(layout.gather(Cow::Borrowed(&storage)).as_deref(), Some(&1.5_f32.to_le_bytes()[..]));
    }

    #[test]
    fn every_type_becomes_f32() {
        assert_eq!(Dtype::F16.to_f32(&f16::from_f32(-0.5).to_le_bytes()), [-0.5]);
        assert_eq!(Dtype::BF16.to_f32(&bf16::from_f32(3.0).to_le_bytes()), [3.0]);
        assert_eq!(Dtype::F64.to_f32(&0.25_f64.to_le_bytes()), [0.25]);
        assert_eq!(Dtype::I64.to_f32(&(-3_i64).to_le_bytes()), [-3.0]);
        assert_eq!(Dtype::I8.to_f32(&[0xFF]), [-1.0]);
        assert_eq!(Dtype::Bool.to_f32(&[0, 1, 2]), [0.0, 1.0, 1.0]);
        assert_eq!(Dtype::F32.to_f32(&[0, 0, 128, 63, 9]), [1.0]);
    }
}
