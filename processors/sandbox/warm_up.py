"""Warm-up of all codecs with one small image, so that late imports happen before the lock-down."""

import base64
import io
import zlib

import cv2
import numpy as np
from PIL import AvifImagePlugin, Image, ImageCms

from processors.codecs import heif
from processors.codecs.codec import OutputFormat
from processors.codecs.coded_colours import profile_of_codes
from processors.codecs.colour import to_srgb
from processors.codecs.formats import FORMATS, HEIC, JPEG
from processors.faces import find_faces
from processors.image import Image as DecodedImage
from processors.malloc_tuning import keep_memory
from processors.operations import Fit, Watermark
from processors.pipeline import process
from processors.preset import Preset, RenditionSpec
from processors.settings import Limits

# HEIC of 64 x 64 pixels of one colour, deflated; OpenCV cannot encode HEIC.
_SMALL_HEIC = (
    b"eNpjYGCQSSupLMhIzUxmAILczDRDEDs3MzGNgYHRKTe1JJEBAhQzUnKKoGyGgszkEgY0oJSZkw82xMWBgREIgYAxDUID"
    b"gSQQK2dm5qWBeSBRUSAnlQnKyyhLNgQx+QoyS3LhSg5lFhQVAOklmQXJ+UC6AqjMmZEZJDQBrEjuA8Ofvz9+MDDwMycA"
    b"dUg4MPIw/v8PUsAMUsEMQnK7mBwSgZLaToyMaDILFBpZp73y1FyXxyTFwwESOgEiOBySgOrZXRgPFm1QcgBaI5JZXJAK"
    b"9YgDFAsUZFZkggSYOTiAWhnEMgtyYWEF9D5zIxMzKNRyUxJBISWqwbhesuF7Tav5/970fylV/61ZK7YUAAAscEXx"
)


def warm_up() -> None:
    """Configure the libraries for a process of one thread, and use each once.

    Raises RuntimeError where OpenCV lacks a codec.
    """
    keep_memory()
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # Pixlake checks its own limits first; Pillow's limit would only warn.
    Image.MAX_IMAGE_PIXELS = None
    pixels = np.zeros((16, 16, 3), np.uint8)
    outputs: list[OutputFormat] = ["jpeg", "png", "webp", "avif"]
    # Text makes OpenCV unpack its fonts.
    mark = Watermark(text="\u30a6 warm")
    everything = Preset(
        name="warm-up",
        version=1,
        renditions=tuple(
            RenditionSpec(name=each, operations=(Fit(width=8), mark), format=each)
            for each in outputs
        ),
    )
    find_faces(DecodedImage(pixels))
    for extension in sorted(FORMATS.keys() - {HEIC.name}):
        done, encoded = cv2.imencode(f".{extension}", pixels)
        if not done:
            raise RuntimeError(f"this OpenCV has no {extension}")
        process(encoded.tobytes(), everything, Limits())
    if heif.available():
        process(zlib.decompress(base64.b64decode(_SMALL_HEIC)), everything, Limits())
    _warm_up_pillow()


def _warm_up_pillow() -> None:
    out = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.new("CMYK", (16, 16)).save(out, JPEG.name, icc_profile=profile)
    process(out.getvalue(), Preset(name="warm-up", version=1), Limits())
    # First use of LittleCMS and NumPy takes about 40 ms.
    if wide := profile_of_codes(12, 13):
        to_srgb(np.zeros((1, 1, 3), np.uint8), wide, grey=False)
