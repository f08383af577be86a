# ruff: noqa: E501
"""Crafted weight files and configurations: what fits to the last tensor loads, everything else is refused in one sentence

    python .ci/harness/fuzz.py --inputs 1000 weights configs

A weight file is a good one with one change, in a wrapper, in a format, perhaps damaged. A configuration is a good one
with one value exchanged. Functions take hypothesis's `draw` and an empty folder; what they let out is a finding."""
import argparse
import json
import pickle
import shutil
from collections import OrderedDict, defaultdict
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import safetensors.torch
import timm
import torch

from usjepa.core.model import vit
from usjepa.encoders.checkpoints import from_pretrained, load_model, save_pretrained
from usjepa.encoders.encoder import find_encoder, load_encoder
from usjepa.encoders.registry import ENCODERS

BUILD = dict(depth=2, embed_dim=24, num_heads=2, img_size=32, global_pool="")
SPEC = replace(ENCODERS["urfm"], name="small", architecture="vit_tiny_patch16_224", dim=24, input_size=32, build=BUILD)
SPECS = SPEC, replace(SPEC, layouts=("any timm",), containers=("state_dict", "model"))
GOOD = timm.create_model(SPEC.architecture, num_classes=0, **BUILD).state_dict()
QKV = "blocks.0.attn.qkv.weight"


def prefixed(prefix, state): return {prefix+name: tensor for name, tensor in state.items()}


def without(name, state): return {key: tensor for key, tensor in state.items() if key != name}


