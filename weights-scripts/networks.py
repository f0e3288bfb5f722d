"""The official networks with seeded weights, and what one forward pass computes inside them.

Two builders of the same network: Hugging Face `transformers` (`HfNetwork`, ResNet-vd only) and the official PyTorch
code (`OfficialNetwork`, a checkout of lyuwenyu/RT-DETR). Nothing is downloaded; every value is seeded.
"""

import importlib
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import torch

import hf_names
import seeded
import zoo


@dataclass
class Capture:
    """What one forward pass gave. Feature maps are [N, C, H, W], tokens [N, L, C]."""

    backbone: list = field(default_factory=list)
    encoder: list = field(default_factory=list)
    memory: torch.Tensor | None = None  # the decoder's tokens, before masking
    scores: torch.Tensor | None = None  # [N, L], the highest class logit of each token
    topk: torch.Tensor | None = None  # [N, Q], selected tokens, best first
    hidden: list = field(default_factory=list)  # [N, Q, C] after each decoder layer
    logits: torch.Tensor | None = None  # [N, Q, classes]
    boxes: torch.Tensor | None = None  # [N, Q, 4], (cx, cy, w, h) in 0..1
    coords: list = field(default_factory=list)  # discrete sampling: [N, Q, heads, points, 2] of each layer


def is_seeded(name):
    return not name.endswith(seeded.NOT_SEEDED)


def discrete_coords(locations, shapes, points):
    """The pixels that discrete sampling reads: [N, Q, heads, levels * points, 2], x first.

    `locations` are those of the attention, in 0..1; the rounding is the official code's. Each axis is clamped to its own
    size; the official code clamps both to the height, which is the same for square inputs.
    """
    out = []
    for (height, width), part in zip(shapes, locations.split(points, dim=-2), strict=True):
        xy = (part * torch.tensor([[width, height]]) + 0.5).to(torch.int64)
        out.append(torch.stack([xy[..., 0].clamp(0, width - 1), xy[..., 1].clamp(0, height - 1)], dim=-1))
    return torch.cat(out, dim=-2)


def hf_model(spec, backbone, decoder_layers):
    """The model of transformers for a variant, on a backbone's config, with that many decoder layers; in eval mode."""
    import transformers

    options = {
        "backbone_config": backbone,
        "freeze_backbone_batch_norms": spec.freeze_norm,
        "num_labels": spec.classes,
        "encoder_hidden_dim": spec.hidden_dim,
        "encoder_in_channels": spec.channels,
        "encoder_layers": spec.encoder_layers,
        "encoder_ffn_dim": spec.dim_feedforward,
        "hidden_expansion": spec.expansion,
        "decoder_in_channels": [spec.hidden_dim] * spec.levels,
        "num_feature_levels": spec.levels,
        "num_queries": spec.queries,
        "decoder_layers": decoder_layers,
        "decoder_n_points": spec.points,
    }
    if spec.version == "v1":
        return transformers.RTDetrForObjectDetection(transformers.RTDetrConfig(**options)).eval()
    method = "discrete" if spec.discrete else "default"
    config = transformers.RTDetrV2Config(**options, decoder_n_levels=spec.levels, decoder_method=method)
    return transformers.RTDetrV2ForObjectDetection(config).eval()


def hf_random(spec):
    """The model of transformers for a ResNet-vd variant, as transformers initialises it; in eval mode.

    transformers runs every layer that it builds. Where inference stops early (r50vd_m: six layers trained, three run) only
    those that run are built.
    """
    import transformers

    if spec.depth is None:
        raise zoo.ZooError(f"{spec.name}: transformers has no HGNetv2; use the official code")
    layers, bottleneck = zoo.RESNETS[spec.depth]
    backbone = transformers.RTDetrResNetConfig(
        depths=layers,
        hidden_sizes=[64 * 2**i * (4 if bottleneck else 1) for i in range(4)],
        layer_type="bottleneck" if bottleneck else "basic",
        out_indices=[2, 3, 4],
    )
    return hf_model(spec, backbone, spec.layers_run)


