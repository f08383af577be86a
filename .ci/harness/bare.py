#!/usr/bin/env python3
"""Do what README promises on a machine without what only Linux has: no fcntl, no fork, no affinity, spawned processes.

    python -X warn_default_encoding .ci/harness/bare.py          # features, an answer, a corpus, a smoke pretraining
    python -X warn_default_encoding .ci/harness/bare.py --fast   # without the corpus and the pretraining: seconds

Every name of a file that is written has to be one on Windows, and no two may differ in capitals alone, as on macOS.
With the option of Python, text that is read or written in the encoding of the machine is an error: UTF-8 is wanted
everywhere. It ends with exit code 1 if something is missing."""
import argparse
import contextlib
import io
import multiprocessing
import os
import pkgutil
import sys
import tempfile
import warnings
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import platformdirs  # noqa: F401  It asks for a user's number where this is Linux
import psutil  # noqa: F401  Likewise for limits of resources

MODULES = ("fcntl", "grp", "pwd", "termios")  # Of Linux and macOS, not of Windows
FUNCTIONS = ("fork", "forkpty", "getuid", "geteuid", "getpgid", "killpg", "mkfifo", "nice", "setsid", "statvfs",
             "sysconf", "fchmod", "sched_getaffinity", "sched_setaffinity")
FORBIDDEN = set('<>:"|?*\\')  # In a name on Windows
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def take_away():
    "Remove what other systems do not have; a spawned process does so too, when it imports this file"
    for name in MODULES: sys.modules[name] = None
    for name in FUNCTIONS:
        if hasattr(os, name): delattr(os, name)


class Written:
    "Names of files and folders that are written below a folder"
    def __init__(self, home):
        self.home = f"{home}{os.sep}"
        self.names = set()
        sys.addaudithook(self.see)

    def see(self, event, args):
        "Take the name where a file or folder is made"
        path = None
        if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"): path = args[0]
        if event == "os.mkdir": path = args[0]
        if event == "os.rename": path = args[1]
        if isinstance(path, (str, Path)) and str(path).startswith(self.home):
            self.names.add(str(path).removeprefix(self.home))

    def wrong(self):
        "Sentences about names that another system does not have"
        alike = defaultdict(set)
        for name in sorted(self.names):
            alike[name.casefold()].add(name)
            for part in name.split(os.sep):
                bad = FORBIDDEN & set(part) or part.endswith((" ", ".")) or part.split(".")[0].lower() in RESERVED
                if bad: yield f"{name} is no name on Windows"
        for several in alike.values():
            if len(several) > 1: yield f"{sorted(several)} are one name on macOS"


def import_all():
    "Import every module of the package"
    import usjepa
    for module in pkgutil.walk_packages(usjepa.__path__, "usjepa."): import_module(module.name)


def draw_scans(folder):
    "Class folders of simulated frames, a folder a patient"
    import cv2

    from usjepa import load_task
    frames = load_task("busbra-sim").frames
    for label, name in enumerate(("benign", "malignant")):
        for number, path in enumerate(frames.path[frames.label == label][:24]):
            file = folder/name/f"patient{12*label + number//2:02d}"/f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), cv2.imread(str(path)))
    return file


def read_features(file):
    "The six lines of README"
    import cv2

    from usjepa import load_encoder, preprocess
    image, region = preprocess(cv2.imread(str(file)))
    assert load_encoder("usrcjepa-tiny").features(image[None, None]).shape == (1, 384)


def run_commands(scans, home, fast):
    "The commands of README, in this process"
    from usjepa.data.build import main as build
    from usjepa.evaluation.answer import main as answer
    from usjepa.training.train import main as train
    answer([f"folder:{scans}", "--preset", "smoke"])
    if fast: return
    build([str(scans), "--out", str(home/"corpus"), "--workers", "1"])
    train(["--preset", "smoke", "--corpus", f"corpus:{home/'corpus'}", "--workers", "1"])


def main():
    line = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    line.add_argument("--fast", action="store_true")
    fast = line.parse_args().fast
    multiprocessing.set_start_method("spawn")
    warnings.filterwarnings("error", category=EncodingWarning, module="usjepa")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["USJEPA_ROOT"] = folder
        written = Written(home)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            import_all()
            scans = home/"My scans (2024)"
            read_features(draw_scans(scans))
            run_commands(scans, home, fast)
        wrong = list(written.wrong())
        assert "Judged on" in said.getvalue() and len(written.names) > 20, said.getvalue()
    for sentence in wrong: print(sentence)
    print(f"{len(wrong)} names of files that other systems do not have")
    return bool(wrong)


take_away()
if __name__ == "__main__": sys.exit(main())
