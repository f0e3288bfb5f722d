"""Canonical tensor names (those of the official PyTorch v2 code) and the names of other checkpoints.

This is the Python counterpart of `crates/weights/src/schemes`, written on its own so that the two can be compared. Each
`from_…` takes a state dict as name -> numpy array and gives the canonical one; `finish` leaves out what models make
again, and `save` writes it.
"""

import re

import numpy as np
from safetensors.numpy import save_file

# Entries that a network makes itself.
CONSTANTS = re.compile(r"(^|\.)(num_batches_tracked|anchors|valid_mask|num_points_scale|n_points_scale|pos_embed\d+)$")

# Entries that counting tools leave behind.
COUNTERS = re.compile(r"(^|\.)total_(ops|params)$")

DENOISING = "decoder.denoising_class_embed.weight"
EMBEDDINGS = (DENOISING, "decoder.tgt_embed.weight")


class ConvertError(Exception):
    """Names that belong to no known scheme, or tensors that contradict each other."""


def unwrap(state):
    """The state dict inside what a training run saved: averaged weights first."""
    for place in (("ema", "module"), ("ema",), ("model",), ("state_dict",)):
        inner = state
        for key in place:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            return inner
    return state


def _rename(name, rules):
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


_SEQUENTIAL = [
    (r"^encoder\.input_proj\.(\d+)\.0\.", r"encoder.input_proj.\1.conv."),
    (r"^encoder\.input_proj\.(\d+)\.1\.", r"encoder.input_proj.\1.norm."),
    (r"^decoder\.enc_output\.0\.", "decoder.enc_output.proj."),
    (r"^decoder\.enc_output\.1\.", "decoder.enc_output.norm."),
]


def from_torch(state):
    """From the official PyTorch code, either version."""
    return {_rename(name, _SEQUENTIAL): value for name, value in state.items()}


def _paddle_block(match):
    """`res4b` and `res4b1` are both block 1 of the third stage."""
    stage, letter, number = int(match[1]), match[2], match[3]
    block = int(number) if number else ord(letter) - ord("a")
    return f"backbone.res_layers.{stage - 2}.blocks.{block}."


_PADDLE = [
    (r"^neck\.", "encoder."),
    (r"^transformer\.", "decoder."),
    *_SEQUENTIAL,
    (r"^(encoder\..*)\.bn\.", r"\1.norm."),
    (r"^backbone\.res(\d)\.res\d([a-z])(\d*)\.", _paddle_block),
    (r"^backbone\.stem\.stem2([ab])\.conv\.", r"backbone.stem.stem2\1.conv.1."),
    (r"\._mean$", ".running_mean"),
    (r"\._variance$", ".running_var"),
]


def from_paddle(state):
    """From PaddleDetection. Its linear layers are [in, out]."""
    out = {}
    for name, value in state.items():
        name = _rename(name, _PADDLE)
        if value.ndim == 2 and name not in EMBEDDINGS:
            value = np.ascontiguousarray(value.T)
        out[name] = value
    return out


