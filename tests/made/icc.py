"""ICC profiles: a matrix with a power function, or a pipeline that is expensive to evaluate."""

import struct

SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""XYZ of red, green and blue, adapted to D50."""

ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
_D50 = (0.9642, 1.0, 0.8249)


def matrix_profile(
    name: str, gamma: float, colorants: tuple[tuple[float, float, float], ...] = SRGB
) -> bytes:
    """Display profile of a matrix and a power function; without colorants a grey profile."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = [(b"wtpt", _xyz(_D50))]
    if colorants:
        named = zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)
        tags += [(tag, _xyz(xyz)) for tag, xyz in named]
        tags += [(tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")]
    else:
        tags.append((b"kTRC", curve))
    return _profile(name, b"RGB " if colorants else b"GRAY", tags)


def pipeline_profile(stages: int) -> bytes:
    """Profile whose D2B0 has `stages` stages, all of which refer to the same identity matrix."""
    matrix = b"matf" + bytes(4) + struct.pack(">HH", 3, 3)
    matrix += struct.pack(">12f", 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    place = struct.pack(">II", 16 + 8 * stages, len(matrix))
    pipeline = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, stages) + place * stages + matrix
    return _profile("stages", b"RGB ", [(b"wtpt", _xyz(_D50)), (b"D2B0", pipeline)])


def table_profile(inputs: int) -> bytes:
    """Profile whose D2B0 is a matrix to `inputs` channels, a table, and a matrix back.

    The table has two points for each channel.
    """
    there, back = (
        b"matf" + bytes(4) + struct.pack(">HH", *size) + bytes(4 * (size[0] + 1) * size[1])
        for size in ((3, inputs), (inputs, 3))
    )
    points = bytes([2] * inputs).ljust(16, b"\0")
    table = b"clut" + bytes(4) + struct.pack(">HH", inputs, inputs) + points
    table += bytes(4 * inputs * 2**inputs)
    pipeline = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, 3)
    at = 16 + 3 * 8
    for element in (there, table, back):
        pipeline += struct.pack(">II", at, len(element))
        at += len(element)
    pipeline += there + table + back
    return _profile("table", b"RGB ", [(b"wtpt", _xyz(_D50)), (b"D2B0", pipeline)])


def segmented_profile(segments: int) -> bytes:
    """Profile whose D2B0 is three curves that share one definition of `segments` segments."""
    breaks = struct.pack(f">{segments - 1}f", *(n / segments for n in range(1, segments)))
    formula = b"parf" + bytes(4) + struct.pack(">HH4f", 0, 0, 1, 1, 0, 0)
    curve = b"curf" + bytes(4) + struct.pack(">HH", segments, 0) + breaks + formula * segments
    places = struct.pack(">II", 12 + 24, len(curve)) * 3
    curves = b"cvst" + bytes(4) + struct.pack(">HH", 3, 3) + places + curve
    pipeline = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, 1)
    pipeline += struct.pack(">II", 24, len(curves)) + curves
    return _profile("segments", b"RGB ", [(b"wtpt", _xyz(_D50)), (b"D2B0", pipeline)])


def _profile(name: str, space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    text = name.encode("utf-16-be")
    title = b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + b"enUS"
    title += struct.pack(">II", len(text), 28) + text
    tags = [(b"desc", title), *tags]
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, data in tags:
        padded = data + bytes(-len(data) % 4)
        table += tag + struct.pack(">II", at + len(body), len(padded))
        body += padded
    head = struct.pack(">I4sI", at + len(body), b"lcms", 0x04400000) + b"mntr" + space + b"XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(65536 * each) for each in values))
