#!/usr/bin/env python3
"""Read small files that ask for much: each takes less than 1.5 GB and 10 s of processor time, or is refused.

    python .ci/harness/bombs.py               # all; about two minutes
    python .ci/harness/bombs.py tiff hdf5     # those whose names begin so

Every file is written anew, is below 5 MB and no video, and is read in a process of its own, first as `read_clip` does,
then frame by frame as a corpus is built. It ends with exit code 1 if a limit was passed or a refusal is no sentence
that names the file."""
import argparse
import gzip
import io
import multiprocessing
import os
import resource
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from usjepa.image.readers import open_clips, read_clip

MEMORY = 1.5  # GB
SECONDS = 10
SIDE = 4096  # The largest square frame that is read
FORK = multiprocessing.get_context("fork")
BOMBS = {}


def bomb(*suffixes):
    "Register a function that writes a file: function(path)"
    def add(write):
        for suffix in suffixes: BOMBS[f"{write.__name__}{suffix}"] = write, suffix
        return write
    return add


def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def zeros(n, level=9):
    "So many zeros, deflated, without holding them"
    packer = zlib.compressobj(level)
    block = bytes(1 << 20)
    parts = [packer.compress(block[:min(1 << 20, n - at)]) for at in range(0, n, 1 << 20)]
    return b"".join(parts) + packer.flush()


