"""Proves on seeded weights that detrace and the real libraries give the same tensors and the same answers.

    python checkpoint_cross_check.py --detrace target/release/detrace --official PATH/TO/RT-DETR
        [--paddle-python PYTHON --detection PATH/TO/PaddleDetection] [--only NAME … | --all] [--keep FOLDER]

For each model, checkpoints are written by torch (`torch.save`, zip and legacy, in the layouts of the official trainers), by
transformers (`save_pretrained`) and by PaddleDetection (`paddle.save`), all from the same seeded values. Then
- each is converted by `detrace convert` and in Python, and both are compared with the seeded values, bit for bit, so that
  the three frameworks' checkpoints give the same tensors (but for the denoising embedding's last row, which Paddle lacks);
- `detrace run` runs each, and its answers are compared with those of the framework that the checkpoint came from (1e-3 logits,
  1e-4 boxes; with discrete sampling, where rounding may tip over, 2 % of the queries may differ);
- the frameworks' answers are compared with each other, which proves that a name means the same in both;
- what Rust writes for transformers and for the official code is loaded back into their networks and compared again.

Run with torch 2.15 and transformers 5.24, paddlepaddle 3.3.1 (numpy below 2) and PaddleDetection of October 2024 (666f597).

Exit codes: 0 all equal; 1 something differs; 2 bad usage.
"""

import argparse
import contextlib
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

import convert_hf
import convert_names
import convert_torch
import networks
import seeded
import zoo
from checker import Checker
from checkpoint_hf import HfHgNetwork

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What runs by default: both backbones, both versions, both kinds of sampling.
MODELS = ["rtdetr_r18vd", "rtdetr_r50vd", "rtdetr_hgnetv2_l", "rtdetrv2_r18vd", "rtdetrv2_r18vd_dsp", "rtdetrv2_hgnetv2_l"]
ZOO = sorted(path.stem for path in (ROOT / "models").glob("*.yaml"))


def paddle_config(detection, name):
    """PaddleDetection's configuration of a model, below its checkout; None where it has none (HGNetv2 of v2)."""
    pattern = re.compile(rf"{name}_\d+[xe]_coco\.yml")
    found = [path for path in pathlib.Path(detection).glob("configs/rtdetr*/*.yml") if pattern.fullmatch(path.name)]
    return found[0].relative_to(detection) if found else None


