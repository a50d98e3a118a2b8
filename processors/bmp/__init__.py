"""BMP of Windows and OS/2, all of its headers, depths and masks.

info      what the header says; refuses by name what is not read
runs      run lengths as indices of the palette
reader    a header, and the pixels, of a file
"""
