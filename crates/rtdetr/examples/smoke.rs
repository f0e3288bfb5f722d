fn main() -> candle_core::Result<()> {
    let name = std::env::args().nth(1).expect("name");
    let config = detrace_config::Config::load(&name).expect("config");
    let structure = if std::env::args().nth(2).as_deref() == Some("deploy") {
        detrace_nn::Structure::Deploy
    } else {
        detrace_nn::Structure::Train
    };
    let dev = candle_core::Device::Cpu;
    let t = std::time::Instant::now();
    let vb = detrace_weights::Seeded::var_builder(0, &dev, |_| {});
    let model = detrace_rtdetr::RtDetr::new(&config, structure, vb)?;
    println!("built {:?}", t.elapsed());
    let image = detrace_weights::seeded_image(&[1, 3, 640, 640], 0, &dev)?;
    let recorder = detrace_nn::Recorder::new();
    let t = std::time::Instant::now();
    let y = recorder.record(|| model.forward(&image))?;
    println!("ran {:?}", t.elapsed());
    let r = recorder.take();
    let trace = detrace_flops::Trace {
        schema: 1,
        ops: r.ops,
        blocks: r.blocks,
        params: model.params().to_vec(),
        ..Default::default()
    };
    trace.check().expect("sound");
    for c in detrace_flops::conventions::ALL {
        let n = detrace_flops::count(&trace, c, &Default::default()).expect("counts");
        println!("{} total {} params {} flops {} unknown {:?}", c.name, n.total, n.params, n.flops, n.audit.unknown);
        let mut by: std::collections::BTreeMap<String, (u64, u64)> = Default::default();
        for row in &n.rows {
            let e = by.entry(row.kind.name().to_owned()).or_default();
            e.0 += row.flops;
            e.1 += row.time_ns;
        }
        if c.name == "full" {
            for (k, (f, t)) in by {
                println!("  {k:12} {:>14} {:8.1} ms", f, t as f64 / 1e6);
            }
        }
    }
    let v = y.logits.flatten_all()?.to_vec1::<f32>()?;
    println!(
        "logits {:?} .. min {} max {}",
        &v[..4],
        v.iter().cloned().fold(f32::MAX, f32::min),
        v.iter().cloned().fold(f32::MIN, f32::max)
    );
    println!("boxes {:?}", &y.boxes.flatten_all()?.to_vec1::<f32>()?[..8]);
    Ok(())
}
