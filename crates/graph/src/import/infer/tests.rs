//! Shapes of real files, and of small graphs that say what they should not.

use super::*;
use crate::import::paddle::{read_pdmodel, read_pir};

fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/graphs").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn graph(name: &str) -> Graph {
    let bytes = fixture(name);
    match name.ends_with("json") {
        true => read_pir(std::str::from_utf8(&bytes).expect("UTF-8")).expect("reads"),
        false => read_pdmodel(&bytes).expect("reads"),
    }
}

/// Boxes of all images one after the other, and how many each has.
#[test]
fn the_outputs_of_real_programs_have_the_shapes_that_the_exporter_promises() {
    for (name, image, boxes, images) in [
        ("rtdetr_r18vd.pdmodel", None, 300, 1),
        ("rtdetr_r18vd_deploy.pdmodel", None, 300, 1),
        ("rtdetr_r18vd.pir.json", None, 300, 1),
        ("rtdetr_hgnetv2_l_6x_coco.pdmodel", Some([3, 3, 640, 640]), 900, 3),
    ] {
        let graph = graph(name);
        let facts = infer(&graph, image).unwrap_or_else(|error| panic!("{name} {image:?}: {error}"));
        let outputs: Vec<&[usize]> = graph.outputs.iter().map(|&id| facts.shape(id)).collect();
        assert_eq!(outputs, [&[boxes, 6][..], &[images]], "{name}");
    }
}
