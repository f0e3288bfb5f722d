"""What a parity fixture holds, and how it is written, read and compared."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

import seeded
import zoo

DTYPES = {"float32": "F32", "int32": "I32", "uint8": "U8"}


def stages(capture):
    """Name and tensor of everything that a fixture samples."""
    named = [(f"backbone.{i}", x) for i, x in enumerate(capture.backbone)]
    named += [(f"encoder.{i}", x) for i, x in enumerate(capture.encoder)]
    named += [("memory", capture.memory), ("scores", capture.scores)]
    named += [(f"decoder.{i}", x) for i, x in enumerate(capture.hidden)]
    return named


def rms(x):
    return x.double().pow(2).mean().sqrt().item()


def tensors(capture):
    """The fixture's arrays by name."""
    out = {}
    for name, x in stages(capture):
        flat = x.contiguous().reshape(-1)
        out[name] = flat[torch.from_numpy(seeded.probes(name, flat.numel()))].numpy()
        out[f"{name}.rms"] = np.array([rms(x)], dtype=np.float32)
    out["topk"] = capture.topk.to(torch.int32).numpy()
    out["logits"] = capture.logits[..., ::8].contiguous().numpy()
    out["boxes"] = capture.boxes.contiguous().numpy()
    for i, coords in enumerate(capture.coords):
        if coords.max() > 255:
            raise zoo.ZooError(f"coords.{i}: a level is wider than 256 and does not fit in uint8")
        out[f"coords.{i}"] = coords.to(torch.uint8).numpy()
    for name, x in out.items():
        if not np.isfinite(x).all():
            raise zoo.ZooError(f"{name}: not all values are finite")
    return out


def align(capture, order):
    """Reorders the selected queries to `order` [N, Q] where the same tokens are selected.

    Two tokens with almost the same score may change places on another machine; nothing else depends on the order.
    """
    order = torch.from_numpy(order.astype(np.int64))
    if order.shape != capture.topk.shape or not torch.equal(order.sort(1).values, capture.topk.sort(1).values):
        return
    rows = torch.stack([torch.searchsorted(own.sort().values, new) for own, new in zip(capture.topk, order)])
    rows = capture.topk.argsort(1).gather(1, rows)

    def take(x):
        return torch.stack([image[index] for image, index in zip(x, rows)])

    capture.topk = take(capture.topk)
    capture.logits, capture.boxes = take(capture.logits), take(capture.boxes)
    capture.hidden = [take(x) for x in capture.hidden]
    capture.coords = [take(x) for x in capture.coords]


def encode(arrays, metadata):
    """A safetensors file with a fixed order of everything, so that the same values give the same bytes.

    (The safetensors library writes metadata in an order that changes from run to run.)
    """
    header = {"__metadata__": dict(sorted(metadata.items()))}
    body = bytearray()
    for name, x in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        data = np.ascontiguousarray(x).astype(x.dtype.newbyteorder("<"), copy=False).tobytes()
        header[name] = {
            "dtype": DTYPES[x.dtype.name],
            "shape": list(x.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(body)


def write(path, data):
    """Writes a file whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path):
    """Arrays and metadata of a fixture."""
    try:
        data = Path(path).read_bytes()
        arrays = safetensors.numpy.load(data)
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size])["__metadata__"]
        int(metadata["seed"])
        return arrays, metadata
    except FileNotFoundError as error:
        raise zoo.ZooError(f"{path}: not there; run without --check to make it") from error
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise zoo.ZooError(f"{path}: cannot be read as a fixture: {error!r}") from error


def difference(new, old):
    """(largest difference relative to the largest value of its tensor, name of that tensor).

    Integers must be equal, names and shapes too: anything else is infinitely different.
    """
    if new.keys() != old.keys():
        return float("inf"), ", ".join(sorted(new.keys() ^ old.keys()))
    worst = (0.0, "")
    for name in sorted(new):
        a, b = new[name], old[name]
        if a.shape != b.shape or a.dtype != b.dtype or (a.dtype.kind != "f" and not np.array_equal(a, b)):
            return float("inf"), name
        if a.dtype.kind == "f":
            relative = float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-12))
            worst = max(worst, (relative, name))
    return worst
