//! The kernels' sources, compiled for the CPU and run thread by thread with the grids that they are launched with, against
//! the CPU kernels. Reads and writes out of bounds end the program, and what no thread writes is no number.

#![allow(clippy::print_stderr)] // what is skipped is said

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use detrace_cuda::{Launch, Sampling};
use detrace_kernels::{
    Act, Deformable, Plane, Window, avg_pool2d, depthwise_conv2d, max_pool2d, sample_bilinear, sample_discrete,
    to_channels_last, top_k,
};

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

/// What the kernel makes of these arrays, as bit patterns; none without a compiler.
fn run<const WORDS: usize>(launch: &Launch<WORDS>, arrays: &[Vec<u32>]) -> Option<Vec<u32>> {
    let program = emulator()?;
    let mut input = launch.kernel.function.as_bytes().to_vec();
    input.resize(32, 0);
    input.extend(bytes([launch.blocks, launch.threads, launch.elements as u32, WORDS as u32]));
    input.extend(bytes(launch.words));
    for array in arrays {
        input.extend(bytes([array.len() as u32]));
        input.extend(bytes(array.iter().copied()));
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
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{:?}: {}", launch.kernel, String::from_utf8_lossy(&output.stderr));
    Some(output.stdout.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]])).collect())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn floats(bits: Vec<u32>) -> Vec<f32> {
    bits.into_iter().map(f32::from_bits).collect()
}

/// Numbers of both signs, different for each seed.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let hash = |i: u32| (i.wrapping_add(seed.wrapping_mul(7919)).wrapping_mul(2_654_435_761) >> 8) as f32;
    (0..count as u32).map(|i| hash(i) / 8_388_608.0 - 1.0).collect()
}

fn near(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let right = (got - want).abs() <= 2e-6 * want.abs().max(1.0) || got == want || got.is_nan() && want.is_nan();
        assert!(right, "{what}: element {at} is {got}, not {want}");
    }
}

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
        let mut x = numbers(plane.numel(), index as u32);
        // Below zero, so that a padding of zeros would win; and what is no number.
        x.iter_mut().for_each(|x| *x -= 3.0);
        x[0] = f32::NAN;
        let last = to_channels_last(&x, plane);
        let (height, width) = window.output(plane.height, plane.width).expect("fits");
        let first = |y: Vec<f32>| channels_first(&y, [plane.batch, height, width, plane.channels]);
        let Some(max) = run(&Launch::max_pool(plane, window).expect("a launch"), &[bits(&x)]) else { return };
        near(&floats(max), &first(max_pool2d(&last, plane, window)), &format!("max {plane:?} {window:?}"));
        let Some(mean) = run(&Launch::avg_pool(plane, window).expect("a launch"), &[bits(&x)]) else { return };
        near(&floats(mean), &first(avg_pool2d(&last, plane, window)), &format!("mean {plane:?} {window:?}"));
    }
}

#[test]
fn depthwise_convolutions_are_their_twin() {
    for (index, (plane, window)) in windows().into_iter().filter(|(_, window)| !window.ceil).enumerate() {
        let (channels, taps) = (plane.channels, window.kernel[0] * window.kernel[1]);
        let (x, weight) = (numbers(plane.numel(), 1), numbers(channels * taps, 2));
        let bias = numbers(channels, 3);
        let act = [Act::None, Act::Relu, Act::Silu, Act::Gelu][index % 4];
        let launch = Launch::depthwise(plane, window, act).expect("a launch");
        let Some(y) = run(&launch, &[bits(&x), bits(&weight), bits(&bias)]) else { return };
        let turned: Vec<f32> = (0..taps * channels).map(|at| weight[at % channels * taps + at / channels]).collect();
        let want = depthwise_conv2d(&to_channels_last(&x, plane), &turned, &bias, act, plane, window);
        let (height, width) = window.output(plane.height, plane.width).expect("fits");
        let want = channels_first(&want, [plane.batch, height, width, channels]);
        near(&floats(y), &want, &format!("{act:?} {plane:?} {window:?}"));
    }
}

#[test]
fn biases_and_activations_are_their_definitions() {
    let (batch, channels, pixels) = (2, 5, 77);
    let x: Vec<f32> = numbers(batch * channels * pixels, 4).iter().map(|x| 6.0 * x).collect();
    let bias = numbers(channels, 5);
    for act in [Act::None, Act::Relu, Act::Silu, Act::Gelu] {
        let launch = Launch::bias_act(batch, channels, pixels, act).expect("a launch");
        let Some(y) = run(&launch, &[bits(&x), bits(&bias)]) else { return };
        let want: Vec<f32> =
            x.iter().enumerate().map(|(at, x)| act.reference(x + bias[at / pixels % channels])).collect();
        near(&floats(y), &want, &format!("{act:?}"));
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
    let value = numbers(shape.batch * shape.tokens() * shape.heads * shape.channels, 6);
    // Inside, outside, on borders, and nowhere.
    let mut locations: Vec<f32> = numbers(2 * points, 7).iter().map(|at| 0.5 + 0.8 * at).collect();
    let odd = [0.0, 1.0, -4e9, 4e9, f32::NAN, f32::INFINITY, 0.5];
    locations.iter_mut().zip(odd).for_each(|(at, odd)| *at = odd);
    let weights = numbers(points, 8);
    let sample = |sampling, read: Vec<u32>| {
        let launch = Launch::sample(&shape, sampling).expect("a launch");
        run(&launch, &[bits(&value), read, bits(&weights)]).map(floats)
    };
    let Some(y) = sample(Sampling::Bilinear, bits(&locations)) else { return };
    near(&y, &sample_bilinear(&shape, &value, &locations, &weights), "bilinear");
    let pixels = shape.nearest(&locations);
    let want = sample_discrete(&shape, &value, &pixels, &weights);
    near(&sample(Sampling::Discrete, bits(&locations)).expect("the emulator"), &want, "discrete");
    let mut pixels = pixels;
    pixels[3] = [1000, 1000];
    let want = sample_discrete(&shape, &value, &pixels, &weights);
    near(&sample(Sampling::Pixels, pixels.as_flattened().to_vec()).expect("the emulator"), &want, "pixels");
}

#[test]
fn the_best_are_their_twins() {
    for (rows, columns, k) in [(1, 24_000, 300), (2, 8400, 300), (1, 1024, 1024), (3, 5, 5), (1, 700, 1)] {
        // Few values, so that many are equal; both zeros; what is no number.
        let mut scores: Vec<f32> = numbers(rows * columns, 9).iter().map(|x| (x * 40.0).round() / 4.0).collect();
        (scores[1], scores[2], scores[columns - 1]) = (-0.0, 0.0, f32::NAN);
        (scores[0], scores[3]) = (f32::NEG_INFINITY, f32::INFINITY);
        let launch = Launch::top_k(rows, columns, k).expect("a launch");
        let Some(best) = run(&launch, &[bits(&scores)]) else { return };
        let want: Vec<u32> = scores.chunks(columns).flat_map(|row| top_k(row, k)).collect();
        assert_eq!(best, want, "{rows} x {columns}, {k}");
    }
}
