//! Stored tensors: their shapes, and the elements of small ones.

use super::proto::TensorProto;
use crate::import::ImportError;
use crate::import::ir::{DType, Dim, MAX_FOLDED, Origin, Tensor, Value};

type Result<T> = std::result::Result<T, ImportError>;

/// Where a tensor's elements are when they are in another file.
const EXTERNAL: i32 = 1;

/// The type behind a number of `TensorProto.DataType`; `None` for text, complex numbers and numbers that do not exist.
pub(super) fn dtype(number: i32) -> Option<DType> {
    match number {
        9 => Some(DType::Bool),
        2..=7 | 12 | 13 | 21 | 22 | 25 | 26 => Some(DType::Int),
        1 | 10 | 11 | 16..=20 | 23 | 24 | 27 | 28 => Some(DType::Float),
        _ => None,
    }
}

/// A stored tensor under a name.
pub(super) fn stored(name: &str, proto: &TensorProto) -> Result<Tensor> {
    let fault = |what: String| ImportError::Tensor { name: name.to_owned(), what };
    let number = proto.data_type.unwrap_or_default();
    let dtype = dtype(number).ok_or_else(|| fault(format!("its data type {number} is not one of numbers")))?;
    let bad = || fault(format!("a stored tensor has the shape {:?}", proto.dims));
    let sizes: Vec<usize> =
        proto.dims.iter().map(|&dim| usize::try_from(dim)).collect::<std::result::Result<_, _>>().map_err(|_| bad())?;
    let count = sizes.iter().try_fold(1usize, |count, &size| count.checked_mul(size)).ok_or_else(bad)?;
    if proto.segment.is_some() {
        return Err(fault("it is stored in segments, which is not supported".into()));
    }
    let data = if proto.data_location == Some(EXTERNAL) { None } else { Data::of(proto, number) };
    if let Some(data) = &data
        && !data.fits(count)
    {
        return Err(fault(format!("it has {data} for the shape {:?}", proto.dims)));
    }
    let value = match (data, dtype) {
        (Some(data), _) if count <= MAX_FOLDED => data.value(dtype),
        (None, DType::Float) if count == 0 => Some(Value::Floats(vec![])),
        (None, DType::Int | DType::Bool) if count == 0 => Some(Value::Ints(vec![])),
        _ => None,
    };
    let declared = Some(sizes.into_iter().map(Dim::Known).collect());
    Ok(Tensor { name: name.to_owned(), dtype, origin: Origin::Stored, declared, value })
}

