//! Naming schemes: what a tensor of RT-DETR is called in the frameworks, as tables that work in both directions.
//!
//! Canonical names are those of the official RT-DETRv2 code for PyTorch (`rtdetrv2_pytorch`), for both versions of the
//! model.

mod canonical;
mod hugging_face;
mod paddle;
mod pattern;
mod table;
mod torch_v1;

use std::fmt;

pub use canonical::{Kind, kind};
pub use paddle::{PaddleNames, paddle_module};
use serde::{Serialize, Serializer};
use table::Table;

/// Whose names a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// The official RT-DETRv2 code for PyTorch.
    Canonical,
    /// The official RT-DETR code for PyTorch, first version.
    TorchV1,
    /// PaddleDetection.
    Paddle,
    /// Hugging Face's transformers.
    HuggingFace,
}

/// What converting does to a tensor besides renaming it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Nothing.
    Same,
    /// A matrix is transposed; a vector stays.
    Transposed,
    /// One of the three equal parts of a packed tensor, along the first dimension: 0, 1 or 2 for q, k or v.
    Part(usize),
}

/// A tensor's name in another scheme and how the tensor gets there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The name.
    pub name: String,
    /// What is done to the tensor.
    pub how: How,
}

impl Scheme {
    /// All schemes. The first wins where several fit equally well.
    pub const ALL: [Scheme; 4] = [Scheme::Canonical, Scheme::TorchV1, Scheme::Paddle, Scheme::HuggingFace];

    /// The name that a user knows the scheme by.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Canonical => "canonical (official torch v2)",
            Scheme::TorchV1 => "official torch v1",
            Scheme::Paddle => "paddle",
            Scheme::HuggingFace => "hugging face",
        }
    }

    fn table(self) -> Option<&'static Table> {
        match self {
            Scheme::Canonical => None,
            Scheme::TorchV1 => Some(&torch_v1::TABLE),
            Scheme::Paddle => Some(&paddle::TABLE),
            Scheme::HuggingFace => Some(&hugging_face::TABLE),
        }
    }

    /// Where a tensor of this scheme goes; `None` if an RT-DETR has no such tensor under this scheme.
    pub fn to_canonical(self, name: &str) -> Option<Mapped> {
        let (name, part) = match self {
            Scheme::HuggingFace => hugging_face::packed(name).map_or((name.to_owned(), None), |(n, i)| (n, Some(i))),
            _ => (name.to_owned(), None),
        };
        if part.is_none() && self == Scheme::HuggingFace && is_packed(&name) {
            return None;
        }
        let name = self.table().map_or(Some(name.clone()), |table| table.tensor_to_canonical(&name))?;
        let kind = kind(&name)?;
        let how = match (self, kind, part) {
            (_, _, Some(part)) => How::Part(part),
            (Scheme::Paddle, Kind::Linear, None) => How::Transposed,
            _ => How::Same,
        };
        Some(Mapped { name, how })
    }

    /// What a canonical tensor is stored as in this scheme: one tensor, or three for an attention's packed projections;
    /// `None` if an RT-DETR has no such tensor. Paddle's names are those of [`PaddleNames::default`].
    pub fn from_canonical(self, name: &str) -> Option<Vec<Mapped>> {
        let kind = kind(name)?;
        let one = |name: String, how| Some(vec![Mapped { name, how }]);
        let Some(table) = self.table() else { return one(name.to_owned(), How::Same) };
        let name = table.tensor_from_canonical(name).into_iter().next()?;
        match self {
            Scheme::HuggingFace => match hugging_face::unpacked(&name) {
                Some(names) => {
                    let parts = names.into_iter().enumerate();
                    Some(parts.map(|(index, name)| Mapped { name, how: How::Part(index) }).collect())
                }
                None => one(name, How::Same),
            },
            Scheme::Paddle if kind == Kind::Linear => one(name, How::Transposed),
            _ => one(name, How::Same),
        }
    }

    /// The name of a module in this scheme, an operation's role (`path#role`) kept; `None` for a path outside the
    /// network. Paddle's names are those of [`PaddleNames::default`].
    pub fn module_from_canonical(self, path: &str) -> Option<String> {
        let Some(table) = self.table() else { return Some(path.to_owned()) };
        let (path, role) = path.find('#').map_or((path, ""), |at| path.split_at(at));
        Some(table.module_from_canonical(path).into_iter().next()? + role)
    }

    /// The scheme that explains the most of these names, if it explains at least half of them.
    pub fn recognise<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Scheme> {
        let mut known = [0_usize; Scheme::ALL.len()];
        let mut total = 0_usize;
        for name in names {
            total += 1;
            for (count, scheme) in known.iter_mut().zip(Scheme::ALL) {
                *count += usize::from(scheme.to_canonical(name).is_some());
            }
        }
        let best = known.iter().copied().max().filter(|best| *best > 0 && *best >= total - *best)?;
        Scheme::ALL.into_iter().zip(known).find(|(_, count)| *count == best).map(|(scheme, _)| scheme)
    }
}

impl Serialize for Scheme {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

fn is_packed(name: &str) -> bool {
    name.ends_with(".in_proj_weight") || name.ends_with(".in_proj_bias")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::pattern::letters;
    use super::*;

    #[test]
    fn both_sides_of_a_row_capture_the_same() {
        for scheme in Scheme::ALL {
            for table::Row(canonical, others) in scheme.table().map_or(&[][..], |table| table.rows) {
                assert!(!others.is_empty());
                for other in *others {
                    let both = (letters(canonical), letters(other));
                    assert!(both.0.is_some() && both.0 == both.1, "{scheme}: {canonical} and {other}");
                }
            }
        }
    }

    #[test]
    fn names_of_another_scheme_are_refused() {
        for (scheme, name) in [
            (Scheme::Canonical, "encoder.input_proj.0.0.weight"),
            (Scheme::TorchV1, "encoder.input_proj.0.conv.weight"),
            (Scheme::Paddle, "neck.lateral_convs.0.norm.weight"),
            (Scheme::Paddle, "neck.lateral_convs.0.bn.running_mean"),
            (Scheme::Paddle, "encoder.lateral_convs.0.norm.weight"),
            (Scheme::HuggingFace, "model.decoder.layers.0.norm1.weight"),
            (Scheme::HuggingFace, "model.decoder.layers.0.self_attn.in_proj_weight"),
            (Scheme::HuggingFace, "model.decoder.layers.0.self_attn.q_proj.scale"),
            (Scheme::HuggingFace, "model.decoder.layers.0.fc1.mlp.weight"),
        ] {
            assert_eq!(scheme.to_canonical(name), None, "{scheme} {name}");
        }
    }

    #[test]
    fn no_two_canonical_names_share_a_name() {
        let canonical = ["backbone.res_layers.0.blocks.0.short.conv.weight", "decoder.dec_score_head.0.bias"];
        for scheme in Scheme::ALL {
            let names: BTreeSet<_> =
                canonical.iter().flat_map(|name| scheme.from_canonical(name).expect("known")).map(|m| m.name).collect();
            assert_eq!(names.len(), canonical.len());
        }
    }

    #[test]
    fn too_few_known_names_are_no_scheme() {
        assert_eq!(Scheme::recognise(["epoch"]), None);
        assert_eq!(Scheme::recognise([]), None);
        assert_eq!(Scheme::recognise(["decoder.enc_output.0.bias", "epoch"]), Some(Scheme::TorchV1));
        assert_eq!(Scheme::recognise(["decoder.enc_output.0.bias", "a", "b"]), None);
    }
}
