"Kinds of inputs for the rooms of a corpus: folders of anything, damaged corpora, and orders"
import contextlib
import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image


def sentence(error, path=""):
    "A refusal is one line that is not too long, and names the file"
    text = str(error)
    assert text and "\n" not in text and len(text) < 1200, f"no sentence: {text!r}"
    assert str(path) in text, f"{path} is not named: {text!r}"


def fan(seed, size=64):
    "A gray fan on black, (size, size) uint8"
    y, x = np.mgrid[:size, :size]
    inside = (np.hypot(x - size/2, y + size*.1) < size) & (abs(x - size/2) < .15*size + .55*y)
    return np.where(inside, np.random.default_rng(seed).gamma(2, 40, (size, size)).clip(5, 255), 0).astype(np.uint8)


def png(seed):
    "A picture as a file"
    file = io.BytesIO()
    Image.fromarray(fan(seed)).save(file, "PNG")
    return file.getvalue()


PICTURES = [png(seed) for seed in range(4)]
NAMES = ["a", "b", "train", "BUSI", "benign", "USAnotAI", "=1+1", "-x", "ü", "a b", "a=b", "c" * 200, "shards",
         ".hidden",
         "__MACOSX", "corpus.json", "x\udcff"]
SUFFIXES = ["", ".png", ".PNG", ".jpg", ".mp4", ".dcm", ".nii.gz", ".h5", ".zip", ".json", ".Mueller"]


def plant(draw, root):
    "A tree of files with any names and contents, and of links"
    for _ in range(draw(st.integers(0, 6))):
        parts = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
        file = root.joinpath(*parts[:-1], parts[-1] + draw(st.sampled_from(SUFFIXES)))
        content = draw(st.sampled_from(PICTURES) | st.binary(max_size=60))
        with contextlib.suppress(OSError):  # Something is in the way, or a link leads to itself
            file.parent.mkdir(parents=True, exist_ok=True)
            link = draw(st.integers(0, 5)) == 0
            if link: file.symlink_to(draw(st.sampled_from(["..", ".", "gone", parts[-1], "a"])))
            else: file.write_bytes(content)


def folders(draw, folder):
    "Any folder as the source of a corpus, twice"
    from usjepa.data.build import build_corpus, scan, sources_in
    with tempfile.TemporaryDirectory(dir=folder) as home:
        root = Path(home)/"root"
        root.mkdir()
        plant(draw, root)
        inner = sorted(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())
        given = [root, *draw(st.lists(st.sampled_from(inner), max_size=2))] if inner else [root]
        out = draw(st.sampled_from([root/"corpus", Path(home)/"corpus"]))
        try:
            sources = sources_in(given)
            account(root, scan(sources))
            recipe = dict(unit=draw(st.integers(1, 4)), size=64, quality=draw(st.sampled_from([0, 95])))
            corpus = build_corpus(sources, out, workers=0, **recipe)
        except (ValueError, OSError) as error: return sentence(error)
        again = build_corpus(sources, out, workers=0, **recipe)
        assert again.key == corpus.key and len(again) == len(corpus), "built again, another corpus"
        for i in range(len(corpus)): corpus[i]
        assert len(set(corpus.numbers("digest"))) <= len(corpus)


def account(root, found):
    "Every file is read once or has a reason"
    read = [os.path.realpath(one.source.root/path) for one in found for work in one.works for path in work.paths]
    assert len(read) == len(set(read)), "a file is read twice"
    reasons = {os.path.abspath(one.source.root/path) for one in found for path, _ in one.rejected}
    named = {os.path.abspath(one.source.root/path) for one in found for work in one.works for path in work.paths}
    for file in root.rglob("*"):
        if file.is_dir(): continue
        above = {str(path) for path in (file, *file.parents)}
        assert str(file) in named or above & reasons, f"{file} is not accounted for"


def little(out, quality):
    "A corpus of four frames"
    from usjepa.data.build import build_corpus
    from usjepa.data.catalogue import Source
    originals = out.with_name("originals")
    originals.mkdir()
    for i, content in enumerate(PICTURES): (originals/f"{i}.png").write_bytes(content)
    return build_corpus([Source("x", originals)], out, workers=0, unit=2, size=64, quality=quality)


def corpora(draw, folder):
    "A damaged corpus: found, or what it was"
    from usjepa.data.corpus import damaged, open_corpus
    quality = draw(st.sampled_from([0, 95]))
    home = Path(folder)/f"little-{quality}"
    if not home.exists():
        home.mkdir()
        little(home/"corpus", quality)
    sound = open_corpus(home/"corpus")
    with tempfile.TemporaryDirectory(dir=folder) as copy:
        out = Path(copy)/"corpus"
        shutil.copytree(home/"corpus", out)
        file = draw(st.sampled_from(sorted(path for path in out.rglob("*") if path.is_file() and path.name != ".lock")))
        content = bytearray(file.read_bytes())
        what = draw(st.sampled_from(["flip", "cut", "replace", "remove"]))
        if what == "flip": content[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
        if what == "cut": del content[draw(st.integers(0, len(content) - 1)):]
        if what == "replace": content = draw(st.binary(max_size=300))
        if what == "remove": file.unlink()
        else: file.write_bytes(content)
        try:
            corpus = open_corpus(out)
            frames = [corpus[i][0] for i in range(len(corpus))]
        except (ValueError, OSError) as error: return sentence(error)
        assert all((frame == sound[i][0]).all() for i, frame in enumerate(frames)), f"damage read as truth: {file.name}"
        assert file.parent.name != "shards" or damaged(corpus), f"damage in {file.name} is not found"


def stored(draw, folder):
    "The bytes of a stored frame, damaged: refused, or a frame and a region of one shape"
    from usjepa.data.corpus import pack_frame, unpack_frame
    image = fan(draw(st.integers(0, 3)), draw(st.sampled_from([1, 7, 64])))
    content = bytearray(pack_frame(image, image > 9, draw(st.sampled_from([0, 95]))))
    for _ in range(draw(st.integers(0, 3))): content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()): del content[draw(st.integers(0, len(content))):]
    try: frame, region = unpack_frame(bytes(content), draw(st.none() | st.integers(1, 300)), draw(st.booleans()))
    except ValueError as error: return sentence(error)
    assert frame.shape == region.shape and frame.dtype == np.uint8 and region.dtype == bool


def orders(draw, folder):
    "Any groups to sample from"
    from usjepa.data.sampling import BalancedSampler
    ids = st.integers(0, 5) | st.sampled_from(["a", "b"])
    groups = [str(name) for name in draw(st.lists(ids, max_size=30))]
    organs = draw(st.none() | st.just([group > "2" for group in groups]))
    mode = draw(st.sampled_from(["quota", "iid"]))
    options = dict(cap=draw(st.integers(0, 20)), mode=mode, seed=draw(st.integers(0, 9)))
    try: sampler = BalancedSampler(groups, organs=organs, **options)
    except ValueError as error: return sentence(error)
    positions = np.arange(2*len(sampler)) + len(sampler)*draw(st.integers(0, 10**6))
    rows = sampler(positions)
    assert ((rows >= 0) & (rows < len(groups))).all()
    if organs is None and options["mode"] == "quota":
        assert len(set(rows[:len(sampler)])) == len(sampler), "a frame twice in an epoch"


KINDS = dict(folders=folders, corpora=corpora, stored=stored, orders=orders)
