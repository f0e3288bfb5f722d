//! A comparison of two traces for people: as text, and as Markdown with the same sentences and tables.

use detrace_flops::{Agreement, Call, Diff, DiffRow, Joined, Side, Timing};

use crate::part::{self, Part};
use crate::{by_x, thousands};

/// The comparison as text.
pub fn diff_table(diff: &Diff<'_>, fail_over: f64) -> String {
    part::text(&parts(diff, fail_over))
}

/// The comparison as Markdown.
pub fn diff_markdown(diff: &Diff<'_>, fail_over: f64) -> String {
    part::markdown(&parts(diff, fail_over))
}

fn parts(diff: &Diff<'_>, fail_over: f64) -> Vec<Part> {
    let mut parts = vec![Part::Lines(vec![
        format!("here:  {}", described(&diff.here)),
        format!("there: {}", described(&diff.there)),
        match diff.joined {
            Joined::Names => "joined on path, kind and number of the call".to_owned(),
            Joined::Shapes => "joined on what operations compute, in order, as the names differ".to_owned(),
        },
    ])];
    let unexplained: Vec<Vec<String>> = diff.unexplained().map(|row| cells(row, diff.convention)).collect();
    if !unexplained.is_empty() {
        let header = vec!["kind", "here", "there", "verdict", "what", "MACs here", "MACs there"];
        parts.push(Part::Table { header, left: 5, rows: unexplained });
    }
    if !diff.params.is_empty() {
        let shown = |shape: &Option<Vec<usize>>| shape.as_deref().map_or("-".to_owned(), by_x);
        let rows = diff.params.iter().map(|param| vec![param.name.clone(), shown(&param.here), shown(&param.there)]);
        let header = vec!["parameter of an uncalled module", "here", "there"];
        parts.push(Part::Table { header, left: 3, rows: rows.collect() });
    }
    let explained = diff.explained();
    if !explained.is_empty() {
        let mut rows = Vec::new();
        for group in &explained {
            let mut row = vec![group.reason.name().to_owned(), group.reason.why().to_owned()];
            for tally in [group.here, group.there] {
                row.extend([tally.ops, tally.macs, tally.flops].map(thousands));
            }
            rows.push(row);
        }
        let header = vec!["named", "why", "ops", "MACs", "FLOPs", "ops there", "MACs there", "FLOPs there"];
        parts.push(Part::Table { header, left: 2, rows });
    }
    let total =
        |name: &str, of: fn(&Side) -> u64| vec![name.to_owned(), thousands(of(&diff.here)), thousands(of(&diff.there))];
    let mut totals = vec![
        total("operations", |side| side.ops),
        total("MACs", |side| side.macs),
        total("of these in conv2d, linear, matmul, grid_sample", |side| side.product_macs),
        total("FLOPs", |side| side.flops),
        total("params", |side| side.params),
    ];
    if diff.convention != "full" {
        totals.insert(0, total(&format!("total under {} ({}s)", diff.convention, diff.unit), |side| side.total));
    }
    parts.push(Part::Table { header: vec!["", "here", "there"], left: 1, rows: totals });
    parts.push(Part::Lines(verdict(diff, fail_over)));
    parts
}

/// `rtdetr_r18vd (train), input 1x3x640x640, traced on cpu f32`.
fn described(side: &Side) -> String {
    let meta = &side.meta;
    let how = match meta.timing {
        Timing::None => meta.source.clone(),
        Timing::Wall | Timing::Synchronized | Timing::Events | Timing::Launch => {
            format!("{} on {} {}", meta.source, meta.device, meta.dtype)
        }
    };
    let structure = if meta.structure.is_empty() { String::new() } else { format!(" ({})", meta.structure) };
    format!("{}{structure}, input {}, {how}", meta.model, by_x(&meta.input))
}

