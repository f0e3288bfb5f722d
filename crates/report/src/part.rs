//! Lines and tables, as text and as Markdown with the same sentences.

use crate::table::table;

/// A piece of a report.
pub(crate) enum Part {
    /// Lines of text.
    Lines(Vec<String>),
    /// A table; its first `left` columns are aligned to the left, the others to the right.
    Table {
        /// Names of the columns.
        header: Vec<&'static str>,
        /// Columns of words.
        left: usize,
        /// Cells; a cell may have lines.
        rows: Vec<Vec<String>>,
    },
}

impl Part {
    /// As text.
    pub(crate) fn text(&self) -> String {
        match self {
            Part::Lines(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
            Part::Table { header, left, rows } => {
                let mut table = table(header, *left);
                for row in rows {
                    table.add_row(row);
                }
                format!("{table}\n")
            }
        }
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        match self {
            Part::Lines(lines) => lines.iter().map(|line| format!("{line}  \n")).collect(),
            Part::Table { header, left, rows } => {
                let names: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
                let lines: Vec<String> =
                    (0..header.len()).map(|at| if at < *left { "---" } else { "--:" }.to_owned()).collect();
                let escaped = |cell: &String| cell.replace('|', "\\|").replace('\n', "<br>");
                let body = rows.iter().map(|cells| row(&cells.iter().map(escaped).collect::<Vec<_>>()));
                row(&names) + &row(&lines) + &body.collect::<String>()
            }
        }
    }
}

/// The pieces as text.
pub(crate) fn text(parts: &[Part]) -> String {
    parts.iter().map(Part::text).collect::<Vec<_>>().join("\n")
}

/// The pieces as Markdown.
pub(crate) fn markdown(parts: &[Part]) -> String {
    parts.iter().map(Part::markdown).collect::<Vec<_>>().join("\n")
}
