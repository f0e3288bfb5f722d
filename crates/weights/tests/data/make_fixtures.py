"""Writes the small checkpoints in tests/data/files with the real libraries.

    python make_fixtures.py torch     with torch and numpy 2
    python make_fixtures.py paddle    with paddlepaddle and numpy below 2

paddlepaddle 2.6 and 3.3 write the same bytes, so the files of one of them are kept.
Element i of tensor number k is k + i / 8, so that tests know every value.
"""
import collections
import pathlib
import pickle
import sys

import numpy as np

FILES = pathlib.Path(__file__).parent / "files"


def values(number, *shape):
    count = int(np.prod(shape))
    return (number + np.arange(count, dtype=np.float32) / 8).reshape(shape)


def with_torch():
    import torch

    def state(first, prefix=""):
        tensors = collections.OrderedDict()
        tensors[prefix + "decoder.enc_output.0.weight"] = torch.tensor(values(first, 3, 4))
        tensors[prefix + "decoder.enc_output.1.bias"] = torch.tensor(values(first + 1, 4))
        tensors[prefix + "encoder.input_proj.0.1.num_batches_tracked"] = torch.tensor(7)
        return tensors

    whole = {"model": state(30), "ema": {"module": state(1), "updates": 5}, "last_epoch": 9, "date": "today"}
    torch.save(whole, FILES / "ema_module.pth")
    torch.save({"ema": state(1), "model": state(30)}, FILES / "ema.pth")
    torch.save({"state_dict": state(1, "module."), "epoch": 3}, FILES / "legacy.pth",
               _use_new_zipfile_serialization=False)

    base = torch.tensor(values(10, 4, 3))
    odd = collections.OrderedDict()
    odd["transposed"] = torch.tensor(values(1, 2, 3)).t()
    odd["row"] = base[2]
    odd["column"] = base[:, 1]
    odd["parameter"] = torch.nn.Parameter(torch.tensor(values(2, 2)))
    odd["scalar"] = torch.tensor(2.5)
    odd["empty"] = torch.zeros(0, 4)
    odd["one"] = torch.tensor(values(3, 1, 2)).t()
    odd["f16"] = torch.tensor(values(4, 2)).half()
    odd["bf16"] = torch.tensor(values(5, 2)).bfloat16()
    odd["f64"] = torch.tensor(values(6, 2)).double()
    odd["i64"] = torch.tensor([-7, 8])
    odd["i32"] = torch.tensor([-7, 8], dtype=torch.int32)
    odd["i16"] = torch.tensor([-7, 8], dtype=torch.int16)
    odd["i8"] = torch.tensor([-7, 8], dtype=torch.int8)
    odd["u8"] = torch.tensor([7, 200], dtype=torch.uint8)
    odd["bool"] = torch.tensor([True, False])
    torch.save(odd, FILES / "odd.pth")
    torch.save(odd, FILES / "odd_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 2), FILES / "whole_module.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), FILES / "script.pth")

    arrays = {"plain": values(1, 2, 3), "fortran": np.asfortranarray(values(2, 2, 3)),
              "big_endian": values(3, 2).astype(">f4"), "scalar": np.float32(4)}
    for protocol in (2, 4, 5):
        with open(FILES / f"numpy{protocol}.pkl", "wb") as file:
            pickle.dump(arrays, file, protocol=protocol)


def with_paddle():
    import paddle

    class Decoder(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.enc_output = paddle.nn.Sequential(paddle.nn.Linear(3, 4), paddle.nn.LayerNorm(4))
            self.denoising_class_embed = paddle.nn.Embedding(2, 4)
            self.dec_score_head = paddle.nn.LayerList([paddle.nn.Linear(4, 2)])

    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.transformer = Decoder()
            self.neck = paddle.nn.Layer()
            self.neck.lateral_convs = paddle.nn.LayerList([paddle.nn.Layer()])
            self.neck.lateral_convs[0].bn = paddle.nn.BatchNorm2D(3)

    net = Net()
    for number, (_, tensor) in enumerate(sorted(net.state_dict().items())):
        tensor.set_value(values(number, *tensor.shape))
    state = net.state_dict()
    version = paddle.__version__.split(".")[0]
    for protocol in (2, 3, 4):
        paddle.save(state, str(FILES / f"paddle{version}_p{protocol}.pdparams"), protocol=protocol)
    paddle.save({"model": state, "epoch": 3}, str(FILES / f"paddle{version}_nested.pdparams"))
    half = {name: tensor.astype("bfloat16") for name, tensor in state.items()}
    paddle.save(half, str(FILES / f"paddle{version}_bf16.pdparams"))


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    {"torch": with_torch, "paddle": with_paddle}[sys.argv[1]]()