_ENCODER_LAYER = r"^model\.encoder\.(?:encoder|aifi)\.(\d+)\.layers\.(\d+)\."
_DECODER_LAYER = r"^model\.decoder\.layers\.(\d+)\."
_HF_BACKBONE = [
    (r"\.convolution\.", ".conv."),
    # ResNet
    (
        r"^model\.backbone\.model\.embedder\.embedder\.(\d+)\.(.*)",
        lambda m: f"backbone.conv1.conv1_{int(m[1]) + 1}.{m[2]}",
    ),
    (
        r"^model\.backbone\.model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d)\.",
        lambda m: f"backbone.res_layers.{m[1]}.blocks.{m[2]}.branch2{'abc'[int(m[3])]}.",
    ),
    (
        r"^model\.backbone\.model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.1\.",
        r"backbone.res_layers.\1.blocks.\2.short.conv.",
    ),
    (
        r"^model\.backbone\.model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.",
        r"backbone.res_layers.\1.blocks.\2.short.",
    ),
    (r"^(backbone\.(?:conv1|res_layers)\..*)\.normalization\.", r"\1.norm."),
    # HGNetV2
    (r"^model\.backbone\.model\.embedder\.", "backbone.stem."),
    (r"^model\.backbone\.model\.encoder\.", "backbone."),
    (r"^backbone\.stem\.stem2([ab])\.conv\.", r"backbone.stem.stem2\1.conv.1."),
    (r"\.aggregation\.0\.", ".aggregation_squeeze_conv."),
    (r"\.aggregation\.1\.", ".aggregation_excitation_conv."),
    (r"^(backbone\.(?:stem|stages)\..*)\.normalization\.", r"\1.bn."),
]
_HF = [
    (r"^class_embed\.", "model.decoder.class_embed."),
    (r"^bbox_embed\.", "model.decoder.bbox_embed."),
    *_HF_BACKBONE,
    (_ENCODER_LAYER + r"self_attn_layer_norm\.", r"encoder.encoder.\1.layers.\2.norm1."),
    (_ENCODER_LAYER + r"final_layer_norm\.", r"encoder.encoder.\1.layers.\2.norm2."),
    (_ENCODER_LAYER + r"(?:mlp\.)?fc(\d)\.", r"encoder.encoder.\1.layers.\2.linear\3."),
    (_ENCODER_LAYER, r"encoder.encoder.\1.layers.\2."),
    (_DECODER_LAYER + r"self_attn_layer_norm\.", r"decoder.decoder.layers.\1.norm1."),
    (_DECODER_LAYER + r"encoder_attn_layer_norm\.", r"decoder.decoder.layers.\1.norm2."),
    (_DECODER_LAYER + r"final_layer_norm\.", r"decoder.decoder.layers.\1.norm3."),
    (_DECODER_LAYER + r"encoder_attn\.", r"decoder.decoder.layers.\1.cross_attn."),
    (_DECODER_LAYER + r"(?:mlp\.)?fc(\d)\.", r"decoder.decoder.layers.\1.linear\2."),
    (_DECODER_LAYER, r"decoder.decoder.layers.\1."),
    (r"\.self_attn\.o_proj\.", ".self_attn.out_proj."),
    (r"^model\.decoder\.class_embed\.", "decoder.dec_score_head."),
    (r"^model\.decoder\.bbox_embed\.", "decoder.dec_bbox_head."),
    (r"^model\.decoder\.query_pos_head\.", "decoder.query_pos_head."),
    (r"^model\.(encoder|decoder)_input_proj\.(\d+)\.0\.", r"\1.input_proj.\2.conv."),
    (r"^model\.(encoder|decoder)_input_proj\.(\d+)\.1\.", r"\1.input_proj.\2.norm."),
    (r"^model\.weight_embedding\.", "decoder.tgt_embed."),
    (r"^model\.(enc_score_head|enc_bbox_head|denoising_class_embed)\.", r"decoder.\1."),
    (r"^model\.enc_output\.", "decoder.enc_output."),
    *_SEQUENTIAL,
    (r"^model\.encoder\.", "encoder."),
]


def hf_name(name):
    """The canonical name of a tensor of transformers; those of q, k and v stay apart (`…self_attn.q_proj.weight`)."""
    return _rename(name, _HF)


def from_hf(state):
    """From transformers: the files on the hub, and live state dicts of version 5."""
    out = {}
    for name, value in state.items():
        canonical = hf_name(name)
        if canonical in out and not np.array_equal(out[canonical], value):
            raise ConvertError(f"{name}: its tied copy differs from it")
        out[canonical] = value
    for name in [name for name in out if ".self_attn.q_proj." in name]:
        parts = [out.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        out[name.replace("q_proj.", "in_proj_")] = np.concatenate(parts)
    return out


def finish(state):
    """Leaves out constants, and gives the denoising embedding its row for "no object" if it has none."""
    out = {name: value for name, value in state.items() if not CONSTANTS.search(name) and not COUNTERS.search(name)}
    strangers = [name for name in out if not re.match(r"(backbone|encoder|decoder)\.", name)]
    if strangers:
        raise ConvertError(f"not of RT-DETR: {', '.join(strangers[:5])}")
    classes = out.get("decoder.dec_score_head.0.weight", np.zeros((0,))).shape[0]
    embedding = out.get(DENOISING)
    if embedding is not None and embedding.shape[0] == classes:
        out[DENOISING] = np.concatenate([embedding, np.zeros_like(embedding[:1])])
    return out


def save(state, path, source):
    """Writes a canonical state dict."""
    tensors = {name: np.ascontiguousarray(value) for name, value in state.items()}
    save_file(tensors, path, metadata={"format": "pt", "source_format": source})
