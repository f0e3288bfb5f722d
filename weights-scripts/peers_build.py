"""Builds one model for `bench_peers.py`: the same seeded weights and the same graph for every contender.

    python peers_build.py MODEL FOLDER --batch N --size S

The network is that of `transformers`, on the weights that `detrace` makes from seed 0 too. FOLDER gets

    weights.safetensors    the weights by their canonical names, for detrace
    image.safetensors      the input, `image` [N, 3, S, S]
    reference.safetensors  `class_logits`, `logits` and `boxes` of a forward pass in f64 of the network as trained
    network.pt             the deployed network, a torch module
    network.onnx           its export, opset 17 (TorchScript exporter), all shapes fixed
    network.mnn            MNN's conversion of that
    build.json             what made it; a folder that says the same is not built again

Deployed: norms folded into convolutions, RepVGG branches merged (in f64, rounded once), one score head, that of the last
decoder layer, anchors and position embedding as constants. So every contender runs what `detrace`'s structure `deploy` does.
"""

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import warnings

import torch
import transformers
from safetensors.torch import save_file

import checkpoint_hf
import convert_names
import networks
import seeded
import zoo
from peers_network import Deployed

HERE = pathlib.Path(__file__).resolve().parent
SEED, OPSET = 0, 17
NORMS = ("BatchNorm2d", "RTDetrFrozenBatchNorm2d", "RTDetrV2FrozenBatchNorm2d")
SOURCES = ("peers_build.py", "peers_network.py", "networks.py", "seeded.py", "checkpoint_hf.py", "convert_names.py")


def say(text):
    print(text, file=sys.stderr, flush=True)


def made_by(model, batch, size):
    """What a build depends on."""
    digest = hashlib.sha256()
    for path in (*(HERE / name for name in SOURCES), HERE.parent / "models" / f"{model}.yaml"):
        digest.update(path.read_bytes())
    versions = {}
    for package in ("torch", "transformers", "onnx", "MNN"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"model": model, "batch": batch, "size": size, "sources": digest.hexdigest(), "versions": versions}


def trained(spec):
    """The model of transformers with seeded weights, and the weights by their canonical names."""
    model = checkpoint_hf.hg_model(spec) if spec.depth is None else networks.hf_random(spec)
    made = convert_names.finish(convert_names.from_hf({key: value.numpy() for key, value in model.state_dict().items()}))
    tensors = {name: seeded.values(name, array.shape, SEED) for name, array in made.items()}
    checkpoint_hf.load(model, tensors)
    return model, tensors


def fold(model):
    """Folds every norm into the convolution before it and merges RepVGG branches, in the model's number type."""
    for module in list(model.modules()):
        children = list(module.named_children())
        for (first, conv), (second, norm) in zip(children, children[1:]):
            if isinstance(conv, torch.nn.Conv2d) and type(norm).__name__ in NORMS:
                setattr(module, first, folded(conv, norm))
                setattr(module, second, torch.nn.Identity())
    for module in list(model.modules()):
        for name, block in list(module.named_children()):
            if type(block).__name__.endswith("RepVggBlock"):
                conv, pointwise = block.conv1.conv, block.conv2.conv
                conv.weight[:, :, 1:2, 1:2] += pointwise.weight
                conv.bias += pointwise.bias
                setattr(module, name, torch.nn.Sequential(conv, block.activation))
    left = [name for name, module in model.named_modules() if type(module).__name__ in NORMS]
    if left:
        raise zoo.ZooError(f"{len(left)} norms stand behind no convolution: {', '.join(left[:3])}")


def folded(conv, norm):
    """A convolution with a bias that does what a convolution and its norm do."""
    out = torch.nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        dtype=conv.weight.dtype,
    )
    scale = norm.weight / torch.sqrt(norm.running_var + getattr(norm, "eps", 1e-5))
    out.weight.copy_(conv.weight * scale.reshape(-1, 1, 1, 1))
    bias = 0 if conv.bias is None else conv.bias
    out.bias.copy_(norm.bias + (bias - norm.running_mean) * scale)
    return out.requires_grad_(False)


def convert_to_mnn(folder):
    """MNN's own format. Without MNN there is none, and its contenders say so.

    The converter is called as MNN's wheel has it inside. The commands around it, `mnnconvert` and `MNN.tools.mnnconvert`, first
    install a logging client with pip, into whichever environment they run in, and then report the conversion to MNN's makers.
    """
    call = "import sys, _tools; _tools.mnnconvert(sys.argv)"
    arguments = ["-f", "ONNX", "--modelFile", folder / "network.onnx", "--MNNModel", folder / "network.mnn", "--bizCode", "peers"]
    done = subprocess.run([sys.executable, "-c", call, *arguments], capture_output=True, text=True, check=False)
    if done.returncode or not (folder / "network.mnn").is_file():
        say(f"  no network.mnn: {(done.stderr or done.stdout).strip()[-300:]}")


@torch.no_grad()
def build(spec, folder, batch, size):
    """Writes everything that a folder holds but `build.json`."""
    say(f"  {spec.name}: seeded weights")
    model, tensors = trained(spec)
    image = torch.from_numpy(seeded.image((batch, 3, size, size), SEED))
    save_file({name: torch.from_numpy(array) for name, array in tensors.items()}, folder / "weights.safetensors")
    save_file({"image": image}, folder / "image.safetensors")
    say(f"  {spec.name}: reference in f64")
    network = Deployed(model.double(), spec.layers_run).eval()
    names = ("logits", "boxes", "class_logits")
    reference = network(image.double())
    save_file({name: tensor.contiguous() for name, tensor in zip(names, reference, strict=True)}, folder / "reference.safetensors")
    say(f"  {spec.name}: folding and exporting")
    fold(network)
    network.float().fixed(size)
    torch.save(network, folder / "network.pt")
    torch.onnx.export(
        network,
        (image,),
        folder / "network.onnx",
        dynamo=False,
        opset_version=OPSET,
        input_names=["image"],
        output_names=list(names),
    )
    convert_to_mnn(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model of the zoo")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images in the batch [%(default)s]")
    parser.add_argument("--size", type=int, default=640, metavar="S", help="height and width [%(default)s]")
    args = parser.parse_args()
    stamp, made = args.folder / "build.json", made_by(args.model, args.batch, args.size)
    if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == made:
        return
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    args.folder.mkdir(parents=True, exist_ok=True)
    for path in args.folder.iterdir():
        path.unlink()
    build(zoo.load(HERE.parent / "models" / f"{args.model}.yaml"), args.folder, args.batch, args.size)
    stamp.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (zoo.ZooError, convert_names.ConvertError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
