//! The part of Paddle's `framework.proto` (`paddle/fluid/framework/framework.proto`, version 2.6.2) that a program's
//! operations, shapes and constants need. Written by hand after the descriptor; other fields are skipped on reading.

use prost::Message;

/// A whole program.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ProgramDesc {
    #[prost(message, repeated, tag = "1")]
    pub(super) blocks: Vec<BlockDesc>,
    #[prost(message, optional, tag = "4")]
    pub(super) version: Option<Version>,
}

/// Paddle's version as `major * 1000000 + minor * 1000 + patch`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Version {
    #[prost(int64, optional, tag = "1")]
    pub(super) version: Option<i64>,
}

/// Variables and operations; an inference program has one, control flow adds more.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BlockDesc {
    #[prost(message, repeated, tag = "3")]
    pub(super) vars: Vec<VarDesc>,
    #[prost(message, repeated, tag = "4")]
    pub(super) ops: Vec<OpDesc>,
}

/// A variable.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VarDesc {
    #[prost(string, required, tag = "1")]
    pub(super) name: String,
    #[prost(message, required, tag = "2")]
    pub(super) kind: VarType,
    #[prost(bool, optional, tag = "3")]
    pub(super) persistable: Option<bool>,
}

/// A variable's type: only dense tensors have shapes here.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VarType {
    #[prost(int32, required, tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) lod_tensor: Option<LodTensorDesc>,
}

/// A dense tensor.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LodTensorDesc {
    #[prost(message, required, tag = "1")]
    pub(super) tensor: TensorDesc,
}

/// Number type and shape; -1 is a size that is not known before the program runs.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorDesc {
    #[prost(int32, required, tag = "1")]
    pub(super) data_type: i32,
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub(super) dims: Vec<i64>,
}

/// One operation.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OpDesc {
    #[prost(message, repeated, tag = "1")]
    pub(super) inputs: Vec<OpVar>,
    #[prost(message, repeated, tag = "2")]
    pub(super) outputs: Vec<OpVar>,
    #[prost(string, required, tag = "3")]
    pub(super) kind: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) attrs: Vec<OpAttr>,
}

/// The variables in one slot of an operation.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OpVar {
    #[prost(string, required, tag = "1")]
    pub(super) parameter: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) arguments: Vec<String>,
}

/// An attribute; `kind` (`AttrType`) says which field holds it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OpAttr {
    #[prost(string, required, tag = "1")]
    pub(super) name: String,
    #[prost(int32, required, tag = "2")]
    pub(super) kind: i32,
    #[prost(int32, optional, tag = "3")]
    pub(super) i: Option<i32>,
    #[prost(float, optional, tag = "4")]
    pub(super) f: Option<f32>,
    #[prost(string, optional, tag = "5")]
    pub(super) s: Option<String>,
    #[prost(int32, repeated, packed = "false", tag = "6")]
    pub(super) ints: Vec<i32>,
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub(super) floats: Vec<f32>,
    #[prost(bool, optional, tag = "10")]
    pub(super) b: Option<bool>,
    #[prost(bool, repeated, packed = "false", tag = "11")]
    pub(super) bools: Vec<bool>,
    #[prost(int64, optional, tag = "13")]
    pub(super) l: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "15")]
    pub(super) longs: Vec<i64>,
    #[prost(double, repeated, packed = "false", tag = "16")]
    pub(super) float64s: Vec<f64>,
    #[prost(double, optional, tag = "19")]
    pub(super) float64: Option<f64>,
    #[prost(message, optional, tag = "20")]
    pub(super) scalar: Option<Scalar>,
    #[prost(message, repeated, tag = "21")]
    pub(super) scalars: Vec<Scalar>,
}

/// A number whose type is in `kind`: 1 bool, 2 integer, 3 real (complex is left out).
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scalar {
    #[prost(int32, required, tag = "1")]
    pub(super) kind: i32,
    #[prost(bool, optional, tag = "2")]
    pub(super) b: Option<bool>,
    #[prost(int64, optional, tag = "3")]
    pub(super) i: Option<i64>,
    #[prost(double, optional, tag = "4")]
    pub(super) r: Option<f64>,
}
