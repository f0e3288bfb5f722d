//! Files that torch, numpy and Paddle wrote (`data/make_fixtures.py`), and safetensors.

mod common;

use std::borrow::Cow;

use common::{file, values};
use detrace_weights::{Checkpoint, Dtype, Format, WeightsError};

fn floats(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let info = checkpoint.info(name).unwrap_or_else(|| panic!("no {name}"));
    info.dtype.to_f32(&checkpoint.bytes(name).expect("readable"))
}

#[test]
fn the_state_dict_is_found_where_trainers_put_it() {
    for (path, format, place, others) in [
        ("ema_module.pth", Format::TorchZip, "ema.module", 0),
        ("ema.pth", Format::TorchZip, "ema", 0),
        ("legacy.pth", Format::TorchLegacy, "state_dict", 0),
        ("odd.pth", Format::TorchZip, "bare", 0),
        ("paddle3_nested.pdparams", Format::Pickle, "model", 0),
        ("paddle3_p4.pdparams", Format::Pickle, "bare", 1),
    ] {
        let checkpoint = Checkpoint::open(file(path)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((checkpoint.format(), checkpoint.place()), (format, place), "{path}");
        assert_eq!(checkpoint.others().len(), others, "{path}: {:?}", checkpoint.others());
        assert!(!checkpoint.names().any(|name| name.starts_with("module.")));
    }
}

#[test]
fn torch_states_have_their_values() {
    for path in ["ema_module.pth", "ema.pth", "legacy.pth"] {
        let checkpoint = Checkpoint::open(file(path)).expect("sound");
        assert_eq!(checkpoint.names().count(), 3);
        let info = checkpoint.info("decoder.enc_output.0.weight").expect("there");
        assert_eq!((info.dtype, info.shape), (Dtype::F32, &[3, 4][..]));
        assert_eq!(floats(&checkpoint, "decoder.enc_output.0.weight"), values(1, 12), "{path}");
        assert_eq!(floats(&checkpoint, "decoder.enc_output.1.bias"), values(2, 4));
        assert_eq!(floats(&checkpoint, "encoder.input_proj.0.1.num_batches_tracked"), [7.0]);
        assert!(
            checkpoint.info("encoder.input_proj.0.1.num_batches_tracked").is_some_and(|info| info.shape.is_empty())
        );
    }
}

#[test]
fn views_types_and_odd_shapes_are_read() {
    for path in ["odd.pth", "odd_legacy.pth"] {
        let checkpoint = Checkpoint::open(file(path)).expect("sound");
        let base = values(10, 12);
        assert_eq!(checkpoint.info("transposed").map(|info| info.shape), Some(&[3, 2][..]));
        assert_eq!(floats(&checkpoint, "transposed"), [1.0, 1.375, 1.125, 1.5, 1.25, 1.625]);
        assert_eq!(floats(&checkpoint, "row"), base[6..9]);
        assert_eq!(floats(&checkpoint, "column"), [base[1], base[4], base[7], base[10]]);
        assert_eq!(floats(&checkpoint, "parameter"), values(2, 2));
        assert_eq!(floats(&checkpoint, "scalar"), [2.5]);
        assert_eq!(floats(&checkpoint, "empty"), [0.0; 0]);
        assert_eq!(floats(&checkpoint, "one"), values(3, 2));
        for (name, dtype, expected) in [
            ("f16", Dtype::F16, [4.0, 4.125]),
            ("bf16", Dtype::BF16, [5.0, 5.125]),
            ("f64", Dtype::F64, [6.0, 6.125]),
            ("i64", Dtype::I64, [-7.0, 8.0]),
            ("i32", Dtype::I32, [-7.0, 8.0]),
            ("i16", Dtype::I16, [-7.0, 8.0]),
            ("i8", Dtype::I8, [-7.0, 8.0]),
            ("u8", Dtype::U8, [7.0, 200.0]),
            ("bool", Dtype::Bool, [1.0, 0.0]),
        ] {
            assert_eq!(checkpoint.info(name).map(|info| info.dtype), Some(dtype));
            assert_eq!(floats(&checkpoint, name), expected, "{path} {name}");
        }
    }
}

#[test]
fn numpy_arrays_of_every_protocol_are_read() {
    for path in ["numpy2.pkl", "numpy4.pkl", "numpy5.pkl"] {
        let checkpoint = Checkpoint::open(file(path)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(floats(&checkpoint, "plain"), values(1, 6), "{path}");
        assert_eq!(floats(&checkpoint, "fortran"), values(2, 6), "{path}");
        assert_eq!(floats(&checkpoint, "big_endian"), values(3, 2), "{path}");
        assert_eq!(checkpoint.others(), ["scalar"]);
    }
}

#[test]
fn paddle_writes_the_same_in_every_form() {
    for path in ["paddle3_p2.pdparams", "paddle3_p4.pdparams", "paddle3_nested.pdparams", "paddle3_bf16.pdparams"] {
        let checkpoint = Checkpoint::open(file(path)).unwrap_or_else(|error| panic!("{error}"));
        let dtype = if path.contains("bf16") { Dtype::BF16 } else { Dtype::F32 };
        assert_eq!(checkpoint.names().count(), 11);
        for (number, name) in checkpoint.names().enumerate() {
            let info = checkpoint.info(name).expect("there");
            assert_eq!(info.dtype, dtype);
            let expected = values(number, info.shape.iter().product());
            let rounded =
                |value: &f32| if dtype == Dtype::BF16 { half::bf16::from_f32(*value).to_f32() } else { *value };
            let expected: Vec<f32> = expected.iter().map(rounded).collect();
            assert_eq!(floats(&checkpoint, name), expected, "{path} {name}");
        }
    }
}

#[test]
fn what_lies_in_the_file_is_not_copied() {
    let checkpoint = Checkpoint::open(file("paddle3_p4.pdparams")).expect("sound");
    assert!(matches!(checkpoint.bytes("transformer.enc_output.0.weight"), Ok(Cow::Borrowed(_))));
    assert!(matches!(checkpoint.bytes("nothing"), Err(WeightsError::NoTensor { .. })));
}

#[test]
fn whole_modules_and_programs_are_refused_with_the_cure() {
    let module = Checkpoint::open(file("whole_module.pth")).expect_err("refused").to_string();
    assert!(module.contains("torch.nn.modules.linear.Linear") && module.contains("state_dict"), "{module}");
    let script = Checkpoint::open(file("script.pth")).expect_err("refused").to_string();
    assert!(script.contains("TorchScript"), "{script}");
}

#[test]
fn the_hash_is_the_files() {
    let checkpoint = Checkpoint::open(file("empty.safetensors")).expect("sound");
    assert_eq!(checkpoint.names().count(), 0);
    // printf '\x08\0\0\0\0\0\0\0{}      ' | sha256sum
    assert_eq!(
        checkpoint.sha256().expect("readable"),
        "9bbcbf73561f6bc5d0a17ea6a2081feed2d1304e87602d8c502d9a5c4bd85576"
    );
}
