"""Upload: the route that stores an image, and how its headers, body and form are read.

Not here: limits shared between clients (`serve_app/admission`), and processing.
"""
