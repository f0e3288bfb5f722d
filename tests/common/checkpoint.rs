//! Seeded checkpoints, written here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use detrace::config::{Config, Needed};
use detrace::rtdetr::RtDetr;
use detrace::weights::schemes::How;
use detrace::weights::{Dtype, Entry, PaddleNames, Scheme, seeded_values, write_safetensors};

/// A folder that goes away, and the files in it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file.
    pub(crate) fn with(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.file(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// The names of what lies in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort_unstable();
        names
    }
}

/// The tensors of a model of the zoo, for another number of classes if wanted.
pub(crate) fn needed(model: &str, classes: usize) -> Vec<Needed> {
    let mut config = Config::load(model).expect("a variant");
    config.classes = classes;
    RtDetr::needed(&config).expect("a network")
}

/// Writes tensors with canonical names and seeded values as safetensors.
pub(crate) fn seeded(path: &str, tensors: &[Needed], seed: u64) {
    let entry = |tensor: &Needed| Entry { name: tensor.name.clone(), dtype: Dtype::F32, shape: tensor.shape.clone() };
    write_safetensors(&PathBuf::from(path), tensors.iter().map(entry).collect(), &BTreeMap::new(), |entry| {
        Ok(Cow::Owned(bytes(&seeded_values(&entry.name, &entry.shape, seed))))
    })
    .expect("written");
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A safetensors file of zeros, which takes no room on the disk.
pub(crate) fn hollow(path: &str, tensors: &[Needed]) {
    let (mut header, mut at) = (serde_json::Map::new(), 0_usize);
    for Needed { name, shape, .. } in tensors {
        let end = at + 4 * shape.iter().product::<usize>();
        header.insert(name.clone(), serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [at, end]}));
        at = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    let start = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    std::fs::write(path, &start).expect("written");
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("there");
    file.set_len((start.len() + at) as u64).expect("longer");
}

/// Writes tensors with PaddleDetection's names and seeded values as `paddle.save` does: a pickle of numpy arrays, the
/// matrices of linear layers transposed.
pub(crate) fn paddle(path: &str, tensors: &[Needed], seed: u64) {
    let names = PaddleNames::for_paths(tensors.iter().map(|tensor| tensor.name.as_str()));
    let mut pickle = b"\x80\x04}(".to_vec();
    for Needed { name, shape, .. } in tensors {
        let (mut shape, mut values) = (shape.clone(), seeded_values(name, shape, seed));
        if let (Some([mapped]), [rows, columns]) =
            (Scheme::Paddle.from_canonical(name).as_deref(), shape.clone().as_slice())
            && mapped.how == How::Transposed
        {
            values = (0..rows * columns).map(|at| values[(at % rows) * columns + at / rows]).collect();
            shape.reverse();
        }
        text(&mut pickle, &names.tensor(name).expect("Paddle's name"));
        pickle.extend_from_slice(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR(K\x01(");
        for size in shape {
            pickle.push(b'J');
            pickle.extend_from_slice(&u32::try_from(size).expect("small").to_le_bytes());
        }
        pickle.extend_from_slice(
            b"tcnumpy\ndtype\n(\x8c\x02f4\x89\x88tR(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89B",
        );
        let values = bytes(&values);
        pickle.extend_from_slice(&u32::try_from(values.len()).expect("small").to_le_bytes());
        pickle.extend_from_slice(&values);
        pickle.extend_from_slice(b"tb");
    }
    pickle.extend_from_slice(b"u.");
    std::fs::write(path, pickle).expect("written");
}

fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.extend_from_slice(&[0x8c, u8::try_from(text.len()).expect("short")]);
    pickle.extend_from_slice(text.as_bytes());
}
