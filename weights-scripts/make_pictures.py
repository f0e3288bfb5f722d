"""Small pictures made by formula, and what the reference libraries make of them, for the tests of `crates/detect`.

Writes to `crates/detect/tests/data`: pictures in the forms that a detector meets (grey, palette, alpha, 16 bit, every EXIF
orientation, CMYK), `decoded.safetensors` with their RGB bytes as Pillow and OpenCV decode them, and `resized.safetensors`
with what Pillow, torchvision and OpenCV make of `odd.png` and `even.png` in several sizes; and `postprocessed.safetensors`
with the detections that transformers makes of seeded logits and boxes.

    python weights-scripts/make_pictures.py             writes the files
    python weights-scripts/make_pictures.py --check     makes the arrays again and compares them with the files

Needs numpy, Pillow, safetensors, torch, torchvision, transformers and OpenCV (opencv-python-headless), whose versions the
metadata of the safetensors files say. Exit codes: 0 done; 1 a comparison failed.
"""

import argparse
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
import torchvision
import transformers
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.numpy import save_file
from torchvision.transforms.v2 import functional as tv

import seeded

DATA = Path(__file__).resolve().parent.parent / "crates" / "detect" / "tests" / "data"

# Height, width: smaller, larger, one of each, half (OpenCV averages there), a few pixels only.
SIZES = [(20, 17), (40, 46), (18, 50), (35, 20), (16, 20), (3, 5)]
# Sides (height, width) of the pictures: the two that are resized, odd ones and ones that halve to HALF, and the others.
ODD, EVEN, HALF, SMALL = (33, 41), (32, 40), (16, 20), (16, 24)
EXIF_ORIENTATION = 0x0112


def picture(height, width, channels=3):
    """Slopes, hard edges between black and white, and noise, [height, width, channels] u8."""
    noise = seeded.values("image", (height, width, channels), 7)
    y, x, c = np.ogrid[:height, :width, :channels]
    values = 255 * (x / width + (c + 1) * y / height) / (channels + 1) + 80 * (noise - 0.5)
    values = np.where((x // 9 + y // 7) % 4 == 0, 255 * ((x + c) % 2), values)
    return values.clip(0, 255).astype(np.uint8)


def pictures():
    """Name -> (image, options of `save`)."""
    rgb, alpha = picture(*SMALL), picture(*SMALL, channels=4)
    grey = Image.fromarray(rgb[..., 0])
    forms = {
        "odd.png": (Image.fromarray(picture(*ODD)), {}),
        "even.png": (Image.fromarray(picture(*EVEN)), {}),
        "rgb.png": (Image.fromarray(rgb), {}),
        "grey.png": (grey, {}),
        "one_bit.png": (grey.convert("1"), {}),
        "rgba.png": (Image.fromarray(alpha), {}),
        "grey_alpha.png": (Image.merge("LA", (grey, Image.fromarray(alpha[..., 3]))), {}),
        "palette.png": (Image.fromarray(rgb).quantize(16), {}),
        "rgb.jpg": (Image.fromarray(rgb), {"quality": 90, "subsampling": 0}),
        "subsampled.jpg": (Image.fromarray(rgb), {"quality": 90, "subsampling": 2}),
        "progressive.jpg": (Image.fromarray(rgb), {"quality": 90, "progressive": True, "subsampling": 0}),
        "grey.jpg": (grey, {"quality": 90}),
        "cmyk.jpg": (Image.fromarray(rgb).convert("CMYK"), {"quality": 90}),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        forms[f"turned_{orientation}.jpg"] = (Image.fromarray(rgb), {"quality": 95, "subsampling": 0, "exif": exif})
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    forms["turned_6.png"] = (Image.fromarray(rgb), {"exif": exif})
    return forms


def write_pictures():
    for name, (image, options) in pictures().items():
        image.save(DATA / name, **options)
    # Pillow writes no 16 bit colours; OpenCV wants them as BGR.
    deep = picture(*SMALL).astype(np.uint16) * 256 + picture(*SMALL)[::-1]
    for name, array in (("rgb16.png", deep[..., ::-1]), ("grey16.png", deep[..., 0])):
        if not cv2.imwrite(str(DATA / name), np.ascontiguousarray(array)):
            raise OSError(f"cannot write {name}")


def decoded():
    """RGB bytes [height, width, 3] of every picture but those that are made to be resized."""
    arrays = {}
    for path in sorted(DATA.iterdir()):
        if path.suffix not in (".png", ".jpg") or path.name in ("odd.png", "even.png"):
            continue
        if path.name == "grey16.png":
            # Pillow clips grey of 16 bit to 255; OpenCV takes the high byte, as Pillow does with colours.
            arrays[path.name] = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1].copy()
            continue
        with Image.open(path) as image:
            arrays[path.name] = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    return arrays


def resized():
    """`picture/way/HxW` -> bytes [height, width, 3]."""
    arrays = {}
    for name, sizes in (("odd", SIZES), ("even", [HALF])):
        with Image.open(DATA / f"{name}.png") as image:
            source = np.array(image)
        tensor = torch.from_numpy(source).permute(2, 0, 1)
        for height, width in sizes:
            for filter, number in (("bilinear", 1), ("bicubic", 2)):
                pil = Image.fromarray(source).resize((width, height), getattr(Image.Resampling, filter.upper()))
                torched = tv.resize(tensor, [height, width], tv.InterpolationMode(filter), antialias=True)
                ways = {
                    "pil": np.array(pil),
                    "torchvision": torched.permute(1, 2, 0).contiguous().numpy(),
                    "opencv": cv2.resize(source, (width, height), interpolation=number),
                }
                for way, array in ways.items():
                    arrays[f"{name}/{way}-{filter}/{height}x{width}"] = array
    return arrays


def postprocessed():
    """Logits and boxes of two images, their sizes (width, height), and what the detections over 0.97 are."""
    logits = 8 * seeded.values("image", (2, 12, 5), 1) - 4
    boxes = seeded.values("image", (2, 12, 4), 2)
    sizes = np.array([[640, 480], [75, 1001]])
    arrays = {"logits": logits, "boxes": boxes, "sizes": sizes}
    outputs = types.SimpleNamespace(logits=torch.from_numpy(logits), pred_boxes=torch.from_numpy(boxes))
    process = transformers.RTDetrImageProcessor().post_process_object_detection
    found = process(outputs, threshold=0.97, target_sizes=[(height, width) for width, height in sizes.tolist()])
    for index, image in enumerate(found):
        arrays |= {f"{index}.{key}": value.contiguous().numpy() for key, value in image.items()}
    return arrays


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    check = parser.parse_args().check
    if not check:
        DATA.mkdir(parents=True, exist_ok=True)
        write_pictures()
    versions = {
        "pillow": PIL.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "transformers": transformers.__version__,
        "opencv": cv2.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    failed = False
    for name, arrays in (("decoded", decoded()), ("resized", resized()), ("postprocessed", postprocessed())):
        path = DATA / f"{name}.safetensors"
        if not check:
            save_file(arrays, path, metadata=versions)
            print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size} bytes")
            continue
        with safe_open(path, "numpy") as file:
            same = sorted(file.keys()) == sorted(arrays)
            worst = max(
                (float(np.abs(file.get_tensor(key).astype(float) - array).max()) for key, array in arrays.items()), default=0
            ) if same else 255
        failed |= worst > 0
        print(f"{path.name}: {len(arrays)} arrays, largest difference {worst}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
