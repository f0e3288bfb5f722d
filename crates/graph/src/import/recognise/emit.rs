//! Operations with their names, in order.

use std::collections::{HashMap, HashSet};

use detrace_flops::{Kind, Op, Param, Program, numel};

use super::parts::{Facts, Whole};
use super::simple;
use super::view::View;
use crate::import::ImportError;
use crate::import::ir::{Prim, TensorId};

/// Writes operations down.
pub(super) struct Emitter<'a> {
    view: &'a View<'a>,
    wholes: &'a [Whole],
    roles: &'a [&'static str],
    /// The whole that a node is a part of.
    part_of: HashMap<usize, usize>,
    /// The path of each whole that has been written down.
    paths: HashMap<usize, String>,
    /// Paths in use, and the weight of the module that has one.
    taken: HashMap<String, Option<TensorId>>,
    /// How often a path has been wanted.
    wanted: HashMap<String, usize>,
    ops: Vec<Op>,
    params: Vec<Param>,
    owned: HashSet<TensorId>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(view: &'a View<'a>, wholes: &'a [Whole], roles: &'a [&'static str]) -> Emitter<'a> {
        let parts = wholes.iter().enumerate();
        Emitter {
            view,
            wholes,
            roles,
            part_of: parts.flat_map(|(index, whole)| whole.parts.iter().map(move |&part| (part, index))).collect(),
            paths: HashMap::new(),
            taken: HashMap::new(),
            wanted: HashMap::new(),
            ops: Vec::new(),
            params: Vec::new(),
            owned: HashSet::new(),
        }
    }

    pub(super) fn finish(self) -> (Vec<Op>, Vec<Param>) {
        (self.ops, self.params)
    }

    /// Writes down what a node is; before the first part of a whole, the whole.
    pub(super) fn node(&mut self, index: usize) -> Result<(), ImportError> {
        let view = self.view;
        let part_of = match self.part_of.get(&index).copied() {
            Some(whole) => Some(self.whole(whole)),
            None if view.makes_constants(index) => Some(Program::CONSTANT.to_owned()),
            None if view.is_integer(index) => Some(Program::INTEGER.to_owned()),
            None => None,
        };
        let Some(mut facts) = simple::facts(view, index)? else { return Ok(()) };
        // Moving constants about is nobody's work: it is done once, when the file is loaded.
        let prepared = part_of.as_deref().is_some_and(|path| path == Program::CONSTANT || path == Program::INTEGER);
        if prepared && matches!(facts.kind, Kind::Copy | Kind::Concat | Kind::Gather) {
            return Ok(());
        }
        if !self.roles[index].is_empty() {
            facts.role = self.roles[index];
        }
        let node = view.node(index);
        if let (Prim::Attention { .. }, None) = (&node.prim, &part_of) {
            return self.attention(index, facts);
        }
        let program =
            (!node.op_type.is_empty()).then(|| Program { op: node.op_type.clone(), part_of: part_of.clone() });
        if program.is_none() && part_of.is_some() {
            return Ok(());
        }
        let path = self.own_path(index, &facts);
        self.write(path, &facts, program, part_of.is_none());
        Ok(())
    }

    /// The path of a whole, which is written down if it has not been.
    fn whole(&mut self, index: usize) -> String {
        if let Some(path) = self.paths.get(&index) {
            return path.clone();
        }
        let whole = &self.wholes[index];
        let weight = whole.facts.params.first().map(|(_, id)| *id);
        let path = match self.module(&whole.facts) {
            // A module that is called again has its path again.
            Some(module) if self.taken.get(&module).is_none_or(|owner| owner.is_some() && *owner == weight) => {
                self.taken.insert(module.clone(), weight);
                module
            }
            Some(module) => self.unique(module),
            None => {
                let first = whole.parts.iter().min().copied().unwrap_or_default();
                let place = path_of(self.view.graph.name(self.view.node(first)));
                let block = place.rsplit_once('.').map_or(place.as_str(), |(block, _)| block);
                let what = if whole.facts.role.is_empty() { whole.facts.kind.name() } else { whole.facts.role };
                self.unique(format!("{block}.{what}"))
            }
        };
        self.paths.insert(index, path.clone());
        self.write(path.clone(), &whole.facts, None, true);
        path
    }

    /// Attention in one kernel: its two products and the softmax between them, and then the kernel as the program has it.
    fn attention(&mut self, index: usize, facts: Facts) -> Result<(), ImportError> {
        let Prim::Attention { q_heads, kv_heads, heads_third } = self.view.prim(index) else { return Ok(()) };
        let unfit = || self.view.graph.fault(self.view.node(index), "its inputs are not those of an attention");
        let split = |shape: &[usize], heads: Option<usize>| match (shape, heads) {
            (&[batch, tokens, width], Some(heads)) if heads > 0 => Some([batch, heads, tokens, width / heads]),
            (&[batch, tokens, heads, dim], None) if *heads_third => Some([batch, heads, tokens, dim]),
            (&[batch, heads, tokens, dim], None) => Some([batch, heads, tokens, dim]),
            _ => None,
        };
        let input = |at: usize, heads: Option<usize>| facts.inputs.get(at).and_then(|shape| split(shape, heads));
        let (q, k, v) = (input(0, *q_heads), input(1, *kv_heads), input(2, *kv_heads));
        let ([batch, heads, queries, dim], [_, kv, keys, _], [.., width]) =
            (q.ok_or_else(unfit)?, k.ok_or_else(unfit)?, v.ok_or_else(unfit)?);
        let scores = vec![batch, heads, queries, keys];
        let step = |role, kind, inputs, output: &[usize]| Facts { role, ..Facts::new(kind, inputs, output) };
        let steps = [
            step("scores", Kind::Matmul, vec![vec![batch, heads, queries, dim], vec![batch, kv, dim, keys]], &scores),
            step("softmax", Kind::Softmax, vec![scores.clone()], &scores),
            step(
                "mix",
                Kind::Matmul,
                vec![scores.clone(), vec![batch, kv, keys, width]],
                &[batch, heads, queries, width],
            ),
        ];
        let place = self.own_path(index, &facts);
        for step in &steps {
            let path = self.unique(format!("{place}#{}", step.role));
            self.write(path, step, None, true);
        }
        let op = self.view.node(index).op_type.clone();
        let program = Program { op, part_of: Some(format!("{place}#scores")) };
        self.write(place, &facts, Some(program), false);
        Ok(())
    }

    /// A path for a node, which no other operation has.
    fn own_path(&mut self, index: usize, facts: &Facts) -> String {
        match self.module(facts).filter(|module| !self.taken.contains_key(module)) {
            Some(module) if !self.part_of.contains_key(&index) => self.unique(module),
            _ => {
                let place = path_of(self.view.graph.name(self.view.node(index)));
                self.unique(place)
            }
        }
    }

    /// The name of the module that owns an operation's first parameter, if that is a whole tensor with such a name.
    fn module(&self, facts: &Facts) -> Option<String> {
        let (param, id) = facts.params.first()?;
        let stored = self.view.stored(*id);
        let whole = numel(self.view.shape(stored)) == param.numel();
        let name = &self.view.graph.tensor(stored).name;
        if whole && self.view.is_stored(stored) { module_of(name).map(|module| path_of(&module)) } else { None }
    }

    fn unique(&mut self, path: String) -> String {
        let mut unique = path.clone();
        while self.taken.contains_key(&unique) {
            let times = self.wanted.entry(path.clone()).or_insert(1);
            *times += 1;
            unique = format!("{path}~{times}");
        }
        self.taken.insert(unique.clone(), None);
        unique
    }

    fn write(&mut self, path: String, facts: &Facts, program: Option<Program>, owns: bool) {
        if owns {
            for (param, id) in &facts.params {
                let stored = self.view.stored(*id);
                if self.owned.insert(stored) {
                    let tensor = self.view.graph.tensor(stored);
                    let shape = self.view.shape(stored).to_vec();
                    self.params.push(Param { name: tensor.name.clone(), shape, role: param.role });
                }
            }
        }
        let op = Op {
            params: facts.params.iter().map(|(param, _)| param.clone()).collect(),
            attrs: facts.attrs.clone(),
            program,
            ..Op::new(path, facts.kind.clone(), facts.role, facts.inputs.clone(), facts.output.clone())
        };
        self.ops.push(op);
    }
}

/// A node's name as a path: exporters of PyTorch write modules as folders.
fn path_of(name: &str) -> String {
    let path = name.trim_matches('/').replace('/', ".");
    if path.is_empty() { "node".to_owned() } else { path }
}

/// The module in a parameter's name: PyTorch's `block.conv.weight`, Paddle's `conv2d_0.w_0`.
fn module_of(parameter: &str) -> Option<String> {
    let (module, parameter) = parameter.rsplit_once('.')?;
    if matches!(parameter, "weight" | "bias") {
        return Some(module.to_owned());
    }
    // A layer that was copied has a parameter `w_0_deepcopy_7`.
    let copy = parameter.strip_prefix("w_0").or_else(|| parameter.strip_prefix("b_0"))?;
    Some(format!("{module}{copy}"))
}
