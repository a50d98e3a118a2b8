"""Codecs: formats, header readers, decoders and encoders, colour profiles, EXIF.

Not here: operations on decoded pixels, and the process boundary (`processors/sandbox`).
"""
