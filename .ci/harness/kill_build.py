#!/usr/bin/env python3
"""Kill the building of a corpus at random instants, and flip bits of what it wrote.

    python .ci/harness/kill_build.py --kills 100 --workers 0
    python .ci/harness/kill_build.py --kills 20 --workers 2
    python .ci/harness/kill_build.py --kills 0 --flips 100

A build is started in a process of its own and gets SIGKILL, again and again, until it ends by itself; then another one
begins in an empty folder. Every end must agree, byte by byte, with that of an undisturbed build, and no unfinished file
may be left. Then a bit is flipped, `--flips` times in each kind of file; opening, reading or `damaged` must find it,
and building again must restore the bytes. It ends with one line of counts, and with exit code 1 if anything differs."""
import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from kills import flip_bit, kill_until_it_ends
from PIL import Image

from usjepa.data.build import build_corpus, read_rejected, sources_in
from usjepa.data.corpus import damaged, open_corpus
from usjepa.image.simulate import simulate

KINDS = ("shards/*", "parts/*", "index-*", "corpus.json", "rejected.csv")


def draw_originals(folder, frames):
    "A folder of frames of several patients, and of files that cannot be read"
    drawn = [simulate("liver", "convex", 128, seed=seed).image for seed in range(8)]
    for i in range(frames):
        file = folder/f"patient{i % 8}/{i:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(drawn[i % 8], i, 0)).save(file, compress_level=1)
    (folder/"broken.png").write_bytes(b"nothing")


def build(originals, out, workers):
    "Build a corpus in this process"
    return build_corpus(sources_in([originals]), out, size=128, unit=10, workers=workers)


def contents(out):
    "The bytes of all files of a corpus"
    files = [file for file in sorted(out.rglob("*")) if file.is_file() and file.name != ".lock"]
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in files}


def new_folder(home, number):
    "A place for another corpus with the same key"
    out = home/f"killed{number}"
    shutil.copy(home/"calm.key", home/f"killed{number}.key")
    return out


def kill_builds(home, originals, kills, workers, draw):
    "Kill builds; returns how many were killed, how many ended, and how many of these differ or left something"
    begun = time.monotonic()
    build(originals, home/"calm", workers)
    seconds = time.monotonic() - begun
    wanted = contents(home/"calm")
    killed = ended = different = 0
    while killed < kills or not ended:
        out = new_folder(home, ended)
        _, more = kill_until_it_ends(partial(build, originals, out, workers), seconds, kills - killed, draw)
        killed += more
        ended += 1
        different += contents(out) != wanted or any(out.rglob("*.part"))
        shutil.rmtree(out)
    return killed, ended, different


def is_found(corpus_folder, kind):
    "Whether damage is noticed by those who read"
    try:
        corpus = open_corpus(corpus_folder)
        read_rejected(corpus)
        return bool(damaged(corpus))
    except OSError: return True


def flip_bits(originals, out, flips, draw):
    "Flip bits in each kind of file: returns how many of how many were found and mended"
    wanted = contents(out)
    counts = {}
    for kind in KINDS:
        found = mended = 0
        for _ in range(flips):
            file = draw.choice(sorted(out.glob(kind)))
            file.write_bytes(flip_bit(file.read_bytes(), draw))
            found += kind == "parts/*" or is_found(out, kind)  # Parts are read by builds alone
            build(originals, out, 0)
            mended += contents(out) == wanted
        counts[kind] = f"{found} found, {mended} of {flips} mended"
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--flips", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        draw_originals(home/"originals", options.frames)
        killed, ended, different = kill_builds(home, home/"originals", options.kills, options.workers, draw)
        counts = flip_bits(home/"originals", home/"calm", options.flips, draw)
    print(f"{killed} kills, {ended} corpora finished, {different} different or with leftovers; flips: {counts}")
    sound = all(count.endswith(f"{options.flips} of {options.flips} mended") for count in counts.values())
    sys.exit(bool(different) or not sound)


if __name__ == "__main__": main()
