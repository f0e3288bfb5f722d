//! Every convolution shape of RT-DETR R18, R50 and HGNetv2-L in GFLOP/s (2 MAC), and the machine's peak beside them.
//!
//! `cargo bench -p detrace-kernels --bench conv` takes every shape; a word after `--` takes those whose line has it.
#![allow(clippy::print_stdout)] // a bench's output is its purpose

mod time;

use detrace_kernels::{Act, Algorithm, Conv, ConvShape, Images, Last, Memory, isa, peak, threads};
use time::time;

#[global_allocator]
static MEMORY: Memory = Memory::new();

/// c in, c out, kernel, stride, height and width of the input.
const SHAPES: &[[usize; 5]] = &[
    [3, 32, 3, 2, 640],
    [16, 32, 2, 1, 320],
    [32, 16, 2, 1, 320],
    [32, 32, 3, 1, 320],
    [32, 64, 3, 1, 320],
    [64, 32, 3, 2, 320],
    [32, 48, 1, 1, 160],
    [48, 48, 3, 1, 160],
    [64, 64, 1, 1, 160],
    [64, 64, 3, 1, 160],
    [64, 128, 1, 1, 160],
    [64, 128, 3, 2, 160],
    [64, 256, 1, 1, 160],
    [128, 128, 3, 2, 160],
    [256, 64, 1, 1, 160],
    [256, 128, 1, 1, 160],
    [336, 64, 1, 1, 160],
    [64, 128, 1, 1, 80],
    [96, 96, 3, 1, 80],
    [128, 96, 3, 1, 80],
    [128, 128, 3, 1, 80],
    [128, 256, 1, 1, 80],
    [128, 256, 3, 2, 80],
    [128, 512, 1, 1, 80],
    [256, 256, 1, 1, 80],
    [256, 256, 3, 1, 80],
    [256, 256, 3, 2, 80],
    [256, 512, 1, 1, 80],
    [512, 128, 1, 1, 80],
    [512, 256, 1, 1, 80],
    [704, 256, 1, 1, 80],
    [128, 128, 3, 1, 40],
    [128, 256, 1, 1, 40],
    [192, 192, 1, 1, 40],
    [256, 256, 1, 1, 40],
    [256, 256, 3, 1, 40],
    [256, 256, 3, 2, 40],
    [256, 512, 3, 2, 40],
    [256, 1024, 1, 1, 40],
    [512, 128, 1, 1, 40],
    [512, 192, 1, 1, 40],
    [512, 256, 1, 1, 40],
    [512, 512, 3, 2, 40],
    [512, 1024, 1, 1, 40],
    [1024, 192, 1, 1, 40],
    [1024, 256, 1, 1, 40],
    [1024, 512, 1, 1, 40],
    [1664, 512, 1, 1, 40],
    [2176, 512, 1, 1, 40],
    [128, 128, 3, 1, 20],
    [128, 256, 1, 1, 20],
    [256, 256, 1, 1, 20],
    [256, 256, 3, 1, 20],
    [256, 512, 1, 1, 20],
    [384, 384, 1, 1, 20],
    [512, 128, 1, 1, 20],
    [512, 256, 1, 1, 20],
    [512, 512, 3, 1, 20],
    [512, 2048, 1, 1, 20],
    [1024, 384, 1, 1, 20],
    [1024, 2048, 1, 1, 20],
    [2048, 256, 1, 1, 20],
    [2048, 512, 1, 1, 20],
    [3328, 1024, 1, 1, 20],
    // 8464 tokens: a decoder layer's value projection, and six layers' in one product.
    [256, 256, 1, 1, 92],
    [256, 1536, 1, 1, 92],
];

fn main() {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with("--")).unwrap_or_default();
    let peak = peak() / 1e9;
    println!("{} on {} threads, peak {peak:.1} GFLOP/s", isa().name(), threads());
    println!("c_in,c_out,k,s,HW        direct of peak winograd of peak");
    for &[input, output, kernel, stride, size] in SHAPES {
        let line = format!("{input},{output},{kernel},{stride},{size}");
        if !line.contains(&wanted) {
            continue;
        }
        let padding = [(kernel - 1) / 2; 4];
        let shape = ConvShape { input, output, kernel: [kernel; 2], stride: [stride; 2], padding };
        let numbers = |count: usize| (0..count).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect::<Vec<_>>();
        let (weight, bias, data) =
            (numbers(input * output * kernel * kernel), numbers(output), numbers(size * size * input));
        let x = Images { data: &data, batch: 1, size: [size; 2] };
        let [height, width] = shape.over(x.size);
        let last = Last { act: Act::Relu, ..Last::default() };
        let flops = 2.0 * (height * width * output * input * kernel * kernel) as f64;
        print!("{line:<24}");
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            let conv = Conv::new(shape, &weight, Some(&bias), algorithm);
            if algorithm == Algorithm::Direct || conv.is_winograd() {
                let time = time(|| drop(std::hint::black_box(conv.forward(x, last))));
                print!(" {:8.1} {:4.0} %", flops / time / 1e9, flops / time / 1e7 / peak);
            }
        }
        println!();
    }
}
