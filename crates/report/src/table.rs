use comfy_table::{CellAlignment, Table, presets};
use detrace_flops::{Block, Count, Timing, group_by_block};

use crate::{Rename, by_x, shown};

/// 68348108800 as `68,348,108,800`.
pub fn thousands(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A difference in groups of three digits, with its sign.
pub(crate) fn signed(number: i128) -> String {
    let sign = match number {
        0 => "",
        _ if number < 0 => "-",
        _ => "+",
    };
    format!("{sign}{}", grouped(&number.unsigned_abs().to_string()))
}

pub(crate) fn milliseconds(ns: u64) -> String {
    format!("{:.2}", ns as f64 / 1e6)
}

/// Whether a count has times to show.
pub(crate) fn timed(count: &Count) -> bool {
    count.meta.timing != Timing::None
}

pub(crate) fn table(header: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header.iter().copied());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if index < left { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

/// One row per block of the network: MACs, FLOPs, parameters used; where it was timed also time and share of the time.
pub fn stages(count: &Count, blocks: &[Block], rename: Rename<'_>) -> String {
    let groups = group_by_block(count, |row| stage(row.path.split('#').next().unwrap_or(&row.path)));
    let glue: u64 = blocks.iter().map(|block| block.glue_ns).sum();
    let time: u64 = groups.iter().map(|group| group.time_ns).sum::<u64>() + glue;
    let share = |ns: u64| format!("{:.1}%", 100.0 * ns as f64 / time.max(1) as f64);
    let header = ["block", "MACs", "FLOPs", "params used", "ms", "time"];
    let shown_columns = if timed(count) { header.len() } else { header.len() - 2 };
    let mut table = table(&header[..shown_columns], 1);
    let mut add = |cells: [String; 6]| {
        table.add_row(&cells[..shown_columns]);
    };
    for group in &groups {
        add([
            shown(&group.path, rename),
            thousands(group.macs),
            thousands(group.flops),
            thousands(group.params),
            milliseconds(group.time_ns),
            share(group.time_ns),
        ]);
    }
    if glue > 0 {
        let none = String::new;
        add(["(between operations)".into(), none(), none(), none(), milliseconds(glue), share(glue)]);
    }
    format!("{table}\n")
}

/// The block of the overview that a module belongs to: a backbone's stage, a list of the encoder, a decoder layer.
fn stage(path: &str) -> String {
    let depth = match path.split('.').collect::<Vec<_>>().as_slice() {
        ["backbone", "res_layers" | "stages", ..] => 3,
        ["decoder", "decoder", "layers", ..] => 4,
        _ => 2,
    };
    path.split('.').take(depth).collect::<Vec<_>>().join(".")
}

/// One row per kind of operation: how many there are, and what they come to.
pub fn kinds(count: &Count) -> String {
    let full = count.convention == "full";
    let counted = format!("{}s", count.unit);
    let counts: &[&str] = if full { &["MACs", "FLOPs"] } else { &[&counted] };
    let mut table = table(&[&["kind", "operations"], counts, &["params"]].concat(), 1);
    for group in group_by_block(count, |row| row.kind.to_string()) {
        let calls: u64 = count.rows.iter().filter(|row| row.kind.name() == group.path).map(|row| row.calls).sum();
        let mut cells = vec![group.path.clone(), calls.to_string()];
        if full {
            cells.extend([thousands(group.macs), thousands(group.flops)]);
        } else {
            cells.push(thousands(group.count));
        }
        cells.push(thousands(group.params));
        table.add_row(cells);
    }
    format!("{table}\n")
}

/// Every row of a count.
pub fn layers(count: &Count, rename: Rename<'_>) -> String {
    let full = count.convention == "full";
    let counted = format!("{}s", count.unit);
    let counts: &[&str] = if full { &["MACs", "FLOPs"] } else { &[&counted] };
    let time: &[&str] = if timed(count) { &["ms"] } else { &[] };
    let mut table =
        table(&[&["layer", "kind", "calls", "input", "output", "params"], counts, time, &["verdict"]].concat(), 2);
    for row in &count.rows {
        let mut cells = vec![
            shown(&row.path, rename),
            row.kind.to_string(),
            row.calls.to_string(),
            by_x(&row.input),
            by_x(&row.output),
            thousands(row.params),
        ];
        if full {
            cells.extend([thousands(row.macs), thousands(row.flops)]);
        } else {
            cells.push(thousands(row.count));
        }
        if timed(count) {
            cells.push(milliseconds(row.time_ns));
        }
        cells.push(row.verdict.to_string());
        table.add_row(cells);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_three_digits() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(68_348_108_800), "68,348,108,800");
    }

    #[test]
    fn blocks_of_the_overview() {
        assert_eq!(stage("backbone.res_layers.0.blocks.1.act"), "backbone.res_layers.0");
        assert_eq!(stage("decoder.decoder.layers.5.cross_attn"), "decoder.decoder.layers.5");
        assert_eq!(stage("encoder.fpn_blocks.0.conv1"), "encoder.fpn_blocks");
    }
}
