use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{Table, presets};
use detrace_config::zoo;
use serde_json::json;

use crate::args::{ModelsArgs, ModelsFormat};
use crate::emit;

/// `detrace models`.
pub(crate) fn run(args: &ModelsArgs) -> Result<ExitCode> {
    let configs = zoo::names().filter_map(zoo::get).collect::<Result<Vec<_>, _>>()?;
    let text = match args.format {
        ModelsFormat::Json => {
            let models: Vec<_> = configs
                .iter()
                .map(|config| json!({"model": config.name, "published": config.published, "weights": config.weights}))
                .collect();
            format!("{}\n", serde_json::to_string_pretty(&json!({"schema": 1, "models": models}))?)
        }
        ModelsFormat::Table => {
            let mut table = Table::new();
            table.load_style(presets::UTF8_BORDERS_ONLY);
            table.set_header(["model", "Params(M)", "FLOPs(G)", "COCO AP", "T4 FPS", "published in"]);
            for config in &configs {
                let Some(published) = &config.published else { continue };
                table.add_row([
                    config.name.clone(),
                    published.params_m.to_string(),
                    published.flops_g.to_string(),
                    published.ap.map_or_else(|| "-".to_owned(), |ap| format!("{ap:.1}")),
                    published.t4_fps.map_or_else(|| "-".to_owned(), |fps| fps.to_string()),
                    published.source.clone(),
                ]);
            }
            format!(
                "{table}\nPublished figures, for 640x640; FLOPs(G) are two to a MAC. `detrace flops MODEL` measures.\n"
            )
        }
    };
    emit(&text, None)?;
    Ok(ExitCode::SUCCESS)
}
