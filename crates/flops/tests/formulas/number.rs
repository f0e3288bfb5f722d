//! A number that counts what is done to it.

use std::cell::Cell;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// What was done to numbers, each kind apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Multiplications.
    pub(crate) muls: u64,
    /// Additions, subtractions and negations.
    pub(crate) adds: u64,
    /// Divisions.
    pub(crate) divs: u64,
    /// Comparisons.
    pub(crate) comparisons: u64,
    /// Exponentials, logarithms, roots, powers, sines, error functions, absolute values, remainders, and roundings to whole numbers.
    pub(crate) functions: u64,
    /// Of the multiplications, those whose product was accumulated: the right side of `+=`.
    pub(crate) accumulated: u64,
}

impl Tally {
    /// Everything, one each.
    pub(crate) fn flops(&self) -> u64 {
        self.muls + self.adds + self.divs + self.comparisons + self.functions
    }
}

thread_local! {
    static TALLY: Cell<Tally> = const {
        Cell::new(Tally { muls: 0, adds: 0, divs: 0, comparisons: 0, functions: 0, accumulated: 0 })
    };
}

/// One more of something.
fn note(of: fn(&mut Tally) -> &mut u64) {
    let mut tally = TALLY.get();
    *of(&mut tally) += 1;
    TALLY.set(tally);
}

/// Runs something and says what it did to numbers.
pub(crate) fn tally<T>(run: impl FnOnce() -> T) -> (T, Tally) {
    TALLY.set(Tally::default());
    let result = run();
    (result, TALLY.get())
}

/// A real number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    value: f64,
    product: bool,
}

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        Number { value, product: false }
    }
}

impl Number {
    pub(crate) const ZERO: Number = Number { value: 0.0, product: false };
    pub(crate) const MINUS_INFINITY: Number = Number { value: f64::NEG_INFINITY, product: false };

    /// A whole number; nothing is counted.
    pub(crate) const fn whole(value: usize) -> Number {
        Number { value: value as f64, product: false }
    }

    /// Its value, for looking at results; nothing is counted.
    pub(crate) fn value(self) -> f64 {
        self.value
    }

    fn function(self, apply: impl FnOnce(f64) -> f64) -> Number {
        note(|tally| &mut tally.functions);
        apply(self.value).into()
    }

    pub(crate) fn exp(self) -> Number {
        self.function(f64::exp)
    }

    pub(crate) fn ln(self) -> Number {
        self.function(f64::ln)
    }

    pub(crate) fn sin(self) -> Number {
        self.function(f64::sin)
    }

    pub(crate) fn cos(self) -> Number {
        self.function(f64::cos)
    }

    pub(crate) fn floor(self) -> Number {
        self.function(f64::floor)
    }

    pub(crate) fn ceil(self) -> Number {
        self.function(f64::ceil)
    }

    pub(crate) fn round(self) -> Number {
        self.function(f64::round_ties_even)
    }

    pub(crate) fn sqrt(self) -> Number {
        self.function(f64::sqrt)
    }

    pub(crate) fn pow(self, power: Number) -> Number {
        self.function(|x| x.powf(power.value))
    }

    /// The remainder of a division.
    pub(crate) fn modulo(self, other: Number) -> Number {
        self.function(|x| x.rem_euclid(other.value))
    }

    pub(crate) fn floor_div(self, other: Number) -> Number {
        self.function(|x| x.div_euclid(other.value))
    }

    pub(crate) fn abs(self) -> Number {
        self.function(f64::abs)
    }

    /// 1 / √x.
    pub(crate) fn rsqrt(self) -> Number {
        self.function(|x| x.sqrt().recip())
    }

    /// Error function (Abramowitz & Stegun, 7.1.26; within 1.5e-7).
    pub(crate) fn erf(self) -> Number {
        self.function(|x| {
            let t = 1.0 / (1.0 + 0.3275911 * x.abs());
            let series = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
            let sum = series.iter().fold(0.0, |sum, term| (sum + term) * t);
            (1.0 - sum * (-x * x).exp()).copysign(x)
        })
    }

    /// The larger of both: one comparison.
    pub(crate) fn max(self, other: Number) -> Number {
        if self.greater(other) { self } else { other }
    }

    /// The smaller of both: one comparison.
    pub(crate) fn min(self, other: Number) -> Number {
        if self.greater(other) { other } else { self }
    }

    /// Whether it is the larger one.
    pub(crate) fn greater(self, other: Number) -> bool {
        note(|tally| &mut tally.comparisons);
        self.value > other.value
    }
}

impl Add for Number {
    type Output = Number;
    fn add(self, other: Number) -> Number {
        note(|tally| &mut tally.adds);
        (self.value + other.value).into()
    }
}

impl Sub for Number {
    type Output = Number;
    fn sub(self, other: Number) -> Number {
        note(|tally| &mut tally.adds);
        (self.value - other.value).into()
    }
}

impl Neg for Number {
    type Output = Number;
    fn neg(self) -> Number {
        note(|tally| &mut tally.adds);
        (-self.value).into()
    }
}

impl Mul for Number {
    type Output = Number;
    fn mul(self, other: Number) -> Number {
        note(|tally| &mut tally.muls);
        Number { value: self.value * other.value, product: true }
    }
}

impl Div for Number {
    type Output = Number;
    fn div(self, other: Number) -> Number {
        note(|tally| &mut tally.divs);
        (self.value / other.value).into()
    }
}

impl AddAssign for Number {
    fn add_assign(&mut self, other: Number) {
        note(|tally| &mut tally.adds);
        if other.product {
            note(|tally| &mut tally.accumulated);
        }
        *self = (self.value + other.value).into();
    }
}
