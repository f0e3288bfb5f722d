//! Everything that does arithmetic or moves data leaves a record: the operations that have no module are listed here by
//! hand from the architecture, so that one that is forgotten, or one that comes unasked, turns this test red.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use candle_core::Device;
use detrace::flops::{Kind, Op};
use detrace::nn::{Recorded, Recorder, Structure};
use detrace::rtdetr::RtDetr;
use detrace::weights::{Seeded, seeded_image};
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

fn network(model: &str, structure: Structure) -> RtDetr {
    let config = detrace::config::Config::load(model).expect("a variant");
    RtDetr::new(&config, structure, Seeded::var_builder(0, &Device::Cpu, |_| {})).expect("builds")
}

fn record(model: &str, structure: Structure) -> Vec<Op> {
    let model = network(model, structure);
    let image = seeded_image(&[1, 3, 256, 320], 0, &Device::Cpu).expect("an image");
    let recorder = Recorder::new();
    recorder.record(|| model.forward(&image)).expect("runs");
    recorder.take().expect("times").ops
}

/// Paths and numbers of calls of operations without a module.
fn roles(ops: &[Op]) -> BTreeMap<String, usize> {
    let mut roles = BTreeMap::new();
    for op in ops.iter().filter(|op| !op.is_module()) {
        *roles.entry(op.path.clone()).or_default() += 1;
    }
    roles
}

/// What attention does besides its output projection.
const ATTENTION: [&str; 11] =
    ["q_proj", "k_proj", "v_proj", "scale", "q_heads", "k_heads", "v_heads", "scores", "softmax", "mix", "merge_heads"];

/// The encoder, query selection and decoder of a network with `layers` decoder layers and three RepVGG blocks in a CSP block.
fn expected(layers: usize, branches: bool) -> BTreeMap<String, usize> {
    let mut paths: Vec<(String, usize)> = Vec::new();
    let mut add = |block: &str, roles: &[&str], calls: usize| {
        paths.extend(roles.iter().map(|role| (format!("{block}#{role}"), calls)));
    };
    add("encoder.encoder.0", &["flatten", "pos_embed", "unflatten"], 1);
    add("encoder.encoder.0.layers.0", &["with_pos_embed", "residual1", "residual2"], 1);
    add("encoder.encoder.0.layers.0.self_attn", &ATTENTION, 1);
    add("encoder", &["upsample.0", "upsample.1", "fpn_concat.0", "fpn_concat.1", "pan_concat.0", "pan_concat.1"], 1);
    for block in ["fpn_blocks.0", "fpn_blocks.1", "pan_blocks.0", "pan_blocks.1"] {
        add(&format!("encoder.{block}"), &["residual"], 1);
        for repvgg in 0..if branches { 3 } else { 0 } {
            add(&format!("encoder.{block}.bottlenecks.{repvgg}"), &["sum_branches"], 1);
        }
    }
    add("decoder", &["flatten.0", "flatten.1", "flatten.2", "concat", "anchors", "mask", "anchor_offset"], 1);
    add("decoder", &["class_max", "top_k", "gather_content", "gather_reference"], 1);
    add("decoder.decoder", &["reference"], 1);
    add("decoder.decoder", &["inverse_sigmoid", "refine", "refined"], layers);
    for layer in 0..layers {
        let layer = format!("decoder.decoder.layers.{layer}");
        add(&layer, &["self_pos_embed", "residual1", "cross_pos_embed", "residual2", "residual3"], 1);
        add(&format!("{layer}.self_attn"), &ATTENTION, 1);
        let sampling = ["softmax", "offset_scale", "offset_size", "locations", "sampling", "weight", "sum"];
        add(&format!("{layer}.cross_attn"), &sampling, 1);
    }
    paths.into_iter().collect()
}

#[test]
fn r18vd() {
    for (structure, branches) in [(Structure::Train, true), (Structure::Deploy, false)] {
        let mut want = expected(3, branches);
        want.insert("backbone#max_pool".into(), 1);
        for block in (0..4).flat_map(|stage| (0..2).map(move |block| format!("{stage}.blocks.{block}"))) {
            want.insert(format!("backbone.res_layers.{block}#residual"), 1);
        }
        assert_eq!(roles(&record("rtdetr_r18vd", structure)), want);
    }
}

#[test]
fn hgnetv2_l() {
    let mut want = expected(6, true);
    want.insert("backbone.stem#concat".into(), 1);
    for (stage, blocks) in [1, 1, 3, 1].into_iter().enumerate() {
        for block in 0..blocks {
            let path = format!("backbone.stages.{stage}.blocks.{block}");
            want.insert(format!("{path}#concat"), 1);
            if block > 0 {
                want.insert(format!("{path}#residual"), 1);
            }
        }
    }
    assert_eq!(roles(&record("rtdetr_hgnetv2_l", Structure::Train)), want);
}

