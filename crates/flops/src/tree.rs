use std::collections::HashMap;

use crate::{Count, Row};

/// Rows of one block added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The block's dotted name.
    pub path: String,
    /// Count in the convention's unit.
    pub count: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Floating point operations.
    pub flops: u64,
    /// Parameters of the operations inside.
    pub params: u64,
    /// Time of the operations inside in nanoseconds.
    pub time_ns: u64,
}

impl Group {
    fn add(&mut self, row: &Row) {
        self.count += row.count;
        self.macs += row.macs;
        self.flops += row.flops;
        self.params += row.params;
        self.time_ns = self.time_ns.saturating_add(row.time_ns);
    }
}

/// Adds rows up by the block that `block_of` names, in the order in which blocks first appear. Every row is in exactly
/// one group, so groups add up to the total.
pub fn group_by_block(count: &Count, block_of: impl Fn(&Row) -> String) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for row in &count.rows {
        let path = block_of(row);
        let at = *index.entry(path.clone()).or_insert_with(|| {
            groups.push(Group { path, ..Group::default() });
            groups.len() - 1
        });
        groups[at].add(row);
    }
    groups
}
