"""Canonical names of a ResNet-vd RT-DETR, and what Hugging Face `transformers` calls the same tensors.

`canonical(spec)` lists the official PyTorch v2 state dict from the configuration alone. `hf_state(…)` turns
canonical tensors into a `transformers` state dict and fails unless both sides are covered completely.
"""

import re

import zoo

# Canonical name -> names in transformers. `{n}` is the n-th number of the canonical name. One entry names the tensors
# that hold the same values; a tuple of three splits a packed tensor along its first axis into q, k and v.
_ATTENTION = [
    (r"self_attn\.in_proj_(weight|bias)", [("self_attn.q_proj.{p}", "self_attn.k_proj.{p}", "self_attn.v_proj.{p}")]),
    (r"self_attn\.out_proj\.(weight|bias)", ["self_attn.o_proj.{p}"]),
    (r"linear1\.(weight|bias)", ["mlp.fc1.{p}"]),
    (r"linear2\.(weight|bias)", ["mlp.fc2.{p}"]),
    (r"norm1\.(weight|bias)", ["self_attn_layer_norm.{p}"]),
]
_NORM = "weight|bias|running_mean|running_var"


def _prefixed(canonical, hf, rows):
    """`rows` below a module: every name gets the module's own in front."""

    def put(target):
        return tuple(map(put, target)) if isinstance(target, tuple) else hf + target

    return [(canonical + pattern, [put(t) for t in targets]) for pattern, targets in rows]


def _table(spec):
    def conv_norm(canonical, hf, conv, norm):
        """A convolution and its norm, named `conv` and `norm` canonically."""
        return [
            (canonical + r"conv\.(weight)", [hf + conv + ".{p}"]),
            (canonical + rf"norm\.({_NORM})", [hf + norm + ".{p}"]),
        ]

    hf = "model.backbone.model."
    rows = []
    for i in range(3):
        rows += conv_norm(
            rf"backbone\.conv1\.conv1_{i + 1}\.", f"{hf}embedder.embedder.{i}.", "convolution", "normalization"
        )
    block = hf + "encoder.stages.{0}.layers.{1}."
    for i, letter in enumerate("abc"):
        rows += conv_norm(
            rf"backbone\.res_layers\.(\d+)\.blocks\.(\d+)\.branch2{letter}\.",
            f"{block}layer.{i}.",
            "convolution",
            "normalization",
        )
    # The shortcut of the first stage is a convolution; in later stages an average pool comes before it.
    first = hf + "encoder.stages.0.layers.{0}.shortcut."
    rows += conv_norm(r"backbone\.res_layers\.0\.blocks\.(\d+)\.short\.", first, "convolution", "normalization")
    rows += conv_norm(
        r"backbone\.res_layers\.([1-9])\.blocks\.(\d+)\.short\.conv\.",
        block + "shortcut.1.",
        "convolution",
        "normalization",
    )

    rows += conv_norm(r"encoder\.input_proj\.(\d+)\.", "model.encoder_input_proj.{0}.", "0", "1")
    rows += _prefixed(
        r"encoder\.encoder\.(\d+)\.layers\.(\d+)\.",
        "model.encoder.aifi.{0}.layers.{1}.",
        [*_ATTENTION, (r"norm2\.(weight|bias)", ["final_layer_norm.{p}"])],
    )
    for name in ("lateral_convs", "downsample_convs"):
        rows += conv_norm(rf"encoder\.{name}\.(\d+)\.", f"model.encoder.{name}.{{0}}.", "conv", "norm")
    for name in ("fpn_blocks", "pan_blocks"):
        for i in (1, 2, 3):
            rows += conv_norm(
                rf"encoder\.{name}\.(\d+)\.conv{i}\.", f"model.encoder.{name}.{{0}}.conv{i}.", "conv", "norm"
            )
        for i in (1, 2):
            rows += conv_norm(
                rf"encoder\.{name}\.(\d+)\.bottlenecks\.(\d+)\.conv{i}\.",
                f"model.encoder.{name}.{{0}}.bottlenecks.{{1}}.conv{i}.",
                "conv",
                "norm",
            )

    rows += conv_norm(r"decoder\.input_proj\.(\d+)\.", "model.decoder_input_proj.{0}.", "0", "1")
    rows += _prefixed(
        r"decoder\.decoder\.layers\.(\d+)\.",
        "model.decoder.layers.{0}.",
        [
            *_ATTENTION,
            (
                r"cross_attn\.(sampling_offsets|attention_weights|value_proj|output_proj)\.(weight|bias)",
                ["encoder_attn.{m}.{p}"],
            ),
            (r"norm2\.(weight|bias)", ["encoder_attn_layer_norm.{p}"]),
            (r"norm3\.(weight|bias)", ["final_layer_norm.{p}"]),
        ],
    )
    # transformers' v2 has the decoder's heads under a second name at the top; those are not run.
    tops = ["model.decoder."] + ([""] if spec.version == "v2" else [])
    rows += [
        (r"decoder\.denoising_class_embed\.(weight)", ["model.denoising_class_embed.{p}"]),
        (r"decoder\.query_pos_head\.layers\.(\d+)\.(weight|bias)", ["model.decoder.query_pos_head.layers.{0}.{p}"]),
        (r"decoder\.enc_output\.proj\.(weight|bias)", ["model.enc_output.0.{p}"]),
        (r"decoder\.enc_output\.norm\.(weight|bias)", ["model.enc_output.1.{p}"]),
        (r"decoder\.enc_score_head\.(weight|bias)", ["model.enc_score_head.{p}"]),
        (r"decoder\.enc_bbox_head\.layers\.(\d+)\.(weight|bias)", ["model.enc_bbox_head.layers.{0}.{p}"]),
        (r"decoder\.dec_score_head\.(\d+)\.(weight|bias)", [top + "class_embed.{0}.{p}" for top in tops]),
        (
            r"decoder\.dec_bbox_head\.(\d+)\.layers\.(\d+)\.(weight|bias)",
            [top + "bbox_embed.{0}.layers.{1}.{p}" for top in tops],
        ),
    ]
    return [(re.compile(pattern), targets) for pattern, targets in rows]