def write_png(path, width, height, depth, color, *more, interlaced=0):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    rows = zeros(height*((width*channels*depth + 7)//8 + 1))
    chunks = [chunk(b"IHDR", header), *more, chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@bomb(".png")
def png_largest(path): write_png(path, SIDE, SIDE, 8, 0)


@bomb(".png")
def png_16_bit(path): write_png(path, SIDE, SIDE, 16, 0)


@bomb(".png")
def png_16_bit_alpha(path): write_png(path, SIDE, SIDE, 16, 6)


@bomb(".png")
def png_interlaced(path): write_png(path, SIDE, SIDE, 8, 6, interlaced=1)


@bomb(".png")
def png_too_large(path): write_png(path, 16384, 16384, 8, 0)


@bomb(".png")
def png_text(path): write_png(path, 64, 64, 8, 0, *[chunk(b"zTXt", b"a\0\0" + zeros(1 << 27))]*20)


@bomb(".png")
def png_profile(path): write_png(path, 64, 64, 8, 0, chunk(b"iCCP", b"a\0\0" + zeros(1 << 30)))


@bomb(".png")
def png_many_chunks(path): write_png(path, 64, 64, 8, 0, *[chunk(b"tEXt", b"a\0b")]*300_000)


@bomb(".png")
def png_animated(path):
    from PIL import Image
    first, *others = (Image.new("L", (SIDE, SIDE), k) for k in range(12))
    first.save(path, save_all=True, append_images=others)


def jpeg(side):
    from PIL import Image
    file = io.BytesIO()
    Image.new("L", (side, side), 9).save(file, "JPEG", progressive=True)
    return file.getvalue()


def many_scans(side):
    "A progressive JPEG whose scans say nothing, over and over"
    content = jpeg(side)
    first = content.rindex(b"\xff\xda")
    return content[:first] + content[first:-2]*(4_900_000//len(content[first:-2])) + b"\xff\xd9"


@bomb(".jpg")
def jpeg_many_scans(path): Path(path).write_bytes(many_scans(SIDE))


@bomb(".jpg")
def jpeg_many_scans_of_few_pixels(path): Path(path).write_bytes(many_scans(64))


@bomb(".jpg")
def jpeg_many_segments(path):
    content = jpeg(64)
    Path(path).write_bytes(content[:2] + b"\xff\xfe\0\4ab"*800_000 + content[2:])


def write_tiff(path, frame, pages, compression="tiff_deflate"):
    from PIL import Image
    first, *others = [Image.fromarray(frame)]*pages
    first.save(path, format="TIFF", save_all=True, append_images=others, compression=compression)


@bomb(".tif")
def tiff_float(path): write_tiff(path, np.zeros((SIDE, SIDE), np.float32), 20)


@bomb(".tif")
def tiff_32_bit(path): write_tiff(path, np.zeros((SIDE, SIDE), np.int32), 20)


@bomb(".tif")
def tiff_color(path): write_tiff(path, np.zeros((SIDE, SIDE, 4), np.uint8), 12)


@bomb(".tif")
def tiff_lzma(path): write_tiff(path, np.zeros((SIDE, SIDE), np.uint8), 60, "lzma")


@bomb(".tif")
def tiff_many_pages(path):
    entries = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
               (277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, 64)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    size = 2 + len(body) + 4
    start = 8 + 64
    pages = [struct.pack("<H", len(entries)) + body + struct.pack("<I", start + size*(k + 1)) for k in range(40_000)]
    pages[-1] = pages[-1][:-4] + bytes(4)
    Path(path).write_bytes(b"II*\0" + struct.pack("<I", start) + bytes(64) + b"".join(pages))


@bomb(".tif")
def tiff_loop(path):
    tiff_many_pages(path)
    content = bytearray(Path(path).read_bytes()[:8 + 64 + 3*114])
    content[-4:] = struct.pack("<I", 8 + 64)
    Path(path).write_bytes(content)


@bomb(".webp")
def webp_largest(path):
    from PIL import Image
    Image.new("RGBA", (SIDE, SIDE)).save(path, lossless=True)


@bomb(".webp")
def webp_many_frames(path):
    from PIL import Image
    first, *others = (Image.new("RGB", (SIDE, SIDE), (k, 0, 0)) for k in range(24))
    first.save(path, save_all=True, append_images=others, lossless=True, method=0, quality=0)


@bomb(".jp2")
def jp2_largest(path):
    from PIL import Image
    Image.new("RGBA", (SIDE, SIDE)).save(path)


@bomb(".jp2")
def jp2_many_tiles(path):
    from PIL import Image
    Image.new("L", (SIDE, SIDE)).save(path, tile_size=(64, 64))


@bomb(".jp2")
def jp2_many_levels(path):
    from PIL import Image
    Image.new("I;16", (SIDE, SIDE)).save(path, num_resolutions=12, codeblock_size=(4, 4))


@bomb(".gif")
def gif_many_frames(path):
    from PIL import Image
    first, *others = (Image.new("P", (SIDE, SIDE), k % 2) for k in range(60))
    first.save(path, save_all=True, append_images=others)
    content = Path(path).read_bytes()
    start = content.index(b"\x21\xf9", 800)
    frames = content[start:-1]
    Path(path).write_bytes(content[:start] + frames*(4_900_000//len(frames)) + b";")


@bomb(".bmp")
def bmp_runs(path):
    rows = (b"\xff\1"*16 + b"\x10\1\0\0")*SIDE + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, len(rows), 0, 0, 256, 0)
    start = b"BM" + struct.pack("<IHHI", 54 + 1024 + len(rows), 0, 0, 54 + 1024)
    Path(path).write_bytes(start + head + bytes(1024) + rows)


@bomb(".pbm")
def pbm_largest(path): Path(path).write_bytes(b"P4 4096 4096\n" + bytes(SIDE*SIDE//8))


@bomb(".pgm")
def pgm_words(path): Path(path).write_bytes(b"P2 1570 1570 255\n" + b"1\n"*1570*1570)


def dicom(path, syntax, **values):
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds = Dataset()
    ds.file_meta = meta
    ds.Modality = "US"
    ds.Rows = ds.Columns = SIDE
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    for name, value in values.items(): setattr(ds, name, value)
    pydicom.dcmwrite(path, ds, enforce_file_format=True)


def encapsulated(frames):
    from pydicom.encaps import encapsulate
    return encapsulate(frames, has_bot=False)


LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"


@bomb(".dcm")
def dicom_deflated(path): dicom(path, DEFLATED, NumberOfFrames=200, PixelData=bytes(200*SIDE*SIDE))


@bomb(".dcm")
def dicom_deflated_under_the_limit(path):
    dicom(path, DEFLATED, NumberOfFrames=7, PixelData=bytes(7*SIDE*SIDE))


@bomb(".dcm")
def dicom_run_lengths(path):
    line = b"\x81\0"*(SIDE*SIDE//128)
    frame = struct.pack("<16I", 1, 64, *[0]*14) + line
    frames = [frame]*(4_800_000//len(frame))
    dicom(path, "1.2.840.10008.1.2.5", NumberOfFrames=len(frames), PixelData=encapsulated(frames))


@bomb(".dcm")
def dicom_jpeg2000(path):
    from PIL import Image
    file = io.BytesIO()
    Image.new("L", (SIDE, SIDE), 3).save(file, "JPEG2000", no_jp2=True)
    frames = [file.getvalue()]*min(300, 4_800_000//len(file.getvalue()))
    dicom(path, "1.2.840.10008.1.2.4.90", NumberOfFrames=len(frames), PixelData=encapsulated(frames))


@bomb(".dcm")
def dicom_many_scans(path):
    dicom(path, "1.2.840.10008.1.2.4.50", NumberOfFrames=1, PixelData=encapsulated([many_scans(SIDE)]))


@bomb(".dcm")
def dicom_without_pixels(path):
    dicom(path, LITTLE, NumberOfFrames=1000, PixelData=bytes(1000))


def sequences(items, depth=0):
    "A sequence of undefined length with many items, perhaps each in another"
    if depth: return sequences(struct.pack("<HHI", 0xfffe, 0xe000, 0xffffffff) + sequences(items, depth - 1)
                               + struct.pack("<HHI", 0xfffe, 0xe00d, 0))
    return struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xffffffff) + items + struct.pack("<HHI", 0xfffe, 0xe0dd, 0)


def with_sequence(path, sequence):
    dicom(path, LITTLE, Rows=64, Columns=64, PixelData=bytes(64*64))
    content = Path(path).read_bytes()
    at = content.index(struct.pack("<HH", 0x0028, 0x0002))
    Path(path).write_bytes(content[:at] + sequence + content[at:])


@bomb(".dcm")
def dicom_many_items(path): with_sequence(path, sequences(struct.pack("<HHI", 0xfffe, 0xe000, 0)*600_000))


@bomb(".dcm")
def dicom_many_open_items(path):
    item = struct.pack("<HHI", 0xfffe, 0xe000, 0xffffffff) + struct.pack("<HHI", 0xfffe, 0xe00d, 0)
    with_sequence(path, sequences(item*300_000))


@bomb(".dcm")
def dicom_deep(path):
    start = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xffffffff)
    with_sequence(path, (start + struct.pack("<HHI", 0xfffe, 0xe000, 0xffffffff))*100_000)


@bomb(".dcm")
def dicom_many_elements(path):
    elements = b"".join(struct.pack("<HH2sHH", 0x0009 + 2*(k >> 15), k & 32767, b"US", 2, 0) for k in range(450_000))
    dicom(path, LITTLE, Rows=64, Columns=64, PixelData=bytes(64*64))
    content = Path(path).read_bytes()
    at = content.index(struct.pack("<HH", 0x0028, 0x0002))
    Path(path).write_bytes(content[:at] + elements + content[at:])


@bomb(".dcm")
def dicom_fragments(path):
    fragment = struct.pack("<HHI", 0xfffe, 0xe000, 2) + b"\0\0"
    dicom(path, "1.2.840.10008.1.2.5", NumberOfFrames=400_000, PixelData=encapsulated([b"ab"]))
    content = Path(path).read_bytes()
    at = content.rindex(struct.pack("<HHI", 0xfffe, 0xe000, 2))
    Path(path).write_bytes(content[:at] + fragment*450_000 + content[at + 10:])


def hdf5(path, shape, kind, columns=(), **options):
    import h5py
    with h5py.File(path, "w", track_order=False) as f:
        f.create_dataset("image", shape, kind, **options)
        for name, values in dict(columns).items(): f.create_dataset(name, data=values, compression="gzip", shuffle=True)


@bomb(".h5")
def hdf5_fill_value(path): hdf5(path, (1 << 20, 2048, 2048), np.float64, chunks=(1, 2048, 2048), fillvalue=.5)


@bomb(".h5")
def hdf5_one_chunk(path): hdf5(path, (64, SIDE, SIDE), np.uint8, chunks=(64, SIDE, SIDE))


@bomb(".h5")
def hdf5_small_chunks(path): hdf5(path, (4, SIDE, SIDE), np.uint8, chunks=(1, 1, 2))


@bomb(".h5")
def hdf5_wide_numbers(path): hdf5(path, (4, SIDE, SIDE, 3), np.longdouble, chunks=(1, 512, 512, 3))


@bomb(".h5")
def hdf5_contiguous(path): hdf5(path, (1000, SIDE, SIDE), np.float64)


@bomb(".h5")
def hdf5_zeros(path):
    import h5py
    with h5py.File(path, "w") as f:
        data = f.create_dataset("image", (40, SIDE, SIDE), np.float32, chunks=(1, SIDE, SIDE), compression="gzip")
        packed = zeros(4*SIDE*SIDE)
        for number in range(40): data.id.write_direct_chunk((number, 0, 0), packed)


@bomb(".h5")
def hdf5_many_clips(path):
    n = 1 << 20
    hdf5(path, (n, 8, 8), np.uint8, dict(annot_id=np.arange(n), frame_num=np.arange(n)), chunks=(64, 8, 8))


@bomb(".h5")
def hdf5_long_ids(path):
    n = 1 << 18
    hdf5(path, (n, 8, 8), np.uint8, dict(annot_id=np.full(n, b"x"*1000)), chunks=(64, 8, 8))


@bomb(".h5")
def hdf5_one_long_id(path):
    "Many references to one long string"
    import h5py
    n = 1000
    with h5py.File(path, "w") as f:
        f["image"] = np.zeros((n, 8, 8), np.uint8)
        f.create_dataset("annot_id", (n,), h5py.string_dtype(), fillvalue="x"*60_000)


@bomb(".h5")
def hdf5_long_strings(path):
    import h5py
    n = 4000
    with h5py.File(path, "w") as f:
        f["image"] = np.zeros((n, 8, 8), np.uint8)
        ids = f.create_dataset("annot_id", (n,), h5py.string_dtype(), chunks=(n,))
        ids[0] = "x"*4_000_000
        kind, pointer = ids.id.read_direct_chunk((0,))
        ids.id.write_direct_chunk((0,), pointer[:16]*n)


@bomb(".h5")
def hdf5_elsewhere(path):
    import h5py
    layout = h5py.VirtualLayout((8, 64, 64), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "image", (8, 64, 64))
    with h5py.File(path, "w") as f: f.create_virtual_dataset("image", layout)


def nifti(width, height, frames, kind, bits):
    header = struct.pack("<i36x8h12x3h", 348, 3, width, height, frames, 1, 1, 1, 1, kind, bits, 0)
    return header.ljust(108, b"\0") + struct.pack("<f", 352.).ljust(236, b"\0") + b"n+1\0" + bytes(4)


def gzipped(path, start, n):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with open(path, "wb") as file:
        file.write(packer.compress(start))
        for _ in range(0, n, 1 << 20): file.write(packer.compress(bytes(1 << 20)))
        file.write(packer.flush())


@bomb(".nii.gz")
def nifti_large(path): gzipped(path, nifti(SIDE, SIDE, 200, 2, 8), 200*SIDE*SIDE)


@bomb(".nii.gz")
def nifti_under_the_limit(path): gzipped(path, nifti(1024, 1024, 16, 64, 64), 8*16*1024*1024)


@bomb(".nii.gz")
def nifti_long_stream(path): gzipped(path, nifti(64, 64, 4, 2, 8), 4 << 30)


@bomb(".nii.gz")
def nifti_many_members(path): Path(path).write_bytes(gzip.compress(nifti(64, 64, 4, 2, 8)) + gzip.compress(b"")*240_000)


@bomb(".nii")
def nifti_without_numbers(path): Path(path).write_bytes(nifti(32767, 512, 8, 2, 8))


def nrrd(size, kind, encoding):
    return f"NRRD0004\ntype: {kind}\ndimension: 3\nsizes: {size}\nencoding: {encoding}\nendian: little\n\n".encode()


@bomb(".nrrd")
def nrrd_large(path): Path(path).write_bytes(nrrd("4096 4096 200", "uchar", "gzip") + gzip.compress(bytes(1 << 28)))


@bomb(".nrrd")
def nrrd_under_the_limit(path):
    Path(path).write_bytes(nrrd("1024 1024 16", "double", "gzip") + gzip.compress(bytes(1 << 27)))


@bomb(".nrrd")
def nrrd_text(path): Path(path).write_bytes(nrrd("1024 1024 2", "double", "ascii") + b"1 "*(1 << 21))


@bomb(".nrrd")
def nrrd_long_header(path): Path(path).write_bytes(b"NRRD0004\n" + b"a:=b\n"*900_000 + b"\n")


@bomb(".mha")
def metaimage_large(path): metaimage(path, 1024, 16, 1 << 30)


@bomb(".mha")
def metaimage_under_the_limit(path): metaimage(path, 1024, 16, 1 << 27)


def metaimage(path, side, frames, n):
    data = zeros(n)
    Path(path).write_bytes(
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\nCompressedDataSize = {len(data)}\n"
        f"DimSize = {side} {side} {frames}\nElementType = MET_DOUBLE\nElementDataFile = LOCAL\n".encode() + data)


@bomb(".gif")
def gif_large_screen(path):
    "A screen of 65535 × 65535 pixels, and a picture of one"
    screen = struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    picture = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2D\1\0"
    Path(path).write_bytes(b"GIF89a" + screen + picture + b";")


@bomb(".gif")
def gif_comments(path): Path(path).write_bytes(b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe\1a\0"*980_000 + b";")


@bomb(".png")
def apng_says_many_frames(path):
    frames = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, SIDE, SIDE, 0, 0, 1, 1, 0, 0))
    write_png(path, SIDE, SIDE, 8, 0, frames, control)


@bomb(".webp")
def webp_large_canvas(path):
    from PIL import Image
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "WEBP", lossless=True)
    body = file.getvalue()[12:]
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + (16382).to_bytes(3, "little")*2
    Path(path).write_bytes(b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(body)) + b"WEBP" + canvas + body)


def patched_jp2(path, old, new):
    from PIL import Image
    Image.new("L", (64, 64), 7).save(path)
    content = Path(path).read_bytes()
    assert content.count(old), "the header has another form"
    Path(path).write_bytes(content.replace(old, new))


@bomb(".jp2")
def jp2_says_large(path): patched_jp2(path, struct.pack(">II", 64, 64), struct.pack(">II", 2**31 - 1, 2**31 - 1))


@bomb(".jp2")
def jp2_says_many_tiles(path):
    size = struct.pack(">IIIIIIII", 64, 64, 0, 0, 64, 64, 0, 0)
    patched_jp2(path, size, struct.pack(">IIIIIIII", 4096, 4096, 0, 0, 1, 1, 0, 0))


@bomb(".tif")
def tiff_many_strips(path):
    "A strip for each row, all of them the same bytes"
    n = SIDE*100
    entries = [(256, 3, 1, SIDE), (257, 4, 1, n), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, n, 200),
               (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, n, 200 + 4*n)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    content = b"II*\0" + struct.pack("<I", 8) + body
    Path(path).write_bytes(content.ljust(200, b"\0") + struct.pack("<I", 8)*n + struct.pack("<I", SIDE)*n)


@bomb(".tif")
def tiff_of_tiles_of_one_place(path):
    "Tiles that all lie at one place, packed a thousandfold"
    packed = zeros(1024*1024)
    n = 16
    entries = [(256, 3, 1, SIDE), (257, 3, 1, SIDE), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1),
               (322, 3, 1, 1024), (323, 3, 1, 1024), (324, 4, n, 200), (325, 4, n, 200 + 4*n)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    content = (b"II*\0" + struct.pack("<I", 8) + body).ljust(200, b"\0")
    start = 200 + 8*n
    Path(path).write_bytes(content + struct.pack("<I", start)*n + struct.pack("<I", len(packed))*n + packed)


@bomb(".nrrd")
def nrrd_packed_by_bzip2(path):
    import bz2
    Path(path).write_bytes(nrrd("4096 4096 60", "uchar", "bzip2") + bz2.compress(bytes(1 << 28)))


@bomb(".nrrd")
def nrrd_of_many_axes(path):
    head = b"NRRD0004\ntype: uchar\ndimension: 16\nsizes: " + b"16 "*16 + b"\nencoding: gzip\nendian: little\n\n"
    Path(path).write_bytes(head + gzip.compress(bytes(1 << 26)))


@bomb(".nii.gz")
def nifti_starts_far_off(path):
    head = bytearray(nifti(64, 64, 4, 2, 8))
    head[108:112] = struct.pack("<f", 4e9)
    gzipped(path, bytes(head), 1 << 31)


@bomb(".nii.gz")
def nifti_of_many_axes(path):
    head = bytearray(nifti(64, 64, 4, 2, 8))
    head[40:56] = struct.pack("<8h", 7, 64, 64, 64, 64, 64, 64, 64)
    gzipped(path, bytes(head), 1 << 26)


@bomb(".mha")
def metaimage_of_many_axes(path):
    axes = "64 "*10
    Path(path).write_bytes(f"ObjectType = Image\nNDims = 10\nDimSize = {axes}\nElementType = MET_UCHAR\n"
                           "ElementDataFile = LOCAL\n".encode() + bytes(1000))


@bomb(".h5")
def hdf5_of_many_groups(path):
    import h5py
    with h5py.File(path, "w", libver="latest") as f:
        group = f
        for _ in range(3000): group = group.create_group("a")
        group["image"] = np.zeros((2, 64, 64), np.uint8)
        f["image"] = h5py.SoftLink("/a"*3000 + "/image")


def attempt(path, connection):
    "Read a file in both ways: what became of it"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    said = []
    try: said.append(f"{len(read_clip(path)[0])} frames")
    except OSError as error: said.append(str(error))
    except MemoryError: said.append("no memory")
    try: said.append(f"{sum(1 for clip in open_clips(path) for _ in clip)} frames")
    except OSError as error: said.append(str(error))
    connection.send(said)


def measure(path):
    "Read a file in another process: what it says, GB, seconds"
    here, there = FORK.Pipe()
    child = FORK.Process(target=attempt, args=(path, there))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child.start()
    there.close()
    began = time.monotonic()
    try: said = here.recv() if here.poll(20*SECONDS) else ["it hangs"]
    except EOFError: said = ["it crashes"]
    child.kill()
    child.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return said, seconds, time.monotonic() - began


def peak_of(path):
    "As `measure`, with the peak of memory: children are counted together, so each has a parent of its own"
    here, there = FORK.Pipe()
    def run():
        said, seconds, _ = measure(path)
        there.send((said, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1e6))
    parent = FORK.Process(target=run)
    parent.start()
    found = here.recv()
    parent.join()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    bad = 0
    worst = dict(seconds=0., memory=0.)
    chosen = [name for name in BOMBS if not options.names or name.startswith(tuple(options.names))]
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            write, suffix = BOMBS[name]
            path = f"{folder}/a{suffix}"
            child = FORK.Process(target=write, args=(path,))
            child.start()
            child.join()
            size = os.path.getsize(path)
            said, seconds, memory = peak_of(path)
            worst = dict(seconds=max(worst["seconds"], seconds/len(said)), memory=max(worst["memory"], memory))
            wrong = [text for text in said if not text.endswith("frames") and (path not in text or "\n" in text)]
            wrong += ["too large"]*(memory > MEMORY) + ["too long"]*(seconds > 2*SECONDS) + ["5 MB"]*(size > 5e6)
            bad += bool(wrong)
            what = said[0].replace(path, "a")[:80]
            print(f"{name:36s} {size/1e6:4.1f} MB  {memory:.2f} GB {seconds:5.1f} s  {what} {wrong or ''}", flush=True)
            os.remove(path)
    most = f"{worst['memory']:.2f} GB and {worst['seconds']:.1f} s"
    print(f"{len(chosen)} files, {bad} beyond the limits; at most {most}")
    sys.exit(bad > 0)


if __name__ == "__main__": main()
