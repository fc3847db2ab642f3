#!/usr/bin/env python3
"""Times models and chunk kernels of fla and PyTorch, in bfloat16 with random tokens, and shows flame-c's times beside them.

    tools/fla_step.py configs/gla-340M.yaml ... [--ours FOLDER] [--json FILE] [--seconds 200]

A training step is forward, backward, clipping and AdamW; it is timed eagerly, and with every block under torch.compile. The kernel
of a model is timed forward and backward on the shapes that it has in that model. FOLDER holds bench-NAME.json, which `flame-c bench
--json` wrote, for each NAME.yaml; the last column is how many times better flame-c is. Exit code 77: something that this needs is
not installed (printed); 1: nothing could be timed."""
import argparse
import json
import os
import signal
import statistics
import sys
import time


class OutOfTime(BaseException):
    """Not an Exception, so that no compiler catches it on its way."""


def out_of_time(_signal, _frame):
    raise OutOfTime("no time left")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", help="YAML configurations of flame-c")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--tokens", type=int, default=32768, help="of a step")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1e6, help="for everything together")
    parser.add_argument("--ours", help="folder of bench-NAME.json")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--warm-up", action="store_true", help="only fill the compilers' caches: one sequence, one step")
    return parser.parse_args()


def missing(why):
    print(why)
    sys.exit(77)


def one_line(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}"


def import_torch(device):
    """Imports torch and fla, which is slow. Returns torch, fla and ""; or torch, None and the reason why fla is missing."""
    try:
        import torch
        import transformers  # noqa: F401
        import yaml  # noqa: F401
    except Exception as error:  # noqa: BLE001  a package may fail to import in any way
        missing(one_line(error))
    if device == "cuda" and not torch.cuda.is_available():
        missing(f"PyTorch {torch.__version__} sees no GPU")
    try:
        import fla
        return torch, fla, ""
    except Exception as error:  # noqa: BLE001
        return torch, None, one_line(error)


def give_fla_attention(torch):
    """fla's attention layers need the package flash-attn. If it is missing, they get PyTorch's own attention, and fla's kernel for
    windows."""
    import fla.layers.attn as layer
    if layer.flash_attn_func is not None:
        return "flash-attn"
    from fla.ops.attn.parallel import parallel_attn

    def attention(q, k, v, causal=True, window_size=(-1, -1), **_):
        if window_size[0] >= 0:
            return parallel_attn(q, k, v, window_size=window_size[0] + 1)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        groups = k.shape[1] != q.shape[1]
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=groups).transpose(1, 2)

    layer.flash_attn_func = attention
    return "PyTorch's attention (no flash-attn)"


