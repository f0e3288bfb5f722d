"""The zoo's variants (`models/*.yaml`) as this folder's scripts need them."""

from dataclasses import dataclass
from pathlib import Path

import yaml

# Stages of a ResNet by depth: blocks in each, and whether they are bottlenecks.
RESNETS = {
    18: ([2, 2, 2, 2], False),
    34: ([3, 4, 6, 3], False),
    50: ([3, 4, 6, 3], True),
    101: ([3, 4, 23, 3], True),
}


class ZooError(Exception):
    """A variant that cannot be read or that these scripts cannot build."""


@dataclass(frozen=True)
class Spec:
    """One variant. Fields have the names and the defaults of the Rust configuration."""

    name: str
    version: str
    depth: int | None  # ResNet-vd; None for HGNetv2
    arch: str | None  # HGNetv2: L, X or H; None for ResNet-vd
    freeze_norm: bool
    hidden_dim: int
    encoder_layers: int
    dim_feedforward: int
    expansion: float
    decoder_layers: int
    eval_idx: int
    discrete: bool
    classes: int = 80
    queries: int = 300
    width: int = 256  # of the decoder
    heads: int = 8
    levels: int = 3
    points: int = 4

    @property
    def layers_run(self):
        """Decoder layers that run at inference."""
        return self.eval_idx % self.decoder_layers + 1

    @property
    def channels(self):
        """Channels of the three feature levels that leave the backbone."""
        if self.depth is None or RESNETS[self.depth][1]:
            return [512, 1024, 2048]
        return [128, 256, 512]


def _take(table, path, allowed):
    """`table` with defaults from `allowed`; a key that is not there is an error, not something to overlook."""
    unknown = sorted(set(table) - set(allowed))
    if unknown:
        raise ZooError(f"{path}: these scripts do not know {', '.join(unknown)}; teach zoo.py and the builders first")
    return {key: table.get(key, default) for key, default in allowed.items()}


def load(path):
    """Reads one variant."""
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        backbone, encoder, decoder = raw["backbone"], raw["encoder"], raw["decoder"]
        b = _take(backbone, f"{path}: backbone", {"type": None, "depth": None, "arch": None, "freeze_norm": False})
        e = _take(
            encoder,
            f"{path}: encoder",
            {"hidden_dim": None, "layers": 1, "dim_feedforward": None, "expansion": 1.0},
        )
        d = _take(decoder, f"{path}: decoder", {"layers": None, "eval_idx": -1, "sampling": "default"})
        known = {"name", "version", "backbone", "encoder", "decoder", "published", "weights"}
        _take({k: v for k, v in raw.items() if k not in known}, str(path), {})
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ZooError(f"{path}: cannot be read as a variant: {error!r}") from error
    if (b["type"], b["depth"] in RESNETS, b["arch"] in ("L", "X", "H")) not in (
        ("resnet_vd", True, False),
        ("hgnetv2", False, True),
    ):
        raise ZooError(f"{path}: {backbone} is neither a ResNet-vd of depth {sorted(RESNETS)} nor an HGNetv2 L, X or H")
    if raw["version"] not in ("v1", "v2") or d["sampling"] not in ("default", "discrete"):
        raise ZooError(f"{path}: version {raw['version']!r} with sampling {d['sampling']!r} is not known")
    return Spec(
        name=raw["name"],
        version=raw["version"],
        depth=b["depth"],
        arch=b["arch"],
        freeze_norm=b["freeze_norm"],
        hidden_dim=e["hidden_dim"],
        encoder_layers=e["layers"],
        dim_feedforward=e["dim_feedforward"],
        expansion=e["expansion"],
        decoder_layers=d["layers"],
        eval_idx=d["eval_idx"],
        discrete=d["sampling"] == "discrete",
    )


def load_all(folder):
    """Every variant of `folder` by name, in order of name."""
    specs = [load(path) for path in sorted(Path(folder).glob("*.yaml"))]
    if not specs:
        raise ZooError(f"{folder}: no variants (*.yaml) there")
    return {spec.name: spec for spec in specs}
