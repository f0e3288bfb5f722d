//! The kernels' sources, compiled for the CPU and run thread by thread with the grids that they are launched with, against
//! the CPU kernels. Reads and writes out of bounds end the program, and so does an element that is not written exactly once.

#![allow(clippy::print_stderr)] // what is skipped is said

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use detrace_cuda::{Launch, Number, Sampling};
use detrace_kernels::{
    Act, Deformable, Plane, Window, avg_pool2d, depthwise_conv2d, max_pool2d, sample_bilinear, sample_discrete,
    to_channels_last, top_k,
};
use half::f16;

/// The emulator, if there is a C++ compiler.
fn emulator() -> Option<&'static PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulate");
        let options =
            ["-std=c++17", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-ffp-contract=off"];
        let mut compiler = Command::new("c++");
        compiler
            .args(options)
            .args(["-Wall", "-Werror", "-pthread", "-I"])
            .arg(here.join("kernels"))
            .arg("-o")
            .arg(&program);
        let output = compiler.arg(here.join("tests/host/emulate.cpp")).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(program)
    });
    if built.is_none() {
        eprintln!("SKIPPED: there is no c++ to compile the CUDA kernels for the CPU with");
    }
    built.as_ref()
}

fn bytes(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// Numbers as a kernel reads them, and the bytes of each.
struct Array(usize, Vec<u8>);

fn words(values: &[u32]) -> Array {
    Array(4, bytes(values.iter().copied()))
}

fn singles(values: &[f32]) -> Array {
    words(&values.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
}

fn of(number: Number, values: &[f32]) -> Array {
    match number {
        Number::F32 => singles(values),
        Number::F16 => Array(2, values.iter().flat_map(|&value| f16::from_f32(value).to_ne_bytes()).collect()),
    }
}

/// The numbers that are left of these.
fn rounded(number: Number, values: Vec<f32>) -> Vec<f32> {
    match number {
        Number::F32 => values,
        Number::F16 => values.into_iter().map(|value| f16::from_f32(value).to_f32()).collect(),
    }
}

fn emulate<const WORDS: usize>(program: &Path, launch: &Launch<WORDS>, arrays: &[Array]) -> Output {
    let mut input = launch.kernel.function.as_bytes().to_vec();
    input.resize(32, 0);
    input.extend(bytes([launch.blocks, launch.threads, launch.elements as u32, WORDS as u32]));
    input.extend(bytes(launch.words));
    for Array(size, values) in arrays {
        input.extend(bytes([*size as u32, (values.len() / size) as u32]));
        input.extend(values);
    }
    let mut child = Command::new(program)
        // The program ends without giving back what it read.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("a pipe").write_all(&input).expect("reads");
    child.wait_with_output().expect("ends")
}

/// What the kernel makes of these arrays; none without a compiler.
fn run<const WORDS: usize>(launch: &Launch<WORDS>, arrays: &[Array]) -> Option<Vec<u8>> {
    let output = emulate(emulator()?, launch, arrays);
    assert!(output.status.success(), "{:?}: {}", launch.kernel, String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn whole(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]])).collect()
}

fn floats(number: Number, bytes: &[u8]) -> Vec<f32> {
    match number {
        Number::F32 => whole(bytes).into_iter().map(f32::from_bits).collect(),
        Number::F16 => bytes.chunks_exact(2).map(|half| f16::from_ne_bytes([half[0], half[1]]).to_f32()).collect(),
    }
}

/// Numbers of both signs, different for each seed.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let hash = |i: u32| (i.wrapping_add(seed.wrapping_mul(7919)).wrapping_mul(2_654_435_761) >> 8) as f32;
    (0..count as u32).map(|i| hash(i) / 8_388_608.0 - 1.0).collect()
}

/// Equal up to the rounding of the number type.
fn near(number: Number, got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let bound = if number == Number::F32 { 2e-6 } else { 5e-4 };
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let right = (got - want).abs() <= bound * want.abs().max(1.0) || got == want || got.is_nan() && want.is_nan();
        assert!(right, "{what}: {number:?}: element {at} is {got}, not {want}");
    }
}