def _targets(table, name):
    """The transformers names of one canonical name."""
    found = [(match, targets) for pattern, targets in table if (match := pattern.fullmatch(name))]
    if len(found) != 1:
        raise zoo.ZooError(f"{name}: {len(found)} rules of the name table match, one must")
    match, targets = found[0]
    numbers = [group for group in match.groups() if group.isdigit()]
    words = [group for group in match.groups() if not group.isdigit()]

    def fill(target):
        if isinstance(target, tuple):
            return tuple(map(fill, target))
        return target.format(*numbers, p=words[-1], m=words[0])

    return [fill(target) for target in targets]


def hf_state(spec, tensors, wanted):
    """The transformers state dict of `tensors`, canonical name -> array.

    `wanted` is the model's own state dict as name -> shape, without what the formula does not make. Every canonical
    tensor must go somewhere and every wanted one must be filled once, with its shape.
    """
    table = _table(spec)
    state = {}
    for name, value in tensors.items():
        for target in _targets(table, name):
            parts = value.reshape(3, -1, *value.shape[1:]) if isinstance(target, tuple) else [value]
            for key, part in zip(target if isinstance(target, tuple) else [target], parts, strict=True):
                if key in state:
                    raise zoo.ZooError(f"{key}: filled twice, the second time from {name}")
                if wanted.get(key) != tuple(part.shape):
                    raise zoo.ZooError(f"{name} -> {key}: shape {part.shape}, the model has {wanted.get(key)}")
                state[key] = part
    missing = sorted(set(wanted) - set(state))
    if missing:
        raise zoo.ZooError(f"{len(missing)} tensors of the model get no weights: {', '.join(missing[:5])} …")
    return state


