"""BMP of Windows and OS/2, all of its headers, depths and masks.

info      header fields; names the feature when it refuses a file
runs      run-length decoder, to palette indices
reader    header and pixels of a file
"""
