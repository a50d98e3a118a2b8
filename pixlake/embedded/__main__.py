"""`python -m pixlake.embedded`: the same as `pixlake up`, without the command."""

import sys

from pixlake.embedded.errors import EmbeddedError
from pixlake.embedded.settings import EmbeddedSettings
from pixlake.embedded.supervisor import run

try:
    sys.exit(run(EmbeddedSettings().home))
except (EmbeddedError, ValueError, OSError) as error:
    sys.exit(f"pixlake up: {error}")
