"""Measures: what the pixels of a decoded image say, as columns that SQL can filter.

Not here: faces, which operations need too (`processors/faces.py`), and facts of the file's header.
"""
