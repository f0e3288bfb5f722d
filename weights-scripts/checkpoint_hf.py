"""RT-DETR on HGNetv2 from `transformers`, as PP-DocLayout is built, with given canonical weights."""

import types

import torch
import transformers

import convert_names
import networks

# Stages of HGNetv2 by size: input, middle and output channels, blocks.
ARCHS = {
    "L": ([3, 32, 48], [(48, 48, 128, 1), (128, 96, 512, 1), (512, 192, 1024, 3), (1024, 384, 2048, 1)]),
    "X": ([3, 32, 64], [(64, 64, 128, 1), (128, 128, 512, 2), (512, 256, 1024, 5), (1024, 512, 2048, 2)]),
    "H": ([3, 48, 96], [(96, 96, 192, 2), (192, 192, 512, 3), (512, 384, 1024, 6), (1024, 768, 2048, 3)]),
}


def hg_model(spec):
    """The model of transformers for an HGNetv2 variant, as transformers initialises it; in eval mode."""
    stem, stages = ARCHS[spec.arch]
    inputs, middles, outputs, blocks = zip(*stages, strict=True)
    backbone = transformers.HGNetV2Config(
        stem_channels=stem,
        embedding_size=stem[-1],
        depths=list(blocks),
        hidden_sizes=list(outputs),
        stage_in_channels=list(inputs),
        stage_mid_channels=list(middles),
        stage_out_channels=list(outputs),
        stage_num_blocks=list(blocks),
        stage_downsample=[False, True, True, True],
        stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 5, 5],
        stage_numb_of_layers=[6, 6, 6, 6],
        use_learnable_affine_block=False,
        out_features=["stage2", "stage3", "stage4"],
    )
    return networks.hf_model(spec, backbone, spec.decoder_layers)


def load(model, tensors):
    """Gives a model of transformers canonical tensors, name -> array. A tensor that is not there is a KeyError."""
    state = {}
    for key in model.state_dict():
        if not convert_names.CONSTANTS.search(key):
            state[key] = torch.from_numpy(_find(tensors, convert_names.hf_name(key)))
    model.load_state_dict(state, strict=False)


def _find(tensors, name):
    """A canonical tensor, or the part of a packed one that q, k or v is."""
    for index, part in enumerate(("q_proj.", "k_proj.", "v_proj.")):
        if f".self_attn.{part}" in name:
            packed = tensors[name.replace(part, "in_proj_")]
            return packed.reshape(3, -1, *packed.shape[1:])[index].copy()
    return tensors[name]


class HfHgNetwork:
    """A model of transformers whose backbone is HGNetV2."""

    def __init__(self, spec, tensors):
        self.spec = spec
        self.model = hg_model(spec)
        load(self.model, tensors)

    @torch.no_grad()
    def run(self, image):
        """One forward pass: `logits` and `boxes` of the last layer."""
        out = self.model(pixel_values=image)
        return types.SimpleNamespace(logits=out.logits, boxes=out.pred_boxes)
