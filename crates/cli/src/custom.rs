//! Rules given on the command line: `--custom-op 'layer_norm=5*out'`.

use anyhow::{Context, Result, bail};
use detrace_flops::{Convention, Count, CustomOps, Kind, Op, Trace, Verdict, conventions, numel};
use exmex::{Express, FlatEx};

/// What an expression may read: elements of the first input, of the output, of all parameters, and the MACs under `full`.
const VARIABLES: [&str; 4] = ["in", "out", "weight", "macs"];
/// Longer expressions are no small ones.
const LONGEST: usize = 200;
/// Largest integer up to which every one is exact in an f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads rules as `kind=expression`.
pub(crate) fn parse(rules: &[String]) -> Result<CustomOps> {
    let mut custom = CustomOps::new();
    for text in rules {
        let example = "write KIND=EXPRESSION, for instance layer_norm=5*out";
        let (kind, expression) = text.split_once('=').with_context(|| format!("--custom-op {text:?}: {example}"))?;
        let kind = kind.trim();
        let named = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !named || expression.len() > LONGEST {
            bail!("--custom-op {text:?}: {example}");
        }
        let parsed =
            exmex::parse::<f64>(expression).map_err(|error| anyhow::anyhow!("--custom-op {text:?}: {error}"))?;
        if let Some(unknown) = parsed.var_names().iter().find(|name| !VARIABLES.contains(&name.as_str())) {
            bail!("--custom-op {text:?}: {unknown:?} is not one of {}", VARIABLES.join(", "));
        }
        let shown = text.clone();
        let rule = move |op: &Op| evaluate(&parsed, op).map_err(|fault| format!("--custom-op {shown:?}: {fault}"));
        if custom.add_fallible(Kind::from_name(kind), rule).is_err() {
            bail!("--custom-op: there are two rules for {kind}");
        }
    }
    Ok(custom)
}

fn evaluate(expression: &FlatEx<f64>, op: &Op) -> Result<u64, String> {
    let macs = conventions::full_work(op).map_or(0, |work| work.macs);
    let values: Vec<f64> = expression
        .var_names()
        .iter()
        .map(|name| match name.as_str() {
            "in" => numel(op.input()) as f64,
            "out" => numel(&op.output) as f64,
            "weight" => op.params.iter().map(|param| param.numel()).sum::<u64>() as f64,
            _ => macs as f64,
        })
        .collect();
    let value = expression.eval(&values).map_err(|error| error.to_string())?;
    if !(0.0..=EXACT).contains(&value) || value.fract() != 0.0 {
        return Err(format!("it gives {value}, which is no count"));
    }
    Ok(value as u64)
}

/// What the rules did not do, where a tool would be silent.
pub(crate) fn unused(custom: &CustomOps, trace: &Trace, counted: &Count, convention: &Convention) -> Vec<String> {
    custom
        .kinds()
        .filter_map(|kind| {
            let rows = trace.ops.iter().filter(|op| op.kind == *kind).count();
            let seen = counted.rows.iter().filter(|row| row.kind == *kind && row.verdict != Verdict::Invisible).count();
            match (rows, seen) {
                (0, _) => Some(format!("the rule for {kind} changed nothing: no operation of that kind ran")),
                (rows, 0) => {
                    let name = convention.name;
                    Some(format!("the rule for {kind} changed nothing: `{name}` cannot see any of its {rows} calls"))
                }
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(rule: &str) -> String {
        parse(&[rule.to_owned()]).expect_err(rule).to_string()
    }

    #[test]
    fn faults_are_named() {
        assert!(fault("layer_norm").contains("KIND=EXPRESSION"));
        assert!(fault("=5").contains("KIND=EXPRESSION"));
        assert!(fault("layer norm=5").contains("KIND=EXPRESSION"));
        assert!(fault("layer_norm=5*size").contains("\"size\" is not one of in, out, weight, macs"));
        assert!(fault("layer_norm=5*").contains("layer_norm=5*"));
        assert!(fault(&format!("relu={}", "(".repeat(1000))).contains("KIND=EXPRESSION"));
        let twice = ["relu=1".to_owned(), "relu=2".to_owned()];
        assert!(parse(&twice).expect_err("twice").to_string().contains("two rules"));
    }
}
