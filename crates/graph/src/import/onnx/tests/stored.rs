//! Stored tensors and constants.

use super::*;
use crate::import::ir::{DType, Dim, Origin};

/// Elements in every field and type that a small constant comes in.
#[test]
fn constants_are_read_from_every_field() {
    let raw = |number: i32, bytes: &[u8], count: i64| TensorProto {
        data_type: Some(number),
        raw_data: Some(bytes.to_vec().into()),
        ..weight("", &[count])
    };
    let ints = |values: &[i64]| Some(Value::Ints(values.to_vec()));
    let floats = |values: &[f64]| Some(Value::Floats(values.to_vec()));
    let cases: Vec<(TensorProto, DType, Option<Value>)> = vec![
        (raw(1, &1.5f32.to_le_bytes(), 1), DType::Float, floats(&[1.5])),
        (raw(11, &(-2.5f64).to_le_bytes(), 1), DType::Float, floats(&[-2.5])),
        (raw(10, &[0x00, 0x3e], 1), DType::Float, floats(&[1.5])),
        (raw(16, &[0xc0, 0x3f], 1), DType::Float, floats(&[1.5])),
        (raw(2, &[255, 1], 2), DType::Int, ints(&[255, 1])),
        (raw(3, &[255, 1], 2), DType::Int, ints(&[-1, 1])),
        (raw(4, &[255, 255], 1), DType::Int, ints(&[65_535])),
        (raw(5, &[255, 255], 1), DType::Int, ints(&[-1])),
        (raw(6, &(-7i32).to_le_bytes(), 1), DType::Int, ints(&[-7])),
        (raw(7, &(-7i64).to_le_bytes(), 1), DType::Int, ints(&[-7])),
        (raw(12, &u32::MAX.to_le_bytes(), 1), DType::Int, ints(&[4_294_967_295])),
        (raw(9, &[1, 0, 1], 3), DType::Bool, ints(&[1, 0, 1])),
        (raw(22, &[0x21, 0x03], 3), DType::Int, None),
        (TensorProto { float_data: vec![0.5], ..weight("", &[]) }, DType::Float, floats(&[0.5])),
        (TensorProto { data_type: Some(11), double_data: vec![0.5], ..weight("", &[1]) }, DType::Float, floats(&[0.5])),
        (
            TensorProto { data_type: Some(10), int32_data: vec![0x3e00], ..weight("", &[1]) },
            DType::Float,
            floats(&[1.5]),
        ),
        (TensorProto { data_type: Some(9), int32_data: vec![1], ..weight("", &[1]) }, DType::Bool, ints(&[1])),
        (TensorProto { data_type: Some(13), uint64_data: vec![9], ..weight("", &[1]) }, DType::Int, ints(&[9])),
        (numbers("", &[3, -1]), DType::Int, ints(&[3, -1])),
        (weight("", &[0]), DType::Float, floats(&[])),
        (weight("", &[4]), DType::Float, None),
        (TensorProto { float_data: vec![0.0; 1025], ..weight("", &[1025]) }, DType::Float, None),
        (TensorProto { data_location: Some(1), ..weight("", &[4]) }, DType::Float, None),
    ];
    for (tensor, dtype, expected) in cases {
        let constant = node("Constant", &[], &["c"], vec![held("value", tensor.clone())]);
        let use_it = node("Concat", &["c"], &["y"], vec![int("axis", 0)]);
        // A constant may stand after what reads it.
        let graph = read_model(&model(13, vec![use_it, constant], vec![])).expect("is a graph");
        let found = graph.tensor(graph.find("c").expect("is there"));
        assert_eq!((found.dtype, found.origin), (dtype, Origin::Stored), "{tensor:?}");
        assert_eq!(found.value, expected, "{tensor:?}");
        assert_eq!(found.declared, Some(tensor.dims.iter().map(|&dim| Dim::Known(dim as usize)).collect()));
    }
}

#[test]
fn stored_tensors_do_not_contradict_themselves() {
    let conv = || vec![node("Conv", &["x", "w"], &["y"], vec![])];
    let cases = [
        (
            TensorProto { float_data: vec![0.0; 5], ..weight("w", &[8, 8, 3, 3]) },
            "it has 5 32-bit floats for the shape",
        ),
        (TensorProto { raw_data: Some(vec![0; 6].into()), ..weight("w", &[2]) }, "6 bytes of 32 bits an element"),
        (weight("w", &[8, -8, 3, 3]), "[8, -8, 3, 3]"),
        (weight("w", &[i64::MAX, i64::MAX, 3, 3]), "9223372036854775807"),
        (TensorProto { data_type: Some(8), ..weight("w", &[1]) }, "data type 8"),
        (TensorProto { segment: Some(Segment::default()), ..weight("w", &[1]) }, "segments"),
    ];
    for (tensor, fault) in cases {
        let error = error(13, conv(), vec![tensor]);
        assert!(error.contains("\"w\"") && error.contains(fault), "{error}");
    }
    let twice = error(13, conv(), vec![weight("w", &[8, 8, 3, 3]), weight("w", &[8, 8, 3, 3])]);
    assert!(twice.contains("declared twice"), "{twice}");
}
