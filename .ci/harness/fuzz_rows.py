"Kinds of inputs for rows, and for somebody's own data: damaged and impossible rows, tables and folders of classes"
import contextlib
import json
import math
import os
import shutil
from copy import deepcopy
from pathlib import Path

from fuzz_corpus import NAMES, PICTURES, SUFFIXES, sentence
from hypothesis import strategies as st

CHECKOUT = Path(__file__).resolve().parents[2]
LINES = [line for file in sorted((CHECKOUT/"data/results").rglob("*.jsonl"))
         for line in file.read_text(encoding="utf-8").splitlines()]
LINES = sorted(LINES, key=len)[:60]  # The short ones: more inputs a second
ODD = (None, True, False, 0, -1, 2, 1.5, 101, 10**30, math.nan, math.inf, "", "x", "0", "grouped:7", "\n",
       "/etc/passwd", "=1+1", "x"*300, "ſ\0", "\ud800", [], [1], ["a"], [[]], [2, 1], {}, {"a": 1}, {"/root": "/root"})


def places(content):
    "Every (container, name) of nested dicts and lists"
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for name, value in list(items):
        yield content, name
        if isinstance(value, (dict, list)): yield from places(value)


def changed(draw, content):
    "A copy with some values exchanged, removed or added"
    content = deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        all_places = list(places(content))
        if not all_places: break
        container, name = draw(st.sampled_from(all_places))
        what = draw(st.sampled_from(["exchange", "exchange", "remove", "add"]))
        odd = deepcopy(draw(st.sampled_from(ODD)))
        if what == "exchange": container[name] = odd
        if what == "remove": del container[name]
        if what == "add" and isinstance(container, dict): container[draw(st.text(max_size=9))] = odd
    return content


def damaged_line(draw, line):
    "A line with bytes changed, cut, or repeated in itself"
    content = bytearray(line.encode())
    what = draw(st.sampled_from(["flip", "cut", "double", "replace"]))
    if what == "flip": content[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
    if what == "cut": del content[draw(st.integers(0, len(content) - 1)):]
    if what == "double": content += content[draw(st.integers(0, len(content) - 1)):]
    if what == "replace": content = bytearray(draw(st.binary(max_size=80)))
    return bytes(content)


def flat(line):
    "The fields of a row"
    row = {}
    for part in ("asked", "ran", "answer", "circumstances"): row |= json.loads(line)[part]
    return row


@contextlib.contextmanager
def results_in(folder):
    "Rows are written into this folder, and read from it"
    root = Path(folder)/"root"
    shutil.rmtree(root, ignore_errors=True)
    (root/"data/results/fuzz").mkdir(parents=True)
    before = os.environ.get("USJEPA_ROOT")
    os.environ["USJEPA_ROOT"] = str(root)
    try: yield root/"data/results/fuzz/rows.jsonl"
    finally:
        if before is None: del os.environ["USJEPA_ROOT"]
        else: os.environ["USJEPA_ROOT"] = before


def rows(draw, folder):
    "A file with a sound line, which is read, and others that are damaged or cannot be true, which are not believed"
    from usjepa.rows import check_row, load_rows, read_rows
    sound = draw(st.sampled_from(LINES))
    others = []
    for _ in range(draw(st.integers(1, 3))):
        line = draw(st.sampled_from(LINES))
        if draw(st.booleans()): others.append(damaged_line(draw, line))
        else: others.append(json.dumps(changed(draw, json.loads(line))).encode())
    with results_in(folder) as file:
        lines = [*others, sound.encode()] if draw(st.booleans()) else [sound.encode(), *others]
        file.write_bytes(b"\n".join(lines))
        found = read_rows("fuzz")
        assert flat(sound) in found or file.read_bytes().count(b"\n\n") > 99, "a sound row is lost"
        for row in found: check_row(row)
        load_rows("fuzz")


def saved(draw, folder):
    "A row that cannot be true is refused when it is saved; another is read as it was written"
    from usjepa.rows import read_rows, save_row
    content = changed(draw, flat(draw(st.sampled_from(LINES))))
    with results_in(folder):
        try: row = save_row("fuzz", content)
        except ValueError as error: return sentence(error)
        simulated = row["simulated"]
        assert row in read_rows("fuzz", row["preset"], simulated), "a row is not read as it was written"


COLUMNS = ["path", "file", "filename", "label", "class", "patient", "case", "split", "fold", "", "=x", "note"]
CELLS = ["a.png", "b.png", "c.png", "d.png", "sub/a.png", "sub\\a.png", "../a.png", "/etc/passwd", "gone.png", "", " ",
         "benign", "Benign", "malignant", "train", "val", "test", "0", "1", "p1", "nan", "NA", '"', "a,b", "ü", "=1+1",
         "x"*300, "\0", "a.png\n"]


def tables(draw, folder):
    "Any CSV file beside a few pictures"
    from usjepa.data.tasks import load_task
    root = Path(folder)/"table"
    shutil.rmtree(root, ignore_errors=True)
    (root/"sub").mkdir(parents=True)
    for name, content in zip(("a.png", "b.png", "c.png", "sub/a.png"), PICTURES): (root/name).write_bytes(content)
    if draw(st.integers(0, 3)) == 0: content = draw(st.binary(max_size=200))
    else:
        separator = draw(st.sampled_from(",;\t|"))
        header = draw(st.permutations(["path", "label", *draw(st.lists(st.sampled_from(COLUMNS), max_size=3))]))
        likely = dict(path=CELLS[:4], label=CELLS[11:14], patient=CELLS[17:20], split=CELLS[14:17])
        table = [header]
        for _ in range(draw(st.integers(0, 8))):
            table.append([draw(st.sampled_from(likely.get(name, CELLS) if draw(st.integers(0, 9)) else CELLS))
                          for name in header])
        text = "\n".join(separator.join(row) for row in table)
        content = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])), errors="replace")
    file = root/"table.csv"
    file.write_bytes(content)
    try: task = load_task(f"folder:{file}")
    except (ValueError, OSError) as error: return sentence(error, "" if "labels" in str(error) else root)
    check_task(task)


def classes(draw, folder):
    "Any folder as somebody's own data"
    from usjepa.data.tasks import load_task
    root = Path(folder)/"own"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    levels = [st.sampled_from(["train", "val", "test", "benign", "Benign", "malignant", "a", "b", "p1", "p2", *NAMES])
              for _ in range(3)]
    for number in range(draw(st.integers(0, 12))):
        parts = [draw(level) for level in levels[:draw(st.integers(0, 3))]]
        suffix = draw(st.sampled_from([".png", ".png", ".png", *SUFFIXES]))
        file = root.joinpath(*parts, f"{number % 7}{suffix}")
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(draw(st.sampled_from(PICTURES) if draw(st.integers(0, 9)) else st.binary(max_size=60)))
    groups = draw(st.sampled_from(["given", "given", "likeness"]))
    try: task = load_task(f"folder:{root}", groups=groups, exclude_duplicates=draw(st.booleans()))
    except (ValueError, OSError) as error: return sentence(error, "" if "labels" in str(error) else root)
    check_task(task)


def check_task(task):
    "A task has labels of its classes, and no file in two parts"
    frames = task.frames
    assert frames.label.isin(range(len(task.classes))).all() and len(task.classes) > 1, "labels"
    parts = frames[frames.split != ""].groupby("path").split.nunique()
    assert (parts <= 1).all(), "a file in two parts"


KINDS = dict(rows=rows, saved=saved, tables=tables, classes=classes)
