"""One use of each operation on a small photograph, and its golden image."""

import base64
import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from processors.image import Image
from processors.operations import (
    Blur,
    BlurFaces,
    Brightness,
    Canny,
    Clahe,
    Contrast,
    Crop,
    Denoise,
    Fill,
    Fit,
    Flip,
    Gamma,
    Grayscale,
    Operation,
    Pad,
    Redact,
    Resize,
    Rotate,
    Sharpen,
    Threshold,
    Watermark,
    WhiteBalance,
)
from processors.operations.redact import Box
from tests.photos import scene

GOLDENS = Path(__file__).parent / "goldens"


def badge() -> str:
    """PNG in base64, as a preset holds it: a red disc on a transparent ground."""
    pixels = np.zeros((32, 48, 4), np.uint8)
    cv2.ellipse(pixels, (24, 16), (22, 14), 0, 0, 360, (30, 30, 220, 255), -1)
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


CASES: dict[str, Operation] = {
    "fit": Fit(width=64),
    "fill": Fill(width=48, height=48, gravity="smart"),
    "pad": Pad(width=96, height=96, background="#336699"),
    "resize": Resize(width=120, height=40, enlarge=True),
    "crop": Crop(width=40, height=30, x=50, y=5),
    "rotate": Rotate(angle=30, background="#ffcc00"),
    "flip": Flip(),
    "grayscale": Grayscale(),
    "brightness": Brightness(amount=20),
    "contrast": Contrast(amount=60),
    "gamma": Gamma(gamma=2.2),
    "white_balance": WhiteBalance(),
    "clahe": Clahe(clip_limit=4, tiles=4),
    "blur": Blur(sigma=3),
    "sharpen": Sharpen(sigma=1.5, amount=2),
    "denoise": Denoise(strength=10),
    "threshold": Threshold(method="adaptive", block=15),
    "canny": Canny(),
    "watermark": Watermark(image=badge(), scale=0.4, opacity=0.8, margin=4),
    "redact": Redact(boxes=(Box(30, 8, 30, 40), Box(80, 50, 40, 40)), mode="pixelate"),
    "blur_faces": BlurFaces(mode="pixelate"),
}
"""Operation with its parameters, by name."""


def photo() -> Image:
    """Photograph at 96 x 64."""
    rgb = np.asarray(scene("astronaut", 96, 64))
    return Image(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False))


def made(name: str) -> Image:
    """Result of the operation on the photograph."""
    return CASES[name](photo())


def golden(name: str) -> Image:
    """Stored result of the operation, which a person approved."""
    with Pillow.open(GOLDENS / f"{name}.png") as image:
        rgb = np.asarray(image.convert("RGB"))
    return Image(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False))


def write(name: str) -> None:
    """Store today's result as the golden image."""
    out = io.BytesIO()
    rgb = cv2.cvtColor(made(name).pixels, cv2.COLOR_BGR2RGB)
    Pillow.fromarray(rgb.astype(np.uint8)).save(out, "PNG", optimize=True)
    (GOLDENS / f"{name}.png").write_bytes(out.getvalue())
