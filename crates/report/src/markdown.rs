use detrace_flops::Count;

use crate::{Rename, by_x, shown, thousands};

/// Every row of a count as a Markdown table, the totals in front.
pub fn markdown(count: &Count, rename: Rename<'_>) -> String {
    let full = count.convention == "full";
    let meta = &count.meta;
    let mut text = format!(
        "**{}** ({}), input {}, convention `{}`: {} {}s{}, {} params\n\n",
        meta.model,
        meta.structure,
        by_x(&meta.input),
        count.convention,
        thousands(count.total),
        count.unit,
        if full { format!(", {} FLOPs", thousands(count.flops)) } else { String::new() },
        thousands(count.params),
    );
    let flops = if full { " FLOPs |" } else { "" };
    text += &format!("| layer | kind | calls | input | output | params | {}s |{flops} verdict |\n", count.unit);
    text += &format!("|---|---|--:|---|---|--:|--:|{}---|\n", if full { "--:|" } else { "" });
    for row in &count.rows {
        let flops = if full { format!(" {} |", thousands(row.flops)) } else { String::new() };
        text += &format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |{flops} {} |\n",
            shown(&row.path, rename),
            row.kind,
            row.calls,
            by_x(&row.input),
            by_x(&row.output),
            thousands(row.params),
            thousands(row.count),
            row.verdict,
        );
    }
    text
}
