#!/usr/bin/env python3
"""Writes the PyTorch fixtures of the general layers (float32, safetensors) into layers/ beside this file.

A case is a stack of one kind of layer with a linear head on every step, mean squared error, and ten steps of an
optimiser. Parameters, inputs and targets are not stored: both sides draw them from the counter random numbers of
StreamLstm.Core.Numerics.CounterRandom (seed, stream), so that a file holds only what PyTorch made of them. Of a tensor
with more than MOST elements it holds every n-th (n such that at most MOST remain), and of every tensor "<name>.sums":
Σ v, √Σ v², max |v| in float64 rounded to float32.

Metadata: cell, nonlinearity, inputs, hidden, layers, steps, batch, outputs, optimizer, bias.
Tensors: out [T,B,K], h, c [L,B,H], loss [1], g.<parameter>, losses [10], w.<parameter> after ten steps.
bias_hh is zero and not trained, except in the n gate of a GRU, because the library has one merged bias.

two-biases-*.safetensors are complete state_dicts with both biases, plus "x" and "out".

Made with PyTorch 1.13.0 on one thread.
"""
import json
import os
import struct

import numpy as np
import torch

torch.set_num_threads(1)
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers")
MOST = 96
ADD = np.uint64(0x9E3779B97F4A7C15)


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draw(shape, seed, stream, scale):
    """scale·(2u − 1) in float32, u = CounterRandom(seed, stream).Unit(0, 1, …)."""
    with np.errstate(over="ignore"):
        key = mix(np.array([seed], np.uint64) + mix(np.array([stream], np.uint64) + ADD))
        counters = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
        bits = mix(key + counters * ADD)
    unit = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0 ** -24)
    values = np.float32(scale) * (np.float32(2) * unit - np.float32(1))
    return torch.from_numpy(values.reshape(shape).astype(np.float32))


def save(name, tensors, metadata):
    header, offset, data = {"__metadata__": metadata}, 0, b""
    for key, value in tensors.items():
        raw = value.detach().contiguous().numpy().astype("<f4").tobytes()
        header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    os.makedirs(HERE, exist_ok=True)
    with open(os.path.join(HERE, name + ".safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def keep(tensors, name, value):
    flat = value.detach().reshape(-1).clone()  # gradients are zeroed in place later
    wide = flat.double()
    stride = max(1, -(-flat.numel() // MOST))
    tensors[name] = flat[::stride]
    tensors[name + ".sums"] = torch.stack([wide.sum(), wide.pow(2).sum().sqrt(), wide.abs().max()]).float()


class Net(torch.nn.Module):
    def __init__(self, cell, inputs, hidden, layers, outputs, bias=True, nonlinearity="tanh"):
        super().__init__()
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell]
        extra = {"nonlinearity": nonlinearity} if cell == "rnn" else {}
        self.rnn = kind(inputs, hidden, layers, bias=bias, **extra)
        self.head = torch.nn.Linear(hidden, outputs)

    def forward(self, x):
        h, state = self.rnn(x)
        return self.head(h), state


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.5, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=2e-3, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=2e-3, weight_decay=0.1),
}


def case(cell, inputs, hidden, layers, T, B, optimizer, bias=True, nonlinearity="tanh", outputs=2):
    seed = 1000 * hidden + 10 * inputs + layers
    net = Net(cell, inputs, hidden, layers, outputs, bias, nonlinearity)
    bound = np.float32(1) / np.sqrt(np.float32(hidden))
    with torch.no_grad():
        for index, (name, p) in enumerate(net.named_parameters()):
            p.copy_(draw(tuple(p.shape), seed, index, bound))
            if "bias_hh" in name:
                trained = torch.zeros_like(p)
                if cell == "gru":
                    trained[2 * hidden:] = 1
                p.mul_(trained)
                p.register_hook(lambda g, trained=trained: g * trained)
    x = draw((T, B, inputs), seed, 100, 2)
    y = draw((T, B, outputs), seed, 101, 1.5)
    out, state = net(x)
    loss = torch.nn.functional.mse_loss(out, y)
    loss.backward()
    tensors = {}
    keep(tensors, "out", out)
    keep(tensors, "h", state[0] if cell == "lstm" else state)
    if cell == "lstm":
        keep(tensors, "c", state[1])
    tensors["loss"] = loss.detach().reshape(1)
    for name, p in net.named_parameters():
        keep(tensors, "g." + name, p.grad)
    step = OPTIMIZERS[optimizer](net.parameters())
    losses = []
    for _ in range(10):
        step.zero_grad()
        loss = torch.nn.functional.mse_loss(net(x)[0], y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        step.step()
        losses.append(loss.detach().reshape(1))
    tensors["losses"] = torch.cat(losses)
    for name, p in net.named_parameters():
        keep(tensors, "w." + name, p)
    save(f"{cell}-i{inputs}-h{hidden}-l{layers}-t{T}-{optimizer}", tensors, {
        "cell": cell, "nonlinearity": nonlinearity, "inputs": str(inputs), "hidden": str(hidden), "layers": str(layers),
        "steps": str(T), "batch": str(B), "outputs": str(outputs), "optimizer": optimizer, "bias": str(bias)})


for cell in ("lstm", "gru", "rnn"):
    case(cell, 1, 1, 1, 5, 1, "sgd")
    case(cell, 3, 5, 2, 9, 3, "adam")
    case(cell, 40, 17, 1, 7, 5, "adamw")
    case(cell, 1, 33, 3, 8, 4, "rmsprop")
    case(cell, 40, 100, 3, 6, 3, "nesterov")
    case(cell, 3, 17, 1, 400, 2, "adam")
    case(cell, 3, 5, 2, 6, 2, "sgd", bias=False)
case("rnn", 3, 17, 2, 8, 3, "adamw", nonlinearity="relu")

for cell in ("lstm", "gru", "rnn"):
    torch.manual_seed(6)
    net = Net(cell, 3, 4, 2, 2)
    x = torch.randn(5, 2, 3)
    tensors = {key: value for key, value in net.state_dict().items()}
    tensors["x"], tensors["out"] = x, net(x)[0]
    save("two-biases-" + cell, tensors, {"format": "pt"})
