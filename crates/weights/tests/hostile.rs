//! Files made to do harm, or damaged: each is refused with a cause, and none makes the reader panic.

mod common;

use std::io::Write;

use common::file;
use detrace_weights::{Checkpoint, WeightsError};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The message that a file with these bytes is refused with.
fn refusal(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    match Checkpoint::open(file.path()) {
        Ok(checkpoint) => {
            for name in checkpoint.names() {
                if let Err(error) = checkpoint.bytes(name) {
                    return error.to_string();
                }
            }
            panic!("not refused: {checkpoint:?}")
        }
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn refused(bytes: &[u8], cause: &str) {
    let message = refusal(bytes);
    assert!(message.contains(cause), "{message:?} does not say {cause:?}");
}

fn real(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).expect("a fixture")
}

/// Bytes with every occurrence of a piece replaced by one of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "nothing to replace");
    bytes
}

/// A pickle of protocol 4 with these instructions.
fn pickle(instructions: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x04", &instructions.concat()[..], b"."].concat()
}

fn zipped(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).expect("started");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("finished").into_inner()
}

/// `{'w': tensor}` of `shape` with `strides`, in storage 0 of `elements` floats.
fn one_tensor(elements: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage = [b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpu", elements, b"tQ"].concat();
    pickle(&[
        b"}\x8c\x01wctorch._utils\n_rebuild_tensor_v2\n(",
        &storage,
        b"K\x00",
        shape,
        strides,
        b"\x89ccollections\nOrderedDict\n)RtRs",
    ])
}

#[test]
fn calls_of_anything_else_are_refused_by_name_and_not_made() {
    for (code, name) in [
        (&b"cos\nsystem\n\x8c\x0atouch evil\x85R"[..], "os.system"),
        (b"\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R", "posix.system"),
        (b"c__builtin__\neval\n\x8c\x011\x85R", "__builtin__.eval"),
        (b"cbuiltins\ngetattr\n)R", "builtins.getattr"),
        (b"ctorch.storage\n_load_from_bytes\n)R", "torch.storage._load_from_bytes"),
        (b"c\xff\x1b[31m\nx\n)R", "\\u{1b}[31m.x"),
    ] {
        let bytes = pickle(&[code]);
        let message = refusal(&bytes);
        assert!(message.contains(name) && message.contains("nothing was run"), "{message}");
        refused(&zipped(&[("a/data.pkl", &bytes)], CompressionMethod::Stored), name);
    }
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&pickle(&[b"cos\nsystem\n)R"])).expect("written");
    let error = Checkpoint::open(file.path()).expect_err("refused");
    assert!(matches!(error, WeightsError::Forbidden { global, .. } if global == "os.system"));
}

#[test]
fn a_call_hidden_behind_a_real_checkpoint_is_refused() {
    let bytes = real("paddle3_p4.pdparams");
    let bytes = replaced(&bytes, b"\x8c\x0c_reconstruct", b"\x8c\x0crun_anything");
    refused(&bytes, "numpy.core.multiarray.run_anything");
    let bytes = replaced(&real("legacy.pth"), b"_rebuild_tensor_v2", b"_rebuild_tensor_v9");
    refused(&bytes, "torch._utils._rebuild_tensor_v9");
}

#[test]
fn deep_nesting_is_refused() {
    refused(&pickle(&[b")", &[0x85; 200]]), "more than 100 deep");
    refused(&pickle(&[&b"]".repeat(200), &b"a".repeat(199)]), "more than 100 deep");
    refused(&pickle(&[&b"(".repeat(100_000)]), "takes a value");
    refused(&pickle(&[&b"}N".repeat(200), b"N", &b"s".repeat(200)]), "more than 100 deep");
    let json = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let mut safetensors = (json.len() as u64).to_le_bytes().to_vec();
    safetensors.extend_from_slice(json.as_bytes());
    refused(&safetensors, "header is damaged");
}

#[test]
fn memo_bombs_are_refused() {
    // A list of ten lists of ten lists …: 10 to the 30th values in 900 bytes.
    let level = [b"]\x94(".as_slice(), &b"j\x00\x00\x00\x00".repeat(10), b"e"].concat();
    let mut bomb = b"]\x94".to_vec();
    for depth in 0_u32..30 {
        let mut level = level.clone();
        for at in 0..10 {
            level[4 + 5 * at..8 + 5 * at].copy_from_slice(&depth.to_le_bytes());
        }
        bomb.extend_from_slice(&level);
    }
    refused(&pickle(&[&bomb]), "repeats its values");
    refused(&pickle(&[b"Nr\xff\xff\xff\xff"]), "numbers a value 4294967295");
    refused(&pickle(&[b"j\xff\xff\xff\xff"]), "recalls value 4294967295");
    refused(&pickle(&[&b"N".repeat(600_000)]), "instructions");
}

