#!/usr/bin/env python3
"""flame-c as a model of lm-evaluation-harness.

    tools/lm_eval_model.py --model flame-c --model_args checkpoint=RUN,program=build/flame-c --tasks lambada_openai,arc_easy

takes the arguments of the command lm_eval; in Python, `import lm_eval_model` before lm_eval.simple_evaluate does the same. The
requests are written to a file, `flame-c score` or `flame-c generate` answers them in batches of its own, and the answers are read
back, so Python computes nothing.

model_args: checkpoint      a checkpoint, a run's folder or a Hugging Face folder
            program         flame-c, if it is not in PATH
            launcher        what to start it with, such as "mpirun -np 4"
            max_length      most tokens that the model sees; default: max_position_embeddings of its config.json
            add_bos_token   true or false: whether texts begin with special tokens; default: what the tokenizer says
            prefix_token_id the token for an empty context; default: the tokenizer's bos token, or its eos token
            dtype           --dtype of flame-c score and generate
            batch_tokens    --batch-tokens of flame-c score: tokens of a micro-batch
            batch           --batch of flame-c generate: texts that are continued side by side

With lm_eval's --device cpu flame-c computes on CPUs, otherwise on GPUs if there are any; --batch_size has no effect. The tokenizer
in the folder is loaded by transformers' AutoTokenizer; without one, texts are bytes and begin with token 256.

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
NEW_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
NEW_TOKENS_DEFAULT = 256
SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")


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
                 batch_tokens=None, batch=None, dtype=None, device=None, batch_size=None, max_batch_size=None):
        """lm_eval sets device (to cuda by default), batch_size and max_batch_size. flame-c ignores the last two and packs requests
        by their lengths into batches of its own."""
        super().__init__()
        self.folder = newest_step(checkpoint)
        self.program = [*shlex.split(launcher), program]
        self.options = {"checkpoint": self.folder, "dtype": dtype, "device": "cpu" if device == "cpu" else None}
        self.batch_tokens, self.batch = batch_tokens, batch
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

    def answers(self, command, name, requests, options):
        """Writes the requests to a file and returns what `flame-c COMMAND --NAME FILE` answers: an object for each."""
        if not requests:
            return []
        with tempfile.TemporaryDirectory() as work:
            asked, answered = os.path.join(work, "requests.jsonl"), os.path.join(work, "answers.jsonl")
            with open(asked, "w") as file:
                file.writelines(json.dumps(request) + "\n" for request in requests)
            options = {**self.options, **options, name: asked, "out": answered}
            arguments = [f"--{key}={value}" for key, value in options.items() if value is not None]
            subprocess.run([*self.program, command, *arguments], check=True, stdout=subprocess.DEVNULL)
            with open(answered) as file:
                return [json.loads(line) for line in file]

    def score(self, pairs):
        """Scores lists of tokens (context, continuation): their log-likelihoods, and whether greedy decoding gives them."""
        requests = [{"context": context, "continuation": continuation} for context, continuation in pairs]
        options = {"ids": "true", "seq-len": self.max_length, "batch-tokens": self.batch_tokens}
        return [(score["logprob"], score["greedy"]) for score in self.answers("score", "input", requests, options)]

    def _loglikelihood_tokens(self, requests, **_):
        scores = self.score([(context, continuation) for _, context, continuation in requests])
        for (text, _, _), score in zip(requests, scores, strict=True):
            self.cache_hook.add_partial("loglikelihood", text, score)
        return scores

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        """Scores texts after the prefix. flame-c cuts long ones into windows of max_length tokens. An empty text has 0."""
        texts = [request.args[0] for request in requests]
        tokens = [self.tok_encode(text) for text in texts]
        scores = iter(self.score([([self.prefix_token_id], each) for each in tokens if each]))
        sums = [next(scores)[0] if each else 0.0 for each in tokens]
        for text, score in zip(texts, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), score)
        return sums

    def prompt(self, context, wanted):
        """The prompt for `flame-c generate`, and how to draw tokens: the task's gen_kwargs."""
        wanted = dict(wanted)
        limits = [int(wanted.pop(key)) for key in NEW_TOKENS if wanted.get(key) is not None]
        new_tokens = limits[0] if limits else NEW_TOKENS_DEFAULT
        if new_tokens >= self.max_length:
            raise ValueError(f"{new_tokens} new tokens leave no room for a context in max_length={self.max_length}")
        until = wanted.pop("until", None) or []
        stop = [text for text in ([until] if isinstance(until, str) else until) if text]
        tokens = self.tok_encode(context)[new_tokens - self.max_length:] or [self.prefix_token_id]
        prompt = {"prompt": tokens, "stop": stop, "max_new_tokens": new_tokens}
        sampling = {key: wanted.pop(key) for key in SAMPLING if wanted.get(key) is not None}
        if not wanted.pop("do_sample", sampling.get("temperature")):
            sampling = {"repetition_penalty": sampling.get("repetition_penalty"), "temperature": 0}
        unknown = [key for key, value in wanted.items() if value is not None]
        if unknown:
            raise ValueError(f"flame-c generate has nothing for {', '.join(unknown)} of the task's generation_kwargs")
        return prompt, {key.replace("_", "-"): value for key, value in sampling.items()}

    def generate_until(self, requests, disable_tqdm=False):
        """Calls flame-c once for each way of drawing tokens; a task usually has only one."""
        prompts = [self.prompt(*request.args) for request in requests]
        texts = [None] * len(prompts)
        for way in {json.dumps(sampling): sampling for _, sampling in prompts}.values():
            numbers = [number for number, (_, sampling) in enumerate(prompts) if sampling == way]
            asked = [prompts[number][0] for number in numbers]
            found = self.answers("generate", "prompt-file", asked, {**way, "batch": self.batch})
            for number, answer in zip(numbers, found, strict=True):
                texts[number] = answer["text"]
                self.cache_hook.add_partial("generate_until", requests[number].args, answer["text"])
        return texts


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate
    cli_evaluate()
