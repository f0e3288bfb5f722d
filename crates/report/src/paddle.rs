//! `paddle.flops(print_detail=True)`: the table of `hapi/dynamic_flops.py`, which is `static_flops.py`'s `Table`.

use std::collections::HashMap;

use detrace_flops::{Count, Kind, Row, Verdict};

/// Paddle's table of a count under the `paddle` convention, and its last line. Rows are in Paddle's order: by the order in
/// which modules were registered (backbone, transformer, neck), numbered by class in the order in which they were made.
/// Rows of layers that do nothing at inference (`Dropout`, `Identity`) are left out.
pub fn paddle_table(count: &Count, made: &[String]) -> String {
    let seen: Vec<&Row> = count.rows.iter().filter(|row| row.verdict != Verdict::Invisible).collect();
    let names = full_names(&seen, made);
    let order = registration_order(&seen, made);
    let head = ["Layer Name", "Input Shape", "Output Shape", "Params", "Flops"].map(str::to_owned);
    let mut cells = vec![head];
    for row in order {
        let shape = |shape: &[usize]| format!("{shape:?}");
        let name = names.get(row.path.as_str()).cloned().unwrap_or_default();
        cells.push([name, shape(&row.input), shape(&row.output), row.params.to_string(), row.count.to_string()]);
    }
    let widths: Vec<usize> =
        (0..5).map(|column| cells.iter().map(|line| line[column].len()).max().unwrap_or(0) + 2).collect();
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
    text.push_str(&shelf);
    text.push_str(&format!("Total Flops: {}     Total Params: {}\n", count.total, count.params));
    text
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

/// Every module once, in the order in which the model made them: those with parameters as listed, those without where
/// their first call stands.
fn made_order<'a>(seen: &[&'a Row], made: &[String]) -> Vec<&'a Row> {
    let position: HashMap<&str, usize> = made.iter().enumerate().rev().map(|(at, path)| (path.as_str(), at)).collect();
    let mut last = 0;
    let mut keyed: Vec<(usize, usize, &Row)> = Vec::new();
    for (call, row) in seen.iter().enumerate() {
        last = position.get(row.path.as_str()).copied().unwrap_or(last);
        keyed.push((last, call, row));
    }
    keyed.sort_by_key(|&(at, call, _)| (at, call));
    keyed.into_iter().map(|(_, _, row)| row).collect()
}

/// `conv2d_0`, `linear_3`: the class and a counter. Layers 1, 2 … of a transformer are copies of layer 0 in Paddle and
/// keep its names.
fn full_names<'a>(seen: &[&'a Row], made: &[String]) -> HashMap<&'a str, String> {
    let rows: HashMap<&str, &&Row> = seen.iter().map(|row| (row.path.as_str(), row)).collect();
    let first_layer = |path: &str| -> Option<String> {
        let at = path
            .find(".layers.")
            .filter(|_| path.starts_with("encoder.encoder.") || path.starts_with("decoder.decoder."))?;
        let rest = &path[at + ".layers.".len()..];
        let (number, rest) = rest.split_once('.')?;
        (number != "0").then(|| format!("{}.layers.0.{rest}", &path[..at]))
    };
    let mut counters: HashMap<String, usize> = HashMap::new();
    let mut names: HashMap<&str, String> = HashMap::new();
    // Uncalled modules take numbers too; in an RT-DETR they are linear layers (score heads).
    let mut number = |kind: &str| {
        let counter = counters.entry(kind.to_owned()).or_default();
        *counter += 1;
        format!("{kind}_{}", *counter - 1)
    };
    let in_order = made_order(seen, made);
    let mut called = in_order.iter().peekable();
    for path in made {
        while let Some(row) = called.next_if(|row| !made.contains(&row.path)) {
            names.insert(&row.path, number(class(&row.kind)));
        }
        if first_layer(path).is_some() {
            continue;
        }
        match rows.get(path.as_str()) {
            Some(row) => {
                names.insert(&row.path, number(class(&row.kind)));
                called.next_if(|next| next.path == *path);
            }
            None if path.contains("score_head") || path.contains("bbox_head") => drop(number("linear")),
            None => {}
        }
        while called.next_if(|row| first_layer(&row.path).is_some()).is_some() {}
    }
    for row in called {
        if first_layer(&row.path).is_none() {
            names.insert(&row.path, number(class(&row.kind)));
        }
    }
    for row in seen {
        if let Some(name) = first_layer(&row.path).and_then(|first| names.get(first.as_str()).cloned()) {
            names.insert(&row.path, name);
        }
    }
    names
}

/// Depth first over the tree of modules, children in the order in which they were made; DETR registers its neck last.
fn registration_order<'a>(seen: &[&'a Row], made: &[String]) -> Vec<&'a Row> {
    let mut ranks: HashMap<&str, usize> = HashMap::new();
    let in_order = made_order(seen, made);
    for row in &in_order {
        for end in row.path.match_indices('.').map(|(at, _)| at).chain([row.path.len()]) {
            let next = ranks.len();
            ranks.entry(&row.path[..end]).or_insert(next);
        }
    }
    let key = |row: &Row| -> Vec<usize> {
        let top = usize::from(row.path.starts_with("encoder"));
        let ends = row.path.match_indices('.').map(|(at, _)| at).chain([row.path.len()]);
        std::iter::once(top).chain(ends.map(|end| ranks.get(&row.path[..end]).copied().unwrap_or(0))).collect()
    };
    let mut rows = in_order.clone();
    rows.sort_by_key(|row| key(row));
    rows
}
