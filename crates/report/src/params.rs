//! A model's parameters broken down.

use detrace_flops::explain::{Buffer, Holdings, ParamTerms};
use detrace_flops::{Framework, Meta};
use serde::Serialize;
use serde_json::{Value, json};

use crate::conventions::{about, headline, terms};
use crate::part::{self, Part};
use crate::{signed, thousands};

/// What happens to parameters between the two structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Merging {
    /// Learned parameters as trained.
    pub train: u64,
    /// Those that folding and merging take away: scale and shift of norms, second branches.
    pub merged_away: u64,
    /// Those that it makes: biases of convolutions.
    pub made: u64,
    /// Learned parameters of the deployed network.
    pub deploy: u64,
}

/// Everything that `detrace params` says.
#[derive(Clone, Debug)]
pub struct ParamsReport<'a> {
    /// What was counted.
    pub meta: &'a Meta,
    /// Whose modules PyTorch's tools look at.
    pub framework: Framework,
    /// The tensors by what they are held for.
    pub holdings: Holdings,
    /// The framework's other buffers.
    pub buffers: Vec<Buffer>,
    /// Train against deploy, where the configuration is known.
    pub merging: Option<Merging>,
    /// Every tool's number.
    pub tools: Vec<ParamTerms>,
}

/// Modules of a sort that are named one by one; of more, only the number is shown.
const NAMED: usize = 6;

impl ParamsReport<'_> {
    /// As text.
    pub fn table(&self) -> String {
        part::text(&self.parts())
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        part::markdown(&self.parts())
    }

    fn parts(&self) -> Vec<Part> {
        let mut held: Vec<Vec<String>> = Vec::new();
        for sort in &self.holdings.sorts {
            let names = match sort.modules.len() {
                0 => "the model itself".to_owned(),
                count if count > NAMED => format!("{count} modules"),
                _ => sort.modules.join("\n"),
            };
            held.push(vec![sort.holding.words().to_owned(), names, thousands(sort.params)]);
        }
        for Buffer { buffer, elements } in &self.buffers {
            held.push(vec![format!("buffers: {buffer}"), String::new(), thousands(*elements)]);
        }
        held.push(vec![
            "learned: all but statistics and such buffers".to_owned(),
            String::new(),
            thousands(self.holdings.learned()),
        ]);
        let mut parts = vec![
            Part::Lines(vec![headline(self.meta, self.framework)]),
            Part::Table { header: vec!["parameters", "in", "elements"], left: 2, rows: held },
        ];
        if let Some(Merging { train, merged_away, made, deploy }) = self.merging {
            let [train, merged_away, made, deploy] = [train, merged_away, made, deploy].map(thousands);
            parts.push(Part::Lines(vec![format!(
                "train {train} - {merged_away} merged away + {made} biases made by folding = deploy {deploy}"
            )]));
        }
        let tools = self.tools.iter().map(|tool| {
            vec![tool.convention.to_owned(), terms(&tool.terms), thousands(tool.params), signed(tool.difference())]
        });
        let header = vec!["convention", "what makes the difference", "params", "to full"];
        parts.push(Part::Table { header, left: 2, rows: tools.collect() });
        parts
    }

    /// As JSON, schema 1: `holdings`, a list with `holding`, `params` and `modules`; `buffers`; `learned`; `merging`; `conventions`.
    pub fn json(&self) -> Value {
        let tools: Vec<Value> = self
            .tools
            .iter()
            .map(|tool| {
                json!({
                    "convention": tool.convention, "mirrors": tool.mirrors, "params": tool.params, "full": tool.full,
                    "difference": tool.difference(), "terms": tool.terms,
                })
            })
            .collect();
        let mut value = about(self.meta, self.framework);
        value["holdings"] = json!(self.holdings.sorts);
        value["buffers"] = json!(self.buffers);
        value["learned"] = self.holdings.learned().into();
        value["merging"] = json!(self.merging);
        value["conventions"] = tools.into();
        value
    }

    /// As CSV, a line for every sort of tensor and every term of every tool: `of,what,params`.
    ///
    /// # Errors
    /// None in practice: the text is made in memory.
    pub fn csv(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["of", "what", "params"])?;
        for sort in &self.holdings.sorts {
            writer.write_record(["model", sort.holding.words(), &sort.params.to_string()])?;
        }
        for Buffer { buffer, elements } in &self.buffers {
            writer.write_record(["model", &format!("buffers: {buffer}"), &elements.to_string()])?;
        }
        for tool in &self.tools {
            writer.write_record([tool.convention, "total", &tool.params.to_string()])?;
            for term in &tool.terms {
                writer.write_record([tool.convention, term.term, &term.count.to_string()])?;
            }
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }
}
