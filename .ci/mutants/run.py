#!/usr/bin/env python3
"""Change one line of exported code at a time and see whether the room's own notebook notices.

    python .ci/mutants/run.py                     # all mutants, in two processes
    python .ci/mutants/run.py core/masking        # those of one module
    python .ci/mutants/run.py --check             # seconds: every text to change is found exactly once

A mutant is an entry of a TOML file beside this script:

    [[mutant]]
    module = "core/masking"                       # the notebook that exports it is found by its name
    reading = "the context loses every target patch"
    old = 'context & ~hidden'                     # found exactly once in the exported cells
    new = 'context'
    harmless = "..."                              # only where it may survive, and why
    tests = ["evaluation/evaluate"]               # only where another notebook makes the claim as well

It ends with a line `N caught, N harmless, N survived` and with exit code 1 if one survived."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 900  # A mutant that hangs is caught


def read_mutants(only):
    "Entries of all TOML files, perhaps those of some modules"
    mutants = []
    for file in sorted(Path(__file__).parent.glob("*.toml")):
        for mutant in tomllib.loads(file.read_text())["mutant"]:
            mutants.append(dict(mutant, file=file.name))
    return [m for m in mutants if not only or m["module"] in only]


@lru_cache(None)
def notebook_of(module, root=ROOT):
    "The notebook that exports a module"
    for notebook in sorted((root/"nbs").rglob("*.ipynb")):
        cells = json.loads(notebook.read_text())["cells"]
        if any("".join(cell["source"]).strip() == f"#| default_exp {module.replace('/', '.')}" for cell in cells):
            return notebook
    raise SystemExit(f"no notebook exports {module}")


@lru_cache(None)
def exported(notebook):
    "Exported code cells"
    cells = json.loads(notebook.read_text())["cells"]
    return [cell for cell in cells if "".join(cell["source"]).startswith(("#| export\n", "#| exporti\n"))]


def found(mutant):
    "How often the text to change is found"
    return sum("".join(cell["source"]).count(mutant["old"]) for cell in exported(notebook_of(mutant["module"])))


def change(root, mutant):
    "Write the mutant into a copy of the checkout: notebook and module"
    notebook = notebook_of(mutant["module"], root)
    content = json.loads(notebook.read_text())
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if source.startswith(("#| export\n", "#| exporti\n")) and mutant["old"] in source:
            cell["source"] = source.replace(mutant["old"], mutant["new"]).splitlines(keepends=True)
    notebook.write_text(json.dumps(content))
    return notebook


def passes(root, notebook):
    "Whether a notebook's tests pass"
    environment = dict(os.environ, PYTHONPATH=str(root), USJEPA_ROOT=str(root), OMP_NUM_THREADS="1")
    command = [str(Path(sys.executable).with_name("nbdev_test")), "--path", str(notebook), "--n_workers", "0"]
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and "Success" in done.stdout + done.stderr


def try_mutant(mutant):
    "caught or survived"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)/"checkout"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".venv", ".git", "runs", "raw", "figures"))
        (root/"data/runs").mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT/"figures", root/"figures")
        notebook = change(root, mutant)
        subprocess.run([str(Path(sys.executable).with_name("nbdev_export"))], cwd=root, check=True, capture_output=True)
        notebooks = [notebook, *(notebook_of(module, root) for module in mutant.get("tests", []))]
        return "survived" if all(passes(root, n) for n in notebooks) else "caught"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="such as core/masking; none: all")
    parser.add_argument("--check", action="store_true", help="only look whether every text to change is found once")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    mutants = read_mutants(options.modules)
    stale = [m for m in mutants if found(m) != 1]
    for mutant in stale:
        print(f"{mutant['file']}: {mutant['module']}: {mutant['old']!r} is found {found(mutant)} times, expected once")
    if stale: raise SystemExit(1)
    if options.check:
        print(f"{len(mutants)} mutants, each found once")
        return
    tests = {module for m in mutants for module in [m["module"], *m.get("tests", [])]}
    red = [module for module in sorted(tests) if not passes(ROOT, notebook_of(module))]
    if red: raise SystemExit(f"without any change the notebooks of {', '.join(red)} fail: what they catch says nothing")
    counts = dict(caught=0, harmless=0, survived=0)
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, result in zip(mutants, pool.map(try_mutant, mutants)):
            if result == "survived" and "harmless" in mutant: result = "harmless"
            counts[result] += 1
            print(f"{result:8s}  {mutant['module']:24s} {mutant['reading']}", flush=True)
    print(f"{counts['caught']} caught, {counts['harmless']} harmless, {counts['survived']} survived")
    if counts["survived"]: raise SystemExit(1)


if __name__ == "__main__":
    main()
