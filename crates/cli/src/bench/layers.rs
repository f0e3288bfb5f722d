use std::collections::HashMap;

use anyhow::Result;
use detrace_flops::{Kind, Op};
use detrace_nn::Recorded;
use detrace_report::{Layer, Operations};

use super::summary::{median, summary};

/// Times of every layer in every timed forward pass.
#[derive(Debug, Default)]
pub(super) struct Layers {
    rows: Vec<Row>,
    index: HashMap<String, usize>,
    /// Seconds of all operations, pass by pass.
    operations: Vec<f64>,
    /// Seconds of the forward pass less those, pass by pass.
    between: Vec<f64>,
}

#[derive(Debug)]
struct Row {
    last: Op,
    calls: u64,
    /// Seconds of all calls, pass by pass.
    times: Vec<f64>,
}

impl Layers {
    /// Adds what a recorder heard of one forward pass, which took `forward` seconds.
    pub(super) fn add(&mut self, recorded: &Recorded, forward: f64) {
        let pass = self.operations.len();
        let mut operations = 0.0;
        for op in recorded.ops.iter().filter(|op| op.fused_into.is_none()) {
            let at = *self.index.entry(op.path.clone()).or_insert_with(|| {
                self.rows.push(Row { last: op.clone(), calls: 0, times: Vec::new() });
                self.rows.len() - 1
            });
            let row = &mut self.rows[at];
            let time = op.time_ns as f64 * 1e-9;
            row.times.resize(pass + 1, 0.0);
            row.times[pass] += time;
            row.calls += 1;
            row.last = op.clone();
            operations += time;
        }
        self.operations.push(operations);
        self.between.push(forward - operations);
    }

    /// Every layer's median time, in the order of first calls; what is in no operation comes last. `forward` is the
    /// median forward pass.
    pub(super) fn medians(&self, forward: f64) -> Result<Vec<Layer>> {
        let passes = self.operations.len() as u64;
        let row = |Row { last, calls, times }: &Row| {
            let (time, input) = (median(times)?, last.input().to_vec());
            let (calls, share) = (calls / passes.max(1), time / forward);
            Ok(Layer {
                path: last.path.clone(),
                kind: last.kind.clone(),
                calls,
                input,
                output: last.output.clone(),
                time,
                share,
            })
        };
        let glue = Op::new(Layer::GLUE.to_owned(), Kind::from_name("glue"), "", Vec::new(), Vec::new());
        let glue = Row { last: glue, calls: passes, times: self.between.clone() };
        self.rows.iter().chain([&glue]).map(row).collect()
    }

    /// The operations together, as means, which add up to the mean forward pass.
    pub(super) fn operations(&self) -> Result<Operations> {
        let (time, between) = (summary(&self.operations)?.mean, summary(&self.between)?.mean);
        Ok(Operations { time, between, between_share: between / (time + between) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(path: &str, time_ns: u64) -> Op {
        Op { time_ns, ..Op::new(path.into(), Kind::Relu, "", vec![vec![1, 4]], vec![1, 4]) }
    }

    #[test]
    fn calls_are_added_within_a_pass_and_medians_taken_over_passes() {
        let mut layers = Layers::default();
        for (twice, once, forward) in [(1, 100, 119e-9), (3, 10, 29e-9), (2, 40, 62e-9)] {
            let fused = Op { fused_into: Some("once".into()), ..op("act", 0) };
            let ops = vec![op("twice", twice), op("once", once), fused, op("twice", 10)];
            layers.add(&Recorded { ops, blocks: Vec::new() }, forward);
        }
        let rows = layers.medians(1e-7).expect("rows");
        let got: Vec<_> = rows.iter().map(|row| (row.path.as_str(), row.calls, (row.time * 1e9).round())).collect();
        assert_eq!(got, [("twice", 2, 12.0), ("once", 1, 40.0), ("#glue", 1, 8.0)]);
        assert!((rows[1].share - 0.4).abs() < 1e-9, "{}", rows[1].share);
        // 111, 23 and 52 ns of 119, 29 and 62: 62 and 8 on average.
        let Operations { time, between, between_share } = layers.operations().expect("passes");
        assert!((time - 62e-9).abs() < 1e-12 && (between - 8e-9).abs() < 1e-12, "{time} {between}");
        assert!((between_share - 8.0 / 70.0).abs() < 1e-4, "{between_share}");
    }
}
