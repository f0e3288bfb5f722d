//! Kernels besides the convolutions at the sizes of RT-DETR on 640×640: milliseconds, and GFLOP/s (2 MAC) of what is
//! bound by arithmetic or GB/s (read and written once) of what is bound by memory; last the milliseconds of plain arithmetic.
//!
//! `cargo bench -p detrace-kernels --bench ops` takes every kernel; a word after `--` takes those whose line has it.
#![allow(clippy::print_stdout)] // a bench's output is its purpose

mod time;

use std::process::Command;

use detrace_kernels::{
    Act, Arithmetic, Attention, Deformable, Memory, Operand, Plane, Window, avg_pool2d, concat_columns,
    depthwise_conv2d, elementwise, isa, layer_norm, max_pool2d, sample_bilinear, sample_discrete, softmax, threads,
    top_k, upsample2x,
};
use time::time;

#[global_allocator]
static MEMORY: Memory = Memory::new();

/// Set where the bench runs itself in plain arithmetic: it prints no more than the times.
const PLAIN: &str = "DETRACE_BENCH_PLAIN";

/// What a kernel has to do.
enum Work {
    Flop(f64),
    /// Numbers of four bytes.
    Move(f64),
}

struct Bench {
    wanted: String,
    /// Times of plain arithmetic, by name; none where this is the run that takes them.
    plain: Option<Vec<(String, f64)>>,
}

impl Bench {
    fn run(&self, name: &str, work: Work, run: impl FnMut()) {
        if !name.contains(&self.wanted) {
            return;
        }
        let time = time(run);
        let Some(plain) = &self.plain else { return println!("{name}\t{time}") };
        let rate = match work {
            Work::Flop(flop) => format!("{:8.1} GFLOP/s", flop / time / 1e9),
            Work::Move(numbers) => format!("{:8.1} GB/s   ", 4.0 * numbers / time / 1e9),
        };
        let plain = plain.iter().find(|(other, _)| other == name).map_or(f64::NAN, |(_, time)| *time);
        println!("{name:<32} {:9.4} {rate} {:9.4}", time * 1e3, plain * 1e3);
    }
}