#[test]
fn sizes_over_the_file_are_refused() {
    for text in [
        &b"X\xff\xff\xff\x7f"[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\xff",
        b"\x95\xff\xff\0\0\0\0\0\0",
    ] {
        refused(&pickle(&[text]), "cut short");
    }
    let (three, huge) = (&b"K\x03"[..], &b"J\xff\xff\xff\x7f"[..]);
    let archive = |pickle: &[u8]| zipped(&[("a/data.pkl", pickle), ("a/data/0", &[0; 12])], CompressionMethod::Stored);
    let sound = one_tensor(three, b"K\x03\x85", b"K\x01\x85");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&archive(&sound)).expect("written");
    assert_eq!(Checkpoint::open(file.path()).expect("sound").bytes("w").expect("readable").len(), 12);
    refused(&archive(&one_tensor(huge, b"K\x03\x85", b"K\x01\x85")), "the archive has 12 bytes");
    refused(&archive(&one_tensor(three, b"K\x04\x85", b"K\x01\x85")), "does not lie in a storage of 3 elements");
    refused(&archive(&one_tensor(three, b"K\x03\x85", b"K\x02\x85")), "does not lie in a storage");
    refused(&archive(&one_tensor(three, b"J\xff\xff\xff\x7f\x85", b"K\x00\x85")), "does not lie in a storage");
    refused(&archive(&one_tensor(three, b"K\x03\x85", b"J\xff\xff\xff\xff\x85")), "not described as torch");
    let eight = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let shape = [b"(".as_slice(), &eight.repeat(3), b"t"].concat();
    refused(&archive(&one_tensor(three, &shape, &shape)), "does not lie in a storage");
    refused(&zipped(&[("a/data.pkl", &sound)], CompressionMethod::Stored), "which the zip archive does not have");
    // numpy: the shape says more than the bytes have
    let bytes = replaced(&real("paddle3_p4.pdparams"), b"K\x02K\x04\x86", b"K\x02K\x05\x86");
    refused(&bytes, "32 bytes are not what [2, 5] elements of type F32 take");
}

#[test]
fn many_names_for_one_tensor_are_refused() {
    let mut tensors = b"}(".to_vec();
    let tensor = &one_tensor(b"J\x00\x00\x01\x00", b"J\x00\x00\x01\x00\x85", b"K\x01\x85")[3..];
    tensors.extend_from_slice(&tensor[..tensor.len() - 2]);
    tensors.extend_from_slice(b"q\x00");
    for name in 0..10_000 {
        tensors.extend_from_slice(b"\x8c\x06");
        tensors.extend_from_slice(format!("{name:06}").as_bytes());
        tensors.extend_from_slice(b"h\x00");
    }
    tensors.extend_from_slice(b"u");
    let storage = vec![0; 4 << 16];
    let archive = zipped(&[("a/data.pkl", &pickle(&[&tensors])), ("a/data/0", &storage)], CompressionMethod::Stored);
    refused(&archive, "more than 4 times the file");
}

#[test]
fn archives_that_unpack_to_more_than_they_may_are_refused() {
    let sound = one_tensor(b"J\x00\x00\x00\x01", b"J\x00\x00\x00\x01\x85", b"K\x01\x85"); // 16 Mi floats
    let zeros = vec![0; 4 << 24];
    let bomb = zipped(&[("a/data.pkl", &sound), ("a/data/0", &zeros)], CompressionMethod::Deflated);
    assert!(bomb.len() < 1 << 20);
    refused(&bomb, "more than 20 times the file");
    // An archive that says less than it unpacks to: the declared size is at offset 24 of its entry in the directory.
    let small = one_tensor(b"J\x00\x00\x01\x00", b"J\x00\x00\x01\x00\x85", b"K\x01\x85");
    let mut lying = zipped(&[("a/data.pkl", &small), ("a/data/0", &zeros)], CompressionMethod::Deflated);
    let directory = lying.windows(4).rposition(|window| window == b"PK\x01\x02").expect("a directory");
    lying[directory + 24..directory + 28].copy_from_slice(&(4_u32 << 16).to_le_bytes());
    refused(&lying, "larger than its declared");
    // A deflated archive of sound size is read.
    let values = [1.0_f32, 2.0, 3.0].map(f32::to_le_bytes).concat();
    let sound = one_tensor(b"K\x03", b"K\x03\x85", b"K\x01\x85");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let packed = zipped(&[("a/data.pkl", &sound), ("a/data/0", &values)], CompressionMethod::Deflated);
    file.write_all(&packed).expect("written");
    assert_eq!(Checkpoint::open(file.path()).expect("sound").bytes("w").expect("readable"), values);
}

