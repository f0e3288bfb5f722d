use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an operation is. The built-in kinds are a closed list that other programs read; anything else is a
/// [`Kind::Custom`] of the user's own layers, which no convention knows until a rule is given for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the variants are the operations' usual names
pub enum Kind {
    Conv2d,
    Linear,
    Matmul,
    BatchNorm,
    LayerNorm,
    Relu,
    Silu,
    Gelu,
    Sigmoid,
    Softmax,
    Add,
    Sub,
    Mul,
    Div,
    MaxPool2d,
    AvgPool2d,
    Interpolate,
    Concat,
    Gather,
    TopK,
    GridSample,
    Embedding,
    Copy,
    Custom(Cow<'static, str>),
}

impl Kind {
    /// Every built-in kind with its name in files and on the command line.
    pub const ALL: [(Kind, &'static str); 23] = [
        (Kind::Conv2d, "conv2d"),
        (Kind::Linear, "linear"),
        (Kind::Matmul, "matmul"),
        (Kind::BatchNorm, "batch_norm"),
        (Kind::LayerNorm, "layer_norm"),
        (Kind::Relu, "relu"),
        (Kind::Silu, "silu"),
        (Kind::Gelu, "gelu"),
        (Kind::Sigmoid, "sigmoid"),
        (Kind::Softmax, "softmax"),
        (Kind::Add, "add"),
        (Kind::Sub, "sub"),
        (Kind::Mul, "mul"),
        (Kind::Div, "div"),
        (Kind::MaxPool2d, "max_pool2d"),
        (Kind::AvgPool2d, "avg_pool2d"),
        (Kind::Interpolate, "interpolate"),
        (Kind::Concat, "concat"),
        (Kind::Gather, "gather"),
        (Kind::TopK, "top_k"),
        (Kind::GridSample, "grid_sample"),
        (Kind::Embedding, "embedding"),
        (Kind::Copy, "copy"),
    ];

    /// The name in files and on the command line.
    pub fn name(&self) -> &str {
        match self {
            Kind::Custom(name) => name,
            known => Kind::ALL.iter().find(|(kind, _)| kind == known).map_or("", |(_, name)| name),
        }
    }

    /// The kind with that name; an unknown name is the user's own.
    pub fn from_name(name: &str) -> Kind {
        Kind::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map_or_else(|| Kind::Custom(Cow::Owned(name.to_owned())), |(kind, _)| kind.clone())
    }

    /// A kind of the user's own.
    pub const fn custom(name: &'static str) -> Kind {
        Kind::Custom(Cow::Borrowed(name))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        if name.is_empty() {
            return Err(serde::de::Error::custom("an operation's kind is empty"));
        }
        Ok(Kind::from_name(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_one_to_one() {
        for (kind, name) in Kind::ALL {
            assert_eq!(kind.name(), name);
            assert_eq!(Kind::from_name(name), kind);
        }
        assert_eq!(Kind::from_name("swiglu"), Kind::custom("swiglu"));
        assert_eq!(Kind::custom("swiglu").name(), "swiglu");
    }
}