const NUMBERS: [Number; 2] = [Number::F32, Number::F16];

/// N × H × W × C to N × C × H × W, by which the twins' results are brought into the kernels' order.
fn channels_first(values: &[f32], [batch, height, width, channels]: [usize; 4]) -> Vec<f32> {
    // To turn pixels into channels is to turn channels into pixels.
    to_channels_last(values, Plane { batch, channels: height * width, height: 1, width: channels })
}

/// Planes and windows: the stem's pool, HGNetv2's, average pools in ceil mode, and what is odd about them.
fn windows() -> Vec<(Plane, Window)> {
    let plane = |batch, channels, height, width| Plane { batch, channels, height, width };
    let window = |kernel, stride, padding, ceil| Window { kernel, stride, padding, ceil };
    vec![
        (plane(2, 3, 11, 8), window([3, 3], [2, 2], [1; 4], false)),
        (plane(1, 5, 9, 7), window([2, 2], [1, 1], [0, 0, 1, 1], true)),
        (plane(1, 4, 7, 5), window([2, 2], [2, 2], [0; 4], true)),
        (plane(3, 2, 1, 1), window([3, 3], [1, 1], [1; 4], false)),
        (plane(1, 70, 6, 13), window([5, 5], [2, 1], [2; 4], false)),
        (plane(1, 3, 8, 8), window([5, 3], [1, 3], [2, 1, 0, 3], false)),
    ]
}

#[test]
fn pools_are_their_twins() {
    for (index, (plane, window)) in windows().into_iter().enumerate() {
        for number in NUMBERS {
            // Below zero, so that a padding of zeros would win; and what is no number.
            let mut x = rounded(number, numbers(plane.numel(), index as u32).iter().map(|x| x - 3.0).collect());
            x[0] = f32::NAN;
            let last = to_channels_last(&x, plane);
            let (height, width) = window.output(plane.height, plane.width).expect("fits");
            let first = |y: Vec<f32>| channels_first(&y, [plane.batch, height, width, plane.channels]);
            let what = format!("{plane:?} {window:?}");
            let Some(max) = run(&Launch::max_pool(number, plane, window).expect("a launch"), &[of(number, &x)]) else {
                return;
            };
            near(number, &floats(number, &max), &first(max_pool2d(&last, plane, window)), &what);
            let launch = Launch::avg_pool(number, plane, window).expect("a launch");
            let mean = run(&launch, &[of(number, &x)]).expect("the emulator");
            near(number, &floats(number, &mean), &first(avg_pool2d(&last, plane, window)), &what);
        }
    }
}

#[test]
fn depthwise_convolutions_are_their_twin() {
    for (index, (plane, window)) in windows().into_iter().filter(|(_, window)| !window.ceil).enumerate() {
        for number in NUMBERS {
            let (channels, taps) = (plane.channels, window.kernel[0] * window.kernel[1]);
            let make = |count, seed| rounded(number, numbers(count, seed));
            let (x, weight, bias) = (make(plane.numel(), 1), make(channels * taps, 2), make(channels, 3));
            let act = [Act::None, Act::Relu, Act::Silu, Act::Gelu][index % 4];
            let launch = Launch::depthwise(number, plane, window, act).expect("a launch");
            let arrays = [&x, &weight, &bias].map(|values| of(number, values));
            let Some(y) = run(&launch, &arrays) else { return };
            let turned: Vec<f32> =
                (0..taps * channels).map(|at| weight[at % channels * taps + at / channels]).collect();
            let want = depthwise_conv2d(&to_channels_last(&x, plane), &turned, &bias, act, plane, window);
            let (height, width) = window.output(plane.height, plane.width).expect("fits");
            let want = channels_first(&want, [plane.batch, height, width, channels]);
            near(number, &floats(number, &y), &want, &format!("{act:?} {plane:?} {window:?}"));
        }
    }
}

