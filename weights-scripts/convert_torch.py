"""Converts a checkpoint of the official code with torch: convert_torch.py IN.pth OUT.safetensors"""

import sys

import torch

import convert_names


def read(path):
    """The state dict of a `.pth`, as name -> numpy array."""
    state = convert_names.unwrap(torch.load(path, map_location="cpu", weights_only=True))
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    while all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return {name: value.detach().numpy() for name, value in tensors.items()}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tensors = convert_names.finish(convert_names.from_torch(read(sys.argv[1])))
    convert_names.save(tensors, sys.argv[2], "torch")
