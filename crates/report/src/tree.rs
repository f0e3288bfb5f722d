use std::collections::BTreeMap;

use comfy_table::Table;
use detrace_flops::{Count, Row};

use crate::table::{milliseconds, table, timed};
use crate::{Rename, shown, thousands};

/// A module with everything below it.
#[derive(Default)]
struct Node {
    count: u64,
    flops: u64,
    params: u64,
    time_ns: u64,
    order: usize,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn add(&mut self, names: &[&str], row: &Row, order: usize) {
        self.count += row.count;
        self.flops += row.flops;
        self.params += row.params;
        self.time_ns = self.time_ns.saturating_add(row.time_ns);
        if let Some((first, rest)) = names.split_first() {
            let child = self.children.entry((*first).to_owned()).or_insert_with(|| Node { order, ..Node::default() });
            child.add(rest, row, order);
        }
    }

    fn rows(&self, name: &str, prefix: &str, (full, timed): (bool, bool), table: &mut Table) {
        let mut cells = vec![format!("{prefix}{name}"), thousands(self.count)];
        if full {
            cells.push(thousands(self.flops));
        }
        cells.push(thousands(self.params));
        if timed {
            cells.push(milliseconds(self.time_ns));
        }
        table.add_row(cells);
        let mut children: Vec<(&String, &Node)> = self.children.iter().collect();
        children.sort_by_key(|(_, child)| child.order);
        for (name, child) in children {
            child.rows(name, &format!("{prefix}  "), (full, timed), table);
        }
    }
}

/// The modules as a tree, each with the sum of what is below it. An operation of a block is a leaf named `#role`.
pub fn tree(count: &Count, rename: Rename<'_>) -> String {
    let mut root = Node::default();
    for (order, row) in count.rows.iter().enumerate() {
        let path = shown(&row.path, rename);
        let (module, role) = path.split_once('#').unwrap_or((&path, ""));
        let role = format!("#{role}");
        let mut names: Vec<&str> = module.split('.').filter(|name| !name.is_empty()).collect();
        if role.len() > 1 {
            names.push(&role);
        }
        root.add(&names, row, order);
    }
    let full = count.convention == "full";
    let counted = format!("{}s", count.unit);
    let flops: &[&str] = if full { &["FLOPs"] } else { &[] };
    let time: &[&str] = if timed(count) { &["ms"] } else { &[] };
    let mut table = table(&[&["module", &counted], flops, &["params used"], time].concat(), 1);
    root.rows(&count.meta.model, "", (full, timed(count)), &mut table);
    format!("{table}\n")
}
