"""Check of a preset before it is stored: it is used once, in the sandbox, on a small picture."""

import base64

from processors.errors import InvalidPreset, Refused
from processors.preset import Preset
from processors.sandbox.sandbox import NOBODY, Sandbox

# A PNG of 48 x 32 pixels, half of them transparent.
_PICTURE = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAADAAAAAgAgMAAAApuhOPAAAADFBMVEUAAADIeCgAAAAAAAC1EWsYAAAABHRSTlMA"
    b"/wAADQtSdwAAAB1JREFUeNpjDGVgYGBgWM3AwMDAwMSABEY5g4EDANCtAUCgBc4KAAAAAElFTkSuQmCC"
)


async def try_out(sandbox: Sandbox, preset: Preset) -> None:
    """Process the test picture with a preset; raises InvalidPreset if that fails, Overloaded."""
    try:
        # A child serves one tenant, and keeps the presets that it had.
        await sandbox.process(_PICTURE, preset, preset.tenant or NOBODY)
    except Refused as refused:
        raise InvalidPreset(
            f"the preset fails for a test picture of 48 x 32: {refused.code}: {refused.detail}",
            limit=refused.limit,
            value=refused.value,
        ) from refused
