"""Reference values of the official RT-DETR networks, for tests of other implementations.

Every model of the zoo runs with seeded weights (`seeded.py`) on a seeded image. Small samples of what it computes go
to `tests/fixtures/parity/<name>.safetensors`; that folder's README.md says what is in a file.

    python make_fixtures.py --official RT-DETR            all fixtures and tests/fixtures/seeded.json
    python make_fixtures.py --only rtdetr_r18vd           one of them
    python make_fixtures.py --official RT-DETR --check    make them again in memory and compare with the files
    python make_fixtures.py --official RT-DETR --cross-check
                                                          transformers against the official code

Exit codes: 0 done; 1 a comparison failed; 2 bad usage or bad input.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded

import torch  # noqa: E402

import fixture_file  # noqa: E402
import networks  # noqa: E402
import seeded  # noqa: E402
import zoo  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
THREADS = 2
SEEDS = 50  # tried before giving up on a model
MARGIN = 1e-4  # least score between the last selected token and the next one
BORDER = 0.01  # anchors outside (BORDER, 1 - BORDER) are masked
RMS = (0.3, 30.0)  # where every stage must stay
CHECK = 1e-5  # largest relative difference that --check accepts
CROSS = 1e-4  # the same for --cross-check: other code, other order of sums
PIXELS = 1e-3  # part of the discretely sampled pixels that --cross-check lets rounding move

# Besides one fixture of each model at SQUARE: name -> (model, shape of the image).
SQUARE = (1, 3, 640, 640)
EXTRAS = [
    (model, shape)
    for shape in ((1, 3, 480, 640), (2, 3, 640, 640))
    for model in ("rtdetr_r18vd", "rtdetr_hgnetv2_l")
]

# One case for every rule of the formula, and for rules that must not match.
SEEDED_CASES = [
    ("image", (1, 3, 640, 640), 0),
    ("image", (2, 3, 480, 640), 12345),
    ("backbone.conv1.conv1_1.conv.weight", (32, 3, 3, 3), 0),
    ("backbone.conv1.conv1_1.norm.weight", (32,), 0),
    ("backbone.conv1.conv1_1.norm.bias", (32,), 1),
    ("backbone.conv1.conv1_1.norm.running_mean", (32,), 2),
    ("backbone.conv1.conv1_1.norm.running_var", (32,), 3),
    ("backbone.res_layers.1.blocks.0.branch2a.conv.weight", (128, 64, 3, 3), 0),
    ("backbone.res_layers.1.blocks.0.branch2a.norm.weight", (128,), 0),
    ("backbone.stem.stem2a.conv.1.weight", (16, 32, 2, 2), 0),
    ("backbone.stages.1.downsample.conv.weight", (128, 1, 3, 3), 0),
    ("backbone.stages.2.blocks.0.layers.0.conv1.conv.weight", (192, 512, 1, 1), 0),
    ("backbone.stages.2.blocks.0.layers.0.conv2.conv.weight", (192, 1, 5, 5), 0),
    ("encoder.downsample_convs.0.conv.weight", (256, 256, 3, 3), 4),
    ("encoder.fpn_blocks.0.conv1.conv.weight", (256, 512, 1, 1), 0),
    ("encoder.fpn_blocks.0.bottlenecks.0.conv1.conv.weight", (256, 256, 3, 3), 0),
    ("encoder.encoder.0.layers.0.self_attn.in_proj_weight", (768, 256), 5),
    ("encoder.encoder.0.layers.0.self_attn.in_proj_bias", (768,), 5),
    ("decoder.decoder.layers.0.cross_attn.sampling_offsets.weight", (192, 256), 0),
    ("decoder.decoder.layers.0.cross_attn.sampling_offsets.bias", (192,), 0),
    ("decoder.dec_score_head.2.weight", (80, 256), 0),
    ("decoder.enc_score_head.bias", (80,), 0),
    ("decoder.enc_bbox_head.layers.2.weight", (4, 256), 9007199254740991),
]


class Refused(zoo.ZooError):
    """A seed whose selection of queries is not safe to compare."""


def fixture_names(specs):
    """Fixture name -> (spec, image shape, whether only the official code will do)."""
    out = {name: (spec, SQUARE, spec.depth is None) for name, spec in specs.items()}
    for model, shape in EXTRAS:
        if model not in specs:
            raise zoo.ZooError(f"{model}: an extra fixture needs it, but the zoo has no such model")
        # transformers orders the position embedding of non-square inputs in another way; the official code is the truth.
        official = specs[model].depth is None or shape[2] != shape[3]
        out[f"{model}-{'x'.join(map(str, shape))}"] = (specs[model], shape, official)
    return out


def build(spec, seed, official, checkout):
    if not official:
        return networks.HfNetwork(spec, seed)
    if checkout is None:
        raise zoo.ZooError(f"{spec.name}: needs the official code; give --official PATH, a checkout of lyuwenyu/RT-DETR")
    return networks.OfficialNetwork(spec, seed, checkout)


def masked_tokens(shape, levels):
    """Which of an image's tokens are masked because their anchor lies at the border. [L] of bool."""
    out = []
    for level in range(levels):
        height, width = (size // (8 << level) for size in shape[2:])
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        anchor = torch.stack([(x + 0.5) / width, (y + 0.5) / height], dim=-1).reshape(-1, 2)
        out.append(~((anchor > BORDER) & (anchor < 1 - BORDER)).all(-1))
    return torch.cat(out)


def selection(capture, shape, levels, least):
    """(margin, score at the last rank, score at the next) of the image with the least margin, or `Refused`."""
    queries = capture.topk.shape[1]
    ranked = capture.scores.sort(dim=1, descending=True).values
    margins = ranked[:, queries - 1] - ranked[:, queries]
    image = margins.argmin().item()
    margin, last, following = (x[image].item() for x in (margins, ranked[:, queries - 1], ranked[:, queries]))
    masked = masked_tokens(shape, levels)
    if masked.numel() != capture.scores.shape[1]:
        raise zoo.ZooError(f"{capture.scores.shape[1]} tokens, {masked.numel()} anchors: the levels are not as expected")
    border = int(masked[capture.topk].sum())
    if border:
        raise Refused(f"{border} masked border tokens are selected, which tie exactly")
    if margin < least:
        raise Refused(f"ranks {queries} and {queries + 1} are only {margin:.2g} apart, less than {least:g}")
    return margin, last, following


def generate(name, spec, shape, official, args, seeds, least):
    """(capture, metadata) with the first of `seeds` that is not refused."""
    network, refusals = None, []
    for seed in seeds:
        if network is None:
            network = build(spec, seed, official, args.official)
        else:
            network.load(seed)
        capture = network.run(torch.from_numpy(seeded.image(shape, seed)))
        for stage, x in [*fixture_file.stages(capture), ("logits", capture.logits)]:
            if not RMS[0] <= fixture_file.rms(x) <= RMS[1]:
                raise zoo.ZooError(
                    f"{name}: seed {seed}: {stage} has an rms of {fixture_file.rms(x):.3g}, outside {RMS}; the gains "
                    "of seeded.py must be adapted, here and in the other implementations"
                )
        try:
            margin, last, following = selection(capture, shape, spec.levels, least)
        except Refused as refused:
            refusals.append(f"seed {seed}: {refused}")
            continue
        report(name, seed, margin, capture)
        import transformers

        return capture, {
            "model": spec.name,
            "seed": str(seed),
            "input": "x".join(map(str, shape)),
            "margin": f"{margin:.9g}",
            "rank300": f"{last:.9g}",
            "rank301": f"{following:.9g}",
            "torch": torch.__version__,
            "transformers": transformers.__version__ if not official else "not used",
            "source": network.source,
        }
    raise zoo.ZooError(f"{name}: no seed is accepted\n  " + "\n  ".join(refusals))


def report(name, seed, margin, capture):
    """One line of the table."""
    values = {"backbone": [], "encoder": [], "memory": [], "scores": [], "decoder": []}
    for stage, x in fixture_file.stages(capture):
        values[stage.split(".")[0]].append(f"{fixture_file.rms(x):.2f}")
    columns = "  ".join(f"{stage} {' '.join(list_)}" for stage, list_ in values.items())
    low, high = capture.logits.min().item(), capture.logits.max().item()
    print(f"{name:32} seed {seed}  margin {margin:.1e}  {columns}  logits {low:.2f}..{high:.2f}", flush=True)


def seeded_json():
    """Samples of the formula: the first values of every case as the bits of a float32."""
    lines = []
    for name, shape, seed in SEEDED_CASES:
        bits = seeded.values(name, shape, seed).reshape(-1)[:8].view("uint32").tolist()
        lines.append(json.dumps({"name": name, "shape": list(shape), "seed": seed, "bits": bits}))
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def make(args, specs):
    """Makes or checks the fixtures. Returns the exit code."""
    names = fixture_names(specs)
    if args.only is not None and args.only != "seeded" and args.only not in names:
        raise zoo.ZooError(f"{args.only}: no such fixture; there are: seeded, {', '.join(names)}")
    failed = 0
    for name, (spec, shape, official) in names.items():
        if args.only not in (None, name):
            continue
        path = args.out / "parity" / f"{name}.safetensors"
        seeds = range(SEEDS) if args.seed is None else [args.seed]
        if not args.check:
            capture, made = generate(name, spec, shape, official, args, seeds, MARGIN)
            fixture_file.write(path, fixture_file.encode(fixture_file.tensors(capture), made))
            continue
        # The file's own seed, and room in the margin for another machine's rounding.
        old, metadata = fixture_file.read(path)
        seeds = [int(metadata["seed"])] if args.seed is None else seeds
        capture, made = generate(name, spec, shape, official, args, seeds, MARGIN / 2)
        fixture_file.align(capture, old["topk"])
        worst, where = fixture_file.difference(fixture_file.tensors(capture), old)
        stale = [key for key in ("model", "seed", "input") if metadata.get(key) != made[key]]
        verdict = "ok" if worst <= CHECK and not stale else "DIFFERS"
        failed += verdict != "ok"
        place = f" in {where}" if worst else ""
        print(f"{name:32} {verdict}: differs by {worst:.2g} at most{place} {' '.join(stale)}".rstrip(), flush=True)
    if args.only in (None, "seeded"):
        path = args.out / "seeded.json"
        if not args.check:
            fixture_file.write(path, seeded_json())
        elif path.read_bytes() != seeded_json():
            failed += 1
            print(f"{path.name}: DIFFERS")
    return 1 if failed else 0


def cross_check(args, specs):
    """Runs transformers and the official code side by side. Returns the exit code."""
    names = [args.only] if args.only else [n for n in specs if n.split("_")[1] in ("r18vd", "r50vd") and "_m" not in n]
    failed = 0
    for name in names:
        if name not in specs:
            raise zoo.ZooError(f"{name}: no such model; there are: {', '.join(specs)}")
        spec, seed = specs[name], args.seed or 0
        image = torch.from_numpy(seeded.image(SQUARE, seed))
        network = networks.HfNetwork(spec, seed)
        ours = network.run(image)
        truth = build(spec, seed, True, args.official).run(image)
        fixture_file.align(truth, ours.topk.numpy())
        # Discrete sampling rounds: the last bit of a location may choose another pixel. Count those, then take the
        # official pixels and compare everything else.
        pixels = sum(int((a != b).any(-1).sum()) for a, b in zip(ours.coords, truth.coords, strict=True))
        if spec.discrete:
            ours = network.run(image, truth.coords)
        pairs = [(stage, a, b) for (stage, a), (_, b) in zip(fixture_file.stages(ours), fixture_file.stages(truth))]
        pairs += [("logits", ours.logits, truth.logits), ("boxes", ours.boxes, truth.boxes)]
        parts, worst = [], 0.0
        for stage, a, b in pairs:
            absolute = (a - b).abs().max().item()
            worst = max(worst, absolute / b.abs().max().item())
            parts.append(f"{stage} {absolute:.1e}")
        moved = int((ours.topk != truth.topk).sum())
        few = pixels <= PIXELS * sum(x[..., 0].numel() for x in truth.coords)
        verdict = "ok" if worst <= CROSS and not moved and few else "DIFFERS"
        failed += verdict != "ok"
        print(f"{name:32} {verdict}: {worst:.2g} of the largest value at most; {'  '.join(parts)}; ", end="")
        print(f"{moved} selected tokens differ, {pixels} sampled pixels before forcing", flush=True)
    return 1 if failed else 0


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="checkout of lyuwenyu/RT-DETR (holds rtdetrv2_pytorch)")
    parser.add_argument("--only", metavar="NAME", help="make, check or cross-check this one; `seeded` is seeded.json")
    parser.add_argument("--seed", type=int, help="use this seed; an error if it must be refused")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    parser.add_argument("--cross-check", action="store_true", help="compare transformers with the official code")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of the zoo")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "fixtures", help="folder of the fixtures")
    args = parser.parse_args(argv)
    if args.seed is not None and not 0 <= args.seed < 2**64:
        parser.error("--seed must be from 0 to 2**64 - 1")
    if args.check and args.cross_check:
        parser.error("--check and --cross-check do not go together")
    warnings.filterwarnings("ignore")
    torch.set_num_threads(THREADS)
    try:
        specs = zoo.load_all(args.models)
        return cross_check(args, specs) if args.cross_check else make(args, specs)
    except (zoo.ZooError, OSError) as error:
        print(f"make_fixtures.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
