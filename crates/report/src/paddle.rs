//! `paddle.flops(print_detail=True)`: the table of `hapi/dynamic_flops.py`, which is `static_flops.py`'s `Table`.

use std::collections::{HashMap, HashSet};

use detrace_flops::{Count, Kind, Row, Trace, Verdict};

/// Paddle's table of a count of `trace` under the `paddle` convention, and its last line. Rows are in Paddle's order: that
/// in which modules were registered (backbone, transformer, neck). They are numbered by class in the order in which they
/// were made. Rows of layers that do nothing at inference (`Dropout`, `Identity`) are left out.
pub fn paddle_table(count: &Count, trace: &Trace) -> String {
    let seen: Vec<&Row> = count.rows.iter().filter(|row| row.verdict != Verdict::Invisible).collect();
    let names = full_names(&seen, trace);
    let order = registration_order(&seen, trace);
    let head = ["Layer Name", "Input Shape", "Output Shape", "Params", "Flops"].map(str::to_owned);
    let mut cells = vec![head];
    for row in order {
        let shape = |shape: &[usize]| format!("{shape:?}");
        let name = names.get(row.path.as_str()).cloned().unwrap_or_default();
        cells.push([name, shape(&row.input), shape(&row.output), row.params.to_string(), row.count.to_string()]);
    }
    boxed(&cells) + &paddle_totals(count) + "\n"
}

/// Lines of cells, the first as head, as Paddle's `Table` prints them.
pub(crate) fn boxed<const N: usize>(cells: &[[String; N]]) -> String {
    let widths: Vec<usize> =
        (0..N).map(|column| cells.iter().map(|line| line[column].len()).max().unwrap_or(0) + 2).collect();
    let shelf = widths.iter().map(|&width| "-".repeat(width)).collect::<Vec<_>>().join("+");
    let shelf = format!("+{shelf}+\n");
    let mut text = shelf.clone();
    for (index, line) in cells.iter().enumerate() {
        let line: Vec<String> = line.iter().zip(&widths).map(|(cell, &width)| centre(cell, width)).collect();
        text.push_str(&format!("|{}|\n", line.join("|")));
        if index == 0 {
            text.push_str(&shelf);
        }
    }
    text + &shelf
}

/// The line that `paddle.flops` always prints last.
pub fn paddle_totals(count: &Count) -> String {
    format!("Total Flops: {}     Total Params: {}", count.total, count.params)
}

/// Python's `str.center`: of an odd rest, the larger half goes left where the width is odd.
fn centre(text: &str, width: usize) -> String {
    let rest = width.saturating_sub(text.len());
    let left = rest / 2 + (rest & width & 1);
    format!("{}{text}{}", " ".repeat(left), " ".repeat(rest - left))
}

fn class(kind: &Kind) -> &str {
    match kind {
        Kind::BatchNorm => "batch_norm2d",
        Kind::MaxPool2d => "max_pool2d",
        Kind::AvgPool2d => "avg_pool2d",
        Kind::Relu => "re_lu",
        other => other.name(),
    }
}

/// Layers 1, 2 … of a transformer are deep copies of layer 0 in Paddle and keep its names: the path of the original.
fn original(path: &str) -> Option<String> {
    let transformer = path.starts_with("encoder.encoder.") || path.starts_with("decoder.decoder.");
    let (block, rest) = path.split_once(".layers.").filter(|_| transformer)?;
    let (number, rest) = rest.split_once('.')?;
    (number != "0").then(|| format!("{block}.layers.0.{rest}"))
}

/// `conv2d_0`, `linear_3`: the class and a counter over all layers of that class in the order in which they were made.
fn full_names<'a>(seen: &[&'a Row], trace: &Trace) -> HashMap<&'a str, String> {
    let rows: HashMap<&str, &&Row> = seen.iter().map(|row| (row.path.as_str(), row)).collect();
    let mut counters: HashMap<&str, usize> = HashMap::new();
    // Paddle's HGNetv2 makes its frozen norms a second time, which uses up as many numbers.
    let remade: HashSet<&str> = trace
        .ops
        .iter()
        .filter(|op| op.kind == Kind::BatchNorm && op.attrs.frozen)
        .map(|op| op.path.as_str())
        .filter(|path| path.starts_with("backbone.stem.") || path.starts_with("backbone.stages."))
        .collect();
    counters.insert(class(&Kind::BatchNorm), remade.len());
    let mut names: HashMap<&str, String> = HashMap::new();
    for path in trace.modules.iter().filter(|path| original(path).is_none()) {
        let row = rows.get(path.as_str());
        // Modules that nothing called have numbers too; in an RT-DETR they are linear layers (heads).
        let class = match row {
            Some(row) => class(&row.kind),
            None if path.contains("_head.") => "linear",
            None => continue,
        };
        let counter = counters.entry(class).or_default();
        if let Some(row) = row {
            names.insert(&row.path, format!("{class}_{counter}"));
        }
        *counter += 1;
    }
    for row in seen {
        if let Some(name) = original(&row.path).and_then(|path| names.get(path.as_str()).cloned()) {
            names.insert(&row.path, name);
        }
    }
    names
}

/// Depth first over the tree of modules, children in the order in which they were made; DETR registers its neck last.
fn registration_order<'a>(seen: &[&'a Row], trace: &Trace) -> Vec<&'a Row> {
    fn ends(path: &str) -> impl Iterator<Item = usize> {
        path.match_indices('.').map(|(at, _)| at).chain([path.len()])
    }
    let mut ranks: HashMap<&str, usize> = HashMap::new();
    for path in &trace.modules {
        for end in ends(path) {
            let next = ranks.len();
            ranks.entry(&path[..end]).or_insert(next);
        }
    }
    let mut rows = seen.to_vec();
    rows.sort_by_cached_key(|row| -> (bool, Vec<usize>) {
        let rank = |end: usize| ranks.get(&row.path[..end]).copied().unwrap_or(usize::MAX);
        (row.path.starts_with("encoder"), ends(&row.path).map(rank).collect())
    });
    rows
}
