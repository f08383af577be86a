#!/usr/bin/env python3
"""Let data with planted names go through everything, and look for the names in all that is printed, logged or written.

    python .ci/harness/names.py           # commands, notebooks and functions; some minutes
    python .ci/harness/names.py --fast    # functions alone; half a minute

The data are folders, tables and files that are named after persons, with their names in DICOM headers, in columns, in
the text of pictures and in what cannot be read. Exempt are caches, which stay on a machine, the parameters that
somebody typed into a notebook, and the columns file and patient of the table that `embed` writes for its user.
It ends with a line for each place where a name was found, and with exit code 1 if there is one."""
import argparse
import contextlib
import gzip
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

NAMES = ("Mustermann", "Erika", "471100815", "19620518", "Sankt-Anna", "planted-home")
ROOT = Path(__file__).resolve().parents[2]


def fan(seed, size=96):
    "A fan of speckle, its grain and brightness after the class, (size, size) uint8"
    y, x = np.mgrid[:size, :size]
    inside = (np.hypot(x - size/2, y + size*.1) < size) & (abs(x - size/2) < .15*size + .55*y)
    return np.where(inside, np.random.default_rng(seed).gamma(2, 25 + 20*(seed % 2), (size, size)).clip(5, 255), 0)


def picture(path, seed):
    "A PNG with a name in its text"
    text = PngInfo()
    text.add_text("Author", "Erika Mustermann")
    text.add_text("Comment", "Sankt-Anna 471100815", zip=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(fan(seed).astype(np.uint8)).save(path, pnginfo=text)


def dicom(path, seed):
    "A DICOM file with names in its header"
    import pydicom
    header = pydicom.dcmread(pydicom.examples.get_path("rgb_color"))
    header.PatientID, header.PatientName, header.InstitutionName = f"471100815-{seed}", "Mustermann^Erika", "Sankt-Anna"
    header.PatientBirthDate = "19620518"
    header.Modality, header.Rows, header.Columns = "US", 96, 96
    header.PixelData = np.dstack([fan(seed)]*3).astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path)


def plant(home):
    "Folders and a table: class/patient/file"
    folder = home/"Sankt-Anna/Erika Mustermann"
    rows = ["file;class;case;doctor Mustermann"]
    for number in range(24):
        label = ("benign", "malignant")[number % 2]
        who = f"Mustermann {471100815 + number//2 % 6}"
        file = folder/label/who/f"Erika_19620518_{number}.png"
        if number % 4 == 3: dicom(file := file.with_suffix(".dcm"), number)
        else: picture(file, number)
        rows.append(f"{file.relative_to(folder)};{label};{who};Erika")
    for odd in ("benign/Mustermann 471100815/x.Mustermann", "Erika.txt", "malignant/Mustermann 471100816/.Erika.png",
                "benign/Mustermann 471100817/Erika broken.h5"):
        (folder/odd).write_bytes(b"\x89HDF\r\n\x1a\n471100815")
    first = folder/"benign/Mustermann 471100815/Erika_19620518_0.png"
    shutil.copy(first, folder/"benign/Mustermann 471100816/Erika twice.png")
    (folder/"Erika 5").mkdir()
    (folder/"Mustermann.csv").write_text("\n".join(rows))
    return folder


def texts_in(file):
    "All that is in a file as bytes, also inside of what packs it"
    content = file.read_bytes()
    yield "", content
    if content[:2] == b"PK":
        with zipfile.ZipFile(file) as packed:
            for name in packed.namelist(): yield name, name.encode() + packed.read(name)
    if content[:2] == b"\x1f\x8b": yield "unpacked", gzip.decompress(content)
    if file.suffix in (".parquet", ".arrow"): yield "table", table_text(file)
    if file.suffix in (".png", ".jpg", ".tif"):
        with Image.open(file) as image: yield "text", repr(image.info).encode()


def table_text(file):
    "A table, and what is said of it"
    import pyarrow as pa
    import pyarrow.parquet
    table = pa.parquet.read_table(file) if file.suffix == ".parquet" else pa.ipc.open_file(str(file)).read_all()
    own = [name for name in table.column_names if file.stem == "embedded" and name in ("file", "patient")]
    table = table.drop_columns(own)
    return repr(table.schema.metadata).encode() + table.to_pandas().to_csv().encode()


def of_notebook(file):
    "The outputs of a notebook"
    content = json.loads(file.read_text())
    return json.dumps([cell.get("outputs") for cell in content["cells"]]).encode()


def found_in(where, text, names):
    text = text.replace(b"\0", b"").lower()
    return [f"{where}: {name}" for name in names if name.lower().encode() in text]


