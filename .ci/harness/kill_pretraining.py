#!/usr/bin/env python3
"""Kill pretraining at random instants, from the start of its process on, until it has been killed often enough.

    python .ci/harness/kill_pretraining.py --kills 100 --workers 0
    python .ci/harness/kill_pretraining.py --kills 100 --workers 1

A run is started in a process of its own and gets SIGKILL, again and again, until it ends by itself; then another run
begins in an empty folder. Every end must agree, bit by bit, with that of an undisturbed run in weights, optimizer and
log (measured seconds excepted), and no unfinished file may be left. Then single bits of each kind of file are flipped,
`--flips` times, and each must be found. It ends with a line of counts, and with exit code 1 if anything differs."""
import argparse
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from kills import flip_bit, kill_until_it_ends, start

from usjepa.core.model import SIZES
from usjepa.encoders.encoder import load_encoder
from usjepa.settings import PretrainConfig
from usjepa.training.checkpoint import load_checkpoint
from usjepa.training.train import pretrain

def run(config, folder):
    "Begin or continue a run"
    os.setsid()
    pretrain(config, folder)


def same(a, b):
    "Two checkpoints agree in every tensor and number, but for measured seconds"
    if isinstance(a, dict): return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "images_per_s")
    if isinstance(a, (list, tuple)): return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def check_end(quiet, folder):
    "Sentences about what differs from the undisturbed run"
    found = []
    if not same(load_checkpoint(quiet), load_checkpoint(folder)): found.append("the last checkpoint differs")
    for name in ("model.safetensors", "last.safetensors"):
        a, b = (load_encoder(run/name).model.state_dict() for run in (quiet, folder))
        if not same(dict(a), dict(b)): found.append(f"{name} differs")
    names = [sorted(f.name for f in run.iterdir() if f.is_file()) for run in (quiet, folder)]
    if names[0] != names[1]: found.append(f"files {names[1]}, expected {names[0]}")
    return found


def flip_bits(folder, flips, draw):
    "How many of `flips` single flipped bits are found, for each kind of file"
    counts = {}
    newest = max(folder.glob("checkpoint-*.pt"))
    step = load_checkpoint(folder)["step"]
    for file in (newest, folder/"model.safetensors", folder/"last.safetensors"):
        kind = "checkpoint" if file == newest else file.name
        whole = file.read_bytes()
        counts[kind] = 0
        for _ in range(flips):
            file.write_bytes(flip_bit(whole, draw))
            try:
                if kind == "checkpoint": counts[kind] += load_checkpoint(folder)["step"] != step
                else: load_encoder(file)
            except (OSError, ValueError):
                counts[kind] += 1
        file.write_bytes(whole)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    draw = random.Random(options.seed)
    SIZES["tiny"] = (48, 2, 4)
    config = PretrainConfig.preset(
        "smoke", teacher="pixels", image_size=64, target_blocks=2, min_patches=2, steps=12, log_every=4, save_every=0,
        log_with="", workers=options.workers)
    wrong = []
    kills = runs = 0
    while_writing = []
    with tempfile.TemporaryDirectory() as root:
        quiet = Path(root)/"quiet"
        start(partial(run, config, quiet)).join()  # Prepares the frames as well
        shutil.rmtree(quiet)
        began = time.monotonic()
        start(partial(run, config, quiet)).join()
        length = time.monotonic() - began
        while kills < options.kills:
            folder = Path(root)/f"run{runs}"
            runs += 1
            def look(): while_writing.append(any(folder.glob("*.part")))
            work = partial(run, config, folder)
            exit_code, more = kill_until_it_ends(work, length, options.kills - kills, draw, look)
            kills += more
            if exit_code: wrong.append(f"run {runs} ended with exit code {exit_code}")
            wrong += [f"run {runs}: {sentence}" for sentence in check_end(quiet, folder)]
            shutil.rmtree(folder)
            print(json.dumps(dict(kills=kills, runs=runs, wrong=len(wrong))), flush=True)
        found = flip_bits(quiet, options.flips, draw)
    for sentence in wrong: print(sentence)
    flips = ", ".join(f"{found[kind]} of {options.flips} in {kind}" for kind in found)
    print(f"{kills} kills of {runs} runs with {options.workers} workers, {sum(while_writing)} of them with an "
          f"unfinished file; {len(wrong)} differences; flipped bits found: {flips}")
    if wrong or any(count != options.flips for count in found.values()): sys.exit(1)


if __name__ == "__main__":
    main()
