#!/usr/bin/env python3
"""Checks whether Hugging Face computes what flame-c computes.

Loads checkpoint folders with transformers and the real flash-linear-attention (fla), on a CPU, and compares their logits with
those of flame-c on the same tokens. Missing or unexpected tensors are errors. Ends with a line per folder and exit code 0 or 1.

    tools/compare_hf.py FOLDER ... --flame-c build/flame-c    runs `flame-c logits` on random tokens itself
    tools/compare_hf.py FOLDER ... --flame-c build/flame-c --generate 20    compares the most probable continuations instead
    tools/compare_hf.py FOLDER --logits FILE.safetensors      takes input_ids [B, T] and logits [B, T, vocabulary] from a file
    ... --save DIR                                            also writes each model as transformers does, to DIR/NAME of the folder
    ... --without-fla                                         uses transformers' own classes, for mamba, mamba2 and xlstm

Needs: pip install torch transformers flash-linear-attention safetensors (tried: 4.57 with fla 0.5.2, 5.24 with 0.6.0)
fla's kernels run in Triton's interpreter, about a second per layer and 100 tokens: this checks numbers, not speed.
"""
import argparse
import builtins
import glob
import importlib
import importlib.machinery
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import types
import warnings

if __debug__ and __name__ == "__main__":
    # Without assertions: fla's delta rules assert that their inputs are not fp32, which would be slow on a GPU.
    os.execv(sys.executable, [sys.executable, "-O", *sys.argv])

# Set before Triton is imported, because it decides then how kernels run.
os.environ["TRITON_INTERPRET"] = "1"
os.environ["TORCHDYNAMO_DISABLE"] = "1"
warnings.filterwarnings("ignore")

try:
    import torch
    import triton.language.extra.libdevice
    import triton.runtime.autotuner
    import triton.runtime.interpreter
    from safetensors.torch import load_file, save_file
except ImportError as error:
    sys.exit(f"compare_hf: {error}. pip install torch transformers flash-linear-attention safetensors")


def run_without_benchmarks(tuner, *args, **kwargs):
    """Replaces Autotuner.run: of the configurations that pass pruning, takes the one with the largest blocks. The interpreter
    takes time per program, so this one is the fastest, and timing the others would take minutes."""
    tuner.nargs = dict(zip(tuner.arg_names, args))
    candidates = tuner.prune_configs(kwargs) if len(tuner.configs) > 1 else tuner.configs
    best = max(candidates, key=lambda config: math.prod(v for v in config.kwargs.values() if type(v) is int))
    everything = {**tuner.nargs, **kwargs, **best.all_kwargs()}
    if best.pre_hook is not None:
        best.pre_hook(everything)
    tuner.pre_hook(everything, reset_only=True)
    tuner.nargs = None
    return tuner.fn.run(*args, **kwargs, **best.all_kwargs())


class Counter(int):
    """A loop counter in the interpreter is a Python int; compiled kernels may call .to(type) on it. Arithmetic stays exact
    and keeps the class."""

    def to(self, *_, **__):
        return self


def keep_class(name):
    plain = getattr(int, name)

    def method(self, *others):
        result = plain(self, *others)
        return Counter(result) if type(result) is int else result

    setattr(Counter, name, method)


