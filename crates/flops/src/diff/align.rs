//! Joining by what operations compute: for each kind, pairs that keep the order.

use std::collections::{HashMap, HashSet};

use super::explain::{Heads, Reason};
use super::key::{self, Key};
use super::{Agreement, Call, DiffRow, is_product};
use crate::{Kind, Op};

/// The most cells of the table of a longest common subsequence, which bounds time and memory.
const MAX_CELLS: usize = 1 << 22;
/// The most operations that an exporter makes of one, or one of several.
const MAX_PARTS: usize = 8;

/// Joins what does the same work, then what was split or merged, then what can stand for the same layer on other shapes.
/// The rest is given back, in order.
pub(super) fn align<'a>(
    here: Vec<Call<'a>>,
    there: Vec<Call<'a>>,
    mut heads: Heads,
    rows: &mut Vec<DiffRow<'a>>,
) -> (Vec<Call<'a>>, Vec<Call<'a>>) {
    let mut kinds: Vec<&Kind> = Vec::new();
    let mut of_kind: HashMap<&Kind, Rest<'a>> = HashMap::new();
    for (is_here, call) in here.iter().map(|call| (true, call)).chain(there.iter().map(|call| (false, call))) {
        let rest = of_kind.entry(&call.op.kind).or_insert_with(|| {
            kinds.push(&call.op.kind);
            Rest::default()
        });
        if is_here { &mut rest.here } else { &mut rest.there }.push(*call);
    }
    let (mut rest_here, mut rest_there) = (Vec::new(), Vec::new());
    for kind in kinds {
        let Some(mut rest) = of_kind.remove(kind) else { continue };
        rest.pair_in_order(key::exact, rows);
        rest.pair_anywhere(key::exact, rows);
        if is_product(kind) {
            rest.name_heads(&mut heads, rows);
            rest.sum_up(rows);
            rest.pair_in_order(key::layer, rows);
            rest.pair_in_order(key::result, rows);
        }
        rest_here.append(&mut rest.here);
        rest_there.append(&mut rest.there);
    }
    rest_here.sort_by_key(|call| call.at);
    rest_there.sort_by_key(|call| call.at);
    (rest_here, rest_there)
}

/// The calls of one kind that are not joined yet.
#[derive(Default)]
struct Rest<'a> {
    here: Vec<Call<'a>>,
    there: Vec<Call<'a>>,
}

impl<'a> Rest<'a> {
    /// Joins the longest sequence of calls with equal keys that both have in the same order.
    fn pair_in_order(&mut self, key: fn(&Op) -> Key, rows: &mut Vec<DiffRow<'a>>) {
        let mut numbers: HashMap<Key, usize> = HashMap::new();
        let mut number = |call: &Call<'a>| {
            let next = numbers.len();
            *numbers.entry(key(call.op)).or_insert(next)
        };
        let left: Vec<usize> = self.here.iter().map(&mut number).collect();
        let right: Vec<usize> = self.there.iter().map(&mut number).collect();
        self.join(&common(&left, &right), rows);
    }

    /// Joins calls with equal keys wherever they stand.
    fn pair_anywhere(&mut self, key: fn(&Op) -> Key, rows: &mut Vec<DiffRow<'a>>) {
        let mut waiting: HashMap<Key, Vec<usize>> = HashMap::new();
        for (at, call) in self.there.iter().enumerate().rev() {
            waiting.entry(key(call.op)).or_default().push(at);
        }
        let mut pairs = Vec::new();
        for (at, call) in self.here.iter().enumerate() {
            if let Some(other) = waiting.get_mut(&key(call.op)).and_then(Vec::pop) {
                pairs.push((at, other));
            }
        }
        self.join(&pairs, rows);
    }

    fn join(&mut self, pairs: &[(usize, usize)], rows: &mut Vec<DiffRow<'a>>) {
        for &(left, right) in pairs {
            let (here, there) = (self.here[left], self.there[right]);
            rows.push(DiffRow::pair(here, there, agreement(&here, &there)));
        }
        let (left, right): (HashSet<usize>, HashSet<usize>) = pairs.iter().copied().unzip();
        keep(&mut self.here, |at| !left.contains(&at));
        keep(&mut self.there, |at| !right.contains(&at));
    }

    /// Takes out what one side does and the other owns the head for.
    fn name_heads(&mut self, heads: &mut Heads, rows: &mut Vec<DiffRow<'a>>) {
        let mut named = |row: DiffRow<'a>, head: String| {
            rows.push(DiffRow { reason: Some(Reason::UncalledHead), note: head, ..row });
        };
        take(
            &mut self.here,
            |op| heads.there.take(op),
            |call, head| {
                named(DiffRow::new(vec![call], vec![], Agreement::OnlyHere), head);
            },
        );
        take(
            &mut self.there,
            |op| heads.here.take(op),
            |call, head| {
                named(DiffRow::new(vec![], vec![call], Agreement::OnlyThere), head);
            },
        );
    }

    /// Joins one call with several behind each other that do its work together, in both directions.
    fn sum_up(&mut self, rows: &mut Vec<DiffRow<'a>>) {
        sum_up(&mut self.here, &mut self.there, |whole, parts| {
            rows.push(DiffRow { reason: Some(Reason::Split), ..DiffRow::new(whole, parts, Agreement::OtherShape) });
        });
        sum_up(&mut self.there, &mut self.here, |whole, parts| {
            rows.push(DiffRow { reason: Some(Reason::Split), ..DiffRow::new(parts, whole, Agreement::OtherShape) });
        });
    }
}

