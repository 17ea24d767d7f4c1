#!/usr/bin/env python3
"""Writes the PyTorch fixtures of the parity tests (float32, little-endian) beside this file.

One file per case: header of 7 int32 (I, H, K, T, B, burn-in, Adam steps), then float32 arrays:
  weights [P]            in the flat order of LstmForecasterWeights
  x [T,B,I] h0 [B,H] c0 [B,H] y [T,B,K] mask [T,B,K]
  out [T,B,K] hT [B,H] cT [B,H]       forward pass
  loss [1] gradient [P]               Huber (delta 1), mean over the mask after the burn-in
  learning rate, weight decay [2]
  losses [S] final weights [P] averaged weights [P]   S steps of clip 1, AdamW, average with decay 0.9

Made with PyTorch 1.13.0 on one thread.
"""
import os
import struct

import torch

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))


class Forecaster(torch.nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.lstm = torch.nn.LSTM(inputs, hidden)
        self.head = torch.nn.Linear(hidden, outputs)
        self.skip = torch.nn.Linear(inputs, outputs, bias=False)
        with torch.no_grad():
            # One merged bias: the second stays zero and is not trained.
            self.lstm.bias_hh_l0.zero_()
            self.lstm.bias_hh_l0.requires_grad_(False)
            self.lstm.bias_ih_l0[hidden:2 * hidden] += 1

    def forward(self, x, state):
        h, state = self.lstm(x, state)
        return self.head(h) + self.skip(x), state

    def groups(self):
        return [self.lstm.weight_ih_l0, self.lstm.weight_hh_l0, self.lstm.bias_ih_l0,
                self.head.weight, self.skip.weight, self.head.bias]


def flat(tensors):
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def case(name, shape, T, B, burn, seed, steps=10, rate=2e-3, decay=0.0, carried=False):
    inputs, hidden, outputs = shape
    torch.manual_seed(seed)
    net = Forecaster(*shape)
    x = torch.randn(T, B, inputs)
    y = 1.5 * torch.randn(T, B, outputs)
    mask = (torch.rand(T, B, outputs) < 0.8).float()
    mask[-1, -1, -1] = 1
    h0 = torch.randn(1, B, hidden) * (0.5 if carried else 0.0)
    c0 = torch.randn(1, B, hidden) * (1.0 if carried else 0.0)

    def loss_of(out):
        error = torch.nn.functional.huber_loss(out[burn:], y[burn:], reduction="none", delta=1.0)
        return (error * mask[burn:]).sum() / mask[burn:].sum()

    parts = [flat(net.groups()), x, h0, c0, y, mask]
    out, (h, c) = net(x, (h0, c0))
    loss = loss_of(out)
    loss.backward()
    parts += [out, h, c, loss.reshape(1), flat([p.grad for p in net.groups()]), torch.tensor([rate, decay])]

    optimizer = torch.optim.AdamW(net.groups(), lr=rate, weight_decay=decay)
    averaged = flat(net.groups())
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(net(x, (h0, c0))[0])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.groups(), 1.0)
        optimizer.step()
        averaged = averaged.lerp(flat(net.groups()), 0.1)
        losses.append(loss.detach().reshape(1))
    parts += losses + [flat(net.groups()), averaged]
    with open(os.path.join(HERE, name + ".bin"), "wb") as file:
        file.write(struct.pack("<7i", inputs, hidden, outputs, T, B, burn, steps))
        for part in parts:
            file.write(part.detach().numpy().astype("<f4").tobytes())


case("i1-h1-k1", (1, 1, 1), T=6, B=2, burn=2, seed=1)
case("i3-h5-k7", (3, 5, 7), T=8, B=3, burn=3, seed=2, carried=True)
case("i40-h17-k1", (40, 17, 1), T=7, B=5, burn=0, seed=3, decay=0.01)
case("i3-h33-k7", (3, 33, 7), T=12, B=4, burn=6, seed=4, carried=True)
case("i40-h33-k7", (40, 33, 7), T=6, B=9, burn=2, seed=5, rate=1e-2)