def attend(q, k, v, window, scale, causal):
    """Softmax attention by its definition. q [T, heads, D], k and v [S, kv_heads, D]; the last query sees the last key.
    window: how many keys to the left and right of it a query sees, -1: all."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    distance = torch.arange(q.shape[0])[:, None] + (k.shape[0] - q.shape[0]) - torch.arange(k.shape[0])[None, :]
    hidden = torch.zeros_like(distance, dtype=torch.bool)
    if causal:
        hidden |= distance < 0
    if window[0] >= 0:
        hidden |= distance > window[0]
    if window[1] >= 0:
        hidden |= -distance > window[1]
    scores = torch.einsum("thd,shd->hts", q, k) * scale
    return torch.einsum("hts,shd->thd", scores.masked_fill(hidden, -math.inf).softmax(dim=-1), v)


def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), **_):
    scale = softmax_scale or q.shape[-1] ** -0.5
    return torch.stack([attend(q[b], k[b], v[b], window_size, scale, causal) for b in range(len(q))])


def flash_attn_varlen_func(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0,
                           softmax_scale=None, causal=False, window_size=(-1, -1), **_):
    scale = softmax_scale or q.shape[-1] ** -0.5
    ends_q, ends_k = cu_seqlens_q.tolist(), cu_seqlens_k.tolist()
    parts = [attend(q[a:b], k[c:d], v[c:d], window_size, scale, causal)
             for a, b, c, d in zip(ends_q, ends_q[1:], ends_k, ends_k[1:])]
    return torch.cat(parts)


def log1p(x):
    return triton.language.log(x.to(triton.language.float64) + 1).to(triton.language.float32)


def replace_language():
    """The interpreter replaces the functions of triton.language at each launch, and only those that a kernel's module calls tl.
    This replaces them once for all, so that functions which kernels import from elsewhere use them too, and launches are faster."""
    interpreter, language = triton.runtime.interpreter, triton.language
    words = types.SimpleNamespace(__globals__={"tl": language, "core": language.core})
    interpreter._patch_lang(words)
    interpreter._patch_lang = lambda _function: types.SimpleNamespace(restore=lambda: None)
    language.extra.libdevice.log1p = log1p  # the interpreter has no function of that library
    interpreter.InterpretedFunction.__call__ = lambda function, *args, **kwargs: function.rewrite()(*args, **kwargs)


def prepare_fla():
    """Replaces what fla expects from a GPU: an autotuner that times kernels, and the package flash_attn."""
    replace_language()
    for name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "mod", "neg"):
        keep_class(f"__{name}__")
    triton.runtime.autotuner.Autotuner.run = run_without_benchmarks
    triton.runtime.interpreter.range = lambda *bounds: map(Counter, builtins.range(*map(int, bounds)))
    stand_in = types.ModuleType("flash_attn")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("flash_attn", None)
    stand_in.__version__ = "2.8.0"
    stand_in.flash_attn_func, stand_in.flash_attn_varlen_func = flash_attn_func, flash_attn_varlen_func
    sys.modules["flash_attn"] = stand_in


class FullPrecision:
    """Replaces torch in modules of fla that round to half precision or bf16, whatever the model's dtype is."""
    float16 = bfloat16 = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


def import_fla():
    """Imports fla, which registers its models with transformers."""
    import fla  # noqa: F401
    for name in ("mesa_net.chunk", "mesa_net.chunk_h_fwd", "path_attn.parallel"):
        importlib.import_module(f"fla.ops.{name}").torch = FullPrecision()


def load_model(folder, save):
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
    logging.set_verbosity_error()
    model, loading = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading[problem]:
            sys.exit(f"compare_hf: {folder}: {problem}: {', '.join(map(str, list(loading[problem])[:5]))}")
    print(f"loaded {type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters: "
          "no missing, unexpected or mismatched key")
    if save:
        model.save_pretrained(os.path.join(save, os.path.basename(os.path.normpath(folder))))
    return model.eval()


def reference_logits(folder, tokens, save):
    model = load_model(folder, save)
    with torch.no_grad():
        return model(input_ids=tokens, use_cache=False).logits.float()


def reference_continuation(model, prompt, count, cache):
    with torch.no_grad():
        tokens = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, use_cache=cache,
                                min_new_tokens=count, max_new_tokens=count, eos_token_id=None, pad_token_id=0)
    return tokens[0, prompt.shape[1]:].tolist()


def flame_continuation(program, folder, prompt, count):
    words = " ".join(map(str, prompt[0].tolist()))
    run = subprocess.run([program, "generate", "--checkpoint", folder, "--ids", "--prompt", words, "--max-new-tokens", str(count),
                          "--temperature", "0", "--ignore-eos", "--device", "cpu"], check=True, stdout=subprocess.PIPE)
    return [int(word) for word in run.stdout.split()]


