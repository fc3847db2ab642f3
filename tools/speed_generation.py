#!/usr/bin/env python3
"""Measures how many tokens per second transformers' LLaMA generates on this machine's cores, for comparison with
`flame-c bench --generate`.

    tools/speed_generation.py [--hidden 512] [--layers 8] [--heads 4] [--vocabulary 32000] [--prompt 512] [--tokens 32] [--threads N]

Weights and prompts are random, generation is greedy, with 1, 8 and 64 texts side by side, in fp32 and bf16. The time for reading
the prompts is subtracted. Needs torch and transformers."""
import argparse
import os
import time


def seconds(model, prompts, count):
    import torch
    start = time.monotonic()
    with torch.no_grad():
        model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=False, min_new_tokens=count, max_new_tokens=count,
                       pad_token_id=0)
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("hidden", 512), ("layers", 8), ("heads", 4), ("vocabulary", 32000), ("prompt", 512), ("tokens", 32),
                          ("threads", os.cpu_count())):
        parser.add_argument("--" + name, type=int, default=default)
    options = parser.parse_args()
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.set_num_threads(options.threads)
    width = (options.hidden * 8 // 3 + 255) // 256 * 256
    config = LlamaConfig(vocab_size=options.vocabulary, hidden_size=options.hidden, num_hidden_layers=options.layers,
                         num_attention_heads=options.heads, intermediate_size=width, max_position_embeddings=1 << 16)
    for dtype in (torch.float32, torch.bfloat16):
        model = LlamaForCausalLM(config).to(dtype).eval()
        for texts in (1, 8, 64):
            prompts = torch.randint(options.vocabulary, (texts, options.prompt))
            reading = seconds(model, prompts, 2)
            rate = texts * options.tokens / (seconds(model, prompts, options.tokens + 2) - reading)
            print(f"{str(dtype)[6:]:9} {texts:3} texts {rate:8.1f} tokens/s", flush=True)


if __name__ == "__main__":
    main()