WRAPPERS = dict( # What is around a good state: all of them load
    bare=lambda s: s,
    state_dict=lambda s: dict(state_dict=s, epoch=3),
    model=lambda s: dict(model=s, optimizer=dict(state={0: dict(step=torch.ones(1))}), scaler={}, args=argparse.Namespace(lr=1)),
    nested=lambda s: dict(state_dict=dict(model=s)),
    module=lambda s: prefixed("module.", s),
    compiled=lambda s: prefixed("_orig_mod.module.", s),
    backbone=lambda s: prefixed("backbone.", s),
    lightning=lambda s: dict(state_dict=prefixed("model.", s)),
    vjepa=lambda s: dict(encoder=prefixed("module.backbone.", s), predictor=dict(w=torch.ones(2))),
    teacher=lambda s: dict(teacher=prefixed("backbone.", s), student=prefixed("backbone.", s)),
    ordered=lambda s: OrderedDict(s),
    defaults=lambda s: defaultdict(dict, state_dict=s),
    numbers=lambda s: dict(state_dict=s, loss=np.float64(1), seen=np.arange(3), path=Path("run"), kinds={1, 2}, none=None),
    decoder=lambda s: {**s, "decoder_blocks.0.norm1.weight": torch.ones(2), "mask_token": torch.zeros(1, 1, 24)},
)
FINE = dict( # Changes that keep a state what it is, up to rounding
    nothing=lambda s: s,
    half=lambda s: {name: tensor.half() for name, tensor in s.items()},
    double=lambda s: {name: tensor.double() for name, tensor in s.items()},
    bfloat=lambda s: {name: tensor.bfloat16() for name, tensor in s.items()},
    no_batch=lambda s: {**s, "cls_token": s["cls_token"][0, 0], "pos_embed": s["pos_embed"][0]},
    ones=lambda s: {**s, "norm.weight": s["norm.weight"][None], "norm.bias": s["norm.bias"][:, None]},
    strided=lambda s: {**s, QKV: s[QKV].T.contiguous().T},
    shuffled=lambda s: dict(reversed(s.items())),
)
WRONG = dict( # Changes that make it another network, or none
    missing=lambda s: without(QKV, s),
    half_of_it=lambda s: dict(list(s.items())[:12]),
    one_more=lambda s: {**s, "head_norm.weight": torch.ones(2)},
    renamed=lambda s: {**without(QKV, s), "blocks.0.attn.qvk.weight": s[QKV]},
    deeper=lambda s: {**s, "blocks.2.norm1.weight": torch.ones(24)},
    wider=lambda s: {name: torch.cat([tensor, tensor], -1) for name, tensor in s.items()},
    positions_transposed=lambda s: {**s, "pos_embed": s["pos_embed"].mT},
    positions_flat=lambda s: {**s, "pos_embed": s["pos_embed"].flatten()},
    positions_constant=lambda s: {**s, "pos_embed": torch.ones_like(s["pos_embed"])},
    matrix_transposed=lambda s: {**s, QKV: s[QKV].T},
    matrix_folded=lambda s: {**s, QKV: s[QKV].reshape(24, 72)},
    matrix_zero=lambda s: {**s, QKV: torch.zeros_like(s[QKV])},
    matrix_constant=lambda s: {**s, QKV: torch.full_like(s[QKV], .5)},
    norm_dead=lambda s: {**s, "norm.weight": torch.zeros(24)},
    all_zero=lambda s: {name: torch.zeros_like(tensor) for name, tensor in s.items()},
    int8=lambda s: {**s, QKV: (s[QKV]*127).to(torch.int8)},
    int64=lambda s: {**s, "norm.bias": torch.arange(24)},
    bool=lambda s: {**s, "norm.weight": torch.ones(24, dtype=torch.bool)},
    complex=lambda s: {**s, QKV: s[QKV].to(torch.complex64)},
    nan=lambda s: {**s, "norm.bias": torch.full((24,), torch.nan)},
    infinite=lambda s: {**s, "blocks.1.mlp.fc1.bias": torch.full((96,), -torch.inf)},
    too_large=lambda s: {**s, "norm.bias": torch.full((24,), 1e300, dtype=torch.float64)},
    scalar=lambda s: {**s, "norm.bias": torch.tensor(1.)},
    empty=lambda s: {**s, QKV: torch.zeros(0)},
    split_unevenly=lambda s: {**without(QKV, s), **{f"blocks.0.attn.{p}.weight": torch.randn(i+1, 24) for i, p in enumerate("qkv")}},
    no_tensors=lambda s: dict(epoch=3),
    nothing_at_all=lambda s: {},
    another=lambda s: prefixed("backbone.layers.", s),
)
ONLY_TORCH = dict( # Contents that safetensors cannot hold
    sparse=lambda s: {**s, QKV: s[QKV].to_sparse()},
    meta=lambda s: {**s, QKV: s[QKV].to("meta")},
    list=lambda s: list(s.values()),
    tensor=lambda s: s[QKV],
    number_names=lambda s: dict(enumerate(s.values())),
    code=lambda s: dict(state_dict=s, run=pickle.loads),
    lists=lambda s: dict(state_dict={name: tensor.tolist() for name, tensor in s.items()}),
    cycle=lambda s: cycle(dict(epoch=1)),
    deep=lambda s: deep(dict(epoch=1), 100),
    wide=lambda s: deep(dict(epoch=1), 60, 2),
)
FORMATS = "zip", "legacy", "safetensors"
INSTEAD = (b"", b"{}", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", b"<!DOCTYPE html><html></html>",
           b"PK\x03\x04", b"\x80\x02}q\x00.", b"\x08\0\0\0\0\0\0\0{}      ", b"\xff"*64, b"GIF89a", b"not weights at all")


def cycle(content):
    "A container that contains itself"
    return dict(content, model=content.setdefault("model", content))


def deep(content, levels, ways=1):
    "A container in a container in a container"
    for _ in range(levels): content = {name: content for name in ("model", "state_dict")[:ways]}
    return content


def pack(draw, content, file, formats):
    "Write a file, in one of the formats"
    plain = isinstance(content, dict) and all(isinstance(tensor, torch.Tensor) for tensor in content.values())
    kind = draw(st.sampled_from(formats if plain else formats[:2]))
    if kind == "safetensors":
        safetensors.torch.save_file({name: tensor.contiguous().clone() for name, tensor in content.items()}, file)
    else: torch.save(content, file, _use_new_zipfile_serialization=kind == "zip")


def damage(draw, file):
    "Cut a file, flip a bit in it, or put another one in its place"
    content = file.read_bytes()
    kind = draw(st.sampled_from(("cut", "flip", "instead", "longer")))
    at = draw(st.integers(0, len(content)-1))
    if kind == "cut": content = content[:at]
    if kind == "flip": content = content[:at]+bytes([content[at] ^ 1 << draw(st.integers(0, 7))])+content[at+1:]
    if kind == "longer": content += draw(st.binary(min_size=1, max_size=64))
    if kind == "instead": content = draw(st.sampled_from(INSTEAD))
    file.write_bytes(content)
    return kind