fn cells(row: &DiffRow<'_>, convention: &str) -> Vec<String> {
    let paths = |calls: &[Call<'_>]| match calls {
        [] => "-".to_owned(),
        calls => calls.iter().map(named).collect::<Vec<_>>().join(", "),
    };
    let macs = |calls: &[Call<'_>]| match calls {
        [] => "-".to_owned(),
        calls => thousands(calls.iter().map(|call| call.work.macs).fold(0, u64::saturating_add)),
    };
    vec![
        row.kind.to_string(),
        paths(&row.here),
        paths(&row.there),
        row.verdict.to_string(),
        what(row, convention),
        macs(&row.here),
        macs(&row.there),
    ]
}

/// A call's path, with its number if it is not the first.
fn named(call: &Call<'_>) -> String {
    match call.nth {
        0 => call.op.path.clone(),
        nth => format!("{} (call {})", call.op.path, nth + 1),
    }
}

/// What of a pair differs, or what one side alone does.
fn what(row: &DiffRow<'_>, convention: &str) -> String {
    let shapes = |call: &Call<'_>| {
        let inputs: Vec<String> = call.op.inputs.iter().map(|shape| by_x(shape)).collect();
        format!("{} -> {}", inputs.join(", "), by_x(&call.op.output))
    };
    let params = |call: &Call<'_>| {
        let params = call.op.params.iter().map(|param| format!("{} {}", param.name, by_x(&param.shape)));
        params.collect::<Vec<_>>().join(", ")
    };
    let (here, there) = match (row.here.as_slice(), row.there.as_slice()) {
        ([here], [there]) => (here, there),
        (here, there) => return here.iter().chain(there).map(shapes).collect::<Vec<_>>().join("; "),
    };
    let window = |call: &Call<'_>| {
        let attrs = &call.op.attrs;
        let pair = |size: Option<[usize; 2]>| size.map_or("-".to_owned(), |size| by_x(&size));
        format!(
            "{} (kernel {}, stride {}, padding {:?}, groups {})",
            shapes(call),
            pair(attrs.kernel),
            pair(attrs.stride),
            attrs.padding.unwrap_or_default(),
            attrs.groups.unwrap_or(1)
        )
    };
    let apart = |left: String, right: String| format!("{left} / {right}");
    match row.verdict {
        Agreement::OtherShape if here.op.attrs != there.op.attrs => apart(window(here), window(there)),
        Agreement::OtherParams => apart(params(here), params(there)),
        Agreement::OtherCount => {
            let count = |call: &Call<'_>| {
                format!("{convention} {}, {} FLOPs", thousands(call.count), thousands(call.work.flops))
            };
            apart(count(here), count(there))
        }
        _ => apart(shapes(here), shapes(there)),
    }
}

/// The summary: how many rows agree and differ, and whether that is over the threshold.
fn verdict(diff: &Diff<'_>, fail_over: f64) -> Vec<String> {
    let tallies: Vec<String> = Agreement::ALL
        .into_iter()
        .map(|verdict| (verdict, diff.tally(verdict)))
        .filter(|&(verdict, rows)| rows > 0 || verdict == Agreement::Same)
        .map(|(verdict, rows)| format!("{} {verdict}", thousands(rows as u64)))
        .collect();
    let mut lines = vec![tallies.join(", ")];
    let unexplained = diff.unexplained().count() as u64;
    lines.push(if diff.differing().next().is_none() && diff.params.is_empty() {
        "no difference".to_owned()
    } else if unexplained == 0 && diff.params.is_empty() {
        "0 unexplained differences".to_owned()
    } else {
        let branches = diff.unexplained().filter(|row| row.reason.is_some()).count() as u64;
        let named = if branches > 0 { format!(" ({} of them RepVGG branches)", thousands(branches)) } else { String::new() };
        format!(
            "{} differences count{named}; in conv2d, linear, matmul and grid_sample {} of {} MACs, {:.4} % ({} {fail_over} %)",
            thousands(unexplained + diff.params.len() as u64),
            thousands(diff.unexplained_macs()),
            thousands(diff.here.product_macs),
            diff.percent(),
            if diff.is_over(fail_over) { "fails over" } else { "passes at" },
        )
    });
    lines
}
