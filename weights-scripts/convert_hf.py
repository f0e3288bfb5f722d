"""Converts a checkpoint of transformers: convert_hf.py IN.safetensors|FOLDER OUT.safetensors

A folder is one that `save_pretrained` wrote; its model is loaded with transformers, and its live state dict converted.
"""

import pathlib
import sys

from safetensors.numpy import load_file

import convert_names


def read(path):
    """The state dict of a file or of a folder, as name -> numpy array."""
    if pathlib.Path(path).is_file():
        return load_file(path)
    import transformers

    config = transformers.AutoConfig.from_pretrained(path)
    model = transformers.AutoModelForObjectDetection.from_pretrained(path, config=config)
    return {name: value.detach().numpy() for name, value in model.state_dict().items()}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tensors = convert_names.finish(convert_names.from_hf(read(sys.argv[1])))
    convert_names.save(tensors, sys.argv[2], "hugging face")
