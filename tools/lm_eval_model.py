#!/usr/bin/env python3
"""flame-c as a model of lm-evaluation-harness, for tasks that are scored by log-likelihoods.

    tools/lm_eval_model.py --model flame-c --model_args checkpoint=RUN,program=build/flame-c --tasks lambada_openai,arc_easy

takes what lm_eval takes on its command line; `import lm_eval_model` before lm_eval.simple_evaluate does the same in Python. The
requests are written to a file, `flame-c score` scores them, in batches of its own, and its answers are read back: Python computes
nothing.

model_args: checkpoint      a checkpoint, a run's folder or a Hugging Face folder
            program         flame-c, if it is not in PATH
            launcher        what to start it with, such as "mpirun -np 4"
            max_length      most tokens that the model sees; default: max_position_embeddings of its config.json
            add_bos_token   true or false: whether texts begin with special tokens; default: what the tokenizer says
            prefix_token_id stands for an empty context; default: the tokenizer's bos token, or its eos token
            batch_tokens, dtype     as of flame-c score

lm_eval's --device cpu computes on CPUs, anything else on GPUs where there are any; its --batch_size has no effect. A folder with a
tokenizer is read by transformers' AutoTokenizer; without one, texts are bytes and begin with token 256.

Needs: pip install lm_eval transformers (tried: lm_eval 0.4.13)
"""
import glob
import json
import os
import shlex
import subprocess
import sys
import tempfile

try:
    import lm_eval.models  # noqa: F401, lm_eval's own, which it registers only as long as nobody else has
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
except ImportError as error:
    sys.exit(f"lm_eval_model: {error}. pip install lm_eval transformers")

BYTES_BOS = 256
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def newest_step(checkpoint):
    """The folder itself, or the newest step of a run."""
    if os.path.exists(os.path.join(checkpoint, "config.json")):
        return checkpoint
    steps = [step for pattern in ("step-*", "checkpoint/step-*") for step in glob.glob(os.path.join(checkpoint, pattern))
             if os.path.basename(step)[5:].isdigit()]
    return max(steps) if steps else sys.exit(f"lm_eval_model: {checkpoint} has neither config.json nor a step-... folder")


def load_tokenizer(folder):
    if not any(os.path.exists(os.path.join(folder, name)) for name in TOKENIZER_FILES):
        return None
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(folder)


@register_model("flame-c")
class FlameC(TemplateLM):
    def __init__(self, checkpoint, program="flame-c", launcher="", max_length=None, add_bos_token=None, prefix_token_id=None,
                 batch_tokens=None, dtype=None, device=None, batch_size=None, max_batch_size=None):
        """lm_eval sets device, to cuda unless told otherwise, batch_size and max_batch_size. flame-c packs requests by their
        lengths into batches of its own."""
        super().__init__()
        self.folder = newest_step(checkpoint)
        options = {"batch-tokens": batch_tokens, "dtype": dtype, "device": "cpu" if device == "cpu" else None}
        self.command = [*shlex.split(launcher), program, "score", "--ids", "--checkpoint", self.folder]
        self.command += [f"--{name}={value}" for name, value in options.items() if value is not None]
        self.tokenizer = load_tokenizer(self.folder)
        self.add_bos_token = add_bos_token
        self.custom_prefix = prefix_token_id
        with open(os.path.join(self.folder, "config.json")) as file:
            self.max_length = int(max_length or json.load(file).get("max_position_embeddings") or 2048)

    @property
    def eot_token_id(self):
        return self.tokenizer.eos_token_id if self.tokenizer else BYTES_BOS + 1

    @property
    def prefix_token_id(self):
        if self.custom_prefix is not None:
            return int(self.custom_prefix)
        if not self.tokenizer:
            return BYTES_BOS
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else bos

    @property
    def tokenizer_name(self):
        return os.path.abspath(self.folder).replace("/", "__")

    def tok_encode(self, string, add_special_tokens=None, **_):
        if not self.tokenizer:
            return list(string.encode())
        if add_special_tokens is None and string.startswith(self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        if add_special_tokens is None:
            add_special_tokens = self.add_bos_token
        return self.tokenizer.encode(string, **({} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}))

    def score(self, pairs):
        """What flame-c says of lists of tokens (context, continuation): their log-likelihoods, and whether greedy."""
        if not pairs:
            return []
        with tempfile.TemporaryDirectory() as work:
            asked, answered = os.path.join(work, "requests.jsonl"), os.path.join(work, "scores.jsonl")
            with open(asked, "w") as file:
                file.writelines(json.dumps({"context": context, "continuation": continuation}) + "\n"
                                for context, continuation in pairs)
            subprocess.run([*self.command, f"--seq-len={self.max_length}", "--input", asked, "--out", answered], check=True,
                           stdout=subprocess.DEVNULL)
            with open(answered) as file:
                scores = [json.loads(line) for line in file]
        return [(score["logprob"], score["greedy"]) for score in scores]

    def _loglikelihood_tokens(self, requests, **_):
        scores = self.score([(context, continuation) for _, context, continuation in requests])
        for (text, _, _), score in zip(requests, scores, strict=True):
            self.cache_hook.add_partial("loglikelihood", text, score)
        return scores

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        """A text after the prefix, in windows of max_length tokens, as flame-c cuts what is longer; nothing is 0."""
        texts = [request.args[0] for request in requests]
        tokens = [self.tok_encode(text) for text in texts]
        scores = iter(self.score([([self.prefix_token_id], each) for each in tokens if each]))
        sums = [next(scores)[0] if each else 0.0 for each in tokens]
        for text, score in zip(texts, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), score)
        return sums

    def generate_until(self, requests, disable_tqdm=False):
        raise NotImplementedError("flame-c does not generate text yet: choose tasks that are scored by log-likelihoods "
                                  "(output_type multiple_choice, loglikelihood or loglikelihood_rolling)")


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate
    cli_evaluate()