class HfNetwork:
    """RT-DETR from `transformers`."""

    def __init__(self, spec, seed):
        import transformers

        self.source = f"transformers {transformers.__version__}"
        self.spec = spec
        self.model = hf_random(spec)
        self.load(seed)

    def load(self, seed):
        """Gives every tensor the values of `seed`."""
        own = self.model.state_dict()
        wanted = {k: tuple(v.shape) for k, v in own.items() if is_seeded(k) and not k.endswith("n_points_scale")}
        tensors = {}
        for name, shape in hf_names.canonical(self.spec).items():
            if not self._runs(name):
                continue
            tensors[name] = torch.from_numpy(seeded.values(name, shape, seed))
        state = hf_names.hf_state(self.spec, tensors, wanted)
        unexpected = self.model.load_state_dict(state, strict=False).unexpected_keys
        if unexpected:
            raise zoo.ZooError(f"transformers does not know {unexpected[:5]}")
        # Tensors that share memory would take one another's values: look again.
        for key, value in self.model.state_dict().items():
            if key in state and not torch.equal(value, state[key]):
                raise zoo.ZooError(f"{key}: did not keep its weights; is it tied to another tensor?")

    def _runs(self, name):
        """Whether a canonical tensor belongs to a decoder layer that runs, or to no decoder layer."""
        for prefix in ("decoder.decoder.layers.", "decoder.dec_score_head.", "decoder.dec_bbox_head."):
            if name.startswith(prefix):
                return int(name.removeprefix(prefix).split(".")[0]) < self.spec.layers_run
        return True

    @torch.no_grad()
    def run(self, image, coords=None):
        """One forward pass over `image` [N, 3, H, W]. `coords` forces the pixels of discrete sampling, layer by layer."""
        capture, inner, hooks = Capture(), self.model.model, []

        def keep_tokens(_module, _args, kwargs):
            capture.memory = kwargs["encoder_hidden_states"].clone()

        hooks += [
            inner.backbone.register_forward_hook(
                lambda _m, _a, out: capture.backbone.extend(feature.clone() for feature, _mask in out)
            ),
            inner.encoder.register_forward_hook(
                lambda _m, _a, out: capture.encoder.extend(x.clone() for x in out.last_hidden_state)
            ),
            inner.decoder.register_forward_pre_hook(keep_tokens, with_kwargs=True),
        ]
        for layer in inner.decoder.layers:
            hooks.append(layer.register_forward_hook(lambda _m, _a, out: capture.hidden.append(out.clone())))
        restore = self._watch_sampling(capture, coords)
        try:
            out = inner(pixel_values=image)
        finally:
            restore()
            for hook in hooks:
                hook.remove()
        capture.scores = out.enc_outputs_class.max(-1).values
        capture.topk = torch.topk(capture.scores, self.spec.queries, dim=1).indices
        index = capture.topk.unsqueeze(-1).expand(-1, -1, self.spec.classes)
        if not torch.equal(out.enc_outputs_class.gather(1, index), out.enc_topk_logits):
            raise zoo.ZooError(f"{self.spec.name}: the selection computed here is not the one the network made")
        capture.logits = out.intermediate_logits[:, -1]
        capture.boxes = out.intermediate_reference_points[:, -1]
        return capture

    def _watch_sampling(self, capture, forced):
        """Records the coordinates of discrete sampling and forces them if given; returns what undoes it."""
        if not self.spec.discrete:
            return lambda: None
        module = sys.modules[type(self.model).__module__]
        real = module.multi_scale_deformable_attention_v2

        def watched(value, shapes, locations, weights, points, method="default"):
            if forced is not None:
                sizes = [[width, height] for (height, width), n in zip(shapes, points) for _ in range(n)]
                locations = forced[len(capture.coords)] / torch.tensor(sizes)
            capture.coords.append(discrete_coords(locations, shapes, points))
            return real(value, shapes, locations, weights, points, method)

        module.multi_scale_deformable_attention_v2 = watched
        return lambda: setattr(module, "multi_scale_deformable_attention_v2", real)


def _official_modules(checkout):
    """The modules of a checkout's `rtdetrv2_pytorch/src` that make up the network.

    The packages' own `__init__` files pull in training code and its requirements. Empty packages with the same paths
    take their place, and `register`, which enters a class in a registry of configurable ones, does nothing.
    """
    src = Path(checkout) / "rtdetrv2_pytorch" / "src"
    if not (src / "zoo" / "rtdetr" / "rtdetrv2_decoder.py").is_file():
        raise zoo.ZooError(f"{checkout}: no rtdetrv2_pytorch/src there; --official takes a checkout of lyuwenyu/RT-DETR")
    root = "rtdetr_official"
    for package in ("", ".core", ".nn", ".nn.backbone", ".zoo", ".zoo.rtdetr"):
        module = types.ModuleType(root + package)
        module.__path__ = [str(src.joinpath(*package.split(".")))]
        sys.modules[root + package] = module
    sys.modules[root + ".core"].register = lambda *_args, **_kwargs: lambda cls: cls
    names = {
        "presnet": "nn.backbone.presnet",
        "hgnetv2": "nn.backbone.hgnetv2",
        "encoder": "zoo.rtdetr.hybrid_encoder",
        "v1": "zoo.rtdetr.rtdetr_decoder",
        "v2": "zoo.rtdetr.rtdetrv2_decoder",
        "model": "zoo.rtdetr.rtdetr",
    }
    try:
        return {key: importlib.import_module(f"{root}.{name}") for key, name in names.items()}
    except (ImportError, SyntaxError) as error:
        raise zoo.ZooError(f"{checkout}: the official code cannot be imported: {error}") from error


