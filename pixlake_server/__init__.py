"""Server side of the command (`cli`), and the services that `pixlake up` starts (`embedded`).

The client library and the command itself are in `client/pixlake`.
"""
