"""Compares `detrace detect` with the Python pipelines on real photographs: decoding, resizing, network, post-processing.

    python weights-scripts/detect_cross_check.py --detrace target/release/detrace --official RT-DETR PHOTO…
    python weights-scripts/detect_cross_check.py --fixture tests/fixtures/detect.json

Weights are seeded, so detections mean nothing, but they are the same ones. Three pipelines are compared:

    RTDetrImageProcessor      with torchvision's resize, transformers' model and post_process_object_detection
    RTDetrImageProcessorPil   the same with Pillow's resize
    official                  the official repository's Resize and ToTensor on a Pillow image, model and RTDETRPostProcessor

All 300 detections of an image count. A detection's partner is the nearest box of the same class. PHOTO can be
scikit-image's `data/chelsea.png` and `data/coffee.png` (CC0). `--fixture` writes what transformers finds in
`crates/detect/tests/data/odd.png` at 320x320, for `tests/detect.rs`.

Exit codes: 0 done; 1 a comparison failed; 2 bad usage or bad input.
"""

import argparse
import importlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torchvision.transforms as T  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402

import networks  # noqa: E402
import zoo  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SEED = 0
SIDES = (640, 320)  # larger and smaller than the photographs
# Largest differences of a score and of a box's side in pixels. Seeded scores are close to 1, where 1e-6 is 7e-4 of a logit.
SCORE, BOX = 1e-6, 0.06


def save_processor(folder, kind, side):
    """Writes `preprocessor_config.json` and gives the processor."""
    processor = getattr(transformers, kind)(size={"height": side, "width": side})
    processor.save_pretrained(folder)
    path = Path(folder) / "preprocessor_config.json"
    # transformers saves Pillow's processor under the other's name.
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_processor_type": kind}))
    return processor


def hf_pipeline(folder, processor, image):
    """What transformers finds, with the model that `save_pretrained` wrote."""
    model = transformers.AutoModelForObjectDetection.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = model(**processor(images=image, return_tensors="pt"))
    sizes = [(image.height, image.width)]
    found = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)[0]
    return found["labels"].numpy(), found["scores"].numpy(), found["boxes"].numpy()


def official_pipeline(network, size, image):
    """What the official code finds, as its `references/deploy/rtdetrv2_torch.py` does it."""
    module = importlib.import_module("rtdetr_official.zoo.rtdetr.rtdetr_postprocessor")
    prepare = T.Compose([T.Resize(size), T.ToTensor()])
    with torch.no_grad():
        outputs = network.model(prepare(image)[None])
        found = module.RTDETRPostProcessor(num_classes=network.spec.classes)(outputs, torch.tensor([image.size]))[0]
    return found["labels"].numpy(), found["scores"].numpy(), found["boxes"].numpy()


def ours(detrace, arguments, photo):
    """What detrace finds."""
    command = [detrace, "detect", *arguments, str(photo), "--threshold", "0", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise zoo.ZooError(f"{' '.join(command)}: {done.stderr}")
    found = json.loads(done.stdout)["images"][0]["detections"]
    return [np.array([item[key] for item in found]) for key in ("class", "score", "box")]


def compare(what, got, expected):
    """Prints the largest differences. Whether they are small."""
    (classes, scores, boxes), (wanted, theirs, places) = got, expected
    worst, unmatched = [0.0, 0.0], abs(len(classes) - len(wanted))
    for label, score, place in zip(wanted, theirs, places, strict=True):
        far = np.where(classes == label, np.abs(boxes - place).max(-1) + 100 * np.abs(scores - score), np.inf)
        if not np.isfinite(far.min()):
            unmatched += 1
            continue
        at = far.argmin()
        apart = abs(scores[at] - score), np.abs(boxes[at] - place).max()
        if apart[0] > SCORE or apart[1] > BOX:
            unmatched += 1
        else:
            worst = [max(pair) for pair in zip(worst, apart, strict=True)]
    ranks = int((classes != wanted).sum()) if len(classes) == len(wanted) else len(wanted)
    print(
        f"{'FAILED' if unmatched else 'ok':6} {what}: {len(wanted)} detections, scores {theirs.min():.3f} to {theirs.max():.3f}; "
        f"largest differences {worst[0]:.1e} (score), {worst[1]:.1e} px (box); "
        f"{unmatched} without partner, {ranks} ranks with another class",
        flush=True,
    )
    return unmatched == 0


def write_fixture(path, specs):
    """What transformers finds in a small picture."""
    with tempfile.TemporaryDirectory() as folder:
        networks.HfNetwork(specs["rtdetr_r18vd"], SEED).model.save_pretrained(folder)
        processor = save_processor(folder, "RTDetrImageProcessor", 320)
        image = Image.open(ROOT / "crates/detect/tests/data/odd.png").convert("RGB")
        labels, scores, boxes = hf_pipeline(folder, processor, image)
        preprocessor = json.loads((Path(folder) / "preprocessor_config.json").read_text())
    items = [
        {"class": int(label), "score": float(score), "box": [float(side) for side in box]}
        for label, score, box in zip(labels[:50], scores[:50], boxes[:50], strict=True)
    ]
    head = {"transformers": transformers.__version__, "seed": SEED, "preprocessor": preprocessor, "detections": items}
    path.write_text(json.dumps(head) + "\n")
    print(f"{path}: {len(items)} of {len(scores)} detections, scores {scores[49]:.3f} to {scores[0]:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--detrace", default=str(ROOT / "target/release/detrace"), help="the program")
    parser.add_argument("--official", type=Path, help="a checkout of lyuwenyu/RT-DETR")
    parser.add_argument("--models", nargs="*", default=["rtdetr_r18vd", "rtdetrv2_r18vd"], help="ResNet variants")
    parser.add_argument("--fixture", type=Path, help="write a fixture instead")
    args = parser.parse_args()
    torch.set_num_threads(2)
    specs = zoo.load_all(ROOT / "models")
    if args.fixture:
        write_fixture(args.fixture, specs)
        return 0
    good = True
    for name in args.models:
        spec = specs[name]
        with tempfile.TemporaryDirectory() as folder:
            networks.HfNetwork(spec, SEED).model.save_pretrained(folder)
            kinds = ("RTDetrImageProcessor", "RTDetrImageProcessorPil")
            for side, kind in itertools.product(SIDES, kinds):
                processor = save_processor(folder, kind, side)
                for photo in args.photos:
                    image = Image.open(photo).convert("RGB")
                    expected = hf_pipeline(folder, processor, image)
                    good &= compare(f"{name} {photo.name} {kind} {side}", ours(args.detrace, [folder], photo), expected)
            if args.official:
                network = networks.OfficialNetwork(spec, SEED, args.official)
                weights = Path(folder) / "official.pth"
                torch.save({"ema": {"module": network.model.state_dict()}}, weights)
                for photo in args.photos:
                    image = Image.open(photo).convert("RGB")
                    expected = official_pipeline(network, (640, 640), image)
                    found = ours(args.detrace, [name, "--weights", str(weights)], photo)
                    good &= compare(f"{name} {photo.name} official", found, expected)
    return int(not good)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, zoo.ZooError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
