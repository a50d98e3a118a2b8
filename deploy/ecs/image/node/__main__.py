"""Entrypoint of the image: `python -m node head|worker|ingest|setup`, or a command of `pixlake`.

`watch canary` and `watch audit` run a command and write its result as metrics. `kafka` has commands
of operators (kafka_tool.py). Arguments that name no kind of node are passed to `pixlake`:
`docker run IMAGE audit --full`.
"""

import os
import sys
from pathlib import Path

from lake.logs import begin

from node.node_process import NodeProcess
from node.settings import NodeSettings
from pixlake.cli.failures import UsageFault
from pixlake.cli.variables import check_variables

KINDS = ("head", "worker", "ingest")


def main() -> int:
    """Run the node or command; returns 0 after SIGTERM, 2 for an unknown variable `PIXLAKE_…`.

    Otherwise returns the exit code of the process that ended.
    """
    begin()
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind == "setup":
        from node.setup import make_user  # noqa: PLC0415  # only this task has its secrets

        return make_user()
    if kind in KINDS:
        try:
            check_variables()
        except UsageFault as fault:
            sys.stderr.write(f"pixlake: {fault}\n")
            return fault.exit_code
        return NodeProcess(kind, NodeSettings()).run()  # type: ignore[arg-type]  # a kind of node
    settings = _in_task() if "NODE_STAGE" in os.environ else None
    if settings is not None and kind in _OF_TASKS:
        return _OF_TASKS[kind](settings)
    command = str(Path(sys.executable).with_name("pixlake"))
    os.execv(command, [command, *sys.argv[1:]])  # noqa: S606  # a program of the image
    return 0


def _in_task() -> NodeSettings:
    """Let a command in a task use the accounts database and the scratch folder of the node."""
    settings = NodeSettings()
    os.environ["PIXLAKE_HOME"] = str(settings.scratch)
    # The root file system is read only.
    os.environ["TMPDIR"] = str(settings.scratch)
    if settings.database_url is not None:
        os.environ["PIXLAKE_DATABASE_URL"] = settings.database_url
    return settings


def _watch(settings: NodeSettings) -> int:
    from node.watch import COMMANDS, watch  # noqa: PLC0415  # only scheduled tasks

    check = next((one for one in COMMANDS if one in sys.argv[2:]), None)
    if check is None:
        sys.stderr.write(f"pixlake: watch what? {', '.join(COMMANDS)}\n")
        return 2
    return watch(settings, check, os.environ)


def _kafka(settings: NodeSettings) -> int:
    from node.kafka_tool import main as ask  # noqa: PLC0415  # only operators

    if settings.kafka_cluster_arn:
        from node.msk import kafka_environment  # noqa: PLC0415  # boto3 is slow to import

        os.environ.update(kafka_environment(settings.kafka_cluster_arn))
    return ask(sys.argv[2:])


_OF_TASKS = {"watch": _watch, "kafka": _kafka}


if __name__ == "__main__":
    sys.exit(main())