#[test]
fn deploy_folds_every_norm_and_keeps_its_activations_visible() {
    let (train, deploy) = (record("rtdetr_r18vd", Structure::Train), record("rtdetr_r18vd", Structure::Deploy));
    let paths = |ops: &[Op], kind: Kind| -> Vec<String> {
        let mut paths: Vec<String> = ops.iter().filter(|op| op.kind == kind).map(|op| op.path.clone()).collect();
        paths.sort_unstable();
        paths
    };
    assert!(paths(&deploy, Kind::BatchNorm).is_empty());
    assert_eq!(paths(&deploy, Kind::Relu), paths(&train, Kind::Relu));
    assert_eq!(paths(&deploy, Kind::Silu), paths(&train, Kind::Silu));
    let convs = paths(&train, Kind::Conv2d).len();
    assert_eq!(paths(&deploy, Kind::Conv2d).len(), convs - 12, "twelve RepVGG blocks lose a branch each");
    assert!(deploy.iter().filter(|op| op.kind == Kind::Conv2d).all(Op::has_bias));
}

/// A recorder alone is a subscriber of its own kind; beside others it is a layer. Both see the same.
#[test]
fn a_recorder_sees_the_same_alone_and_beside_others() {
    let network = network("rtdetr_r18vd", Structure::Fast);
    let image = seeded_image(&[1, 3, 256, 320], 0, &Device::Cpu).expect("an image");
    let recorder = Recorder::new();
    let seen = || {
        let Recorded { ops, blocks } = recorder.take().expect("times");
        let ops: Vec<Op> = ops.into_iter().map(|op| Op { time_ns: 0, ..op }).collect();
        (ops, blocks.into_iter().map(|block| (block.path, block.calls)).collect::<Vec<_>>())
    };
    let mut runs = Vec::new();
    for _ in 0..2 {
        recorder.record(|| network.forward(&image)).expect("runs");
        runs.push(seen());
        let subscriber = tracing_subscriber::registry().with(recorder.layer()).with(Nested::default());
        tracing::subscriber::with_default(subscriber, || network.forward(&image)).expect("runs");
        runs.push(seen());
    }
    network.forward(&image).expect("runs");
    assert_eq!(seen(), (Vec::new(), Vec::new()), "nobody listens");
    assert!(!runs[0].0.is_empty() && !runs[0].1.is_empty());
    assert!(runs.iter().all(|run| *run == runs[0]));
}

/// Notes every span of ours that opens while an operation runs.
#[derive(Clone, Default)]
struct Nested(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Nested {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let ours = |target: &str| target == detrace::nn::OP || target == detrace::nn::BLOCK;
        let above = context.span_scope(id).into_iter().flatten().skip(1);
        if ours(attributes.metadata().target())
            && above.into_iter().any(|span| span.metadata().target() == detrace::nn::OP)
        {
            self.0.lock().expect("no panic").push(format!("{attributes:?}"));
        }
    }
}

/// No time is counted twice, and none is missing: operations lie side by side, each has a time, and with what blocks do
/// besides they are the forward pass to the nanosecond, which is nearly all spent in operations.
#[test]
fn times_of_operations_add_up_to_the_forward_pass() {
    for (model, structure) in [
        ("rtdetr_r18vd", Structure::Train),
        ("rtdetr_r18vd", Structure::Deploy),
        ("rtdetr_r18vd", Structure::Fast),
        ("rtdetr_hgnetv2_l", Structure::Fast),
    ] {
        let network = network(model, structure);
        let image = seeded_image(&[1, 3, 256, 320], 0, &Device::Cpu).expect("an image");
        let (recorder, nested) = (Recorder::new(), Nested::default());
        let mut shares = Vec::new();
        for _ in 0..3 {
            let subscriber = tracing_subscriber::registry().with(recorder.layer()).with(nested.clone());
            let started = Instant::now();
            tracing::subscriber::with_default(subscriber, || network.forward(&image)).expect("runs");
            let forward = started.elapsed().as_nanos();
            let Recorded { ops, blocks } = recorder.take().expect("times");
            for op in &ops {
                assert_eq!(op.time_ns == 0, op.fused_into.is_some(), "{structure:?} {}: {} ns", op.path, op.time_ns);
            }
            let operations: u64 = ops.iter().map(|op| op.time_ns).sum();
            let glue: u64 = blocks.iter().map(|block| block.glue_ns).sum();
            let whole = blocks.iter().find(|block| block.path.is_empty()).expect("the network's own block").time_ns;
            assert_eq!(operations + glue, whole, "{model} {structure:?}");
            assert!(u128::from(whole) <= forward, "{model} {structure:?}: {whole} of {forward}");
            shares.push(operations as f64 / forward as f64);
        }
        let nested = nested.0.lock().expect("no panic");
        assert!(nested.is_empty(), "{model} {structure:?}: {nested:?}");
        // What else the machine does may come between operations, but not in every pass.
        assert!(shares.iter().any(|&share| share > 0.95), "{model} {structure:?}: {shares:?}");
    }
}
