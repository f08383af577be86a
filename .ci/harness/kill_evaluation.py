#!/usr/bin/env python3
"""Kill evaluations at random instants, and flip bits of what they wrote.

    python .ci/harness/kill_evaluation.py --kills 100
    python .ci/harness/kill_evaluation.py --kills 0 --flips 100

An evaluation of two encoders on a folder of frames, clean and corrupted, is started in a process of its own and gets
SIGKILL, again and again, until it ends by itself; then another one begins without rows and caches. Every end must have
the rows of an undisturbed evaluation, byte by byte, and the same files beside them: no lock, no unfinished file. Then a
bit is flipped, `--flips` times in each kind of file; a damaged row must be named, and left out or computed again, a
damaged cache computed again, and the rows be the same. It ends with one line of counts, and with exit code 1 if
anything differs."""
import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from kills import flip_bit, kill_until_it_ends, start
from PIL import Image

from usjepa.evaluation.evaluate import evaluate
from usjepa.image.simulate import simulate
from usjepa.rows import read_rows
from usjepa.settings import ProbeConfig

ENCODERS = "raw-pixels,random-test_vit"


def draw_frames(folder):
    "Frames of two classes, a patient each"
    for i in range(20):
        file = folder/"ab"[i % 2]/f"p{i:02d}"/"0.png"
        file.parent.mkdir(parents=True)
        drawn = simulate(("liver", "breast_benign")[i % 2], ("convex", "linear")[i % 2], 96, seed=i).image
        Image.fromarray(drawn).save(file, compress_level=1)
        os.utime(file, (0, 0))  # Old enough to be remembered


def ask(frames, root):
    "Evaluate, with rows and caches below a folder"
    os.environ.update(USJEPA_ROOT=str(root), USJEPA_CACHE=str(root/"cache"))
    config = ProbeConfig.preset("smoke", image_size=64)
    evaluate(ENCODERS, f"folder:{frames}", "standardised", corruptions="clean,blur:2", config=config, preset="paper")


def rows_in(root):
    "The bytes of all files of rows"
    return {file.name: file.read_bytes() for file in sorted(root.rglob("*.jsonl"))}


def names_in(root): return sorted(file.relative_to(root).as_posix() for file in root.rglob("*"))


def kill_evaluations(frames, home, kills, draw):
    "Kill evaluations; returns how many were killed, how many ended, and what was wrong"
    begun = time.monotonic()
    start(partial(ask, frames, home/"calm")).join()
    seconds = time.monotonic() - begun
    rows, names = rows_in(home/"calm"), names_in(home/"calm")
    killed = ended = 0
    wrong = []
    while killed < kills:
        root = home/f"killed{ended}"
        exit_code, more = kill_until_it_ends(partial(ask, frames, root), seconds, kills - killed, draw)
        killed += more
        ended += 1
        if exit_code: wrong.append(f"exit code {exit_code}")
        if rows_in(root) != rows: wrong.append("other rows")
        if names_in(root) != names: wrong.append(f"other files: {sorted({*names_in(root)} ^ {*names})[:4]}")
        shutil.rmtree(root)
    return killed, ended, wrong


class Said(logging.Handler):
    "Keeps what is logged"
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record): self.lines.append(record.getMessage())


def flip_bits(frames, root, flips, draw):
    "Flip bits in each kind of file: how many of how many were named, and left the rows as they were"
    said = Said()
    logging.getLogger("usjepa").addHandler(said)
    ask(frames, root)
    rows = read_rows("evaluation")
    whole = {file: file.read_bytes() for file in root.rglob("*") if file.is_file() and file.stat().st_size}
    kinds = {}
    for file in whole:
        kind = "rows" if file.suffix == ".jsonl" else file.relative_to(root/"cache").as_posix().partition("/")[0]
        kinds.setdefault(kind, []).append(file)
    counts = {}
    for kind, files in sorted(kinds.items()):
        named = same = 0
        for _ in range(flips):
            file = draw.choice(files)
            file.write_bytes(flip_bit(whole[file], draw))
            said.lines.clear()
            if kind == "rows": read_rows("evaluation")
            else:
                for written in root.rglob("*.jsonl"): written.unlink()
                if kind != "frames": shutil.rmtree(root/"cache/frames", ignore_errors=True)
            ask(frames, root)
            named += any("damaged" in line or "left out" in line for line in said.lines)
            same += read_rows("evaluation") == rows
            for path, data in whole.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        counts[kind] = f"{named} named, {same} of {flips} computed again"
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--flips", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    logging.getLogger("usjepa").propagate = False
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        draw_frames(home/"frames")
        killed, ended, wrong = kill_evaluations(home/"frames", home, options.kills, draw)
        with open(os.devnull, "w") as sys.stdout: counts = flip_bits(home/"frames", home/"calm", options.flips, draw)
    sys.stdout = sys.__stdout__
    for sentence in wrong: print(sentence)
    print(f"{killed} kills, {ended} evaluations finished, {len(wrong)} different or with leftovers; flips: {counts}")
    whole = all(f" {options.flips} of {options.flips} " in count for count in counts.values())
    sys.exit(bool(wrong) or not whole)


if __name__ == "__main__": main()
