"""Counts the same networks with other people's counters and compares the figures with detrace's.

    python cross_check.py                                       rtdetr_r18vd, rtdetr_r50vd and rtdetrv2_r18vd
    python cross_check.py rtdetr_r34vd --input 1x3x480x640
    python cross_check.py --detrace target/release/detrace

The networks are those of `transformers`, with random weights: nothing is downloaded. Of each

- torch's FlopCounterMode is compared by kind of operation with `detrace static --convention full`;
- an ONNX export is counted with the onnx package alone, and compared likewise;
- thop, fvcore, FlopCounterMode and calflops are compared with the conventions that mirror them.

transformers runs the class head of every decoder layer, the official code (and detrace) that of the last one. Under
`full` the others are added, by name: the last one's MACs, once for every other layer.

Exit codes: 0 all figures are equal; 1 one differs; 2 bad usage or bad input.
"""

import argparse
import contextlib
import copy
import dataclasses
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded

import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

import networks  # noqa: E402
import zoo  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
MODELS = ["rtdetr_r18vd", "rtdetr_r50vd", "rtdetrv2_r18vd"]
OPSET = 17
# FlopCounterMode's operations by detrace's kinds.
ATEN = {
    "aten.convolution": "conv2d",
    "aten.addmm": "linear",
    "aten.mm": "linear",
    "aten.linear": "linear",
    "aten.bmm": "matmul",
    "aten.baddbmm": "matmul",
}


class Refused(Exception):
    """A cross-check that cannot be made."""


class Tuple(torch.nn.Module):
    """The network with plain tensors as its answer, which tracing needs."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        answer = self.network(image)
        return answer.logits, answer.pred_boxes


def ours(program, model, shape, *options):
    """What `detrace static` prints."""
    command = [program, "static", model, "--input", shape, "--format", "json", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Refused(f"{program} cannot be run ({error}); build it (cargo build --release) or name it with --detrace") from error
    if done.returncode != 0:
        raise Refused(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def by_kind(full, layers):
    """MACs by kind under `full`, with the class heads that transformers runs besides."""
    macs = dict.fromkeys(("conv2d", "linear", "matmul", "grid_sample"), 0)
    for row in full["layers"]:
        if row["kind"] in macs:
            macs[row["kind"]] += row["macs"]
    head = next(row for row in full["layers"] if row["path"].startswith("decoder.dec_score_head."))
    macs["linear"] += (layers - 1) * head["macs"]
    return macs


def torch_kinds(network, image):
    """MACs by kind and total FLOPs of torch.utils.flop_counter."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(image)
    macs = {}
    for operation, flops in counter.get_flop_counts()["Global"].items():
        name = str(operation)
        kind = "matmul" if "scaled_dot_product" in name else ATEN.get(name.removesuffix(".default"))
        if kind is None:
            raise Refused(f"FlopCounterMode counted {name}, which has no kind here; add it to ATEN")
        macs[kind] = macs.get(kind, 0) + flops // 2
    return macs, counter.get_total_flops()


