"""One contender of `bench_peers.py` in a process of its own.

    python peers_worker.py CONTENDER FOLDER --threads N [--warmup N] [--iters N] [--outputs FILE]

FOLDER is what `peers_build.py` made. Prints one line of JSON: `import` (the libraries), `load` (files to a network ready to
run), `first` (the first pass) and `times` (the timed passes) in seconds; `rss_import`, `rss_load` (resident memory then) and
`rss_peak` in MiB; `ready`, the monotonic clock when the first answer was there. A timed pass hands over logits and boxes.
With --outputs, one more pass writes these and the class logits of all tokens as safetensors, and nothing is timed.
"""

import argparse
import json
import pathlib
import sys
import time
import warnings

import numpy as np
from safetensors.numpy import load_file, save_file

ANSWERS = ["logits", "boxes"]
OUTPUTS = [*ANSWERS, "class_logits"]
# MNN's hint of that name and its values: 3, the default, takes large tiles and loses digits; 1 takes small ones.
WINOGRAD_MEMORY_LEVEL = 3


def memory(field):
    """A line of /proc/self/status in MiB; None where there is no such file."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next((int(line.split()[1]) / 1024 for line in status if line.startswith(field)), None)
    except OSError:
        return None


# Each contender imports what it needs and gives a function that loads; that gives a function that takes names of outputs,
# runs one pass and returns the arrays.


def onnxruntime(folder, image, threads):
    import onnxruntime as ort

    def load():
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        session = ort.InferenceSession(str(folder / "network.onnx"), options, providers=["CPUExecutionProvider"])
        return lambda names: session.run(names, {"image": image})

    return load


def openvino(folder, image, threads):
    import openvino as ov

    def load():
        # Without the hint for f32 a CPU with AMX computes in bf16.
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = ov.Core().compile_model(str(folder / "network.onnx"), "CPU", settings)
        request = compiled.create_infer_request()

        def run(names):
            answers = request.infer({"image": image}, share_inputs=True, share_outputs=True)
            return [answers[name] for name in names]

        return run

    return load


def torch_eager(folder, image, threads, compiled=False):
    import torch
    import transformers  # noqa: F401, the module's classes

    import peers_network  # noqa: F401

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)

    def load():
        network = torch.load(folder / "network.pt", weights_only=False).to(memory_format=torch.channels_last)
        given = torch.from_numpy(image).contiguous(memory_format=torch.channels_last)
        if compiled:
            network = torch.compile(network)

        def run(names):
            answers = dict(zip(OUTPUTS, network(given), strict=True))
            return [answers[name].numpy() for name in names]

        return run

    return load


def torch_compiled(folder, image, threads):
    return torch_eager(folder, image, threads, compiled=True)


def mnn(folder, image, threads, level=None):
    import MNN
    from MNN import expr

    def load():
        path = folder / "network.mnn"
        if not path.is_file():
            sys.exit("MNN's converter made no network.mnn; build with MNN installed")
        manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": threads},))
        if level is not None:
            manager.set_hint(WINOGRAD_MEMORY_LEVEL, level)
        network = MNN.nn.load_module_from_file(str(path), ["image"], OUTPUTS, runtime_manager=manager)
        given = expr.const(image, list(image.shape), expr.NCHW)

        def run(names):
            answers = dict(zip(OUTPUTS, network.forward([given]), strict=True))
            return [np.array(answers[name].read()) for name in names]

        return run

    return load


def mnn_w1(folder, image, threads):
    return mnn(folder, image, threads, level=1)


CONTENDERS = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "torch": torch_eager,
    "torch-compile": torch_compiled,
    "mnn-w1": mnn_w1,
    "mnn": mnn,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--iters", type=int, default=5)
    parser.add_argument("--outputs", type=pathlib.Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    image = load_file(args.folder / "image.safetensors")["image"]
    clock = time.perf_counter
    start = clock()
    load = CONTENDERS[args.contender](args.folder, image, args.threads)
    said = {"import": clock() - start, "rss_import": memory("VmRSS")}
    start = clock()
    run = load()
    said |= {"load": clock() - start, "rss_load": memory("VmRSS")}
    if args.outputs:
        save_file({name: np.ascontiguousarray(array) for name, array in zip(OUTPUTS, run(OUTPUTS))}, args.outputs)
        return
    start = clock()
    run(ANSWERS)
    said |= {"first": clock() - start, "ready": time.monotonic(), "times": []}
    for _ in range(args.warmup):
        run(ANSWERS)
    for _ in range(args.iters):
        start = clock()
        run(ANSWERS)
        said["times"].append(clock() - start)
    print(json.dumps(said | {"rss_peak": memory("VmHWM")}), flush=True)


if __name__ == "__main__":
    main()
