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
    data = "data/catalogue/settings.toml"                   # only where the text stands in this file instead
    new = 'context'
    harmless = "..."                              # only where it may survive, and why
    tests = ["evaluation/evaluate"]               # only where another notebook makes the claim as well

A notebook runs once, cell by cell. Before an exported cell with mutants, a process is forked for each of them: it runs
the changed cell and the rest of the notebook, and the mutant is caught if a cell raises. Modules imported from the
package are unchanged there, so whatever survives is tried once more in a copy of the checkout where the package is
changed as well, with the notebooks of `tests`.

It ends with a line `N caught, N harmless, N survived` and with exit code 1 if one survived."""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from pathlib import Path

from execnb.shell import CaptureShell
from nbdev.config import get_config
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 900  # At most for a notebook; a mutant that hangs is caught
PATIENCE = 5  # A fork hangs if it takes so many times as long as one without any change, and a minute


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
    if "data" in mutant: return (ROOT/mutant["data"]).read_text().count(mutant["old"])
    return sum("".join(cell["source"]).count(mutant["old"]) for cell in exported(notebook_of(mutant["module"])))


def change(root, mutant):
    "Write the mutant into a copy of the checkout: notebook and module"
    notebook = notebook_of(mutant["module"], root)
    if "data" in mutant:
        file = root/mutant["data"]
        file.write_text(file.read_text().replace(mutant["old"], mutant["new"]))
        return notebook
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


def copy_checkout(root):
    "A copy without what is ignored"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".venv", ".git", "runs", "raw"))
    (root/"data/runs").mkdir(parents=True, exist_ok=True)


def try_in_package(mutant):
    "caught or survived, in a copy of the checkout whose notebook and module are changed"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)/"checkout"
        copy_checkout(root)
        notebook = change(root, mutant)
        subprocess.run([str(Path(sys.executable).with_name("nbdev_export"))], cwd=root, check=True, capture_output=True)
        notebooks = [notebook, *(notebook_of(module, root) for module in mutant.get("tests", []))]
        return "survived" if all(passes(root, n) for n in notebooks) else "caught"


def state_of(folder):
    "Size and time of every file below; None for a folder, and pipe for a named pipe"
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        kind = None if path.is_dir() else "pipe" if path.is_fifo() else (status.st_size, status.st_mtime_ns)
        found[path.relative_to(folder)] = kind
    return found


def pipes(folder, names):
    "Those of the names that are named pipes, which cannot be copied"
    return [name for name in names if Path(folder, name).is_fifo()]


class Snapshot:
    "What lies in folders that a notebook writes into, so that one mutant's files are not the next one's"
    def __init__(self, folders):
        self.folders = folders
        self.states = [state_of(folder) for folder in folders]
        self.backup = Path(tempfile.mkdtemp(dir=ROOT.parent))
        for number, folder in enumerate(folders):
            shutil.copytree(folder, self.backup/str(number), symlinks=True, ignore=pipes)

    def restore(self):
        "Take away what is new, and bring back what was changed or deleted"
        for number, (folder, before) in enumerate(zip(self.folders, self.states)):
            now = state_of(folder)
            changed = [path for path in {*before, *now} if before.get(path, "absent") != now.get(path, "absent")]
            for path in sorted(changed, reverse=True): # What lies in a folder comes before the folder
                if path not in now: continue
                if now[path] is None and not (folder/path).is_symlink(): shutil.rmtree(folder/path)
                else: (folder/path).unlink(missing_ok=True)
            for path in sorted(changed):
                if path not in before: continue
                if before[path] == "pipe": os.mkfifo(folder/path)
                elif before[path] is None and not (self.backup/str(number)/path).is_symlink(): (folder/path).mkdir()
                else: shutil.copy2(self.backup/str(number)/path, folder/path, follow_symlinks=False)

    def close(self):
        "Delete the copies"
        shutil.rmtree(self.backup)


class Forks:
    "Runs a module's notebook and, before its exported cells, the mutants of each in forked processes"
    def __init__(self, module):
        self.notebook = notebook_of(module)
        self.mutants = read_mutants([module])
        self.shell = CaptureShell(self.notebook)
        self.is_fork = False
        self.limit = SECONDS
        self.tried_unchanged = False

    def run(self):
        "Run the notebook; prints a line [number, result] for each mutant"
        os.chdir(self.notebook.parent)
        try:
            notebook = NBProcessor(self.notebook, procs=FrontmatterProc, process=True).nb
            self.shell.run_all(notebook, exc_stop=True, preproc=self.before)
        except BaseException as error:
            if self.is_fork: os._exit(1)
            print(repr(error), file=sys.stderr)
            raise SystemExit(f"without any change {self.notebook.name} fails: what it catches says nothing")
        if self.is_fork: os._exit(0)

    def before(self, cell):
        "Called before each cell: tries its mutants; returns whether nbdev_test leaves the cell out"
        flags = getattr(cell, "directives_", None) or {}
        left_out = set(get_config().tst_flags.split()) & flags.keys()
        if cell.cell_type != "code" or flags.get("eval:", [""])[0].lower() == "false" or left_out: return True
        if self.is_fork or not {"export", "exporti"} & flags.keys(): return False
        mutants = [(k, m) for k, m in enumerate(self.mutants) if "data" not in m and m["old"] in cell.source]
        if mutants: self.try_cell(cell, mutants)
        return False

    def try_cell(self, cell, mutants):
        "Try each mutant of a cell in a process of its own; in that process, return at once"
        snapshot = Snapshot([ROOT/"data", ROOT/"nbs", Path(tempfile.gettempdir())])
        if not self.tried_unchanged:
            self.tried_unchanged = True
            start = time.monotonic()
            if self.fails(cell, cell.source, snapshot): raise SystemExit("a fork fails without any change")
            if self.is_fork: return
            self.limit = min(SECONDS, 60 + PATIENCE*(time.monotonic() - start))
        for number, mutant in mutants:
            fails = self.fails(cell, cell.source.replace(mutant["old"], mutant["new"]), snapshot)
            if self.is_fork: return
            print(json.dumps([number, "caught" if fails else "survived"]), flush=True)
        snapshot.close()

    def fails(self, cell, source, snapshot):
        "Fork a process that goes on with another source of this cell; whether it ends with an error"
        child = os.fork()
        if child == 0:
            os.setsid()
            self.is_fork = True
            self.kept = dict(self.shell.user_ns)  # To delete a video here would wait for threads that were not forked
            cell.source = source
            return False
        status = wait(child, self.limit)
        snapshot.restore()
        return status != 0


def wait(child, seconds):
    "Exit status of a process that is killed after some seconds, with all that it started"
    pid = 0
    for _ in range(int(seconds/.01)):  # Counted, not timed: the whole run may be stopped for a while
        time.sleep(.01)
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid: break
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if pid == 0: _, status = os.waitpid(child, 0)
    return status


def try_notebook(module):
    "Number and result of a module's mutants, tried in a copy of the checkout: caught or survived"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)/"checkout"
        copy_checkout(root)
        environment = dict(os.environ, PYTHONPATH=str(root), USJEPA_ROOT=str(root), OMP_NUM_THREADS="1", IN_TEST="1",
            OPENCV_FOR_THREADS_NUM="1", TMPDIR=f"{folder}/temporary")  # Threads of OpenCV are not forked
        (Path(folder)/"temporary").mkdir()
        command = [sys.executable, str(root/".ci/mutants/run.py"), "--forks", module]
        with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.startswith("["): yield json.loads(line)
        if process.returncode: raise SystemExit(f"{module}: stopped before all its mutants were tried")


def try_module(module, mutants):
    "Counts of caught, harmless and survived; a line for each"
    counts = dict(caught=0, harmless=0, survived=0)
    in_data = [(number, "survived") for number, mutant in enumerate(mutants) if "data" in mutant]  # Until it is tried
    for number, result in chain(in_data, try_notebook(module)):
        mutant = mutants[number]
        if result == "survived": result = try_in_package(mutant)
        if result == "survived" and "harmless" in mutant: result = "harmless"
        counts[result] += 1
        print(f"{result:8s}  {module:24s} {mutant['reading']}", flush=True)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="such as core/masking; none: all")
    parser.add_argument("--check", action="store_true", help="only look whether every text to change is found once")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--forks", help=argparse.SUPPRESS)  # The process that runs one notebook
    options = parser.parse_args()
    if options.forks:
        Forks(options.forks).run()
        return
    mutants = read_mutants(options.modules)
    stale = [m for m in mutants if found(m) != 1]
    for mutant in stale:
        print(f"{mutant['file']}: {mutant['module']}: {mutant['old']!r} is found {found(mutant)} times, expected once")
    if stale: raise SystemExit(1)
    if options.check:
        print(f"{len(mutants)} mutants, each found once")
        return
    of_module = {}
    for mutant in mutants: of_module.setdefault(mutant["module"], []).append(mutant)
    modules = sorted(of_module, key=lambda module: -len(of_module[module]))
    total = dict(caught=0, harmless=0, survived=0)
    with ThreadPoolExecutor(options.jobs) as pool:
        for counts in pool.map(try_module, modules, [of_module[module] for module in modules]):
            for result in total: total[result] += counts[result]
    print(f"{total['caught']} caught, {total['harmless']} harmless, {total['survived']} survived")
    if total["survived"]: raise SystemExit(1)


if __name__ == "__main__":
    main()