class OfficialNetwork:
    """RT-DETR from the official PyTorch code. v1 models run the v1 decoder of the same checkout."""

    def __init__(self, spec, seed, checkout):
        self.source = "lyuwenyu/RT-DETR rtdetrv2_pytorch"
        self.spec = spec
        modules = _official_modules(checkout)
        if spec.depth is None:
            backbone = modules["hgnetv2"].HGNetv2(spec.arch, return_idx=[1, 2, 3], freeze_norm=spec.freeze_norm)
        else:
            backbone = modules["presnet"].PResNet(spec.depth, return_idx=[1, 2, 3], freeze_norm=spec.freeze_norm)
        # No `eval_spatial_size`: anchors and position embedding are made for the input at hand, by the same code.
        encoder = modules["encoder"].HybridEncoder(
            in_channels=spec.channels,
            hidden_dim=spec.hidden_dim,
            nhead=spec.heads,
            dim_feedforward=spec.dim_feedforward,
            num_encoder_layers=spec.encoder_layers,
            expansion=spec.expansion,
        )
        options = {
            "num_classes": spec.classes,
            "hidden_dim": spec.width,
            "num_queries": spec.queries,
            "feat_channels": [spec.hidden_dim] * spec.levels,
            "num_levels": spec.levels,
            "nhead": spec.heads,
            "num_layers": spec.decoder_layers,
            "eval_idx": spec.eval_idx,
        }
        if spec.version == "v1":
            # `version` only chooses between the v1 and the v2 names of two modules; canonical names are v2's.
            decoder = modules["v1"].RTDETRTransformer(**options, num_points=spec.points, version="v2")
        else:
            method = "discrete" if spec.discrete else "default"
            points = [spec.points] * spec.levels
            decoder = modules["v2"].RTDETRTransformerv2(**options, num_points=points, cross_attn_method=method)
        self.model = modules["model"].RTDETR(backbone, encoder, decoder).eval()
        self.shapes = {k: tuple(v.shape) for k, v in self.model.state_dict().items() if is_seeded(k)}
        if spec.depth is not None and self.shapes != hf_names.canonical(spec):
            differ = sorted(set(self.shapes.items()) ^ set(hf_names.canonical(spec).items()))
            raise zoo.ZooError(f"{spec.name}: the official names are not those of hf_names.canonical: {differ[:5]}")
        self.load(seed)

    def load(self, seed):
        """Gives every tensor the values of `seed`."""
        state = {name: torch.from_numpy(seeded.values(name, shape, seed)) for name, shape in self.shapes.items()}
        self.model.load_state_dict(state, strict=False)
        for key, value in self.model.state_dict().items():
            if key in state and not torch.equal(value, state[key]):
                raise zoo.ZooError(f"{key}: did not keep its weights")

    @torch.no_grad()
    def run(self, image):
        """One forward pass over `image` [N, 3, H, W]."""
        capture, decoder, hooks = Capture(), self.model.decoder, []
        found = {}

        def keep_tokens(_module, args):
            found["target"], capture.memory = args[0], args[2].clone()

        hooks += [
            self.model.backbone.register_forward_hook(
                lambda _m, _a, out: capture.backbone.extend(x.clone() for x in out)
            ),
            self.model.encoder.register_forward_hook(lambda _m, _a, out: capture.encoder.extend(x.clone() for x in out)),
            decoder.decoder.register_forward_pre_hook(keep_tokens),
            decoder.enc_output.register_forward_hook(lambda _m, _a, out: found.update(tokens=out.clone())),
            decoder.enc_score_head.register_forward_hook(lambda _m, _a, out: found.update(classes=out.clone())),
        ]
        for layer in decoder.decoder.layers:
            hooks.append(layer.register_forward_hook(lambda _m, _a, out: capture.hidden.append(out.clone())))
            if self.spec.discrete:
                hooks.append(
                    layer.cross_attn.register_forward_pre_hook(
                        lambda module, args: capture.coords.append(self._coords(module, *args[:4]))
                    )
                )
        try:
            out = self.model(image)
        finally:
            for hook in hooks:
                hook.remove()
        capture.scores = found["classes"].max(-1).values
        capture.topk = torch.topk(capture.scores, self.spec.queries, dim=1).indices
        index = capture.topk.unsqueeze(-1).expand(-1, -1, self.spec.width)
        if not torch.equal(found["tokens"].gather(1, index), found["target"]):
            raise zoo.ZooError(f"{self.spec.name}: the selection computed here is not the one the network made")
        capture.logits, capture.boxes = out["pred_logits"], out["pred_boxes"]
        return capture

    @staticmethod
    def _coords(module, query, reference, _value, shapes):
        """The pixels of one discrete attention, from its inputs."""
        offsets = module.sampling_offsets(query).reshape(*query.shape[:2], module.num_heads, -1, 2)
        scaled = offsets * module.num_points_scale.unsqueeze(-1) * reference[:, :, None, :, 2:] * module.offset_scale
        return discrete_coords(reference[:, :, None, :, :2] + scaled, shapes, module.num_points_list)
