"""Checkpoints of PaddleDetection's own networks with given weights, and what those networks answer.

    python checkpoint_paddle.py DETECTION CONFIG WEIGHTS.safetensors OUT

Runs with paddlepaddle in a checkout of PaddleDetection. CONFIG is a file of its `configs`, WEIGHTS canonical tensors and
the input under `image`. Writes OUT_p2.pdparams and OUT_p4.pdparams (by protocol), OUT_nested.pdparams (under `model`)
and OUT_outputs.safetensors (`logits`, `boxes`).
"""

import os
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import convert_names


def main(detection, config, weights, out):
    weights, out = os.path.abspath(weights), os.path.abspath(out)
    sys.path.insert(0, detection)
    os.chdir(detection)
    import paddle
    import ppdet.modeling  # noqa: F401  registers the networks
    from ppdet.core.workspace import create, load_config

    paddle.set_device("cpu")
    settings = load_config(config)
    settings.pretrain_weights = None
    network = create(settings.architecture)
    network.eval()
    tensors = load_file(weights)
    image = tensors.pop("image")
    used = set()
    for name, parameter in network.state_dict().items():
        [(canonical, value)] = convert_names.from_paddle({name: np.zeros(parameter.shape, np.float32)}).items()
        if convert_names.CONSTANTS.search(canonical):
            continue
        given = tensors[canonical]
        used.add(canonical)
        if canonical == convert_names.DENOISING:
            given = given[:-1]
        if given.shape != value.shape:
            sys.exit(f"{name}: {given.shape} was given for {value.shape}")
        if value.ndim == 2 and canonical not in convert_names.EMBEDDINGS:
            given = given.T
        parameter.set_value(np.ascontiguousarray(given))
    if unused := sorted(set(tensors) - used):
        sys.exit(f"the network has no {', '.join(unused[:5])}")
    state = network.state_dict()
    paddle.save(state, out + "_p2.pdparams", protocol=2)
    paddle.save(state, out + "_p4.pdparams", protocol=4)
    paddle.save({"model": state, "epoch": 1}, out + "_nested.pdparams")
    with paddle.no_grad():
        features = network.neck(network.backbone({"image": paddle.to_tensor(image)}))
        boxes, logits = network.transformer(features, None, {})[:2]
    answers = {"logits": logits[-1].numpy(), "boxes": boxes[-1].numpy()}
    save_file(answers, out + "_outputs.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
