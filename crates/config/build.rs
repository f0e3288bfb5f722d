//! Embeds every `models/*.yaml`, so that a variant of the zoo is one file and no list to keep.

use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let models = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../models").canonicalize()?;
    println!("cargo::rerun-if-changed={}", models.display());
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(&models)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a model's file name is not UTF-8")?;
            names.push(stem.to_owned());
        }
    }
    names.sort();
    let entries: String = names
        .iter()
        .map(|name| format!("    ({name:?}, include_str!({:?})),\n", models.join(format!("{name}.yaml"))))
        .collect();
    let table =
        format!("/// File stem and text of every `models/*.yaml`.\nconst FILES: &[(&str, &str)] = &[\n{entries}];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("zoo_files.rs"), table)?;
    Ok(())
}
