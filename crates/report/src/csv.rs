use detrace_flops::Count;

use crate::{Rename, by_x, shown};

/// One line per row: `path,kind,role,calls,input,output,params,count,macs,flops,verdict,time_ns`; shapes as `1x3x640x640`.
pub fn csv(count: &Count, rename: Rename<'_>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "path", "kind", "role", "calls", "input", "output", "params", "count", "macs", "flops", "verdict", "time_ns",
    ])?;
    for row in &count.rows {
        writer.write_record([
            shown(&row.path, rename),
            row.kind.to_string(),
            row.role.clone(),
            row.calls.to_string(),
            by_x(&row.input),
            by_x(&row.output),
            row.params.to_string(),
            row.count.to_string(),
            row.macs.to_string(),
            row.flops.to_string(),
            row.verdict.to_string(),
            row.time_ns.to_string(),
        ])?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
