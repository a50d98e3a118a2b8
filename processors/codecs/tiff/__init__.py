"""TIFF reader; decodes strip by strip and tile by tile, so that an incomplete one is noticed.

directory    entries and values of the first directory; number of pages
layout       pixel layout from those entries; names the feature when it refuses a file
names        tags, and names of the numbers that stand for a compression or a colour space
segments     bytes of strips and tiles, decompressed
libtiff      LZW, PackBits, Zstandard and fax codes, decompressed by Pillow's libtiff
fax          CCITT strips, and a check that they hold all of their rows
jpegs        JPEG and WebP within TIFF
samples      decompressed bytes as numbers
colours      numbers as grey, BGR or BGRA
reader       header and pixels of a file
"""
