//! One model under every convention.

use detrace_flops::explain::{Explained, Term};
use detrace_flops::{Framework, Meta, SCHEMA, Unit};
use serde_json::{Value, json};

use crate::part::{self, Part};
use crate::{by_x, signed, thousands};

/// The counts as text.
pub fn conventions_table(meta: &Meta, framework: Framework, rows: &[Explained]) -> String {
    part::text(&parts(meta, framework, rows))
}

/// The counts as Markdown.
pub fn conventions_markdown(meta: &Meta, framework: Framework, rows: &[Explained]) -> String {
    part::markdown(&parts(meta, framework, rows))
}

fn parts(meta: &Meta, framework: Framework, rows: &[Explained]) -> Vec<Part> {
    let table = rows
        .iter()
        .map(|row| {
            let count = &row.count;
            vec![
                count.convention.to_owned(),
                terms(&row.terms),
                thousands(count.total),
                format!("{}s", count.unit),
                thousands(count.params),
                signed(row.difference()),
            ]
        })
        .collect();
    let header = vec!["convention", "what makes the difference", "total", "of", "params", "to full"];
    let mut full = String::new();
    if let Some(row) = rows.iter().find(|row| row.count.convention == "full") {
        let (macs, flops) = (thousands(row.count.macs), thousands(row.count.flops));
        full = format!("full: {macs} MACs, {flops} FLOPs; what prints FLOPs is compared with its FLOPs");
    }
    vec![
        Part::Lines(vec![headline(meta, framework)]),
        Part::Table { header, left: 2, rows: table },
        Part::Lines(vec![full]),
    ]
}

/// `rtdetr_r18vd (train), input 1x3x640x640; tools for PyTorch look at the official code`.
pub(crate) fn headline(meta: &Meta, framework: Framework) -> String {
    let whose = match framework {
        Framework::Official => "the official code",
        Framework::HuggingFace => "transformers",
    };
    let structure = if meta.structure.is_empty() { String::new() } else { format!(" ({})", meta.structure) };
    format!("{}{structure}, input {}; tools for PyTorch look at {whose}", meta.model, by_x(&meta.input))
}

/// One term a line.
pub(crate) fn terms(terms: &[Term]) -> String {
    let lines: Vec<String> = terms.iter().map(|term| format!("{} {}", signed(term.count), term.term)).collect();
    lines.join("\n")
}

/// What a report says about where its figures come from.
pub(crate) fn about(meta: &Meta, framework: Framework) -> Value {
    json!({
        "schema": SCHEMA, "model": meta.model, "version": meta.version, "structure": meta.structure, "input": meta.input,
        "source": meta.source, "framework": framework.name(),
    })
}

/// The counts as JSON, schema 1: `conventions`, a list with `convention`, `mirrors`, `unit`, `total`, `params`, `full`,
/// `difference`, `terms`, and `macs` where the tool prints FLOPs.
pub fn conventions_json(meta: &Meta, framework: Framework, rows: &[Explained]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let count = &row.count;
            let mut value = json!({
                "convention": count.convention, "mirrors": count.mirrors, "unit": count.unit, "total": count.total,
                "params": count.params, "full": row.full, "difference": row.difference(), "terms": row.terms,
            });
            if count.unit == Unit::Flop || count.convention == "full" {
                value["macs"] = count.macs.into();
            }
            if count.convention == "full" {
                value["flops"] = count.flops.into();
            }
            value
        })
        .collect();
    let mut value = about(meta, framework);
    value["conventions"] = rows.into();
    value
}

/// The counts as CSV, a line for every term and one for every convention without any:
/// `convention,unit,total,params,full,difference,term,count`.
pub fn conventions_csv(rows: &[Explained]) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["convention", "unit", "total", "params", "full", "difference", "term", "count"])?;
    for row in rows {
        let count = &row.count;
        let facts = [
            count.convention.to_owned(),
            count.unit.to_string(),
            count.total.to_string(),
            count.params.to_string(),
            row.full.to_string(),
            row.difference().to_string(),
        ];
        let none = [(String::new(), String::new())];
        let terms: Vec<_> = row.terms.iter().map(|term| (term.term.to_owned(), term.count.to_string())).collect();
        for (term, part) in if terms.is_empty() { &none[..] } else { &terms } {
            writer.write_record(facts.iter().chain([term, part]))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
