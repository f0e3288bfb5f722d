#!/usr/bin/env python3
"""Times RT-DETR of transformers, PyTorch eager and torch.compile, for scripts/gpu-check.sh: rows as those of `detrace bench --row`."""
import argparse
import json
import statistics
import time

import torch
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

# HGNetv2 is no backbone of transformers' RTDetr.
DEPTHS = {"rtdetr_r18vd": [2, 2, 2, 2], "rtdetr_r50vd": [3, 4, 6, 3]}


def build(model, device):
    small = model == "rtdetr_r18vd"
    backbone = RTDetrResNetConfig(
        depths=DEPTHS[model],
        layer_type="basic" if small else "bottleneck",
        hidden_sizes=[64, 128, 256, 512] if small else [256, 512, 1024, 2048],
        out_features=["stage2", "stage3", "stage4"],
    )
    extra = {"encoder_in_channels": [128, 256, 512], "hidden_expansion": 0.5, "decoder_layers": 3} if small else {}
    config = RTDetrConfig(backbone_config=backbone, num_labels=80, **extra)
    torch.manual_seed(0)
    return RTDetrForObjectDetection(config).eval().to(device)


def measure(network, image, device, warmup, iters):
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times = []
    with torch.inference_mode():
        for index in range(warmup + iters):
            wait()
            start = time.perf_counter()
            network(pixel_values=image)
            wait()
            if index >= warmup:
                times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--device", required=True)
    options.add_argument("--size", type=int, required=True)
    options.add_argument("--batches", type=int, nargs="+", required=True)
    options.add_argument("--models", nargs="+", required=True)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", required=True)
    options.add_argument("--rows", required=True)
    args = options.parse_args()
    device = torch.device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    warmup, iters = (1, 1) if args.quick else (5, 30)
    found, rows = [], []
    for model in (model for model in args.models if model in DEPTHS):
        for dtype, kind in (("f32", torch.float32), ("f16", torch.float16)):
            if device.type == "cpu" and dtype == "f16":
                continue
            network = build(model, device).to(kind)
            for engine in ("eager",) if args.quick else ("eager", "compile"):
                runs = torch.compile(network) if engine == "compile" else network
                for batch in args.batches:
                    image = torch.rand(batch, 3, args.size, args.size, device=device, dtype=kind)
                    if device.type == "cuda":
                        torch.cuda.reset_peak_memory_stats()
                    row = {"engine": f"PyTorch {torch.__version__} {engine}", "model": model, "dtype": dtype, "batch": batch}
                    try:
                        row["median"] = measure(runs, image, device, warmup, iters)
                        row["peak"] = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None
                        peak = "" if row["peak"] is None else f"{row['peak']:.0f}"
                        cells = [f"{1e3 * row['median']:.2f}", f"{batch / row['median']:.1f}", peak]
                    except Exception as error:  # what PyTorch cannot do is told, and does not stop the others
                        row["fault"] = f"{type(error).__name__}: {error}".splitlines()[0]
                        cells = ["failed", "", ""]
                    found.append(row)
                    rows.append("| " + " | ".join([row["engine"], model, str(device), dtype, str(batch), *cells]) + " |")
    with open(args.json, "w") as file:
        json.dump(found, file, indent=2)
    with open(args.rows, "w") as file:
        file.writelines(row + "\n" for row in rows)


main()