#[test]
fn damaged_archives_are_refused() {
    let whole = real("odd.pth");
    refused(&whole[..whole.len() / 2], "zip archive");
    refused(&whole[..whole.len() - 30], "zip archive");
    let flipped = replaced(&whole, &1.375_f32.to_le_bytes(), &9.0_f32.to_le_bytes());
    refused(&flipped, "zip archive");
    refused(&zipped(&[("a/b.npy", b"x")], CompressionMethod::Stored), "no data.pkl");
    refused(b"PK\x03\x04", "zip archive");
    let two = zipped(&[("a/data.pkl", b"x"), ("b/data.pkl", b"y"), ("a/datb.pkl", b"z")], CompressionMethod::Stored);
    let two = replaced(&two, b"a/datb.pkl", b"a/data.pkl");
    assert!(!refusal(&two).is_empty());
}

#[test]
fn files_cut_short_are_refused_wherever_they_are_cut() {
    for name in ["legacy.pth", "odd_legacy.pth", "paddle3_p2.pdparams", "paddle3_p4.pdparams", "numpy5.pkl", "odd.pth"]
    {
        let whole = real(name);
        for len in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            assert!(!refusal(&whole[..len]).is_empty(), "{name} to {len}");
        }
    }
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn damaged_safetensors_are_refused() {
    let tensor = |name: &str, start: usize, end: usize| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[{start},{end}]}}")
    };
    let two = |a: (usize, usize), b: (usize, usize)| format!("{{{},{}}}", tensor("a", a.0, a.1), tensor("b", b.0, b.1));
    refused(&safetensors(&two((0, 8), (4, 12)), 12), "overlaps");
    refused(&safetensors(&two((0, 8), (0, 8)), 8), "overlaps");
    refused(&safetensors(&two((0, 8), (16, 24)), 24), "gap");
    refused(&safetensors(&two((0, 8), (8, 16)), 12), "cut short or damaged");
    refused(&safetensors(&two((0, 8), (8, 16)), 20), "cut short or damaged");
    refused(&safetensors(&two((0, 8), (8, 12)), 12), "damaged");
    refused(
        &safetensors("{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,4],\"data_offsets\":[0,8]}}", 8),
        "damaged",
    );
    refused(&safetensors("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}", 8), "F8_E4M3");
    refused(&safetensors("{\"a\"", 0), "damaged");
    let mut long = safetensors("{}", 0);
    long[..8].copy_from_slice(&1000_u64.to_le_bytes());
    refused(&long, "longer than the file");
    long[..8].copy_from_slice(&(1_u64 << 35).to_le_bytes());
    refused(&long, "are the most");
}

#[test]
fn what_is_no_checkpoint_is_refused_with_a_guess() {
    refused(b"", "the file is empty");
    refused(b"hello", "starts with 68 65 6c 6c 6f (unknown)");
    refused(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS");
    refused(b"<!DOCTYPE html>", "web page");
    refused(b"\x1f\x8b\x08\0", "gzip");
    refused(&[0; 64], "pdiparams");
    refused(b"\x80\x01.", "protocol 0 or 1");
    refused(b"\x80\x04.", "takes a value");
    refused(b"\x80\x04N.", "holds no tensors");
    refused(b"\x80\x04}.", "holds no tensors");
    refused(b"\x80\x04\x80\x06N.", "protocol 6");
    refused(b"\x80\x04iposix\nsystem\n.", "0x69");
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(Checkpoint::open(folder.path()), Err(WeightsError::Read { .. })));
    assert!(matches!(Checkpoint::open(folder.path().join("none")), Err(WeightsError::Read { .. })));
}
