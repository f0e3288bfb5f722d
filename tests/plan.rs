//! The network on paper against the network that ran: every operation with its path, kind, shapes, parameters and
//! attributes, in order, and every module and parameter that the network owns.

use candle_core::Device;
use detrace::config::{Config, zoo};
use detrace::flops::{Meta, Op, Structure, Trace};
use detrace::graph::plan;
use detrace::rtdetr::RtDetr;
use detrace::weights::{Seeded, seeded_image};

const STRUCTURES: [Structure; 3] = Structure::ALL;

fn traced(config: &Config, structure: Structure, input: [usize; 4]) -> Trace {
    let model = RtDetr::new(config, structure, Seeded::var_builder(0, &Device::Cpu, |_| {})).expect("builds");
    let image = seeded_image(&input, 0, &Device::Cpu).expect("an image");
    detrace::nn::trace(&model, &image, Meta::default()).expect("runs")
}

fn same(config: &Config, structure: Structure, input: [usize; 4]) {
    let what = format!("{} {} {input:?}", config.name, structure.name());
    let traced = traced(config, structure, input);
    let planned = plan(config, structure, input).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!traced.ops.is_empty() && !traced.params.is_empty() && !traced.modules.is_empty());
    for (ran, planned) in traced.ops.iter().zip(&planned.ops) {
        let ran = Op { time_ns: 0, ..ran.clone() };
        assert_eq!(ran, *planned, "{what}");
    }
    assert_eq!(traced.ops.len(), planned.ops.len(), "{what}");
    assert_eq!(traced.params, planned.params, "{what}");
    assert_eq!(traced.modules, planned.modules, "{what}");
}

fn variant(name: &str) -> Config {
    Config::load(name).expect("a variant")
}

/// Every variant whose name ends alike on an image that is not square, and of two images.
fn all_variants(belongs: impl Fn(&str) -> bool) {
    let names: Vec<&str> = zoo::names().filter(|name| belongs(name)).collect();
    assert!(!names.is_empty());
    for name in names {
        for structure in STRUCTURES {
            same(&variant(name), structure, [2, 3, 128, 160]);
        }
    }
}

#[test]
fn every_resnet() {
    all_variants(|name| name.starts_with("rtdetr_r"));
}

#[test]
fn every_resnet_of_version_2() {
    all_variants(|name| name.starts_with("rtdetrv2_r"));
}

#[test]
fn every_hgnetv2() {
    all_variants(|name| name.contains("hgnetv2"));
}
