//! Random bytes and mutated checkpoints: whatever comes of them, nothing panics.

mod common;

use std::io::Write;

use common::file;
use detrace_weights::{Checkpoint, Weights};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Opens the bytes as a file, reads every tensor and maps the names.
fn read(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    let Ok(checkpoint) = Checkpoint::open(file.path()) else { return };
    for name in checkpoint.names() {
        let _ = checkpoint.bytes(name);
    }
    if let Ok(weights) = Weights::all(checkpoint, true) {
        let _ = weights.report().to_string();
        for name in weights.names() {
            let _ = weights.tensor(name);
        }
    }
}

/// Instructions with short arguments, so that random sequences of them get somewhere.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<Vec<u8>> = [
        &b"N"[..],
        b"\x88",
        b"\x89",
        b"(",
        b"0",
        b"1",
        b"2",
        b"}",
        b"]",
        b")",
        b"t",
        b"l",
        b"d",
        b"a",
        b"e",
        b"s",
        b"u",
        b"R",
        b"b",
        b"Q",
        b"\x81",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"\x94",
        b".",
        b"\x8c\x02f4",
        b"\x8c\x01<",
        b"\x8c\x03ema",
        b"\x8c\x06module",
        b"\x8c\x07storage",
        b"\x8c\x010",
        b"\x8c\x06latin1",
        b"X\x01\0\0\0b",
        b"C\x04abcd",
        b"U\x02ab",
        b"B\x04\0\0\0abcd",
        b"\x96\x04\0\0\0\0\0\0\0abcd",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_parameter\n",
        b"ctorch\nFloatStorage\n",
        b"ctorch\nSize\n",
        b"ccollections\nOrderedDict\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy.core.numeric\n_frombuffer\n",
        b"cnumpy\ndtype\n",
        b"c_codecs\nencode\n",
        b"cbuiltins\ntuple\n",
        b"ctorch._tensor\n_rebuild_from_type_v2\n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    prop_oneof![
        6 => select(fixed),
        1 => any::<u8>().prop_map(|value| vec![b'K', value]),
        1 => any::<i32>().prop_map(|value| [&b"J"[..], &value.to_le_bytes()].concat()),
        1 => any::<i64>().prop_map(|value| [&b"\x8a\x08"[..], &value.to_le_bytes()].concat()),
        1 => (0_u8..8).prop_map(|slot| vec![b'q', slot]),
        2 => (0_u8..8).prop_map(|slot| vec![b'h', slot]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(start in select(vec![&b""[..], b"\x80\x02", b"\x80\x04\x95", b"PK\x03\x04", b"\x08\0\0\0\0\0\0\0{"]),
                    rest in proptest::collection::vec(any::<u8>(), 0..400)) {
        read(&[start, &rest].concat());
    }

    #[test]
    fn random_pickles(instructions in proptest::collection::vec(instruction(), 0..60)) {
        read(&[b"\x80\x04", &instructions.concat()[..], b"."].concat());
    }

    #[test]
    fn mutated_checkpoints(
        name in select(vec!["ema_module.pth", "legacy.pth", "odd.pth", "odd_legacy.pth", "numpy2.pkl", "numpy5.pkl",
                            "paddle3_p2.pdparams", "paddle3_p4.pdparams", "paddle3_nested.pdparams"]),
        edits in proptest::collection::vec((any::<Index>(), any::<u8>(), any::<Index>(), 0_usize..3, 0_usize..40), 1..6),
    ) {
        let mut bytes = std::fs::read(file(name)).expect("a fixture");
        for (at, value, from, kind, len) in edits {
            let (at, from) = (at.index(bytes.len()), from.index(bytes.len()));
            match kind {
                0 => bytes[at] = value,
                1 => {
                    let piece = bytes[from..(from + len).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ if bytes.len() > 100 => {
                    bytes.drain(at..(at + len).min(bytes.len()));
                }
                _ => {}
            }
        }
        read(&bytes);
    }
}
