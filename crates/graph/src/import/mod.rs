//! Graph files: from what exporters write to a [`Trace`].
//!
//! A reader makes a [`Graph`](ir::Graph) of a file, shapes are inferred from the input's, and operations that a program writes
//! as several are recognised. So a count never depends on what a file declares about its own tensors.

mod error;
mod infer;
pub mod ir;
pub mod onnx;
pub mod paddle;
mod recognise;

use std::io::Read;
use std::path::Path;

use detrace_flops::Trace;

pub use error::ImportError;

/// What the names of graph files end with, and what they are, for people.
pub const FORMATS: &str = "an ONNX file (.onnx), a Paddle program (.pdmodel), or a Paddle 3 program (.json)";

/// The operations in a graph file on an input of N, C, H, W; without one, on what the file declares, and 1×3×640×640 where
/// it leaves sizes open. The file's weights are not needed.
///
/// # Errors
/// If the file cannot be read or is none of the known formats, if it contradicts itself or the wanted input, if it has an
/// operation that is not known, or if a shape does not follow from the file and the input.
pub fn open(path: &Path, input: Option<[usize; 4]>) -> Result<Trace, ImportError> {
    let unreadable = |error: std::io::Error| ImportError::File(format!("cannot be read: {error}"));
    // A pipe or a device could block or never end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(ImportError::File("cannot be read: it is not a regular file".into()));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
    read(&name, bytes, input)
}

/// The same of a file that is in memory; its name says which format it has.
///
/// # Errors
/// As [`open`].
pub fn read(name: &str, bytes: Vec<u8>, input: Option<[usize; 4]>) -> Result<Trace, ImportError> {
    let graph = match extension(name).as_str() {
        "onnx" => onnx::read(bytes.into())?,
        "pdmodel" => paddle::read_pdmodel(&bytes)?,
        "json" => {
            let text = std::str::from_utf8(&bytes).map_err(|error| ImportError::Bytes {
                offset: error.valid_up_to(),
                what: "not UTF-8, so no Paddle program in JSON".into(),
            })?;
            paddle::read_pir(text)?
        }
        _ => return Err(ImportError::File(format!("not a graph file; expected {FORMATS}"))),
    };
    let facts = infer::infer(&graph, input)?;
    recognise::trace(name, &graph, &facts)
}

/// Whether a file is meant to be a graph, as opposed to a model's configuration: by its name, and where that is `.json` by
/// what Paddle's programs begin with.
pub fn is_graph(path: &Path) -> bool {
    match extension(&path.to_string_lossy()).as_str() {
        "onnx" | "pdmodel" => true,
        "json" => is_program(path).unwrap_or(false),
        _ => false,
    }
}

/// Whether a file begins as a Paddle program in JSON does, whole or not.
fn is_program(path: &Path) -> std::io::Result<bool> {
    const LOOKED_AT: u64 = 4096;
    const WORD: &[u8] = b"\"base_code\"";
    if !std::fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(LOOKED_AT).read_to_end(&mut start)?;
    Ok(start.windows(WORD.len()).any(|word| word == WORD))
}

fn extension(name: &str) -> String {
    name.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_lowercase())
}
