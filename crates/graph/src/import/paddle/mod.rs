//! Paddle's programs: `.pdmodel` files of Paddle 2.x, and the PIR `.json` files of Paddle 3.
//!
//! Both are read into the same list of operations, in the words of Paddle 2.x, and that becomes a [`Graph`]. Neither file
//! holds weights; they are in a `.pdiparams` file that nobody needs here.

mod lower;
mod pdmodel;
mod pir;
mod program;
mod proto;
mod vocabulary;

use super::{ImportError, ir::Graph};

/// The graph in a `.pdmodel` file.
pub fn read_pdmodel(bytes: &[u8]) -> Result<Graph, ImportError> {
    lower::graph(&pdmodel::read(bytes)?)
}

/// The graph in a PIR `.json` file.
pub fn read_pir(text: &str) -> Result<Graph, ImportError> {
    lower::graph(&pir::read(text)?)
}
