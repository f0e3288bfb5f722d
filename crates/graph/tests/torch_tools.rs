//! Totals and parameters under the conventions of PyTorch tools against what the tools themselves printed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use detrace_config::Config;
use detrace_flops::{Convention, CustomOps, Framework, Structure, View, count, count_as};
use detrace_graph::plan;
use serde::Deserialize;

#[derive(Deserialize)]
struct Truth {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    framework: Framework,
    model: String,
    structure: String,
    input: [usize; 4],
    /// Total, parameters if the tool prints them, and MACs if it prints those besides.
    counts: BTreeMap<String, Vec<Option<u64>>>,
}

fn truth() -> Vec<Run> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/torch/totals.json");
    let text = std::fs::read_to_string(path).expect("the fixture");
    serde_json::from_str::<Truth>(&text).expect("as described").runs
}

#[test]
fn totals_are_those_that_the_tools_printed() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for run in truth() {
        let config = Config::load(&run.model).expect("a variant");
        let structure = if run.structure == "deploy" { Structure::Deploy } else { Structure::Train };
        let trace = plan(&config, structure, run.input).expect("a plan");
        let view = View::new(&trace, run.framework);
        for (name, want) in &run.counts {
            let convention = Convention::by_name(name).expect("a convention");
            let counted = count_as(&view, convention, &CustomOps::new()).expect("counts");
            let got = [counted.total, counted.params, counted.macs];
            for ((what, want), got) in ["total", "params", "macs"].iter().zip(want).zip(got) {
                compared += 1;
                if want.is_some_and(|want| want != got) {
                    let (framework, model) = (run.framework, &run.model);
                    let (want, input) = (want.unwrap_or(0), run.input);
                    let off = got as i128 - want as i128;
                    wrong.push(format!(
                        "{framework} {model} {} {input:?} {name}: {what} {got}, the tool says {want} ({off:+})",
                        run.structure
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 1000, "only {compared} figures were compared");
}

/// Counts of modules, with everything inside them, as fvcore and FlopCounterMode list them.
#[test]
fn modules_count_what_the_tools_list() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/torch/layers.json");
    let text = std::fs::read_to_string(path).expect("the fixture");
    type Tables = BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>;
    let tables: Tables = serde_json::from_str(&text).expect("as described");
    let mut compared = 0;
    for (model, tables) in tables {
        let trace =
            plan(&Config::load(&model).expect("a variant"), Structure::Train, [1, 3, 640, 640]).expect("a plan");
        for (name, modules) in tables {
            let convention = Convention::by_name(&name).expect("a convention");
            let rows = count(&trace, convention, &CustomOps::new()).expect("counts").rows;
            for (module, want) in modules {
                let is_inside = |path: &str| {
                    path.strip_prefix(module.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '#']))
                };
                let got: u64 = rows.iter().filter(|row| is_inside(&row.path)).map(|row| row.count).sum();
                assert_eq!(got, want, "{model} {name} {module}");
                compared += 1;
            }
        }
    }
    assert!(compared > 600, "only {compared} modules were compared");
}
