"""The network that peers run: `transformers`' RT-DETR with plain tensors as its answer."""

import torch


class Positions(torch.nn.Module):
    """A position embedding that was made before."""

    def __init__(self, embedding):
        super().__init__()
        self.embedding = torch.nn.Buffer(embedding, persistent=False)

    def forward(self, **_kwargs):
        return self.embedding


class Deployed(torch.nn.Module):
    """`image` [N, 3, H, W] -> `logits` [N, Q, classes], `boxes` [N, Q, 4], `class_logits` [N, L, classes] of all tokens.

    transformers scores the queries after every decoder layer; here, as in the official code at inference, the last alone does.
    """

    def __init__(self, network, layers):
        super().__init__()
        self.model = network.model
        self.head = self.model.decoder.class_embed[layers - 1]
        self.model.decoder.class_embed = None

    def fixed(self, size):
        """Makes what depends on the input's size, `size` by `size`, once: anchors and position embedding."""
        model, side = self.model, size // 32
        model.config.anchor_image_size = [size, size]
        model.anchors, model.valid_mask = model.generate_anchors()
        for layer in model.encoder.aifi:
            made = layer.position_embedding(width=side, height=side, device=torch.device("cpu"), dtype=torch.float32)
            layer.position_embedding = Positions(made.clone())
        return self

    def forward(self, image):
        out = self.model(pixel_values=image)
        return self.head(out.last_hidden_state), out.intermediate_reference_points[:, -1], out.enc_outputs_class
