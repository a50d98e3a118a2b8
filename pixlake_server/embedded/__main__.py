"""Entry point `python -m pixlake_server.embedded`, which does the same as `pixlake up`."""

import sys

from pixlake.cli.failures import CliError
from pixlake.cli.variables import check_variables
from pixlake_server.embedded.errors import EmbeddedError
from pixlake_server.embedded.settings import EmbeddedSettings
from pixlake_server.embedded.supervisor import run

try:
    check_variables()
    sys.exit(run(EmbeddedSettings().home))
except (CliError, EmbeddedError, ValueError, OSError) as error:
    sys.exit(f"pixlake up: {error}")
