"""Greeting that `pixlake up` prints when it is ready."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Facts:
    """Addresses, key and folders of a running Pixlake."""

    home: Path
    url: str
    key: str
    key_file: Path
    bootstrap: str
    topic: str
    dead_letters: str
    logs: Path
    given: Mapping[str, str]
    """environment variables that commands in another terminal need"""

    @property
    def console(self) -> str:
        """URL of the console."""
        return f"{self.url}/"

    @property
    def docs(self) -> str:
        """URL of the API's documentation."""
        return f"{self.url}/docs"


def as_json(facts: Facts) -> str:
    """Format as one line of JSON."""
    known = {"ready": True, **asdict(facts), "console": facts.console, "docs": facts.docs}
    return json.dumps(known, default=str) + "\n"


def as_text(facts: Facts) -> str:
    """Format as text: addresses, the key, and commands to try."""
    key_file = shlex.quote(str(facts.key_file))
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in facts.given.items())
    export = f"  export {given}\n" if given else ""
    return f"""
Pixlake is ready.

  API        {facts.url}
  Console    {facts.console}     Docs  {facts.docs}
  API key    {facts.key}
             stored in {facts.key_file}
  Kafka      {facts.bootstrap}, topic {facts.topic} (refused: {facts.dead_letters})
  Logs       {facts.logs}

Try, in another terminal:

{export}  .venv/bin/pixlake upload photos/ --preset web
  .venv/bin/pixlake produce photos/ --topic {facts.topic}
  .venv/bin/pixlake ls
  .venv/bin/pixlake query "SELECT format, count(*), avg(width) FROM images GROUP BY 1"

  curl -H "Authorization: Bearer $(cat {key_file})" \\
       -H "Content-Type: image/jpeg" --data-binary @photo.jpg {facts.url}/v1/images

Rows can be queried within two minutes, or at once after `.venv/bin/pixlake seal --now`.
Ctrl-C stops everything.
"""  # noqa: S608  a command for the user, not a query of this program