def onnx_kinds(network, image):
    """MACs by kind of an ONNX export, from the shapes that its tensors have when it runs.

    `onnx.shape_inference` loses the shapes behind the selection of queries, so onnxruntime is asked for them.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(network, (image,), path, dynamo=False, opset_version=OPSET, input_names=["image"])
        model = onnx.load(path)
    kinds = {"Conv": "conv2d", "Gemm": "linear", "MatMul": "matmul", "GridSample": "grid_sample"}
    nodes = [node for node in model.graph.node if node.op_type in kinds]
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    weights = set(shapes)
    for node in model.graph.node:  # tied and transposed weights
        if node.op_type in ("Identity", "Transpose") and node.input[0] in weights:
            weights.add(node.output[0])
    wanted = sorted({name for node in nodes for name in (*node.input[:2], node.output[0])} - set(shapes) - {"image"})
    shapes["image"] = list(image.shape)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shapes |= {name: list(array.shape) for name, array in zip(wanted, session.run(wanted, {"image": image.numpy()}))}
    macs = dict.fromkeys(kinds.values(), 0)
    for node in nodes:
        first, second = (shapes[name] for name in node.input[:2])
        each = {"Conv": math.prod(second[1:]), "GridSample": 4}.get(node.op_type, first[-1])
        kind = "linear" if node.input[1] in weights and node.op_type == "MatMul" else kinds[node.op_type]
        macs[kind] = macs.get(kind, 0) + math.prod(shapes[node.output[0]]) * each
    return macs


def thop_total(network, image):
    import thop

    macs, params = thop.profile(network, inputs=(image,), verbose=False)
    return {"total": round(macs), "params": round(params)}


def fvcore_total(network, image):
    from fvcore.nn import FlopCountAnalysis, parameter_count

    counted = FlopCountAnalysis(Tuple(network), image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return {"total": round(counted.total()), "params": parameter_count(network)[""]}


def torch_total(network, image):
    return {"total": torch_kinds(network, image)[1]}


def calflops_total(network, image):
    from calflops import calculate_flops

    flops, macs, params = calculate_flops(network, args=[image], print_results=False, output_as_string=False)
    return {"total": round(flops), "macs": round(macs), "params": round(params)}


TOOLS = {
    "thop": thop_total,
    "fvcore": fvcore_total,
    "torch-flop-counter": torch_total,
    "calflops": calflops_total,
}


class Table:
    """Prints figures beside each other and counts what differs."""

    def __init__(self):
        self.done = self.failed = 0
        self._line("counter", "figure", "it says", "detrace says", "difference")

    def add(self, counter, figure, real, mine):
        self.done += 1
        self.failed += real != mine
        self._line(counter, figure, f"{real:,}", f"{mine:,}", f"{mine - real:+,}" if real != mine else "0")

    @staticmethod
    def _line(counter, figure, *numbers):
        print(f"  {counter:20} {figure:17}" + "".join(f"{number:>18}" for number in numbers), flush=True)


def check(program, spec, shape):
    """All figures of one model: how many were compared, how many differ."""
    import transformers

    print(f"{spec.name}, input {shape}, transformers {transformers.__version__}")
    # transformers freezes every norm of its backbones, which the official code does from R50 on.
    network = networks.hf_random(dataclasses.replace(spec, freeze_norm=True))
    image = torch.rand(*map(int, shape.split("x")))
    table = Table()
    full = by_kind(ours(program, spec.name, shape, "--convention", "full"), spec.layers_run)
    with torch.no_grad():
        counters = {
            "FlopCounterMode": torch_kinds(copy.deepcopy(network), image)[0],
            f"ONNX {OPSET} export": onnx_kinds(Tuple(copy.deepcopy(network)), image),
        }
        for counter, macs in counters.items():
            for kind in sorted(macs):
                table.add(counter, f"{kind} MACs", macs[kind], full[kind])
        for convention, tool in TOOLS.items():
            mine = ours(program, spec.name, shape, "--framework", "hf", "--convention", convention)
            with contextlib.redirect_stdout(io.StringIO()):
                real = tool(copy.deepcopy(network), image)
            for figure, number in real.items():
                table.add(convention, figure, number, mine[figure])
    return table.done, table.failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"ResNet-vd models of the zoo [{' '.join(MODELS)}]")
    parser.add_argument("--input", default="1x3x640x640", metavar="NxCxHxW", help="shape of the image [%(default)s]")
    parser.add_argument("--detrace", default=str(ROOT / "target/release/detrace"), metavar="PROGRAM", help="[%(default)s]")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    variants = zoo.load_all(ROOT / "models")
    done = failed = 0
    for model in args.models or MODELS:
        if model not in variants:
            raise Refused(f"there is no model {model}; there are {', '.join(variants)}")
        if variants[model].depth is None:
            raise Refused(f"{model}: transformers has no HGNetv2")
        parts = args.input.split("x")
        if len(parts) != 4 or not all(part.isdigit() for part in parts):
            raise Refused(f"--input {args.input}: an input is four whole numbers, for instance 1x3x640x640")
        compared, differ = check(args.detrace, variants[model], args.input)
        done, failed = done + compared, failed + differ
    print(f"{done} figures compared, {failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Refused, zoo.ZooError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
