use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Kind, Op, Standing, View};

/// Arithmetic of one call of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiplications whose product is accumulated.
    pub macs: u64,
    /// Multiplications, additions, divisions, comparisons and transcendentals, a MAC being two.
    pub flops: u64,
}

impl Work {
    /// `macs` multiply-accumulates and nothing else.
    pub const fn macs(macs: u64) -> Work {
        Work { macs, flops: 2 * macs }
    }

    /// Twice as much.
    pub const fn twice(self) -> Work {
        Work { macs: 2 * self.macs, flops: 2 * self.flops }
    }

    /// The number in that unit.
    pub const fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Mac => self.macs,
            Unit::Flop => self.flops,
        }
    }

    /// `flops` operations of which none is a multiply-accumulate.
    pub const fn flops(flops: u64) -> Work {
        Work { macs: 0, flops }
    }

    /// `self` with `flops` more operations.
    pub const fn plus(self, flops: u64) -> Work {
        Work { macs: self.macs, flops: self.flops + flops }
    }

    /// A count in the tool's own unit, for tools that do not tell MACs from FLOPs.
    pub const fn units(count: u64) -> Work {
        Work { macs: count, flops: count }
    }
}

/// What a convention's total is a number of, as the tool it mirrors prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Multiply-accumulates (many tools call them "FLOPs").
    Mac,
    /// Floating point operations, two to a multiply-accumulate.
    Flop,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Unit::Mac => "MAC",
            Unit::Flop => "FLOP",
        })
    }
}

/// What a convention does with a kind of operation that it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Counts it.
    Count(Work),
    /// Counts it twice: the module's hook and the patched function that the module calls both do.
    Twice(Work),
    /// Declares it to be worth nothing.
    Zero,
    /// Leaves it out without a word.
    Ignore,
    /// Has no rule for it. Loud: it is listed, and `--strict` fails on it.
    Unknown,
}

/// What became of an operation under a convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Counted.
    Counted,
    /// Declared zero.
    Zero,
    /// Left out by the tool without a word.
    Ignored,
    /// The tool's hooks cannot see it.
    Invisible,
    /// There is no rule for it.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Counted => "counted",
            Verdict::Zero => "zero",
            Verdict::Ignored => "ignored",
            Verdict::Invisible => "invisible",
            Verdict::Unknown => "unknown",
        })
    }
}

/// One counting tool's rules, as a table.
pub struct Convention {
    /// Name on the command line.
    pub name: &'static str,
    /// What its total is a number of.
    pub unit: Unit,
    /// One line for people.
    pub about: &'static str,
    /// The tool and version whose rules these are.
    pub mirrors: &'static str,
    /// Whether the tool sees an operation at all.
    pub sees: fn(&Op, &View<'_>) -> bool,
    /// What it does with what it sees.
    pub rule: fn(&Op, &View<'_>) -> Rule,
    /// Whether it is a tool for PyTorch, which counts what a [`Framework`](crate::Framework) does and owns, or counts what
    /// the trace holds.
    pub of_torch: bool,
    /// Whether it counts a graph file's operations one by one, rather than what they are parts of. It makes a difference
    /// only to traces that were read from a graph file.
    pub of_programs: bool,
    /// Which parameter tensors are parameters to it.
    pub is_param: fn(Standing) -> bool,
    /// Whether its parameter total is over called, visible operations only, or over all that the model owns.
    pub params_of_called_only: bool,
    /// What it adds to its parameter total over and above that, by a mistake of its own.
    pub params_besides: fn(&View<'_>) -> Vec<Besides>,
}

/// Parameters that a tool counts again or loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Besides {
    /// Which ones, and why.
    pub what: &'static str,
    /// How many; negative where they are lost.
    pub params: i64,
}

impl Convention {
    /// The convention with that name.
    pub fn by_name(name: &str) -> Option<&'static Convention> {
        crate::conventions::ALL.iter().copied().find(|convention| convention.name == name)
    }
}

impl fmt::Debug for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Convention").field("name", &self.name).field("unit", &self.unit).finish_non_exhaustive()
    }
}

/// A user's rule for one kind: the count of one call in the convention's own unit, or why there is none.
pub type CustomRule = Box<dyn Fn(&Op) -> Result<u64, String> + Send + Sync>;

/// Rules of a user's own; each replaces or adds one row of a convention's table.
#[derive(Default)]
pub struct CustomOps {
    rules: BTreeMap<Kind, CustomRule>,
}

impl CustomOps {
    /// No rules.
    pub fn new() -> CustomOps {
        CustomOps::default()
    }

    /// Adds a rule for a kind. A second rule for the same kind is an error, returned as the kind.
    pub fn add(&mut self, kind: Kind, rule: impl Fn(&Op) -> u64 + Send + Sync + 'static) -> Result<(), Kind> {
        self.add_fallible(kind, move |op| Ok(rule(op)))
    }

    /// The same for a rule that can fail, which makes counting fail.
    pub fn add_fallible(
        &mut self,
        kind: Kind,
        rule: impl Fn(&Op) -> Result<u64, String> + Send + Sync + 'static,
    ) -> Result<(), Kind> {
        if self.rules.contains_key(&kind) {
            return Err(kind);
        }
        self.rules.insert(kind, Box::new(rule));
        Ok(())
    }

    /// The kinds that have a rule.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.rules.keys()
    }

    /// The rule for a kind.
    pub fn get(&self, kind: &Kind) -> Option<&CustomRule> {
        self.rules.get(kind)
    }
}

impl fmt::Debug for CustomOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rules.keys()).finish()
    }
}
