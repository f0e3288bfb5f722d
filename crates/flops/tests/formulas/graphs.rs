//! Operations that only graph files have, under the names that their importer gives them.

use detrace_flops::{Kind, Op};
use proptest::prelude::*;

use crate::array::Array;
use crate::number::{Number, tally};
use crate::{executed, full, op};

const ONE: Number = Number::whole(1);

fn facts(name: &str, inputs: &[&[usize]], output: &[usize]) -> [Op; 1] {
    [op(Kind::from_name(name), "", inputs, output)]
}

/// A number above or below which nothing goes.
fn clip(x: Number, low: Number, high: Number) -> Number {
    x.max(low).min(high)
}

/// The accumulator of each row after each of its numbers.
fn cumsum(x: &Array) -> Array {
    let rows = x.rows().map(|row| {
        let mut sum = Number::ZERO;
        let step = |&number: &Number| {
            sum += number;
            sum
        };
        row.iter().map(step).collect()
    });
    Array::from_rows(x.shape(), rows)
}

/// One number for each row: `start` and the row's numbers joined, then `finish` of it and the row's length.
fn reduced(
    x: &Array,
    start: Number,
    join: fn(Number, Number) -> Number,
    finish: fn(Number, Number) -> Number,
) -> Array {
    let mut shape = x.shape().to_vec();
    shape.pop();
    let rows =
        x.rows().map(|row| vec![finish(row.iter().fold(start, |all, &one| join(all, one)), Number::whole(row.len()))]);
    Array::from_rows(&shape, rows)
}

fn mean(x: &Array) -> Array {
    reduced(x, Number::ZERO, |sum, number| sum + number, |sum, count| sum / count)
}

fn prod(x: &Array) -> Array {
    reduced(x, ONE, |product, number| product * number, |product, _| product)
}

proptest! {
    #[test]
    fn of_one_number(rows in 1..6usize, columns in 1..6usize) {
        let x = Array::varied(&[rows, columns]);
        for (name, function) in [
            ("exp", Number::exp as fn(Number) -> Number),
            ("log", Number::ln),
            ("sqrt", Number::sqrt),
            ("sin", Number::sin),
            ("cos", Number::cos),
            ("erf", Number::erf),
            ("floor", Number::floor),
            ("ceil", Number::ceil),
            ("round", Number::round),
            ("abs", Number::abs),
            ("neg", |x| -x),
            ("rsqrt", |x| ONE / x.sqrt()),
            ("clip", |x| clip(x, Number::ZERO, ONE)),
            ("scale_and_shift", |x| x * Number::whole(3) + ONE),
        ] {
            let (y, tally) = tally(|| x.map(function));
            prop_assert_eq!(full(&facts(name, &[x.shape()], y.shape())), executed(&tally), "{}", name);
        }
    }

    #[test]
    fn of_two_numbers(rows in 1..6usize, columns in 1..6usize) {
        let (table, row) = (Array::varied(&[rows, columns]), Array::varied(&[columns]));
        let truth = |truth: bool| if truth { ONE } else { Number::ZERO };
        for (name, apply) in [
            ("pow", Number::pow as fn(Number, Number) -> Number),
            ("mod", Number::modulo),
            ("floor_div", Number::floor_div),
            ("max", Number::max),
            ("min", Number::min),
            ("logic", Number::min),
        ] {
            let (y, tally) = tally(|| table.beside(&row, apply));
            // The smaller operand comes first, so that the result's size is not that of the first input.
            prop_assert_eq!(full(&facts(name, &[row.shape(), table.shape()], y.shape())), executed(&tally), "{}", name);
        }
        let (y, tally) = tally(|| table.beside(&row, |a, b| truth(a.greater(b))));
        prop_assert_eq!(full(&facts("compare", &[row.shape(), table.shape()], y.shape())), executed(&tally));
    }

    #[test]
    fn along_an_axis(rows in 1..6usize, columns in 1..9usize) {
        let x = Array::varied(&[rows, columns]);
        for (name, along) in [("mean", mean as fn(&Array) -> Array), ("prod", prod), ("cumsum", cumsum)] {
            let (y, tally) = tally(|| along(&x));
            prop_assert_eq!(full(&facts(name, &[x.shape()], y.shape())), executed(&tally), "{}", name);
        }
    }
}

/// The loops compute what they are named for.
#[test]
fn loops_are_right() {
    let x = Array::from_values(&[2, 2], &[1.0, 3.0, -2.0, 5.0]);
    assert_eq!(mean(&x).values(), [2.0, 1.5]);
    assert_eq!(prod(&x).values(), [3.0, -10.0]);
    assert_eq!(cumsum(&x).values(), [1.0, 4.0, -2.0, 3.0]);
    assert_eq!(x.map(|x| clip(x, Number::ZERO, ONE)).values(), [1.0, 1.0, 0.0, 1.0]);
}
