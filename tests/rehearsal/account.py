"""Programs `aws` and `npx` that ask the rehearsal, in place of the AWS command line and CDK."""

import json
import socketserver
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

Answer = Callable[[list[str]], tuple[int, str]]

_PROGRAM = """\
#!{python}
import json, socket, sys
with socket.socket(socket.AF_UNIX) as talk:
    talk.connect({path!r})
    talk.sendall(json.dumps(sys.argv).encode() + b"\\n")
    code, text = json.loads(talk.makefile().readline())
sys.stdout.write(text)
sys.exit(code)
"""


class Programs:
    """Folder of both programs during a `with`; `answers` gets the words of each call.

    It returns exit code and standard output.
    """

    def __init__(self, folder: Path, answers: Answer) -> None:
        folder.mkdir()
        self.folder = folder
        path = str(folder / "socket")
        for name in ("aws", "npx"):
            program = folder / name
            program.write_text(_PROGRAM.format(python=sys.executable, path=path))
            program.chmod(0o755)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                words: list[str] = json.loads(self.rfile.readline())
                self.wfile.write(json.dumps(answers(words)).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(path, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
