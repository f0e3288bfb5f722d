"""Converts a PaddleDetection checkpoint with paddle: convert_paddle.py IN.pdparams OUT.safetensors"""

import sys

import numpy as np
import paddle

import convert_names


def read(path):
    """The state dict of a `.pdparams`, as name -> numpy array."""
    state = convert_names.unwrap(paddle.load(path, return_numpy=True))
    return {name: value for name, value in state.items() if isinstance(value, np.ndarray)}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tensors = convert_names.finish(convert_names.from_paddle(read(sys.argv[1])))
    convert_names.save(tensors, sys.argv[2], "paddle")