def refused(load, file):
    "Run; whether it was refused, in one sentence that names the file"
    try: load()
    except (ValueError, OSError) as error:
        text = str(error)
        assert file.name in text and "\n" not in text and len(text) < 1000, f"no sentence on {file.name}: {text!r}"
        return True
    return False


def weights(draw, folder):
    "One weight file of a published encoder"
    file = folder/("weights"+draw(st.sampled_from((".pth", ".safetensors", ".bin", ".pt"))))
    spec = draw(st.sampled_from(SPECS))
    kind = draw(st.sampled_from(("fine", "wrong", "torch", "damaged")))
    changes = dict(fine=FINE, wrong=WRONG, torch=ONLY_TORCH, damaged=FINE)[kind]
    change = draw(st.sampled_from(sorted(changes)))
    wrapper = "bare" if kind == "torch" else draw(st.sampled_from(sorted(WRAPPERS)))
    if spec is SPECS[1] and wrapper == "decoder": wrapper = "bare" # that layout drops the head alone
    pack(draw, WRAPPERS[wrapper](changes[change](GOOD)), file, FORMATS[:2] if kind == "torch" else FORMATS)
    how = damage(draw, file) if kind == "damaged" else ""
    loaded = []
    was_refused = refused(lambda: loaded.append(load_model(spec, file)), file)
    if kind in ("wrong", "torch"): assert was_refused, f"{change} in {wrapper} was loaded"
    if how in ("cut", "instead"): assert was_refused, f"a file that was {how} was loaded"
    if kind == "fine":
        assert not was_refused, f"{change} in {wrapper} was refused"
        found = loaded[0][0].state_dict()
        assert all(torch.allclose(found[name], GOOD[name], atol=1e-2) for name in GOOD), f"{change} in {wrapper}: other values"


ODD = (None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), "", "16", "x"*300, [], [1], {}, {"a": 1}, "hf-hub:timm/vit_tiny_patch16_224",
       "../../etc/passwd", "__import__('os')", "ſ\u0000", [[]])
TRANSFORMERS = dict(model_type="vit", hidden_size=24, image_size=32, patch_size=16, num_hidden_layers=1, num_attention_heads=2)
TIMM = dict(architecture="vit_tiny_patch16_224", pretrained_cfg=dict(mean=[.5]*3, std=[.5]*3, input_size=[3, 224, 224], interpolation="bicubic"))
IMAGES = dict(image_mean=[.5]*3, image_std=[.5]*3)


def exchange(draw, content):
    "A configuration with one value exchanged, taken out or added"
    content = json.loads(json.dumps(content))
    place = content
    name = draw(st.sampled_from(sorted(content)))
    while isinstance(place[name], dict) and place[name] and draw(st.booleans()):
        place = place[name]
        name = draw(st.sampled_from(sorted(place)))
    if draw(st.booleans()): place[name] = draw(st.sampled_from(ODD))
    else: place.pop(name)
    return content


def configs(draw, folder):
    "One config.json of a student or of a repository: it is understood, or refused in one sentence before anything is built"
    run = folder/"run"
    shutil.rmtree(run, ignore_errors=True)
    kind = draw(st.sampled_from(("student", "transformers", "timm", "images", "text")))
    if kind == "student":
        config = dict(architecture=dict(size="tiny", image_size=32, patch_size=16), mean=.25, std=.25, training={})
        save_pretrained(STUDENT, run, config)
        content = json.loads((run/"config.json").read_text())
        if draw(st.booleans()): [content.pop(name) for name in ("files", "sha256")] # as version 0.0.1 wrote it
        (run/"config.json").write_text(json.dumps(exchange(draw, content)))
    else:
        run.mkdir()
        (run/"model.safetensors").write_bytes(b"")
        content = exchange(draw, TIMM if kind == "timm" else TRANSFORMERS) if kind in ("transformers", "timm") else TRANSFORMERS
        (run/"config.json").write_text(draw(st.text(max_size=60)) if kind == "text" else json.dumps(content))
        if kind == "images": (run/"preprocessor_config.json").write_text(json.dumps(exchange(draw, IMAGES)))
    was_refused = refused(lambda: find_encoder(str(run)), run)
    if kind == "student" and not was_refused: refused(lambda: from_pretrained(run), run) or load_encoder(str(run))


STUDENT = vit("tiny", 32, 16)
KINDS = dict(weights=weights, configs=configs)
