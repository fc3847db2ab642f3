#!/usr/bin/env python3
"""Times a training step of the model of a configuration in fla and PyTorch: forward, backward, AdamW, in bfloat16 with
random tokens. Prints one line; launch/gpu-check.sh compare puts it beside flame-c's own."""
import argparse
import time

import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM

import fla  # noqa: F401  registers the models


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a YAML configuration of flame-c")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    arguments = parser.parse_args()
    with open(arguments.config) as file:
        keys = yaml.safe_load(file)["model"]
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    model = AutoModelForCausalLM.from_config(config).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    step_model = torch.compile(model) if arguments.compile else model
    tokens = torch.randint(config.vocab_size, (arguments.batch, arguments.length), device="cuda")

    def step():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = step_model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    seconds = []
    for number in range(3 + arguments.steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    median = sorted(seconds[3:])[arguments.steps // 2]
    print(f"{median * 1e3:.1f} ms a step, {tokens.numel() / median:.0f} tokens/s, "
          f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB, fla {fla.__version__}, torch {torch.__version__}")


main()
