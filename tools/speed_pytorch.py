#!/usr/bin/env python3
"""Adds PyTorch and fla to the tables of `flame-c suite speed`, timed on the same machine with the same sizes.

    tools/speed_pytorch.py FOLDER [--repeats 20]

FOLDER has speed.csv, speed.md and configs/. "torch sdpa" is a layer of softmax attention: four projections and PyTorch's
scaled_dot_product_attention, without rotary positions. "fla NAME" is the mixer of the first layer of fla's model with the
configuration configs/NAME.json; it needs fla and a GPU. Forward is that of training, and times are medians, as in flame-c's table.
If a length fails, its field in the CSV is empty and the reason is printed. Exit code 77: PyTorch or the tables' GPU is missing."""
import argparse
import csv
import json
import os
import statistics
import sys
import time

WARM_UP = 2


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="--out of flame-c suite speed")
    parser.add_argument("--repeats", type=int, default=20, help="runs whose median counts (default: 20)")
    return parser.parse_args()


def one_line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def missing(why):
    print(why)
    sys.exit(77)


def import_torch(device):
    try:
        import torch
    except Exception as error:  # noqa: BLE001  a package may fail to import in any way
        missing(one_line(error))
    if device == "cuda" and not torch.cuda.is_available():
        missing(f"PyTorch {torch.__version__} sees no GPU")
    return torch


def sdpa_layer(torch, heads, head_dim):
    """A layer of softmax attention, as a function, and its module."""
    hidden = heads * head_dim
    qkv, out = torch.nn.Linear(hidden, 3 * hidden, bias=False), torch.nn.Linear(hidden, hidden, bias=False)

    def forward(x):
        B, T, _ = x.shape
        q, k, v = qkv(x).view(B, T, 3, heads, head_dim).permute(2, 0, 3, 1, 4)
        o = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return out(o.transpose(1, 2).reshape(B, T, hidden))

    return forward, torch.nn.ModuleList([qkv, out])


def fla_layer(path):
    """The mixer of the first layer of fla's model, as a function, and its module."""
    import fla  # noqa: F401  makes its models known to transformers
    from transformers import AutoConfig, AutoModelForCausalLM
    with open(path) as file:
        keys = json.load(file)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(keys.pop("model_type"), **keys))
    block = getattr(model, model.base_model_prefix or "model").layers[0]
    mixer = block.attn if hasattr(block, "attn") else block.mixer

    def forward(x):
        y = mixer(x)
        return y[0] if isinstance(y, tuple) else y

    return forward, mixer


class Timer:
    def __init__(self, torch, device, dtype, repeats):
        self.torch, self.device, self.dtype, self.repeats = torch, device, dtype, repeats

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def milliseconds(self, function):
        taken = []
        for number in range(-WARM_UP, self.repeats):
            self.wait()
            start = time.perf_counter()
            function()
            self.wait()
            if number >= 0:
                taken.append(1e3 * (time.perf_counter() - start))
        return statistics.median(taken)

    def layer(self, forward, batch, length, hidden):
        """Forward, and forward + backward."""
        x = self.torch.randn(batch, length, hidden, device=self.device, dtype=self.dtype, requires_grad=True)
        gradient = self.torch.randn_like(x)
        return self.milliseconds(lambda: forward(x)), self.milliseconds(lambda: forward(x).backward(gradient))


def time_column(timer, name, make, rows):
    """The rows of one column, as in speed.csv. `rows` are those of a mixer of flame-c. Empty if no length can be timed."""
    torch, column = timer.torch, []
    try:
        forward, module = make()
        module.to(timer.device, timer.dtype).train()
    except Exception as error:  # noqa: BLE001  of fla, Triton or the GPU
        print(f"{name}: {one_line(error)}", flush=True)
        return []
    for row in rows:
        batch, length = int(row["batch"]), int(row["length"])
        row = dict(row, mixer=name, forward_ms="", forward_backward_ms="", tokens_per_s="")
        try:
            once, both = timer.layer(forward, batch, length, int(row["heads"]) * int(row["head_dim"]))
            row.update(forward_ms=f"{once:.4f}", forward_backward_ms=f"{both:.4f}",
                       tokens_per_s=f"{1e3 * batch * length / both:.1f}")
            print(f"{name:<24} {length:7} tokens: {once:12.3f} ms forward, {both:12.3f} ms with backward", flush=True)
        except Exception as error:  # noqa: BLE001
            print(f"{name:<24} {length:7} tokens: {one_line(error)}", flush=True)
        module.zero_grad(set_to_none=True)
        if timer.device == "cuda":
            torch.cuda.empty_cache()
        column.append(row)
    return column if any(row["forward_ms"] for row in column) else []


def tables(rows):
    """The tables of speed.md: lengths by mixers."""
    names, lengths = (list(dict.fromkeys(row[key] for row in rows)) for key in ("mixer", "length"))
    for title, key in (("Forward", "forward_ms"), ("Forward + backward", "forward_backward_ms")):
        time_of = {(row["mixer"], row["length"]): f"{float(row[key]):.3f}" if row[key] else "n/a" for row in rows}
        yield f"## {title}\n\n| length | {' | '.join(names)} |\n|---:|{'---:|' * len(names)}\n"
        for length in lengths:
            yield f"| {length} | {' | '.join(time_of.get((name, length), 'n/a') for name in names)} |\n"
        yield "\n" if key == "forward_ms" else ""


def replace(path, write):
    with open(path + ".new", "w", newline="") as file:
        write(file)
    os.replace(path + ".new", path)


def write_results(folder, columns, rows):
    def write_csv(file):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    replace(os.path.join(folder, "speed.csv"), write_csv)
    path = os.path.join(folder, "speed.md")
    with open(path) as file:
        head = file.read().split("## ", 1)[0]
    replace(path, lambda file: file.write(head + "".join(tables(rows))))


def main():
    arguments = parse_arguments()
    with open(os.path.join(arguments.folder, "speed.csv"), newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = reader.fieldnames, [row for row in reader if " " not in row["mixer"]]
    device, precision = rows[0]["device"], rows[0]["precision"]
    torch = import_torch(device)
    heads, head_dim = int(rows[0]["heads"]), int(rows[0]["head_dim"])
    names = list(dict.fromkeys(row["mixer"] for row in rows))
    makers = {"torch sdpa": lambda: sdpa_layer(torch, heads, head_dim)}
    for name in names if device == "cuda" else []:
        path = os.path.join(arguments.folder, "configs", name + ".json")
        makers["fla " + name] = lambda path=path: fla_layer(path)
    timer = Timer(torch, device, getattr(torch, precision), arguments.repeats)
    ours, timed = [row for row in rows if row["mixer"] == names[0]], 0
    for name, make in makers.items():
        column = time_column(timer, name, make, ours)
        timed += len(column) > 0
        rows += column
        write_results(arguments.folder, columns, rows)
    sys.exit(0 if timed else 1)


main()
