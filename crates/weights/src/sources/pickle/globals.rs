//! Everything that a checkpoint's pickle may name. None of it is run: a name stands for what we know to do with it.

use super::super::dtype::Dtype;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    /// `tuple`, called with its elements.
    Tuple,
    /// `_codecs.encode`: bytes that protocol 2 writes as text.
    Encode,
    /// `bytes`, called with nothing.
    Bytes,
    /// Rebuilds a numpy array from a state.
    Reconstruct,
    /// Makes a numpy array from bytes, a type and a shape.
    FromBuffer,
    NumpyDtype,
    /// Makes a tensor from a storage, an offset, a shape and strides.
    RebuildTensor,
    /// Makes a parameter from a tensor.
    RebuildParameter,
    /// Calls its first argument with its third.
    RebuildFromType,
    /// A storage's class, which gives the type of its elements.
    Storage(Dtype),
    /// `torch.Size`, called with a tuple.
    Size,
    /// Harmless, and nothing that we need.
    Inert,
}

const NAMES: &[(&[&str], &[&str], Global)] = &[
    (&["collections"], &["OrderedDict"], Global::OrderedDict),
    (&["collections"], &["Counter", "defaultdict"], Global::Inert),
    (&["builtins", "__builtin__"], &["tuple"], Global::Tuple),
    (&["builtins", "__builtin__"], &["bytes"], Global::Bytes),
    (
        &["builtins", "__builtin__"],
        &["list", "dict", "set", "frozenset", "int", "long", "float", "bool", "str", "unicode", "complex"],
        Global::Inert,
    ),
    (&["_codecs"], &["encode"], Global::Encode),
    (&["numpy.core.multiarray", "numpy._core.multiarray"], &["_reconstruct"], Global::Reconstruct),
    (&["numpy.core.multiarray", "numpy._core.multiarray"], &["scalar"], Global::Inert),
    (&["numpy.core.numeric", "numpy._core.numeric"], &["_frombuffer"], Global::FromBuffer),
    (&["numpy"], &["dtype"], Global::NumpyDtype),
    (&["numpy"], &["ndarray"], Global::Inert),
    (&["torch._utils"], &["_rebuild_tensor", "_rebuild_tensor_v2"], Global::RebuildTensor),
    (&["torch._utils"], &["_rebuild_parameter", "_rebuild_parameter_with_state"], Global::RebuildParameter),
    (&["torch._tensor"], &["_rebuild_from_type_v2"], Global::RebuildFromType),
    (&["torch"], &["FloatStorage"], Global::Storage(Dtype::F32)),
    (&["torch"], &["DoubleStorage"], Global::Storage(Dtype::F64)),
    (&["torch"], &["HalfStorage"], Global::Storage(Dtype::F16)),
    (&["torch"], &["BFloat16Storage"], Global::Storage(Dtype::BF16)),
    (&["torch"], &["LongStorage"], Global::Storage(Dtype::I64)),
    (&["torch"], &["IntStorage"], Global::Storage(Dtype::I32)),
    (&["torch"], &["ShortStorage"], Global::Storage(Dtype::I16)),
    (&["torch"], &["CharStorage"], Global::Storage(Dtype::I8)),
    (&["torch"], &["ByteStorage"], Global::Storage(Dtype::U8)),
    (&["torch"], &["BoolStorage"], Global::Storage(Dtype::Bool)),
    (&["torch"], &["Size"], Global::Size),
    (&["torch"], &["device", "Tensor"], Global::Inert),
    (
        &["torch"],
        &["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"],
        Global::Inert,
    ),
    (&["torch.nn.parameter"], &["Parameter", "Buffer"], Global::Inert),
];

/// What a name stands for; `None` if a checkpoint has no business with it.
pub(crate) fn find(module: &str, name: &str) -> Option<Global> {
    NAMES
        .iter()
        .find(|(modules, names, _)| modules.contains(&module) && names.contains(&name))
        .map(|(_, _, global)| *global)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_names_are_known() {
        assert_eq!(find("torch", "HalfStorage"), Some(Global::Storage(Dtype::F16)));
        assert_eq!(find("numpy._core.multiarray", "_reconstruct"), Some(Global::Reconstruct));
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("torch.storage", "_load_from_bytes"),
            ("collections", "dtype"),
            ("torch", "load"),
            ("", ""),
        ] {
            assert_eq!(find(module, name), None, "{module}.{name}");
        }
    }
}
