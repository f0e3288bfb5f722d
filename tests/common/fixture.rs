//! Parity fixtures: see `tests/fixtures/parity/README.md`.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use detrace::weights::seeded_word;

/// What an official network computes.
pub(crate) struct Fixture {
    /// Its tensors.
    pub(crate) tensors: HashMap<String, Tensor>,
    /// What they are of.
    pub(crate) metadata: HashMap<String, String>,
}

impl Fixture {
    /// The fixture of that name.
    pub(crate) fn read(name: &str) -> Fixture {
        let path = format!("{}/tests/fixtures/parity/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).expect("the fixture");
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("safetensors");
        let metadata = header.metadata().clone().expect("metadata");
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).expect("tensors");
        Fixture { tensors, metadata }
    }

    /// The seed of weights and image.
    pub(crate) fn seed(&self) -> u64 {
        self.metadata["seed"].parse().expect("a seed")
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.tensors[name].flatten_all().expect("flat").to_vec1().expect("f32")
    }

    /// Largest difference of the sampled values over the tensor's root mean square.
    pub(crate) fn error(&self, name: &str, ours: &Tensor) -> f32 {
        let ours: Vec<f32> = ours.flatten_all().expect("flat").to_vec1().expect("f32");
        let probe = |j: usize| (seeded_word(&format!("probe.{name}"), 0, j as u64) % ours.len() as u64) as usize;
        let rms = self.values(&format!("{name}.rms"))[0];
        largest(self.values(name).iter().enumerate().map(|(j, want)| (ours[probe(j)] - want).abs())) / rms
    }
}

/// The largest; NaN wins.
pub(crate) fn largest(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |most, value| if value > most || value.is_nan() { value } else { most })
}

/// Largest difference of two tensors of one shape.
pub(crate) fn difference(ours: &Tensor, theirs: &Tensor) -> f32 {
    let flat = |tensor: &Tensor| tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("f32");
    assert_eq!(ours.dims(), theirs.dims());
    largest(flat(ours).into_iter().zip(flat(theirs)).map(|(a, b)| (a - b).abs()))
}
