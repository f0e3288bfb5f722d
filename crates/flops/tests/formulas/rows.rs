//! Products, norms and functions over rows, as plain loops.

use crate::array::Array;
use crate::number::Number;

/// `x`: […, in]; `weight`: out, in; `bias`: out.
pub(crate) fn linear(x: &Array, weight: &Array, bias: Option<&Array>) -> Array {
    let &[outs, _] = weight.shape() else { panic!("a weight is out, in") };
    let shape = [&x.shape()[..x.shape().len() - 1], &[outs]].concat();
    let row = |x: &[Number]| {
        (0..outs)
            .map(|out| {
                let mut sum = Number::ZERO;
                for (input, &number) in x.iter().enumerate() {
                    sum += number * weight.get([out, input]);
                }
                if let Some(bias) = bias {
                    sum += bias.get([out]);
                }
                sum
            })
            .collect()
    };
    Array::from_rows(&shape, x.rows().map(row))
}

/// Every query's dot product with every key. `q`: N, heads, Q, D; `k`: N, heads, K, D; result: N, heads, Q, K.
pub(crate) fn scores(q: &Array, k: &Array) -> Array {
    let &[batch, heads, queries, dim] = q.shape() else { panic!("queries are N, heads, Q, D") };
    let keys = k.shape()[2];
    let mut scores = Array::filled(&[batch, heads, queries, keys], Number::ZERO);
    for n in 0..batch {
        for head in 0..heads {
            for query in 0..queries {
                for key in 0..keys {
                    let mut sum = Number::ZERO;
                    for d in 0..dim {
                        sum += q.get([n, head, query, d]) * k.get([n, head, key, d]);
                    }
                    scores.set([n, head, query, key], sum);
                }
            }
        }
    }
    scores
}

/// Values added up by weight. `weights`: N, heads, Q, K; `v`: N, heads, K, E; result: N, heads, Q, E.
pub(crate) fn mix(weights: &Array, v: &Array) -> Array {
    let &[batch, heads, queries, keys] = weights.shape() else { panic!("weights are N, heads, Q, K") };
    let dim = v.shape()[3];
    let mut mixed = Array::filled(&[batch, heads, queries, dim], Number::ZERO);
    for n in 0..batch {
        for head in 0..heads {
            for query in 0..queries {
                for d in 0..dim {
                    let mut sum = Number::ZERO;
                    for key in 0..keys {
                        sum += weights.get([n, head, query, key]) * v.get([n, head, key, d]);
                    }
                    mixed.set([n, head, query, d], sum);
                }
            }
        }
    }
    mixed
}

/// Softmax of each row, without overflow.
pub(crate) fn softmax(x: &Array) -> Array {
    let row = |x: &[Number]| {
        let mut largest = Number::MINUS_INFINITY;
        for &number in x {
            largest = largest.max(number);
        }
        let powers: Vec<Number> = x.iter().map(|&number| (number - largest).exp()).collect();
        let mut sum = Number::ZERO;
        for &power in &powers {
            sum += power;
        }
        powers.iter().map(|&power| power / sum).collect()
    };
    Array::from_rows(x.shape(), x.rows().map(row))
}

/// Layer norm of each row (Ba et al. 2016), with ε 1e-5.
pub(crate) fn layer_norm(x: &Array, weight: &Array, bias: &Array) -> Array {
    let row = |x: &[Number]| {
        let size = Number::from(x.len() as f64);
        let mut sum = Number::ZERO;
        for &number in x {
            sum += number;
        }
        let mean = sum / size;
        let centred: Vec<Number> = x.iter().map(|&number| number - mean).collect();
        let mut squares = Number::ZERO;
        for &number in &centred {
            squares += number * number;
        }
        let scale = (squares / size + Number::from(1e-5)).rsqrt();
        centred.iter().enumerate().map(|(at, &number)| number * scale * weight.get([at]) + bias.get([at])).collect()
    };
    Array::from_rows(x.shape(), x.rows().map(row))
}

/// Batch norm at inference: N, C, H, W; a scale and a shift per channel.
pub(crate) fn batch_norm(x: &Array, scale: &Array, shift: &Array) -> Array {
    let &[batch, channels, height, width] = x.shape() else { panic!("an image is N, C, H, W") };
    let mut y = x.clone();
    for n in 0..batch {
        for c in 0..channels {
            for row in 0..height {
                for column in 0..width {
                    y.set([n, c, row, column], x.get([n, c, row, column]) * scale.get([c]) + shift.get([c]));
                }
            }
        }
    }
    y
}

/// 1 / (1 + e^−x).
pub(crate) fn sigmoid(x: Number) -> Number {
    Number::from(1.0) / (Number::from(1.0) + (-x).exp())
}

/// log(x / (1 − x)) of x in 0 … 1, both parts of the fraction at least 1e-5.
pub(crate) fn inverse_sigmoid(x: Number) -> Number {
    let least = Number::from(1e-5);
    let x = x.max(Number::ZERO).min(Number::from(1.0));
    let rest = Number::from(1.0) - x;
    (x.max(least) / rest.max(least)).ln()
}

/// x · sigmoid(x).
pub(crate) fn silu(x: Number) -> Number {
    x * sigmoid(x)
}

/// x · Φ(x), with the normal distribution from the error function.
pub(crate) fn gelu(x: Number) -> Number {
    let twice = (x / Number::from(std::f64::consts::SQRT_2)).erf() + Number::from(1.0);
    twice * x * Number::from(0.5)
}

/// max(x, 0).
pub(crate) fn relu(x: Number) -> Number {
    x.max(Number::ZERO)
}

/// The largest of each row.
pub(crate) fn max_last(x: &Array) -> Array {
    let row = |x: &[Number]| {
        let mut largest = Number::MINUS_INFINITY;
        for &number in x {
            largest = largest.max(number);
        }
        vec![largest]
    };
    Array::from_rows(&x.shape()[..x.shape().len() - 1], x.rows().map(row))
}

/// The `k` largest of each row, by taking the largest of what is left again and again.
pub(crate) fn top_k(x: &Array, k: usize) -> Array {
    let row = |x: &[Number]| {
        let mut left: Vec<Number> = x.to_vec();
        let mut best = Vec::new();
        for _ in 0..k {
            let (mut largest, mut at) = (Number::MINUS_INFINITY, 0);
            for (index, &number) in left.iter().enumerate() {
                if number.greater(largest) {
                    (largest, at) = (number, index);
                }
            }
            best.push(left.remove(at));
        }
        best
    };
    let shape = [&x.shape()[..x.shape().len() - 1], &[k]].concat();
    Array::from_rows(&shape, x.rows().map(row))
}
