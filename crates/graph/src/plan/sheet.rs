//! The sheet of paper: operations, parameters and modules in the order in which they are written down.

use std::fmt::Display;

use detrace_flops::{Kind, Meta, Op, Param, SCHEMA, Structure, Trace};

/// A feature map: N, C, H, W.
pub(super) type Map = [usize; 4];
/// A sequence of tokens: N, L, C.
pub(super) type Tokens = [usize; 3];

/// The dotted name of `name` inside the block `block`.
pub(super) fn inside(block: &str, name: impl Display) -> String {
    if block.is_empty() { name.to_string() } else { format!("{block}.{name}") }
}

/// What has been written down so far.
pub(super) struct Sheet {
    pub(super) structure: Structure,
    ops: Vec<Op>,
    params: Vec<Param>,
    modules: Vec<String>,
}

impl Sheet {
    pub(super) fn new(structure: Structure) -> Sheet {
        Sheet { structure, ops: Vec::new(), params: Vec::new(), modules: Vec::new() }
    }

    /// A module is made, with these parameters.
    pub(super) fn own(&mut self, module: &str, params: &[Param]) {
        self.modules.push(module.to_owned());
        self.params.extend(params.iter().map(|param| Param { name: inside(module, &param.name), ..param.clone() }));
    }

    /// A module does what it is there for.
    pub(super) fn call(&mut self, module: &str, kind: Kind, inputs: &[&[usize]], output: &[usize]) -> &mut Op {
        self.write(module.to_owned(), kind, "", inputs, output)
    }

    /// A block does something by itself.
    pub(super) fn step(
        &mut self,
        block: &str,
        role: &str,
        kind: Kind,
        inputs: &[&[usize]],
        output: &[usize],
    ) -> &mut Op {
        self.write(format!("{block}#{role}"), kind, role, inputs, output)
    }

    /// `a + b`, where `b` is broadcast to `a`.
    pub(super) fn add(&mut self, block: &str, role: &str, a: &[usize], b: &[usize]) {
        self.step(block, role, Kind::Add, &[a, b], a);
    }

    /// An operation whose result has its input's shape.
    pub(super) fn map(&mut self, block: &str, role: &str, kind: Kind, x: &[usize]) {
        self.step(block, role, kind, &[x], x);
    }

    /// What `write` writes down is done by the kernel of the operation `kernel`.
    pub(super) fn fused(&mut self, kernel: &str, write: impl FnOnce(&mut Sheet)) {
        let first = self.ops.len();
        write(self);
        for op in &mut self.ops[first..] {
            op.fused_into = Some(kernel.to_owned());
        }
    }

    /// Maps of one size side by side, where the structure does not leave them in their places.
    pub(super) fn concat_channels(&mut self, block: &str, role: &str, parts: &[Map]) -> Map {
        let [batch, _, height, width] = parts[0];
        let joined = [batch, parts.iter().map(|part| part[1]).sum(), height, width];
        if self.structure == Structure::Fast {
            return joined;
        }
        let parts: Vec<&[usize]> = parts.iter().map(<[usize; 4]>::as_slice).collect();
        self.step(block, role, Kind::Concat, &parts, &joined);
        joined
    }

    fn write(&mut self, path: String, kind: Kind, role: &str, inputs: &[&[usize]], output: &[usize]) -> &mut Op {
        let at = self.ops.len();
        let inputs = inputs.iter().map(|shape| shape.to_vec()).collect();
        self.ops.push(Op::new(path, kind, role, inputs, output.to_vec()));
        &mut self.ops[at]
    }

    pub(super) fn into_trace(self, meta: Meta) -> Trace {
        let Sheet { ops, params, modules, .. } = self;
        Trace { schema: SCHEMA, meta, ops, blocks: Vec::new(), params, modules }
    }
}