/// Runs this program in plain arithmetic and reads its times.
fn plain(wanted: &str) -> Vec<(String, f64)> {
    let run = || {
        let mut command = Command::new(std::env::current_exe().ok()?);
        let output = command.arg(wanted).env("DETRACE_ISA", "portable").env(PLAIN, "1").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let line = |line: &str| line.split_once('\t').and_then(|(name, time)| Some((name.to_owned(), time.parse().ok()?)));
    run().unwrap_or_default().lines().filter_map(line).collect()
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn main() {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with("--")).unwrap_or_default();
    let plain = std::env::var_os(PLAIN).is_none().then(|| plain(&wanted));
    if plain.is_some() {
        println!("{} on {} threads", isa().name(), threads());
        println!("{:<32} {:>9} {:>16} {:>9}", "kernel", "ms", "", "plain ms");
    }
    let bench = Bench { wanted, plain };
    tokens(&bench);
    sampling(&bench);
    maps(&bench);
}

fn tokens(bench: &Bench) {
    for tokens in [400, 300] {
        let (q, k, v) = (numbers(tokens * 256), numbers(tokens * 256), numbers(tokens * 256));
        let shape = Attention { batch: 1, heads: 8, channels: 32, queries: tokens, keys: tokens, scale: 0.177 };
        let work = Work::Flop(4.0 * (tokens * tokens * 256) as f64);
        bench.run(&format!("attention {tokens}"), work, || drop(std::hint::black_box(shape.forward(&q, &k, &v))));
    }
    let scores = numbers(300 * 8 * 12);
    let work = Work::Move(2.0 * scores.len() as f64);
    bench.run("softmax 2400 x 12", work, || drop(std::hint::black_box(softmax(&scores, 12))));
    let (weight, bias) = (numbers(256), numbers(256));
    for rows in [300, 8400] {
        let (x, residual) = (numbers(rows * 256), numbers(rows * 256));
        bench.run(&format!("layer norm {rows} x 256"), Work::Move(2.0 * x.len() as f64), || {
            drop(std::hint::black_box(layer_norm(&x, None, &weight, &bias, 1e-5)));
        });
        bench.run(&format!("layer norm of a sum {rows} x 256"), Work::Move(3.0 * x.len() as f64), || {
            drop(std::hint::black_box(layer_norm(&x, Some(&residual), &weight, &bias, 1e-5)));
        });
    }
    let x = numbers(8400 * 256);
    for (name, other, each) in [("sum 8400 x 256", &x[..], 1), ("rows times a number 8400 x 256", &x[..8400], 256)] {
        let op = if each == 1 { Arithmetic::Add } else { Arithmetic::Mul };
        let moved = x.len() + other.len() + x.len();
        bench.run(name, Work::Move(moved as f64), || {
            let (all, other) = (Operand { data: &x, each: 1 }, Operand { data: other, each });
            drop(std::hint::black_box(elementwise(op, all, other, x.len())));
        });
    }
    let scores = numbers(8400);
    bench.run("top-k 300 of 8400", Work::Move(8400.0), || drop(std::hint::black_box(top_k(&scores, 300))));
}

fn sampling(bench: &Bench) {
    let levels = vec![(80, 80), (40, 40), (20, 20)];
    let shape = Deformable { batch: 1, queries: 300, heads: 8, channels: 32, levels, points: vec![4; 3] };
    let points = 300 * 8 * shape.total_points();
    let value = numbers(shape.tokens() * 256);
    let weights = numbers(points);
    let locations: Vec<f32> = numbers(2 * points).iter().map(|x| x + 0.5).collect();
    let numbers = (points * 32) as f64;
    bench.run("sampling, bilinear", Work::Flop(8.0 * numbers), || {
        drop(std::hint::black_box(sample_bilinear(&shape, &value, &locations, &weights)));
    });
    let pixels = shape.nearest(&locations);
    bench.run("sampling, discrete", Work::Flop(2.0 * numbers), || {
        drop(std::hint::black_box(sample_discrete(&shape, &value, &pixels, &weights)));
    });
}

fn maps(bench: &Bench) {
    for (channels, kernel, size) in [(192, 3, 80), (384, 5, 40), (768, 5, 20)] {
        let plane = Plane { batch: 1, channels, height: size, width: size };
        let (x, weight, bias) = (numbers(plane.numel()), numbers(kernel * kernel * channels), numbers(channels));
        let window = Window { kernel: [kernel; 2], stride: [1; 2], padding: [kernel / 2; 4], ceil: false };
        let work = Work::Flop(2.0 * (plane.numel() * kernel * kernel) as f64);
        bench.run(&format!("depthwise {kernel}x{kernel} {channels}x{size}x{size}"), work, || {
            drop(std::hint::black_box(depthwise_conv2d(&x, &weight, &bias, Act::Relu, plane, window)));
        });
    }
    let plane = Plane { batch: 1, channels: 64, height: 320, width: 320 };
    let x = numbers(plane.numel());
    let window = Window { kernel: [3; 2], stride: [2; 2], padding: [1; 4], ceil: false };
    bench.run("max pool 3x3 64x320x320", Work::Move(1.25 * x.len() as f64), || {
        drop(std::hint::black_box(max_pool2d(&x, plane, window)));
    });
    let plane = Plane { batch: 1, channels: 256, height: 160, width: 160 };
    let x = numbers(plane.numel());
    let window = Window { kernel: [2; 2], stride: [2; 2], padding: [0; 4], ceil: true };
    bench.run("average pool 2x2 256x160x160", Work::Move(1.25 * x.len() as f64), || {
        drop(std::hint::black_box(avg_pool2d(&x, plane, window)));
    });
    let plane = Plane { batch: 1, channels: 256, height: 40, width: 40 };
    let x = numbers(plane.numel());
    let half = numbers(256 * 80 * 80);
    bench.run("concat 2 of 256x80x80", Work::Move(4.0 * half.len() as f64), || {
        drop(std::hint::black_box(concat_columns(&[(&half, 256), (&half, 256)], 80 * 80)));
    });
    bench.run("upsample 256x40x40", Work::Move(5.0 * x.len() as f64), || {
        drop(std::hint::black_box(upsample2x(&x, plane)));
    });
}
