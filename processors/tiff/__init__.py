"""TIFF: read segment by segment, so that what is not whole is known.

directory    the first directory of the file: its entries and their values; the number of pages
layout       what the entries say of the pixels; refuses by name what is not read
names        tags, and the names of their numbers
segments     the bytes of strips and tiles, unpacked
libtiff      LZW, PackBits, Zstandard and fax codes, unpacked by Pillow's libtiff
fax          CCITT strips, and a proof that they hold all of their rows
jpegs        JPEG and WebP within TIFF
samples      unpacked bytes as numbers
colours      numbers as grey or colours
reader       a header, and the pixels, of a file
"""
