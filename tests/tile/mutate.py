#!/usr/bin/env python3
"""Deletes every sync() of the kernels in turn and expects the op's test on the emulator to fail.

    tests/tile/mutate.py BUILD_FOLDER [OP ...]

BUILD_FOLDER is a build with tests, up to date. Sources stay as they are: the mutant is compiled aside and linked in front of
the library. Every barrier that may be deleted unnoticed has a line in survivors.md that says why; the exit status is 1 if
one has none, or if a line there is no longer true.
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SURVIVORS = Path(__file__).with_name("survivors.md")
BARRIER = re.compile(r"\bsync\(\);")
SEEDS = (1, 2, 3)
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def barriers_of(text):
    """Where the barriers of a source are, those in comments left out."""
    code = COMMENT.sub(lambda match: " " * len(match.group()), text)
    return [match.start() for match in BARRIER.finditer(code)]


def compile_command(build, unit):
    """The command that compiles the emulator's variant of a kernel file, as a list, without its output."""
    name = re.sub(r"\W", "_", unit)
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if entry["file"].endswith(f"/kernels/emulator_bf16/{name}.c"):
            words = shlex.split(entry["command"])
            del words[words.index("-o") : words.index("-o") + 2]
            return words
    sys.exit(f"{build} does not compile {unit} for the emulator")


def link_command(build):
    lines = subprocess.run(["ninja", "-C", build, "-t", "commands", "tests/test_ops"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    command = [line for line in lines if " -o tests/test_ops " in line][-1]
    return command[command.index("&&") + 2 :].rsplit("&&", 1)[0] if command.startswith(":") else command


def mutant_is_caught(build, folder, op, header, text, units):
    """Whether the op's test fails when the kernel file `header` holds `text`."""
    overlay = folder / "kernels" / op
    overlay.mkdir(parents=True)
    (overlay / header.name).write_text(text)
    objects = []
    for unit in units:
        objects.append(str(folder / (re.sub(r"\W", "_", unit) + ".o")))
        source = folder / "unit.c"
        source.write_text(f'#define TILE_EMULATOR\n#define TILE_ELEMENT_BF16\n#include "{unit}"\n')
        command = compile_command(build, unit)
        command = [command[0], f"-I{folder}", *command[1:-1], str(source), "-o", objects[-1]]
        subprocess.run(command, check=True, cwd=build)
    program = folder / "test"
    link = link_command(build).replace("-o tests/test_ops", f"{' '.join(objects)} -o {program}")
    subprocess.run(link, check=True, shell=True, cwd=build)
    for seed in SEEDS:
        environment = dict(os.environ, FLAME_EMULATOR_SEED=str(seed))
        result = subprocess.run([program, op, "emulator bf16"], cwd=ROOT, env=environment, capture_output=True)
        if result.returncode != 0:
            return True
    return False


def survivors_known():
    """(file, number of the barrier) of every line in survivors.md."""
    lines = re.findall(r"^\| (\S+) \| (\d+) \|", SURVIVORS.read_text(), re.M)
    return {(name, int(number)) for name, number in lines}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build, only = Path(sys.argv[1]).resolve(), sys.argv[2:]
    known, wrong = survivors_known(), 0
    for header in sorted(ROOT.glob("src/kernels/*/*.h")):
        op, text = header.parent.name, header.read_text()
        if (only and op not in only) or not barriers_of(text):
            continue
        units = [f"kernels/{op}/{path.name}" for pattern in ("*.tile.h", "*.map.h") for path in header.parent.glob(pattern)]
        if header.name.endswith((".tile.h", ".map.h")):
            units = [f"kernels/{op}/{header.name}"]
        with tempfile.TemporaryDirectory() as folder:
            if mutant_is_caught(build, Path(folder), op, header, text, units):
                sys.exit(f"the test of {op} fails as it is")
        for number, at in enumerate(barriers_of(text), 1):
            with tempfile.TemporaryDirectory() as folder:
                mutant = text[:at] + "{}" + text[at + len("sync();") :]
                caught = mutant_is_caught(build, Path(folder), op, header, mutant, units)
            expected = (f"{op}/{header.name}", number) not in known
            wrong += caught != expected
            line = text.count("\n", 0, at) + 1
            print(f"{op}/{header.name}:{line} barrier {number}: {'caught' if caught else 'survives'}"
                  f"{'' if caught == expected else '  <- not as survivors.md says'}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
