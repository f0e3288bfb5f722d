"""Counts Paddle programs with the real `paddle.flops`: static_flops.py OUT-FOLDER MODEL.pdmodel...

Writes OUT-FOLDER/MODEL.json with what `paddle.flops(program, print_detail=True)` returns and prints. Needs paddlepaddle 2.6.2:
Paddle 3 cannot count programs. No weights are needed. With --strip the program is also written to OUT-FOLDER/MODEL.pdmodel
without the Python call stacks that Paddle keeps in it, and counted again: the two counts have to be equal.
"""

import argparse
import contextlib
import io
import json
import pathlib
import sys

import paddle
from paddle.base.proto import framework_pb2

# Where in Python an operation was made; nothing that runs or counts reads it.
CALL_STACK = "op_callstack"


def count(program_bytes):
    """The return value and the printed lines of `paddle.flops`."""
    program = paddle.static.deserialize_program(program_bytes)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # The size is not looked at where a program is given.
        total = paddle.flops(program, [1], print_detail=True)
    return total, printed.getvalue().splitlines()


def strip(program_bytes):
    """The program without call stacks."""
    program = framework_pb2.ProgramDesc.FromString(program_bytes)
    for block in program.blocks:
        for op in block.ops:
            kept = [attr for attr in op.attrs if attr.name != CALL_STACK]
            del op.attrs[:]
            op.attrs.extend(kept)
    return program.SerializeToString(deterministic=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("programs", type=pathlib.Path, nargs="+")
    parser.add_argument("--strip", action="store_true")
    args = parser.parse_args()
    paddle.enable_static()
    args.folder.mkdir(parents=True, exist_ok=True)
    for path in args.programs:
        # `export_model.py` names every program `model.pdmodel` and its folder after the configuration.
        name = path.stem if path.stem != "model" else path.resolve().parent.name
        total, printed = count(path.read_bytes())
        if args.strip:
            stripped = strip(path.read_bytes())
            if count(stripped) != (total, printed):
                sys.exit(f"{path}: the stripped program counts differently")
            (args.folder / f"{name}.pdmodel").write_bytes(stripped)
        golden = {"model": name, "paddle": paddle.__version__, "return": total, "printed": printed}
        (args.folder / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")
        print(f"{name}: {total!r}")


if __name__ == "__main__":
    main()
