//! Counts and times as text. Reports format; they never compute a count.

mod agreement;
mod bench;
mod conventions;
mod csv;
mod diff;
mod diff_json;
mod json;
mod markdown;
mod paddle;
mod paddle_static;
mod params;
mod part;
mod table;
mod tree;

pub use self::csv::csv;
pub use agreement::Agreement;
pub use bench::{Bench, Layer, Machine, Operations, Summary};
pub use conventions::{conventions_csv, conventions_json, conventions_markdown, conventions_table};
pub use diff::{diff_markdown, diff_table};
pub use diff_json::diff_json;
pub use json::{Versions, json};
pub use markdown::markdown;
pub use paddle::{paddle_table, paddle_totals};
pub use paddle_static::paddle_static_table;
pub use params::{Merging, ParamsReport};
pub use table::{kinds, layers, stages, thousands};
pub use tree::tree;

use table::signed;

/// How a row's canonical path is shown; `None` keeps it.
pub type Rename<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A path under a naming scheme.
fn shown(path: &str, rename: Rename<'_>) -> String {
    rename(path).unwrap_or_else(|| path.to_owned())
}

/// A shape as `1x3x640x640`.
pub fn by_x(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