def canonical(spec):
    """Canonical name -> shape of every seeded tensor of a ResNet-vd variant."""
    out = {}

    def conv_norm(path, cin, cout, k, conv="conv", norm="norm"):
        out[f"{path}.{conv}.weight"] = (cout, cin, k, k)
        for part in _NORM.split("|"):
            out[f"{path}.{norm}.{part}"] = (cout,)

    def linear(path, cin, cout):
        out[f"{path}.weight"] = (cout, cin)
        out[f"{path}.bias"] = (cout,)

    def layer_norm(path, width):
        out[f"{path}.weight"] = (width,)
        out[f"{path}.bias"] = (width,)

    def mlp(path, widths):
        for i, (cin, cout) in enumerate(zip(widths, widths[1:])):
            linear(f"{path}.layers.{i}", cin, cout)

    def attention(path, width):
        out[f"{path}.in_proj_weight"] = (3 * width, width)
        out[f"{path}.in_proj_bias"] = (3 * width,)
        linear(f"{path}.out_proj", width, width)

    def feed_forward(path, width, hidden):
        linear(f"{path}.linear1", width, hidden)
        linear(f"{path}.linear2", hidden, width)

    for i, (cin, cout) in enumerate([(3, 32), (32, 32), (32, 64)]):
        conv_norm(f"backbone.conv1.conv1_{i + 1}", cin, cout, 3)
    blocks, bottleneck = zoo.RESNETS[spec.depth]
    cin = 64
    for stage, count in enumerate(blocks):
        middle = 64 << stage
        cout = middle * 4 if bottleneck else middle
        for block in range(count):
            path = f"backbone.res_layers.{stage}.blocks.{block}"
            if block == 0:
                conv_norm(f"{path}.short" + (".conv" if stage else ""), cin, cout, 1)
            if bottleneck:
                conv_norm(f"{path}.branch2a", cin, middle, 1)
                conv_norm(f"{path}.branch2b", middle, middle, 3)
                conv_norm(f"{path}.branch2c", middle, cout, 1)
            else:
                conv_norm(f"{path}.branch2a", cin, cout, 3)
                conv_norm(f"{path}.branch2b", cout, cout, 3)
            cin = cout

    width = spec.hidden_dim
    for i, channels in enumerate(spec.channels):
        conv_norm(f"encoder.input_proj.{i}", channels, width, 1)
    for i in range(spec.encoder_layers):
        path = f"encoder.encoder.0.layers.{i}"
        attention(f"{path}.self_attn", width)
        feed_forward(path, width, spec.dim_feedforward)
        layer_norm(f"{path}.norm1", width)
        layer_norm(f"{path}.norm2", width)
    csp = int(width * spec.expansion)
    for convs, k, csps in (("lateral_convs", 1, "fpn_blocks"), ("downsample_convs", 3, "pan_blocks")):
        for i in range(spec.levels - 1):
            conv_norm(f"encoder.{convs}.{i}", width, width, k)
            path = f"encoder.{csps}.{i}"
            conv_norm(f"{path}.conv1", 2 * width, csp, 1)
            conv_norm(f"{path}.conv2", 2 * width, csp, 1)
            for j in range(3):
                conv_norm(f"{path}.bottlenecks.{j}.conv1", csp, csp, 3)
                conv_norm(f"{path}.bottlenecks.{j}.conv2", csp, csp, 1)
            if csp != width:
                conv_norm(f"{path}.conv3", csp, width, 1)

    d = spec.width
    for i in range(spec.levels):
        conv_norm(f"decoder.input_proj.{i}", width, d, 1)
    points = spec.heads * spec.levels * spec.points
    for i in range(spec.decoder_layers):
        path = f"decoder.decoder.layers.{i}"
        attention(f"{path}.self_attn", d)
        linear(f"{path}.cross_attn.sampling_offsets", d, points * 2)
        linear(f"{path}.cross_attn.attention_weights", d, points)
        linear(f"{path}.cross_attn.value_proj", d, d)
        linear(f"{path}.cross_attn.output_proj", d, d)
        feed_forward(path, d, 1024)
        for norm in ("norm1", "norm2", "norm3"):
            layer_norm(f"{path}.{norm}", d)
        linear(f"decoder.dec_score_head.{i}", d, spec.classes)
        mlp(f"decoder.dec_bbox_head.{i}", [d, d, d, 4])
    out["decoder.denoising_class_embed.weight"] = (spec.classes + 1, d)
    mlp("decoder.query_pos_head", [4, 2 * d, d])
    linear("decoder.enc_output.proj", d, d)
    layer_norm("decoder.enc_output.norm", d)
    linear("decoder.enc_score_head", d, spec.classes)
    mlp("decoder.enc_bbox_head", [d, d, d, 4])
    return out
