#!/usr/bin/env python3
"""Runs the kernel benchmark and PyTorch on the same shapes, in turns, on one core, and prints the ratios.

usage: compare_torch.py [--rounds N] [--json OUT]

The benchmark must be built (dotnet build -c Release tests/StreamLstm.Benchmarks). STREAMLSTM_BENCHMARKS names its .dll if it
lies elsewhere. Run it with a Python that has torch. A torch without MKL (Debian's) is only as good as the system's BLAS: with
the reference BLAS it is some ten times slower, so install OpenBLAS or name its folder in LD_LIBRARY_PATH; the first line
printed tells what it reaches. OPENBLAS_CORETYPE=SkylakeX is set because OpenBLAS otherwise takes slow kernels on processors it
does not know.

Inference: one step of B of 10,000 streams in random slots, states gathered (index_select) and scattered (index_copy_).
Training: forward, squared error of the last layer's h at every step, backward, Adam; T = 64.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import torch  # noqa: E402  (after the variables it reads)

SHAPES = [(4, 32, 1), (8, 64, 2), (16, 128, 2)]
STREAMS = 10_000
STEPS = 64


def rnn(cell, inputs, hidden, layers):
    torch.manual_seed(1)
    kind = torch.nn.LSTM if cell == "lstm" else torch.nn.GRU
    return kind(inputs, hidden, layers)


def infer(cell, inputs, hidden, layers, batch, seconds):
    """Stream-steps per second."""
    model = rnn(cell, inputs, hidden, layers)
    states = [torch.zeros(layers, STREAMS, hidden) for _ in range(2 if cell == "lstm" else 1)]
    x = torch.rand(1, batch, inputs) * 2 - 1
    order = torch.randperm(STREAMS)
    slots = [order[i:i + batch] for i in range(0, STREAMS - batch + 1, batch)]
    calls, position = 0, 0
    with torch.no_grad():
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            index = slots[position % len(slots)]
            position += 1
            before = [state.index_select(1, index) for state in states]
            _, after = model(x, tuple(before) if cell == "lstm" else before[0])
            for state, value in zip(states, after if cell == "lstm" else (after,)):
                state.index_copy_(1, index, value)
            calls += 1
        return calls * batch / (time.perf_counter() - start)


def train(cell, inputs, hidden, layers, batch, seconds):
    """Steps of sequences per second."""
    model = rnn(cell, inputs, hidden, layers)
    adam = torch.optim.Adam(model.parameters(), 1e-4)
    x = torch.rand(STEPS, batch, inputs) * 2 - 1
    target = torch.rand(batch, hidden) * 0.1
    state, calls = None, 0
    start = time.perf_counter()
    while calls == 0 or time.perf_counter() - start < seconds:
        adam.zero_grad()
        output, state = model(x, state)
        (0.5 * (output - target).square().sum() / (batch * STEPS)).backward()
        adam.step()
        state = tuple(s.detach() for s in state) if cell == "lstm" else state.detach()
        calls += 1
    return calls * batch * STEPS / (time.perf_counter() - start)


def matrix_product():
    """GFLOP/s of torch's own single-precision matrix product."""
    a, b = torch.rand(512, 512), torch.rand(512, 512)
    rates = []
    for _ in range(20):
        start = time.perf_counter()
        torch.mm(a, b)
        rates.append(2 * 512 ** 3 / (time.perf_counter() - start) / 1e9)
    return max(rates)


def ours(program, seconds):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "kernels.json")
        subprocess.run(["dotnet", program, "kernels", "--seconds", str(seconds), "--filter", " 512 ", "--json", path],
                       check=True, stdout=subprocess.DEVNULL)
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    return {(r["kind"], r["cell"], r["I"], r["H"], r["L"], r["B"]): r["steps_per_s"] for r in report["rows"]}


def main():
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
    here = os.path.dirname(os.path.abspath(__file__))
    program = os.environ.get("STREAMLSTM_BENCHMARKS", os.path.join(here, "bin/Release/net10.0/StreamLstm.Benchmarks.dll"))
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"torch {torch.__version__}: matrix product 512 x 512 x 512 at {matrix_product():.0f} GFLOP/s")
    results = {}
    for _ in range(rounds):
        mine = ours(program, 3)
        for cell in ("lstm", "gru"):
            for shape in SHAPES:
                for batch in (1, 64, 512):
                    rate = infer(cell, *shape, batch, 0.15)
                    results.setdefault(("infer", cell, *shape, batch), []).append((mine[("infer", cell, *shape, batch)], rate))
                rate = train(cell, *shape, 64, 0.3)
                results.setdefault(("train", cell, *shape, 64), []).append((mine[("train", cell, *shape, 64)], rate))
    print(f"one thread, {rounds} rounds, medians; million steps/s")
    print("kind  cell    I    H  L    B   StreamLstm      torch   ratio")
    rows = []
    for (kind, cell, inputs, hidden, layers, batch), pairs in results.items():
        a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
        ratio = statistics.median(p[0] / p[1] for p in pairs)
        rows.append({"kind": kind, "cell": cell, "I": inputs, "H": hidden, "L": layers, "B": batch,
                     "steps_per_s": a, "torch_steps_per_s": b, "ratio": ratio})
        print(f"{kind:5} {cell:4} {inputs:4} {hidden:4} {layers:2} {batch:4} {a / 1e6:12.4f} {b / 1e6:10.4f} {ratio:7.1f}")
    if "--json" in sys.argv:
        with open(sys.argv[sys.argv.index("--json") + 1], "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
