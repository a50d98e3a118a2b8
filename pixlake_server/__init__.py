"""Server side of the command (`cli`), and the services that `pixlake up` starts (`embedded`).

Not here: the client library and the command itself (`client/pixlake`).
"""
