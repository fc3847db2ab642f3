#!/usr/bin/env python3
"""Deletes every barrier of the kernels in turn and expects a test of an op on the emulator to fail. A barrier that
leaves stages under way, sync_after(n), is deleted, and then replaced by one that leaves one more.

    tests/tile/mutate.py BUILD_FOLDER [FILE ...]

BUILD_FOLDER is a build with tests, up to date; FILE is a part of a path below src/kernels. Sources stay as they are:
the mutant is compiled aside and linked in front of the library. Every barrier that may be deleted unnoticed has a line
in survivors.md that says why; the exit status is 1 if one has none, or if a line there is no longer true.
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "src/kernels"
SURVIVORS = Path(__file__).with_name("survivors.md")
BARRIER = re.compile(r"\bsync(\(\)|_after\((\w+)\));")
SEEDS = (1, 2, 3)
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def barriers_of(text):
    """The mutations of a source's barriers, those in comments left out: where, how long, and what takes its place."""
    code = COMMENT.sub(lambda match: " " * len(match.group()), text)
    mutations = []
    for match in BARRIER.finditer(code):
        mutations.append((match.start(), len(match.group()), "{}"))
        if match.group(2):
            mutations.append((match.start(), len(match.group()), f"sync_after({match.group(2)} + 1);"))
    return mutations


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


def users_of(header):
    """The kernel files that a header is part of, through a header of their folder at most."""
    if header.name.endswith((".tile.h", ".map.h")):
        return [header]
    include = f'#include "{header.relative_to(KERNELS.parent)}"'
    kernels = [path for pattern in ("*.tile.h", "*.map.h") for path in KERNELS.rglob(pattern)]
    return sorted(path for path in kernels if any(include in near.read_text() for near in path.parent.glob("*.h")))


def tests_in(source):
    """The tests of ops that a naive.c defines."""
    return re.findall(r"^const OpTest (\w+)_test", source, re.M)


def ops_of(folder):
    """The tests of the ops that are defined in a folder, and those of other ops that call one of these."""
    own = tests_in((folder / "naive.c").read_text())
    sources = [path.read_text() for path in KERNELS.rglob("naive.c")]
    callers = [source for source in sources if any(f" {op}(tape, " in source for op in own)]
    return own + [op for source in callers for op in tests_in(source) if op not in own]


def test_fails(program, op, seed):
    """Whether the op's test fails; it is ended at its first complaint."""
    environment = dict(os.environ, FLAME_EMULATOR_SEED=str(seed), OMP_NUM_THREADS="1")
    with subprocess.Popen([program, op, "emulator bf16"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as test:
        line = test.stderr.readline()
        if line and b"PASSED" not in line:
            test.kill()
            return True
        return test.wait() != 0


def mutant_is_caught(build, header, text):
    """Whether a test of an op that uses the file `header` fails when it holds `text`."""
    with tempfile.TemporaryDirectory() as name:
        folder, objects, users = Path(name), [], users_of(header)
        overlay = folder / header.relative_to(KERNELS.parent)
        overlay.parent.mkdir(parents=True)
        overlay.write_text(text)
        for user in users:
            unit = str(user.relative_to(KERNELS.parent))
            objects.append(str(folder / (re.sub(r"\W", "_", unit) + ".o")))
            source = folder / "unit.c"
            source.write_text(f'#define TILE_EMULATOR\n#define TILE_ELEMENT_BF16\n#include "{unit}"\n')
            command = compile_command(build, unit)
            command = [command[0], f"-I{folder}", *command[1:-1], str(source), "-o", objects[-1]]
            subprocess.run(command, check=True, cwd=build)
        program = folder / "test"
        link = link_command(build).replace("-o tests/test_ops", f"{' '.join(objects)} -o {program}")
        subprocess.run(link, check=True, shell=True, cwd=build)
        ops = sorted({op for user in users for op in ops_of(user.parent)})
        return any(test_fails(program, op, seed) for seed in SEEDS for op in ops)


def survivors_known():
    """(file, number of the barrier) of every line in survivors.md."""
    lines = re.findall(r"^\| (\S+) \| (\d+) \|", SURVIVORS.read_text(), re.M)
    return {(name, int(number)) for name, number in lines}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build, only = Path(sys.argv[1]).resolve(), sys.argv[2:]
    known, wrong, mutants = survivors_known(), 0, []
    for header in sorted(KERNELS.rglob("*.h")):
        path, text = str(header.relative_to(KERNELS)), header.read_text()
        if only and not any(part in path for part in only):
            continue
        barriers = barriers_of(text)
        if barriers:
            mutants.append((header, path, text, 0, 0))
        for number, (at, length, instead) in enumerate(barriers, 1):
            line = text.count("\n", 0, at) + 1
            mutants.append((header, path, text[:at] + instead + text[at + length :], number, line))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda mutant: mutant_is_caught(build, mutant[0], mutant[2]), mutants)
        for (_, path, _, number, line), caught in zip(mutants, results):
            if number == 0:
                if caught:
                    sys.exit(f"a test of {path} fails as it is")
                continue
            expected = (path, number) not in known
            wrong += caught != expected
            print(f"{path}:{line} barrier {number}: {'caught' if caught else 'survives'}"
                  f"{'' if caught == expected else '  <- not as survivors.md says'}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
