//! `paddle.flops(program, print_detail=True)`: the table of `hapi/static_flops.py`. Paddle prints no total below it.

use std::collections::HashMap;

use detrace_flops::{Count, Op, Trace};

use crate::paddle::boxed;

/// Paddle's table of a count of a program under the `paddle-static` convention: operations that count, in the program's
/// order, and the names of convolutions' weights.
pub fn paddle_static_table(count: &Count, trace: &Trace) -> String {
    let of_program = trace.ops.iter().filter(|op| op.program.is_some());
    let ops: HashMap<&str, &Op> = of_program.map(|op| (op.path.as_str(), op)).collect();
    let mut cells = vec![["OP Type", "Param name", "Flops"].map(str::to_owned)];
    for row in count.rows.iter().filter(|row| row.count > 0) {
        let Some((op, program)) = ops.get(row.path.as_str()).and_then(|op| Some((op, op.program.as_ref()?))) else {
            continue;
        };
        let weight = match program.op.ends_with("conv2d") {
            true => weight_of(program.part_of.as_ref().unwrap_or(&op.path), trace),
            false => String::new(),
        };
        // The product of no dimensions is a float in NumPy.
        let empty = program.op.starts_with("element") && op.input().len() < 2;
        let flops = if empty { "1.0".to_owned() } else { row.count.to_string() };
        cells.push([program.op.clone(), weight, flops]);
    }
    boxed(&cells)
}

/// The weight after which a layer is called: `conv2d_0` has `conv2d_0.w_0`.
fn weight_of(layer: &str, trace: &Trace) -> String {
    let weight =
        trace.params.iter().find(|param| param.name.contains(".w_0") && param.name.replacen(".w_0", "", 1) == layer);
    weight.map_or_else(|| layer.to_owned(), |param| param.name.clone())
}