/// Elements as the file has them.
enum Data<'a> {
    /// Little-endian, of a type with that number.
    Raw(&'a [u8], i32),
    F32(&'a [f32]),
    F64(&'a [f64]),
    /// Integers, or the bits of floats of a type with that number.
    I32(&'a [i32], i32),
    I64(&'a [i64]),
    U64(&'a [u64]),
}

impl<'a> Data<'a> {
    /// The elements, if there are any.
    fn of(proto: &'a TensorProto, number: i32) -> Option<Self> {
        Some(match proto {
            TensorProto { raw_data: Some(raw), .. } if !raw.is_empty() => Data::Raw(raw, number),
            TensorProto { float_data, .. } if !float_data.is_empty() => Data::F32(float_data),
            TensorProto { int64_data, .. } if !int64_data.is_empty() => Data::I64(int64_data),
            TensorProto { int32_data, .. } if !int32_data.is_empty() => Data::I32(int32_data, number),
            TensorProto { double_data, .. } if !double_data.is_empty() => Data::F64(double_data),
            TensorProto { uint64_data, .. } if !uint64_data.is_empty() => Data::U64(uint64_data),
            _ => return None,
        })
    }

    /// Whether there are that many. Typed fields of elements smaller than a byte are not looked into.
    fn fits(&self, count: usize) -> bool {
        match self {
            Data::Raw(bytes, number) => {
                count.checked_mul(bits(*number)).map(|bits| bits.div_ceil(8)) == Some(bytes.len())
            }
            Data::F32(values) => values.len() == count,
            Data::F64(values) => values.len() == count,
            Data::I32(_, number) if bits(*number) < 8 => true,
            Data::I32(values, _) => values.len() == count,
            Data::I64(values) => values.len() == count,
            Data::U64(values) => values.len() == count,
        }
    }

    /// The elements as numbers; `None` where their type has no meaning for shapes.
    fn value(&self, dtype: DType) -> Option<Value> {
        let numbers = match self {
            Data::Raw(bytes, number) => raw(bytes, *number)?,
            Data::F32(values) => Value::Floats(values.iter().map(|&value| value.into()).collect()),
            Data::F64(values) => Value::Floats(values.to_vec()),
            Data::I32(values, 10) => {
                Value::Floats(values.iter().map(|&bits| half::f16::from_bits(bits as u16).into()).collect())
            }
            Data::I32(values, 16) => {
                Value::Floats(values.iter().map(|&bits| half::bf16::from_bits(bits as u16).into()).collect())
            }
            Data::I32(values, _) => Value::Ints(values.iter().map(|&value| value.into()).collect()),
            Data::I64(values) => Value::Ints(values.to_vec()),
            Data::U64(values) => Value::Ints(values.iter().map(|&value| value as i64).collect()),
        };
        // Data in the field of another type is not read as if it were of this one.
        match (&numbers, dtype) {
            (Value::Floats(_), DType::Float) | (Value::Ints(_), DType::Int | DType::Bool) => Some(numbers),
            _ => None,
        }
    }
}

impl std::fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, what) = match self {
            Data::Raw(bytes, number) => return write!(f, "{} bytes of {} bits an element", bytes.len(), bits(*number)),
            Data::F32(values) => (values.len(), "32-bit floats"),
            Data::F64(values) => (values.len(), "64-bit floats"),
            Data::I32(values, _) => (values.len(), "32-bit integers"),
            Data::I64(values) => (values.len(), "64-bit integers"),
            Data::U64(values) => (values.len(), "64-bit integers"),
        };
        write!(f, "{count} {what}")
    }
}

/// The size of an element of the type with that number, for types that [`dtype`] knows.
fn bits(number: i32) -> usize {
    match number {
        25 | 26 => 2,
        21..=23 => 4,
        27 | 28 => 6,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 => 64,
        _ => 8,
    }
}

/// Numbers of a type from little-endian bytes.
fn raw(bytes: &[u8], number: i32) -> Option<Value> {
    fn each<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (elements, _) = bytes.as_chunks::<N>();
        elements.iter().map(|&element| read(element)).collect()
    }
    Some(match number {
        1 => Value::Floats(each(bytes, |b| f32::from_le_bytes(b).into())),
        10 => Value::Floats(each(bytes, |b| half::f16::from_le_bytes(b).into())),
        11 => Value::Floats(each(bytes, f64::from_le_bytes)),
        16 => Value::Floats(each(bytes, |b| half::bf16::from_le_bytes(b).into())),
        2 | 9 => Value::Ints(each(bytes, |b| u8::from_le_bytes(b).into())),
        3 => Value::Ints(each(bytes, |b| i8::from_le_bytes(b).into())),
        4 => Value::Ints(each(bytes, |b| u16::from_le_bytes(b).into())),
        5 => Value::Ints(each(bytes, |b| i16::from_le_bytes(b).into())),
        6 => Value::Ints(each(bytes, |b| i32::from_le_bytes(b).into())),
        7 => Value::Ints(each(bytes, i64::from_le_bytes)),
        12 => Value::Ints(each(bytes, |b| u32::from_le_bytes(b).into())),
        13 => Value::Ints(each(bytes, |b| u64::from_le_bytes(b) as i64)),
        _ => return None,
    })
}
