//! ONNX models of any exporter, opset 7 and later.
//!
//! Weights may be initializers, constants or in another file: their shapes are enough. A constant whose elements decide a
//! shape has to be in the model itself.
//!
//! Of the domains of operations the standard one is known, and in `com.microsoft` what ONNX Runtime's optimiser makes of
//! a transformer. Functions that a model defines itself are written out where they are called. Control flow, quantised
//! operations and operations whose output's size depends on data are refused.

mod call;
mod functions;
mod lower;
mod proto;
mod records;
mod tensor;
#[cfg(test)]
mod tests;

use prost::Message;
use prost::bytes::Bytes;

use super::{ImportError, ir::Graph};
use proto::ModelProto;

/// The graph in an `.onnx` file. The bytes are shared, not copied: a file that is mapped into memory is read where needed.
///
/// Besides the bytes themselves it takes memory for at most half a million (`records::MAX`) nodes, attributes, names and tensors.
pub fn read(bytes: Bytes) -> Result<Graph, ImportError> {
    records::check(&bytes)?;
    let length = bytes.len();
    let mut rest = bytes;
    let model = ModelProto::decode(&mut rest).map_err(|error| ImportError::Bytes {
        offset: length - rest.len(),
        what: format!("not an ONNX model: {error}"),
    })?;
    lower::graph(&model)
}