class Detrace:
    """The program."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def _call(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")

    def convert(self, source, target, to="canonical"):
        self._call("convert", source, target, "--to", to)
        return load_file(target)

    def run(self, model, weights, image):
        """Logits and boxes."""
        given, gives = self.folder / "input.safetensors", self.folder / "output.safetensors"
        save_file({"image": image}, given)
        self._call("run", model, "--weights", weights, "--input", given, "--output", gives)
        answer = load_file(gives)
        return answer["logits"], answer["boxes"]


def torch_files(spec, state, folder):
    """Checkpoints as the official trainers write them."""
    if spec.version == "v1":
        names = [(r"^encoder\.input_proj\.(\d)\.conv\.", r"encoder.input_proj.\1.0."),
                 (r"^encoder\.input_proj\.(\d)\.norm\.", r"encoder.input_proj.\1.1."),
                 (r"^decoder\.enc_output\.proj\.", "decoder.enc_output.0."),
                 (r"^decoder\.enc_output\.norm\.", "decoder.enc_output.1.")]
        for pattern, replacement in names:
            state = {re.sub(pattern, replacement, name): value for name, value in state.items()}
    else:
        state = dict(state)
        state["decoder.anchors"] = torch.zeros(1, 8400, 4)
        state["decoder.valid_mask"] = torch.ones(1, 8400, 1, dtype=torch.bool)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))]).state_dict()
    other = {"decoder.enc_output.0.weight": torch.zeros(1)}
    wrapped = {"module." + name: value for name, value in state.items()}
    trained = {"model": other, "ema": {"module": state, "updates": 7}, "optimizer": optimizer, "last_epoch": 3}
    for name, contents, new in (
        ("ema_module", trained, True),
        ("ema", {"ema": state}, True),
        ("model_legacy", {"model": wrapped, "epoch": 3}, False),
        ("state_dict", {"state_dict": wrapped}, True),
        ("bare_legacy", state, False),
    ):
        path = folder / f"{name}.pth"
        torch.save(contents, path, _use_new_zipfile_serialization=new)
        yield path
        path.unlink()


def check(name, options, checker, folder):
    """One model."""
    spec = zoo.load(ROOT / "models" / f"{name}.yaml")
    print(name, flush=True)
    official = networks.OfficialNetwork(spec, options.seed, options.official)
    expected = {key: seeded.values(key, shape, options.seed) for key, shape in official.shapes.items()}
    image = seeded.image((1, 3, 640, 640), options.seed)
    capture = official.run(torch.from_numpy(image))
    wanted = (capture.logits.numpy(), capture.boxes.numpy())

    program = Detrace(options.detrace, folder)
    rust = program.convert

    def ran(what, path, answer):
        """The checkpoint in `detrace run`, and what its own framework answered."""
        try:
            checker.answers(f"{what}, run", program.run(name, path, image), answer, spec.discrete)
        except RuntimeError as error:
            checker.say(f"{what}, run", str(error))

    def both(what, path, python, expected):
        try:
            checker.tensors(f"{what}, Rust", rust(path, folder / "rust.safetensors"), expected)
        except RuntimeError as error:
            checker.say(f"{what}, Rust", str(error))
        if python:
            checker.tensors(f"{what}, Python", convert_names.finish(python(path)), expected)

    for path in torch_files(spec, official.model.state_dict(), folder):
        both(f"torch {path.name}", path, lambda path: convert_names.from_torch(convert_torch.read(path)), expected)
        ran(f"torch {path.name}", path, wanted)

    # transformers
    if spec.layers_run == spec.decoder_layers:
        hf = networks.HfNetwork(spec, options.seed) if spec.depth else HfHgNetwork(spec, expected)
        hf.model.save_pretrained(folder / "hf")
        path = folder / "hf" / "model.safetensors"
        both("transformers save_pretrained", path, lambda path: convert_names.from_hf(convert_hf.read(path)), expected)
        live = convert_names.from_hf({key: value.numpy() for key, value in hf.model.state_dict().items()})
        checker.tensors("transformers live state, Python", convert_names.finish(live), expected)
        torch.save(hf.model.state_dict(), folder / "live.pth")
        both("transformers live state", folder / "live.pth", None, expected)
        answer = hf.run(torch.from_numpy(image))
        answer = (answer.logits.numpy(), answer.boxes.numpy())
        checker.answers("transformers and the official code", answer, wanted, spec.discrete)
        ran("transformers save_pretrained", path, answer)
        rust(path, folder / "canonical.safetensors")
        path.unlink()
        rust(folder / "canonical.safetensors", path, "hf")
        again, info = type(hf.model).from_pretrained(folder / "hf", output_loading_info=True)
        lost = {key for key in info["missing_keys"] if not re.search(r"num_batches_tracked|n_points_scale", key)}
        tied = {key for key in lost if re.match(r"(class|bbox)_embed\.", key)}
        lost = sorted(lost - tied | set(info["unexpected_keys"]) | set(map(str, info["mismatched_keys"])))
        same = again.state_dict()
        differ = [key for key, value in hf.model.state_dict().items()
                  if not key.endswith("num_batches_tracked") and not torch.equal(value, same[key])]
        checker.say("transformers loads what Rust writes", ", ".join((lost + differ)[:4]))

    # the official code reads back what Rust writes
    if not (folder / "canonical.safetensors").exists():
        save_file(expected, folder / "canonical.safetensors")
    back = rust(folder / "canonical.safetensors", folder / "torch.safetensors", "torch")
    checker.tensors("official names and back", convert_names.from_torch(back), expected)
    back = {key: torch.from_numpy(value) for key, value in load_file(folder / "canonical.safetensors").items()}
    result = official.model.load_state_dict(back, strict=False)
    lost = [key for key in result.missing_keys if networks.is_seeded(key)] + result.unexpected_keys
    checker.say("the official code loads what Rust writes", ", ".join(lost[:4]))

    # PaddleDetection
    config = paddle_config(options.detection, name) if options.paddle_python else None
    if config:
        given = folder / "given.safetensors"
        save_file(expected | {"image": image}, given)
        script = [options.paddle_python, ROOT / "weights-scripts" / "checkpoint_paddle.py", options.detection]
        command = [*script, config, given, folder / "paddle"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            checker.say("PaddleDetection", done.stderr.strip()[-300:])
            return
        paddle = dict(expected)
        paddle[convert_names.DENOISING] = paddle[convert_names.DENOISING].copy()
        paddle[convert_names.DENOISING][-1] = 0
        answer = load_file(folder / "paddle_outputs.safetensors")
        answer = (answer["logits"].reshape(wanted[0].shape), answer["boxes"].reshape(wanted[1].shape))
        checker.answers("PaddleDetection and the official code", answer, wanted, spec.discrete)
        for form in ("p2", "p4", "nested"):
            path = folder / f"paddle_{form}.pdparams"
            converted = folder / "python.safetensors"
            script = ROOT / "weights-scripts" / "convert_paddle.py"
            done = subprocess.run([options.paddle_python, script, path, converted], capture_output=True, check=False)
            both(f"paddle {form}", path, None, paddle)
            checker.tensors(f"paddle {form}, Python", load_file(converted) if done.returncode == 0 else {}, paddle)
            ran(f"paddle {form}", path, answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detrace", type=lambda path: pathlib.Path(path).resolve(), required=True)
    parser.add_argument("--official", required=True)
    parser.add_argument("--paddle-python")
    parser.add_argument("--detection")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ZOO, default=MODELS, help="other models of the zoo")
    parser.add_argument("--all", dest="only", action="store_const", const=ZOO, help="every model of the zoo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="where the files stay; a temporary folder without it")
    options = parser.parse_args()
    if bool(options.paddle_python) != bool(options.detection):
        parser.error("--paddle-python and --detection go together")
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    checker = Checker()
    for name in options.only:
        with contextlib.ExitStack() as stack:
            if options.keep:
                folder = pathlib.Path(options.keep).resolve() / name
                folder.mkdir(parents=True, exist_ok=True)
            else:
                folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            check(name, options, checker, folder)
    print(f"{checker.done - checker.failed} passed, {checker.failed} failed")
    sys.exit(1 if checker.failed else 0)


if __name__ == "__main__":
    main()
