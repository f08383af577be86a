#!/usr/bin/env python3
"""Give random, damaged and absurd inputs to the package, and count what it does with them.

    python .ci/harness/fuzz.py --inputs 100000              # all kinds, shared equally; minutes to an hour
    python .ci/harness/fuzz.py --inputs 500 --seed 3 dicom volume

An input may be read, or refused with a ValueError or OSError of one sentence (a file's names the file). Anything else
counts: another exception, a crash (the process ends), a hang (more than SECONDS), a file opened outside its folder,
more than MEMORY.
Inputs are drawn by hypothesis from a seed, in child processes of CHUNK inputs each, so that the same command tries the
same inputs. It ends with a line a kind, and with exit code 1 if anything counted.

A kind is a function of (draw, folder) that tries one input; it stands in KINDS here, or in a file `fuzz_*.py` beside
this one, as `KINDS = dict(name=function)`. `draw` takes a hypothesis strategy. What it returns is ignored."""
import argparse
import importlib
import json
import logging
import multiprocessing
import os
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from pathlib import Path

import hypothesis
import hypothesis.configuration
import numpy as np
import torch
from hypothesis import strategies as st

SECONDS = 20  # Of processor time for one input; 15 times as many by the clock
CHUNK = 250
FORK = multiprocessing.get_context("fork")  # Packages are imported once
SENTENCE = 1200  # Characters
COUNTED = dict(failure="failures", crash="crashes", hang="hangs", outside="outside", memory="large")
MEMORY = 1.5  # GB of a process that tries inputs one after another; bombs.py measures single files


def damaged(draw, content):
    "Some bytes changed, perhaps cut, perhaps with a piece of itself put elsewhere"
    content = bytearray(content)
    for share, value in draw(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=20)):
        reach = len(content) if draw(st.booleans()) else min(len(content), 600)  # Headers are worth more
        content[int(share*reach)] = value
    if draw(st.integers(0, 4)) == 0: del content[int(draw(st.floats(0, 1))*len(content)):]
    if content and draw(st.integers(0, 9)) == 0:
        place = int(draw(st.floats(0, 1))*len(content))
        content[place:place] = content[:draw(st.integers(0, 400))]
    return bytes(content)


def sentence(error, path=""):
    "A refusal is one line that is not too long, and names the file"
    text = str(error)
    assert text and "\n" not in text and len(text) < SENTENCE, f"no sentence: {text!r}"
    assert str(path) in text, f"{path} is not named: {text!r}"


GRAY = np.random.default_rng(0).integers(0, 256, (4, 40, 48)).astype(np.uint8)


def pictures(folder):
    from PIL import Image
    frames = [Image.fromarray(frame) for frame in GRAY]
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp", ".pgm", ".jp2"):
        pages = dict(save_all=True, append_images=frames[1:]) if suffix == ".tif" else {}
        frames[0].save(f"{folder}/a{suffix}", **pages)


def videos(folder):
    import av
    for suffix, codec in ((".mp4", "mpeg4"), (".avi", "mjpeg"), (".mkv", "mpeg4"), (".mpg", "mpeg1video")):
        with av.open(f"{folder}/a{suffix}", "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = 48, 32
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for frame in GRAY:
                picture = av.VideoFrame.from_ndarray(np.dstack([frame[:32]]*3), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())


def dicoms(folder):
    from pydicom import examples
    for name in ("jpeg2k", "palette_color", "rgb_color", "ybr_color"):
        (Path(folder)/f"{name}.dcm").write_bytes(Path(examples.get_path(name)).read_bytes())


def volumes(folder):
    import SimpleITK
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(GRAY), f"{folder}/a{suffix}")


def arrays_of_frames(folder):
    import h5py
    with h5py.File(f"{folder}/a.h5", "w") as f:
        f.create_dataset("image", data=GRAY, chunks=(1, 40, 48), compression="gzip")
        f["annot_id"], f["frame_num"] = ["a", "b", "a", "b"], [1, 1, 0, 0]