def compare_generation(folder, options):
    """Whether flame-c and transformers' generate continue alike. Some of fla's models continue wrongly, or not at all, from
    their cache; these run without it."""
    folder = newest_step(folder)
    model = load_model(folder, options.save)
    prompt = torch.randint(model.config.vocab_size, (1, options.length), generator=torch.Generator().manual_seed(options.seed))
    ours = flame_continuation(options.flame_c, folder, prompt, options.generate)
    for cache in (True, False):  # False: transformers reads the whole text again for every token
        start = time.monotonic()
        try:
            theirs = reference_continuation(model, prompt, options.generate, cache)
        except Exception as error:  # of any kind: it is fla's
            print(f"{type(model).__name__} {'with' if cache else 'without'} its cache: {type(error).__name__}: "
                  f"{str(error).splitlines()[0] if str(error) else ''}")
            continue
        same = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        if same == options.generate:
            print(f"compare_hf: passed, {same} tokens are the same as transformers' {'with' if cache else 'without'} cache, "
                  f"which took {time.monotonic() - start:.2f} s")
            return True
        print(f"{type(model).__name__} {'with' if cache else 'without'} its cache: {same} of {options.generate} tokens are the same")
    print("compare_hf: FAILED, no continuation is the same")
    return False


def run_flame(program, folder, length, seed):
    """Random tokens, and the logits that flame-c computes for them."""
    with open(os.path.join(folder, "config.json")) as file:
        vocabulary = json.load(file).get("vocab_size", 32000)
    tokens = torch.randint(vocabulary, (1, length), generator=torch.Generator().manual_seed(seed))
    with tempfile.TemporaryDirectory() as work:
        into, out = os.path.join(work, "tokens.safetensors"), os.path.join(work, "logits.safetensors")
        save_file({"input_ids": tokens}, into)
        subprocess.run([program, "logits", "--checkpoint", folder, "--tokens", into, "--out", out], check=True)
        return tokens, load_file(out)["logits"]


def newest_step(folder):
    """The folder itself, or the newest step of a run."""
    if os.path.exists(os.path.join(folder, "config.json")):
        return folder
    steps = [step for pattern in ("step-*", "checkpoint/step-*") for step in glob.glob(os.path.join(folder, pattern))
             if os.path.basename(step)[5:].isdigit()]
    return max(steps) if steps else sys.exit(f"compare_hf: {folder} has neither config.json nor a step-... folder")


def compare(folder, options):
    """Whether flame-c and fla agree on one folder."""
    folder = newest_step(folder)
    if options.logits:
        file = load_file(options.logits)
        tokens, ours = file["input_ids"], file["logits"]
    else:
        tokens, ours = run_flame(options.flame_c, folder, options.length, options.seed)
    reference = reference_logits(folder, tokens, options.save)
    ours = ours.float().reshape(reference.shape)
    error = ((ours - reference).double().pow(2).mean() / reference.double().pow(2).mean()).sqrt().item()
    good = error <= options.tolerance
    agree = (ours.argmax(-1) == reference.argmax(-1)).float().mean().item()
    print(f"compare_hf: {'passed' if good else 'FAILED'}, logits differ by {error:.3g} (relative RMS, tolerance "
          f"{options.tolerance:g}), largest {(ours - reference).abs().max().item():.3g}; same next token in {agree:.1%}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="a run, a step folder of it, or an exported folder")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--flame-c", metavar="PROGRAM", help="run this program's `logits` command")
    source.add_argument("--logits", metavar="FILE", help="a safetensors file with input_ids and logits")
    parser.add_argument("--length", type=int, default=128, help="tokens to try with --flame-c (default 128)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="RMS(difference) / RMS(reference), default 1e-4")
    parser.add_argument("--generate", type=int, metavar="N", help="with --flame-c: N tokens after a prompt of --length tokens")
    parser.add_argument("--save", metavar="DIR", help="write each model into DIR, as transformers does")
    parser.add_argument("--without-fla", action="store_true", help="models of transformers' own classes: mamba, mamba2, xlstm")
    options = parser.parse_args()
    if options.generate and not options.flame_c:
        parser.error("--generate wants --flame-c")
    check = compare_generation if options.generate else compare
    torch.set_num_threads(1)
    if not options.without_fla:
        prepare_fla()
        import_fla()
    return 0 if all([check(folder, options) for folder in options.folders]) else 1


if __name__ == "__main__":
    sys.exit(main())
