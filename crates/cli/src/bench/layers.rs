use std::collections::HashMap;

use anyhow::Result;
use detrace_flops::{Kind, Op};
use detrace_nn::Recorded;
use detrace_report::Layer;

use super::summary::median;

/// Times of every layer in every timed forward pass.
#[derive(Debug, Default)]
pub(super) struct Layers {
    rows: Vec<Row>,
    index: HashMap<String, usize>,
    passes: usize,
}

#[derive(Debug)]
struct Row {
    last: Op,
    calls: u64,
    /// Seconds of all calls, pass by pass.
    times: Vec<f64>,
}

impl Layers {
    /// Adds what a recorder heard of one forward pass.
    pub(super) fn add(&mut self, recorded: &Recorded) {
        self.passes += 1;
        let glue_ns = recorded.blocks.iter().map(|block| block.glue_ns).sum();
        let glue = Kind::from_name("glue");
        let glue = Op { time_ns: glue_ns, ..Op::new(Layer::GLUE.to_owned(), glue, "", Vec::new(), Vec::new()) };
        for op in recorded.ops.iter().chain([&glue]).filter(|op| op.fused_into.is_none()) {
            let at = *self.index.entry(op.path.clone()).or_insert_with(|| {
                self.rows.push(Row { last: op.clone(), calls: 0, times: Vec::new() });
                self.rows.len() - 1
            });
            let row = &mut self.rows[at];
            row.times.resize(self.passes, 0.0);
            row.times[self.passes - 1] += op.time_ns as f64 * 1e-9;
            row.calls += 1;
            row.last = op.clone();
        }
    }

    /// Every layer's median time, in the order of first calls; what is in no operation comes last. `forward` is the
    /// median forward pass.
    pub(super) fn medians(self, forward: f64) -> Result<Vec<Layer>> {
        let passes = self.passes as u64;
        let row = |Row { last, calls, times }: Row| {
            let (time, input) = (median(&times)?, last.input().to_vec());
            let (calls, share) = (calls / passes.max(1), time / forward);
            Ok(Layer { path: last.path, kind: last.kind, calls, input, output: last.output, time, share })
        };
        self.rows.into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use detrace_flops::Block;

    use super::*;

    fn op(path: &str, time_ns: u64) -> Op {
        Op { time_ns, ..Op::new(path.into(), Kind::Relu, "", vec![vec![1, 4]], vec![1, 4]) }
    }

    #[test]
    fn calls_are_added_within_a_pass_and_medians_taken_over_passes() {
        let mut layers = Layers::default();
        for (twice, once, glue_ns) in [(1, 100, 7), (3, 10, 5), (2, 40, 9)] {
            let fused = Op { fused_into: Some("once".into()), ..op("act", 0) };
            let ops = vec![op("twice", twice), op("once", once), fused, op("twice", 10)];
            let block = Block { path: String::new(), calls: 1, time_ns: 200, glue_ns };
            layers.add(&Recorded { ops, blocks: vec![block.clone(), Block { glue_ns: 1, ..block }] });
        }
        let rows = layers.medians(1e-7).expect("rows");
        let got: Vec<_> = rows.iter().map(|row| (row.path.as_str(), row.calls, (row.time * 1e9).round())).collect();
        assert_eq!(got, [("twice", 2, 12.0), ("once", 1, 40.0), ("#glue", 1, 8.0)]);
        assert!((rows[1].share - 0.4).abs() < 1e-9, "{}", rows[1].share);
    }
}
