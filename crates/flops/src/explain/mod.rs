//! Why a convention's figures are not those of `full`: differences as sums of named terms.

mod counts;
mod params;

pub use counts::{Explained, explain};
pub use params::{Buffer, Holding, Holdings, ParamTerms, Sort, explain_params, holdings, other_buffers};

/// A named part of a difference.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Term {
    /// What it is.
    pub term: &'static str,
    /// How much of it the convention has more than `full`, in the convention's unit; negative for less.
    pub count: i128,
}

/// Sums terms by name, in the order in which names first come.
#[derive(Default)]
struct Terms(Vec<Term>);

impl Terms {
    fn add(&mut self, term: &'static str, count: i128) {
        match self.0.iter_mut().find(|known| known.term == term) {
            Some(known) => known.count += count,
            None => self.0.push(Term { term, count }),
        }
    }

    /// Those that are not 0, the largest first.
    fn ordered(mut self) -> Vec<Term> {
        self.0.retain(|term| term.count != 0);
        self.0.sort_by_key(|term| std::cmp::Reverse(term.count.unsigned_abs()));
        self.0
    }
}