fn take<'a>(
    calls: &mut Vec<Call<'a>>,
    mut head: impl FnMut(&Op) -> Option<String>,
    mut found: impl FnMut(Call<'a>, String),
) {
    calls.retain(|call| match head(call.op) {
        Some(head) => {
            found(*call, head);
            false
        }
        None => true,
    });
}

fn keep(calls: &mut Vec<Call<'_>>, wanted: impl Fn(usize) -> bool) {
    let mut at = 0;
    calls.retain(|_| {
        at += 1;
        wanted(at - 1)
    });
}

fn sum_up<'a>(
    wholes: &mut Vec<Call<'a>>,
    parts: &mut Vec<Call<'a>>,
    mut found: impl FnMut(Vec<Call<'a>>, Vec<Call<'a>>),
) {
    if wholes.len().saturating_mul(parts.len()) > MAX_CELLS {
        return;
    }
    wholes.retain(|whole| {
        let mut runs = (0..parts.len()).flat_map(|start| (2..=MAX_PARTS).map(move |length| start..start + length));
        let run = runs.find(|run| parts.get(run.clone()).is_some_and(|run| key::is_sum(whole, run)));
        let Some(run) = run else { return true };
        found(vec![*whole], parts.drain(run).collect());
        false
    });
}

/// How two calls that compute the same, or stand for the same layer, agree.
fn agreement(here: &Call<'_>, there: &Call<'_>) -> Agreement {
    let sizes = |op: &Op| {
        let mut sizes: Vec<u64> = op.params.iter().map(crate::Param::numel).collect();
        sizes.sort_unstable();
        sizes
    };
    if key::weight(here.op) != key::weight(there.op) {
        Agreement::OtherParams
    } else if key::exact(here.op) != key::exact(there.op) {
        Agreement::OtherShape
    } else if sizes(here.op) != sizes(there.op) {
        Agreement::OtherParams
    } else if here.count != there.count || here.work != there.work {
        Agreement::OtherCount
    } else {
        Agreement::Same
    }
}

/// Places of a longest common subsequence. What both begin and end with is found first; where the rest is too long for a
/// table, that is all.
fn common(left: &[usize], right: &[usize]) -> Vec<(usize, usize)> {
    let begin = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let (a, b) = (&left[begin..], &right[begin..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let mut pairs: Vec<(usize, usize)> = (0..begin).map(|at| (at, at)).collect();
    let width = b.len() + 1;
    if (a.len() + 1).saturating_mul(width) <= MAX_CELLS {
        // Of the two tails that start at (i, j), the length of what they have in common.
        let mut lengths = vec![0u32; (a.len() + 1) * width];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                lengths[i * width + j] = if a[i] == b[j] {
                    lengths[(i + 1) * width + j + 1] + 1
                } else {
                    lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() && j < b.len() {
            if a[i] == b[j] {
                pairs.push((begin + i, begin + j));
                (i, j) = (i + 1, j + 1);
            } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
    pairs.extend((0..end).rev().map(|back| (left.len() - 1 - back, right.len() - 1 - back)));
    pairs
}