def look(root, names):
    "Places below a folder that hold a name"
    found = []
    for file in sorted(root.rglob("*")):
        place = str(file.relative_to(root))
        found += found_in("name of a file", place.encode(), names)
        if not file.is_file(): continue
        if file.suffix == ".ipynb": parts = [("outputs", of_notebook(file))]
        else: parts = list(texts_in(file))
        if file.stem == "embedded": parts = [part for part in parts if part[0] == "table"]
        for what, text in parts: found += found_in(f"{place} {what}", text, names)
    return found


def functions(folder, home, small):
    "What a user calls"
    from usjepa.data.build import build_corpus, describe_sources, main, read_rejected, sources_in
    from usjepa.data.tasks import check_task, load_task
    from usjepa.evaluation.answer import answer
    from usjepa.evaluation.embed import embed
    from usjepa.evaluation.evaluate import evaluate
    from usjepa.settings import PretrainConfig
    from usjepa.training.train import outcome, pretrain
    own, table = f"folder:{folder}", f"folder:{folder/'Mustermann.csv'}"
    check_task(load_task(own))
    print(answer(table, preset="smoke"))
    rows = evaluate("usrcjepa-tiny", f"{table},{own},folder:{folder/'gone'}", preset="smoke")
    assert set(rows.missing.fillna("answered")) == {"answered", "not scored", "no data"}, rows.missing
    print(rows.to_string())
    out = home/"corpus"
    print(describe_sources(sources_in([folder]), out))
    print(read_rejected(main([str(folder), "--out", str(out), "--workers", "0", "--size", "96"])).to_string())
    build_corpus(sources_in([folder]), out, workers=0, size=96)
    (home/"corpus/corpus.json").write_text("{}") # Damaged: said, and made again
    build_corpus(sources_in([folder]), out, workers=0, size=96)
    changes = dict(steps=2, batch_size=4, workers=0)
    run = pretrain(PretrainConfig.preset("smoke", corpus=f"corpus:{out}", **changes))
    print(outcome(run))
    pretrain(PretrainConfig.preset("smoke", corpus=f"corpus:{out}", **changes | dict(steps=3)), out=home/"longer")
    if small: return
    check_task(load_task(table))
    check_task(load_task(own, groups="likeness", exclude_duplicates=True))
    run = pretrain(PretrainConfig.preset("smoke", corpus=own, **changes))
    student = str(run.folder)
    print(answer(table, encoder=student, preset="smoke"))
    evaluate(student, table, preset="smoke", experiment="names")
    embed(student, folder, out=home/"embedded.parquet")
    embed(student, f"corpus:{out}", out=home/"embedded-corpus.parquet")


def notebooks(folder, home):
    "The notebooks that people run, executed with their data"
    typed = dict(probe=dict(dataset=f"folder:{folder}/Mustermann.csv", preset="smoke"),
                 explore=dict(source=str(folder)),
                 embed=dict(source=str(folder), color_by="patient", out=str(home/"embedded.parquet")),
                 corpus=dict(folders=str(folder), preset="smoke", out=str(home/"corpus2"), workers=0),
                 pretrain=dict(corpus=f"corpus:{home/'corpus'}", preset="smoke", steps=2, batch_size=4, workers=0))
    for name, parameters in typed.items():
        out = home/"data/runs"/f"{name}.ipynb"
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "papermill", str(ROOT/f"nbs/{name}.ipynb"), str(out), "--log-output"]
        for key, value in parameters.items(): command += ["-p", key, str(value)]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True)
        said = [line for line in (done.stdout + done.stderr).splitlines() if "Input Notebook" not in line]
        if done.returncode: print("\n".join(said[-40:]), file=sys.__stderr__)
        assert done.returncode == 0, f"{name} failed"
        print("\n".join(said))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="planted-home-") as data, tempfile.TemporaryDirectory() as home:
        os.environ |= dict(USJEPA_ROOT=home, USJEPA_CACHE=f"{data}/cache", USJEPA_NAMES="")
        found = check(Path(data), Path(home), options.fast)
    for text in found: print(text)
    print(f"{len(found)} names found")
    sys.exit(bool(found))


def check(data, home, fast):
    "Places where a planted name stands"
    folder = plant(data)
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    here = os.getcwd()
    os.chdir(home)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            functions(folder, home, fast)
            if not fast: notebooks(folder, home)
    finally:
        os.chdir(here)
        logging.root.removeHandler(handler)
    (home/"said.txt").write_text(said.getvalue())
    if os.environ.get("DEBUG_NAMES"): Path("/tmp/safety/said.txt").write_text(said.getvalue())
    assert len(said.getvalue()) > 2000, "nothing was said"
    return look(home, NAMES)


if __name__ == "__main__": main()
