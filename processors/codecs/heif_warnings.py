"""Collection of libde265's decoding warnings, which libheif does not read.

A slice that is too short decodes to an image whose rest is black, without an error. To detect such
slices, this module registers libheif's decoder plugin for libde265 a second time under another
name. In that copy, the function that frees a decoder reads the decoder's warnings first.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

NAME = b"libde265 and its warnings"
"""Name under which the plugin copy is registered with libheif."""

_VERSION, _HEVC, _NAMED = 5, 1, b"libde265"
_MOST = 20  # libde265 keeps at most 20 warnings
# Warnings that mean missing pixels (de265.h). Short: slices that end early, blocks outside the
# image, bad slice headers. Broken: sets of parameters, references or addresses that do not exist.
# Codes below 1000 are errors.
_SHORT = frozenset({1002, 1004, 1007})
_BROKEN = frozenset({*range(1, 1000), 1009, 1010, 1015, 1020, 1021})

Loss = Literal["nothing", "short", "broken"]
"""Loss of pixels that the warnings report."""


class _Plugin(ctypes.Structure):
    """C struct `heif_decoder_plugin` of version 5, with pointers as numbers."""

    _fields_ = (
        ("version", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("get_name", "init", "deinit", "supports", "create")),
        ("free", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in ("push", "decode", "set_strict")),
        ("id_name", ctypes.c_char_p),
        ("decode_next", ctypes.c_void_p),
        ("least_libheif", ctypes.c_uint32),
        *((name, ctypes.c_void_p) for name in ("supports_2", "create_2", "push_2", "flush")),
        ("decode_next_2", ctypes.c_void_p),
    )


class _Error(ctypes.Structure):
    """C struct `heif_error`."""

    _fields_ = (
        ("code", ctypes.c_int),
        ("subcode", ctypes.c_int),
        ("message", ctypes.c_char_p),
    )


_FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Warnings:
    """Collector of the warnings of all decoders."""

    def __init__(self) -> None:
        self._codes: set[int] = set()
        # Objects that libheif points to; they must not be freed.
        self._kept: list[Any] = []

    def install(self, package: Path) -> bool:
        """Register the plugin copy; `package` is the folder of pillow-heif.

        Returns False if the package's libraries have a version that this code does not know.
        """
        folder = package.parent / "pillow_heif.libs"
        names = [next(folder.glob(f"{name}-*.so*"), None) for name in ("libheif", "libde265")]
        if None in names:
            return False
        heif, de265 = (ctypes.CDLL(str(each)) for each in names)
        plugin = _plugin_of(heif)
        if plugin is None:
            return False
        table = _Plugin.from_buffer_copy(plugin)
        free = _FREE(self._listener(de265, _FREE(plugin.free)))
        table.id_name, table.free = NAME, ctypes.cast(free, ctypes.c_void_p).value
        self._kept += [table, free, plugin]
        heif.heif_register_decoder_plugin.restype = _Error
        return bool(heif.heif_register_decoder_plugin(ctypes.byref(table)).code == 0)

    def take(self) -> Loss:
        """Clear the warnings, and return the loss of pixels that they report."""
        codes, self._codes = self._codes, set()
        if codes & _SHORT:
            return "short"
        return "broken" if codes & _BROKEN else "nothing"

    def _listener(
        self, de265: ctypes.CDLL, free: Callable[[int], None]
    ) -> Callable[[int | None], None]:
        de265.de265_get_warning.argtypes = (ctypes.c_void_p,)

        def free_and_tell(decoder: int | None) -> None:
            if decoder:
                # The first field of libheif's decoder object points to libde265's decoder.
                context = ctypes.c_void_p.from_address(decoder).value
                for _ in range(_MOST):
                    if not (code := de265.de265_get_warning(context)):
                        break
                    self._codes.add(code)
                free(decoder)

        return free_and_tell


def _plugin_of(heif: ctypes.CDLL) -> _Plugin | None:
    plugins = (ctypes.c_void_p * 1)()
    if heif.heif_get_decoder_descriptors(_HEVC, plugins, 1) != 1 or not plugins[0]:
        return None
    plugin = _Plugin.from_address(plugins[0])
    return plugin if plugin.version == _VERSION and plugin.id_name == _NAMED else None