def llama_keys(keys):
    """The keys of a transformer of the same size in the library transformers, in case there is no fla."""
    hidden, heads = keys["hidden_size"], keys["num_heads"]
    return dict(hidden_size=hidden, num_hidden_layers=keys["num_hidden_layers"], num_attention_heads=heads,
                num_key_value_heads=keys.get("num_kv_heads") or heads, vocab_size=keys["vocab_size"],
                intermediate_size=keys.get("intermediate_size") or (hidden * 8 // 3 + 255) // 256 * 256)


def model_config(keys, length, fla, why):
    from transformers import AutoConfig
    keys = dict(keys, max_position_embeddings=length)
    model_type = keys.pop("model_type")
    if fla:
        return AutoConfig.for_model(model_type, **keys)
    if model_type != "transformer":
        raise RuntimeError(f"there is no fla: {why}")
    return AutoConfig.for_model("llama", attn_implementation="sdpa", max_position_embeddings=length, **llama_keys(keys))


class Timer:
    """Times functions on a device; each time is the median of several."""

    def __init__(self, torch, device):
        self.torch, self.device = torch, device

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def seconds(self, function, runs, warm):
        taken = []
        for number in range(warm + runs):
            self.wait()
            start = time.perf_counter()
            function()
            self.wait()
            if number >= warm:
                taken.append(time.perf_counter() - start)
        return statistics.median(taken)


def kernel_of(torch, keys, config, batch, length, device):
    """(name, flame-c's op, function, its inputs) of the kernel that mixes tokens in this model (in a hybrid, of its attention);
    None if it is not one of these. Shapes are fla's: [B, T, H, K]."""
    hidden, heads, kind = config.hidden_size, keys.get("num_heads"), keys["model_type"]

    def random(*sizes):
        return torch.randn(batch, length, *sizes, device=device, dtype=torch.bfloat16).requires_grad_()

    def decay(*sizes, dtype=torch.bfloat16):
        return (torch.nn.functional.logsigmoid(torch.randn(batch, length, *sizes, device=device)) / 16).to(dtype).requires_grad_()

    def unit(*sizes):
        return torch.nn.functional.normalize(torch.randn(batch, length, *sizes, device=device), dim=-1).bfloat16().requires_grad_()

    if keys.get("attn"):
        from fla.ops.attn.parallel import parallel_attn
        heads, window = keys["attn"]["num_heads"], keys["attn"].get("window_size")
        inputs = [random(heads, hidden // heads) for _ in range(3)]
        return "parallel_attn", "attention", lambda q, k, v: parallel_attn(q, k, v, window_size=window), inputs
    if kind == "gla":
        from fla.ops.gla import chunk_gla
        K, V = int(hidden * config.expand_k) // heads, int(hidden * config.expand_v) // heads
        inputs = [random(heads, K), random(heads, K), random(heads, V), decay(heads, K)]
        return "chunk_gla", "chunk_gla", lambda q, k, v, g: chunk_gla(q, k, v, g)[0], inputs
    if kind == "gated_deltanet":
        from fla.ops.gated_delta_rule import chunk_gated_delta_rule
        K, V = config.head_dim, int(config.head_dim * config.expand_v)
        beta = torch.rand(batch, length, heads, device=device).bfloat16().requires_grad_()
        inputs = [unit(heads, K), unit(heads, K), random(heads, V), decay(heads, dtype=torch.float32), beta]
        return ("chunk_gated_delta_rule", "chunk_delta", lambda q, k, v, g, b: chunk_gated_delta_rule(q, k, v, g, b)[0], inputs)
    if kind == "delta_net":
        from fla.ops.delta_rule import chunk_delta_rule
        K, V = int(hidden * config.expand_k) // heads, int(hidden * config.expand_v) // heads
        beta = torch.rand(batch, length, heads, device=device).bfloat16().requires_grad_()
        inputs = [unit(heads, K), unit(heads, K), random(heads, V), beta]
        return "chunk_delta_rule", "chunk_delta", lambda q, k, v, b: chunk_delta_rule(q, k, v, b)[0], inputs
    if kind == "retnet":
        from fla.ops.retention import chunk_retention
        K, V = int(hidden * config.expand_k) // heads, int(hidden * config.expand_v) // heads
        inputs = [random(heads, K), random(heads, K), random(heads, V)]
        return "chunk_retention", "chunk_simple_gla", lambda q, k, v: chunk_retention(q, k, v)[0], inputs
    if kind == "transformer":
        inputs = [torch.randn(batch, heads, length, hidden // heads, device=device, dtype=torch.bfloat16).requires_grad_()
                  for _ in range(3)]
        function = torch.nn.functional.scaled_dot_product_attention
        return "PyTorch's attention", "attention", lambda q, k, v: function(q, k, v, is_causal=True), inputs
    return None


def time_kernel(timer, kernel, runs, warm):
    """Times a kernel: seconds of forward, seconds of backward."""
    _, _, function, inputs = kernel
    out = function(*inputs)
    gradient = timer.torch.randn_like(out)
    forward = timer.seconds(lambda: function(*inputs), runs, warm)
    backward = timer.seconds(lambda: timer.torch.autograd.grad(out, inputs, gradient, retain_graph=True), runs, warm)
    return forward, backward


def time_step(timer, config, batch, length, steps, warm, compiled):
    """Times a training step: its seconds, and the peak of the device's memory."""
    from transformers import AutoModelForCausalLM
    torch, device = timer.torch, timer.device
    model = AutoModelForCausalLM.from_config(config).to(device).train()
    if compiled:
        torch._dynamo.reset()
        for name in ("recompile_limit", "cache_size_limit"):  # blocks that differ in a number are compiled each
            if hasattr(torch._dynamo.config, name):
                setattr(torch._dynamo.config, name, 64)
        for block in model.model.layers:
            block.compile()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens = torch.randint(config.vocab_size, (batch, length), device=device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step():
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    seconds = timer.seconds(step, steps, warm)
    return seconds, torch.cuda.max_memory_allocated() if device == "cuda" else None


def our_figures(folder, name):
    path = os.path.join(folder or "", f"bench-{name}.json")
    if not folder or not os.path.exists(path):
        return {}
    with open(path) as file:
        return json.load(file)


def times_better(more, less):
    return f"{more / less:6.2f} x" if less else ""


class Comparison:
    """What has been timed so far, as a table on stdout and as JSON."""

    def __init__(self, arguments):
        self.arguments, self.entries, self.timed = arguments, [], 0
        self.row("", "theirs", "flame-c", "times better")

    @staticmethod
    def row(what, theirs, ours, quotient):
        print(f"{what:<58} {theirs:>12} {ours:>12} {quotient:>16}", flush=True)

    def add(self, **entry):
        self.entries.append(entry)
        if self.arguments.json:
            with open(self.arguments.json + ".new", "w") as file:
                json.dump(self.entries, file)
            os.replace(self.arguments.json + ".new", self.arguments.json)

    def kernel(self, name, label, op, forward, backward):
        self.timed += 1
        ours = next((o for o in our_figures(self.arguments.ours, name).get("ops", []) if o["op"] == op), {})
        for direction, theirs in (("forward", forward), ("backward", backward)):
            runs = ours.get(f"{direction}_runs")
            own = ours[f"{direction}_seconds"] / runs if runs else None
            self.row(f"{name}: {label}, {direction}, ms", f"{theirs * 1e3:.3f}", f"{own * 1e3:.3f}" if own else "",
                     times_better(theirs, own))
            self.add(model=name, kernel=label, direction=direction, seconds=theirs, our_op=op, our_seconds=own)

    def step(self, name, way, seconds, memory, tokens):
        self.timed += 1
        ours = our_figures(self.arguments.ours, name)
        own, own_memory = ours.get("tokens_per_second"), ours.get("device_memory_bytes")
        self.row(f"{name}: {way}, tokens/s (higher is better)", f"{tokens / seconds:.0f}", f"{own:.0f}" if own else "",
                 times_better(own, tokens / seconds) if own else "")
        if memory:
            self.row(f"{name}: {way}, GB", f"{memory / 1e9:.1f}", f"{own_memory / 1e9:.1f}" if own_memory else "",
                     times_better(memory, own_memory))
        self.add(model=name, way=way, step_seconds=seconds, tokens_per_second=tokens / seconds, memory_bytes=memory,
                 our_tokens_per_second=own, our_memory_bytes=own_memory)

    def failure(self, name, what, error):
        print(f"{name}: {what}: {one_line(error)}", flush=True)
        self.add(model=name, what=what, error=one_line(error))


def attempt(comparison, torch, name, what, end, function):
    """Runs the function, but no longer than until `end`. Whatever goes wrong in it is noted, and the caller goes on."""
    left = end - time.monotonic()
    try:
        if left <= 1:
            raise OutOfTime("no time left")
        signal.setitimer(signal.ITIMER_REAL, left)
        function()
    except (Exception, OutOfTime) as error:  # noqa: BLE001  of fla, Triton or the GPU
        signal.setitimer(signal.ITIMER_REAL, 0)
        comparison.failure(name, what, error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def compare_model(comparison, timer, path, end, fla, why):
    import yaml
    arguments, name = comparison.arguments, os.path.splitext(os.path.basename(path))[0]
    length = arguments.length
    batch = 1 if arguments.warm_up else max(1, arguments.tokens // length)
    runs, warm, steps = (1, 0, 1) if arguments.warm_up else (10, 3, arguments.steps)
    with open(path) as file:
        keys = yaml.safe_load(file)["model"]

    def kernel():
        config = model_config(keys, length, fla, why)
        found = kernel_of(timer.torch, keys, config, batch, length, timer.device)
        if found:
            comparison.kernel(name, found[0], found[1], *time_kernel(timer, found, runs, warm))

    def step(way, compiled):
        config = model_config(keys, length, fla, why)
        taken = time_step(timer, config, batch, length, steps, 0 if arguments.warm_up else 3, compiled)
        comparison.step(name, way, *taken, batch * length)

    attempt(comparison, timer.torch, name, "kernel", end, kernel)
    attempt(comparison, timer.torch, name, "eager", end, lambda: step("eager", False))
    attempt(comparison, timer.torch, name, "torch.compile", end, lambda: step("torch.compile", True))


def main():
    arguments = parse_arguments()
    last = time.monotonic() + arguments.seconds
    signal.signal(signal.SIGALRM, out_of_time)
    torch, fla, why = import_torch(arguments.device)
    import transformers
    torch.backends.cuda.matmul.allow_tf32 = True
    attention = give_fla_attention(torch) if fla else f"no fla ({why}), transformer is llama with PyTorch's attention"
    print(f"fla {fla.__version__ if fla else '-'}, torch {torch.__version__}, transformers {transformers.__version__}, "
          f"{attention}", flush=True)
    comparison = Comparison(arguments)
    comparison.add(torch=torch.__version__, fla=fla.__version__ if fla else None, transformers=transformers.__version__,
                   attention=attention)
    timer = Timer(torch, arguments.device)
    for number, path in enumerate(arguments.configs):
        others = len(arguments.configs) - 1 - number
        left = last - time.monotonic()
        end = time.monotonic() + (left if others == 0 else left * 0.45)  # the first fills caches that the others share
        compare_model(comparison, timer, path, end, fla, why)
    sys.exit(0 if comparison.timed else 1)


main()