def originals():
    "Sound files of each reader: reader → [(suffix, bytes)]"
    found = {}
    writers = dict(image=pictures, video=videos, dicom=dicoms, volume=volumes, hdf5=arrays_of_frames)
    for reader, write in writers.items():
        with tempfile.TemporaryDirectory() as folder:
            write(folder)
            files = sorted(Path(folder).iterdir())
            found[reader] = [("".join(file.suffixes), file.read_bytes()) for file in files]
    return found


ORIGINALS = {}
OWN = tempfile.mkdtemp(prefix="hypothesis-")  # Where hypothesis keeps what it likes to


def damaged_file(reader):
    "A kind: damaged files of a reader"
    def one(draw, folder):
        from usjepa.image.readers import open_clips
        suffix, content = draw(st.sampled_from(ORIGINALS[reader]))
        path = Path(folder)/f"a{suffix}"
        path.write_bytes(damaged(draw, content))
        try:
            for clip in open_clips(path):
                for frame in clip:
                    assert frame is None or (frame.dtype == np.uint8 and frame.ndim in (2, 3)), frame.dtype
        except OSError as error: sentence(error, path)
    return one


def any_array(draw):
    "An array of any number type, shape and content"
    kinds = (np.uint8, np.uint16, np.int16, np.int64, np.float16, np.float32, np.float64, bool)
    shape = draw(st.lists(st.integers(0, 40), min_size=0, max_size=5))
    while np.prod(shape) > 200_000: shape.pop()
    kind = draw(st.sampled_from(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = (rng.normal(size=shape)*draw(st.sampled_from([0, 1, 300, 1e6]))).astype(kind)
    if array.size and np.dtype(kind).kind == "f": array.flat[0] = draw(st.sampled_from([0, np.nan, np.inf, -np.inf]))
    return array


def arrays(draw, folder):
    "Any array as a frame or clip"
    from usjepa.image.preprocess import preprocess
    array = any_array(draw)
    try: image, region = preprocess(array, draw(st.sampled_from([None, 1, 32, 64])))
    except ValueError as error: return sentence(error)
    assert image.dtype == np.uint8 and region.dtype == bool and image.shape == region.shape


def corruptions(draw, folder):
    "Any array or tensor to corrupt"
    from usjepa.core.corruption import corrupt
    array = any_array(draw)
    if draw(st.booleans()): array = np.abs(array)/max(1, np.nanmax(np.abs(array), initial=1))
    if draw(st.booleans()): array = torch.from_numpy(np.array(array))
    if isinstance(array, torch.Tensor) and draw(st.booleans()): array = array.bfloat16()
    name = draw(st.sampled_from(["blur", "contrast", "speckle", "fog"]))
    severity = draw(st.floats(-1, 4) | st.just(np.nan))
    try: out = corrupt(array, name, severity, seed=draw(st.integers(0, 2**40)))
    except ValueError as error: return sentence(error)
    assert out.shape == array.shape and out.dtype == array.dtype


def masks(draw, folder):
    "Any settings of the mask sampler, any region"
    from usjepa.core.masking import MaskSampler
    share = st.floats(-.2, 1.2) | st.just(np.nan)
    pair = st.tuples(share, share)
    settings = dict(
        grid=draw(st.integers(-1, 20) | st.tuples(st.integers(0, 20), st.integers(0, 20))),
        target_blocks=draw(st.integers(-1, 8)), target_scale=draw(pair), context_scale=draw(pair),
        target_aspect=draw(st.tuples(st.floats(-1, 4), st.floats(-1, 4))), min_patches=draw(st.integers(-2, 30)),
        legacy=draw(st.booleans()))
    for name in draw(st.sets(st.sampled_from(list(settings)))): del settings[name]  # The default
    try: sampler = MaskSampler(**settings)
    except ValueError as error: return sentence(error)
    valid = np.random.default_rng(draw(st.integers(0, 99))).random((3, *sampler.grid)) < draw(st.floats(0, 1))
    drawn = sampler(valid, draw(st.integers(0, 2**62)))
    assert not (drawn.context[:, None] & drawn.targets).any()
    assert drawn.context.any(1).all() and drawn.targets.any(2).all()


def demands(draw, folder):
    "Small files whose headers ask for much"
    from usjepa.image.readers import read_clip
    sizes = st.sampled_from([0, 1, 2, 3, 7, 64, 1000, 5000, 20000, 65535, 2**20, 2**31 - 1, 2**33])
    height, width, frames = draw(st.tuples(sizes, sizes, sizes))
    write, suffix = draw(st.sampled_from([(big_picture, ".png"), (big_dicom, ".dcm"), (big_array, ".h5"),
                                          (big_nifti, ".nii"), (big_volume, ".mha"), (big_volume, ".nrrd")]))
    path = f"{folder}/a{suffix}"
    try: write(draw, path, height, width, frames)
    except (ValueError, OverflowError, OSError, struct.error): return  # No such file can be
    try: read_clip(path)
    except OSError as error: sentence(error, path)


def big_picture(draw, path, height, width, frames):
    from PIL import Image
    Image.new("L", (8, 8)).save(path)
    content = bytearray(Path(path).read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    Path(path).write_bytes(content)


def big_dicom(draw, path, height, width, frames):
    import pydicom
    ds = pydicom.dcmread(pydicom.examples.get_path(draw(st.sampled_from(["jpeg2k", "rgb_color", "ybr_color"]))))
    ds.Rows, ds.Columns, ds.NumberOfFrames = height, width, frames
    ds.BitsAllocated = draw(st.sampled_from([1, 8, 16, 32]))
    ds.save_as(path)


def big_array(draw, path, height, width, frames):
    import h5py
    shape = draw(st.sampled_from([(frames, height, width), (height, width), (frames, height, width, 3)]))
    chunks = tuple(min(n, draw(st.sampled_from([1, 8, 2**16]))) for n in shape)
    kind = draw(st.sampled_from([np.uint8, np.float64]))
    with h5py.File(path, "w") as f:
        f.create_dataset("image", shape, kind, chunks=chunks, compression=draw(st.sampled_from([None, "gzip"])))


def big_nifti(draw, path, height, width, frames):
    kind, bits = draw(st.sampled_from([(2, 8), (4, 16), (64, 64), (128, 24)]))
    header = struct.pack("<i36x8h12x3h", 348, 3, width, height, frames, 1, 1, 1, 1, kind, bits, 0)
    Path(path).write_bytes(header.ljust(344, b"\0") + b"n+1\0" + bytes(1000))


def big_volume(draw, path, height, width, frames):
    size = f"{width} {height} {frames}"
    text = f"ObjectType = Image\nNDims = 3\nDimSize = {size}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    nrrd = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {size}\nencoding: raw\nendian: little\n\n"
    if path.endswith(".nrrd"): text = nrrd
    Path(path).write_bytes(text.encode() + bytes(1000))


KINDS = dict(arrays=arrays, corruptions=corruptions, masks=masks, demands=demands)
KINDS |= {reader: damaged_file(reader) for reader in ("image", "video", "dicom", "volume", "hdf5")}


def chunk(kind, seed, n, folder, report):
    "Try n inputs in this process; one line of JSON for each that counts, and one at the end"
    log = open(report, "a", buffering=1)
    home = str(Path(folder).resolve())
    checkout = str(Path(__file__).resolve().parents[2])
    allowed = (home, sys.prefix, sys.base_prefix, checkout, OWN, "/proc", "/dev", "/sys", "/etc",
               "/usr/share/zoneinfo")
    inside = [False]
    def watch(event, args):
        if event != "open" or not inside[0] or not isinstance(args[0], (str, bytes, Path)): return
        path = os.path.realpath(os.fsdecode(args[0]))
        if not path.startswith(allowed): log.write(json.dumps(dict(what="outside", detail=path)) + "\n")
    sys.addaudithook(watch)
    state = dict(tried=0, longest=0., peak=0.)

    @hypothesis.settings(max_examples=n, deadline=None, database=None, phases=[hypothesis.Phase.generate],
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.seed(seed)
    @hypothesis.given(st.data())
    def trial(data):
        start = time.process_time()
        inside[0] = True
        try: kind(data.draw, Path(folder))
        except (hypothesis.errors.HypothesisException, hypothesis.errors.StopTest): raise
        except Exception: log.write(json.dumps(dict(what="failure", detail=traceback.format_exc()[-1500:])) + "\n")
        finally: inside[0] = False
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e6
        if peak > MEMORY and state["peak"] <= MEMORY:
            files = [file.name for file in Path(folder).iterdir()]
            log.write(json.dumps(dict(what="memory", detail=f"{peak:.1f} GB, seed {seed}, {files}")) + "\n")
        state["peak"] = peak
        state["tried"] += 1
        state["longest"] = max(state["longest"], time.process_time() - start)
        log.write(json.dumps(dict(what="beat")) + "\n")
    trial()
    log.write(json.dumps(dict(what="end", **state)) + "\n")


def quiet(*args):
    "A chunk without warnings and library messages"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    chunk(*args)


def processor_time(process):
    "Seconds that a process has worked"
    try: fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError: return 0.  # It has ended
    return (int(fields[11]) + int(fields[12]))/os.sysconf("SC_CLK_TCK")


def run(name, seed, n, folder):
    "Try n inputs of a kind in a child process: counts"
    report = Path(folder)/"report.jsonl"
    report.write_text("")
    scans = Path(folder)/"scans"
    scans.mkdir(exist_ok=True)
    child = FORK.Process(target=quiet, args=(KINDS[name], seed, n, str(scans), str(report)))
    child.start()
    seen, last, worked, hung = 0, time.time(), 0., False
    while child.is_alive():
        child.join(.05)
        if report.stat().st_size > seen:
            seen, last, worked = report.stat().st_size, time.time(), processor_time(child)
        if processor_time(child) - worked > SECONDS or time.time() - last > 15*SECONDS:
            hung = True
            child.kill()
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    counts = Counter(line["what"] for line in lines)
    found = [f"{line['what']}: {line['detail']}" for line in lines if "detail" in line]
    end = next((line for line in lines if line["what"] == "end"), dict(tried=counts["beat"], peak=0, longest=0))
    if hung: found.append(f"hang: {name}, seed {seed}, input {counts['beat']}")
    elif child.exitcode: found.append(f"crash: {name}, seed {seed}, input {counts['beat']}, exit code {child.exitcode}")
    return end, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="none: all")
    parser.add_argument("--inputs", type=int, default=1000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for file in sorted(Path(__file__).parent.glob("fuzz_*.py")): KINDS.update(importlib.import_module(file.stem).KINDS)
    ORIGINALS.update(originals())
    hypothesis.configuration.set_hypothesis_home_dir(OWN)
    bad = 0
    for name in options.kinds or KINDS:
        total, longest, peak, found = 0, 0., 0., []
        goal = options.inputs//len(options.kinds or KINDS)
        seed = options.seed
        with tempfile.TemporaryDirectory() as folder:
            while total < goal:
                end, more = run(name, seed, min(CHUNK, goal - total), folder)
                total, seed = total + max(end["tried"], 1), seed + 1
                longest, peak = max(longest, end["longest"]), max(peak, end["peak"])
                found += more
        kinds = Counter(text.split(":")[0] for text in found)
        counts = "  ".join(f"{kinds[what]} {words}" for what, words in COUNTED.items())
        print(f"{name:12s} {total:6d} inputs  {counts}  longest {longest:.1f} s  peak {peak:.2f} GB", flush=True)
        for text in sorted(set(found))[:5]: print(text)
        bad += len(found)
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