#[test]
fn biases_and_activations_are_their_definitions() {
    let (batch, channels, pixels) = (2, 5, 77);
    for number in NUMBERS {
        let x: Vec<f32> = numbers(batch * channels * pixels, 4).iter().map(|x| 6.0 * x).collect();
        let (x, bias) = (rounded(number, x), rounded(number, numbers(channels, 5)));
        for act in [Act::None, Act::Relu, Act::Silu, Act::Gelu] {
            let launch = Launch::bias_act(number, [batch, channels, pixels], act).expect("a launch");
            let Some(y) = run(&launch, &[of(number, &x), of(number, &bias)]) else { return };
            let want: Vec<f32> =
                x.iter().enumerate().map(|(at, x)| act.reference(x + bias[at / pixels % channels])).collect();
            near(number, &floats(number, &y), &want, &format!("{act:?}"));
        }
    }
}

#[test]
fn sampling_is_its_twin() {
    let shape = Deformable {
        batch: 2,
        queries: 7,
        heads: 3,
        channels: 5,
        levels: vec![(6, 9), (3, 2), (1, 1)],
        points: vec![4, 1, 3],
    };
    let points = shape.batch * shape.queries * shape.heads * shape.total_points();
    // Inside, outside, on borders, and nowhere.
    let mut locations: Vec<f32> = numbers(2 * points, 7).iter().map(|at| 0.5 + 0.8 * at).collect();
    let odd = [0.0, 1.0, -4e9, 4e9, f32::NAN, f32::INFINITY, 0.5];
    locations.iter_mut().zip(odd).for_each(|(at, odd)| *at = odd);
    let weights = numbers(points, 8);
    for number in NUMBERS {
        let count = shape.batch * shape.tokens() * shape.heads * shape.channels;
        let value = rounded(number, numbers(count, 6));
        let sample = |sampling, read| {
            let launch = Launch::sample(number, &shape, sampling).expect("a launch");
            Some(floats(number, &run(&launch, &[of(number, &value), read, singles(&weights)])?))
        };
        let Some(y) = sample(Sampling::Bilinear, singles(&locations)) else { return };
        near(number, &y, &sample_bilinear(&shape, &value, &locations, &weights), "bilinear");
        let mut pixels = shape.nearest(&locations);
        let want = sample_discrete(&shape, &value, &pixels, &weights);
        near(number, &sample(Sampling::Discrete, singles(&locations)).expect("the emulator"), &want, "discrete");
        pixels[3] = [1000, 1000];
        let want = sample_discrete(&shape, &value, &pixels, &weights);
        let read = words(pixels.as_flattened());
        near(number, &sample(Sampling::Pixels, read).expect("the emulator"), &want, "pixels");
    }
}

#[test]
fn the_best_are_their_twins() {
    for (rows, columns, k) in [(1, 24_000, 300), (2, 8400, 300), (1, 1024, 1024), (3, 5, 5), (1, 700, 1)] {
        // Few values, so that many are equal; both zeros; what is no number.
        let mut scores: Vec<f32> = numbers(rows * columns, 9).iter().map(|x| (x * 40.0).round() / 4.0).collect();
        (scores[1], scores[2], scores[columns - 1]) = (-0.0, 0.0, f32::NAN);
        (scores[0], scores[3]) = (f32::NEG_INFINITY, f32::INFINITY);
        let launch = Launch::top_k(rows, columns, k).expect("a launch");
        let Some(best) = run(&launch, &[singles(&scores)]) else { return };
        let want: Vec<u32> = scores.chunks(columns).flat_map(|row| top_k(row, k)).collect();
        assert_eq!(whole(&best), want, "{rows} x {columns}, {k}");
    }
}

/// A grid with a block too few leaves elements unwritten.
#[test]
fn elements_that_are_not_written_are_found() {
    let Some(program) = emulator() else { return };
    let arrays = [singles(&numbers(600, 10)), singles(&[0.5])];
    let whole = Launch::bias_act(Number::F32, [1, 1, 600], Act::None).expect("a launch");
    assert!(emulate(program, &whole, &arrays).status.success());
    let output = emulate(program, &Launch { blocks: whole.blocks - 1, ..whole }, &arrays);
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("element 512 of 600 was written 0 times"));
}
