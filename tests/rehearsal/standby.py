"""Second region: a standby with store, brokers, accounts and cluster of its own."""

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from tests.rehearsal import servers
from tests.rehearsal.balancer import Balancer
from tests.rehearsal.copier import USER, Copier, copies_policy, prefixes
from tests.rehearsal.network import PREFIX
from tests.rehearsal.rights import bucket_policy
from tests.rehearsal.servers import BUCKET, wait_for
from tests.rehearsal.stage import API_PORT, PLACES, ROLES, START_SECONDS, TOPICS, Stage, aws
from tests.rehearsal.task import ROOT, Definition, Task

ECS = ROOT / "deploy" / "ecs"
PYTHON = ECS / ".venv" / "bin" / "python"
FIRST, SECOND = "rehearsal-first", "rehearsal-standby"
"""names of both environments"""
_STAGE = "standby"
_SECRETS = "arn:aws:secretsmanager:eu-central-1::secret:"
_OF_STANDBYS = f"""\
stage = "{_STAGE}"
role = "standby"
leads = false
warm = true
standby_bucket = "{BUCKET}"
standby_key_arn = "arn:aws:kms:eu-central-1::key/x"
standby_origin_secret_arn = "{_SECRETS}OriginSecret-1a2b3c"
standby_database_secret_arn = "{_SECRETS}DatabaseUser-1a2b3c"
"""
_DATABASE = "standby"
_COMMAND_SECONDS = 300


def write_environments(folder: Path) -> None:
    """Write the settings of both regions, from those of `large`, as docs/aws.md tells."""
    large = (ECS / "environments" / "large.toml").read_text()
    first = large.replace('replicate = "lake"', 'replicate = "everything"')
    first = re.sub(
        r"(?ms)^cells = \[.*?^\]", 'cells = [{ name = "a", image_tag = "0.1.0" }]', first
    )
    second = re.sub(r"eu-(west|central)-1", _other_region, first)
    second = second.replace('stage = "large"\n', _OF_STANDBYS)
    second = second.replace("[database]\n", f'[database]\nmaster_secret_arn = "{_SECRETS}rds!x"\n')
    folder.mkdir()
    for name, text in ((FIRST, first), (SECOND, second)):
        (folder / f"{name}.toml").write_text(text)
        subprocess.run([PYTHON, ECS / "app.py", name, folder, "--example"], check=True)


def _other_region(found: re.Match[str]) -> str:
    return "eu-central-1" if found[1] == "west" else "eu-west-1"


def template(environment: str, stack: str) -> Path:
    """Path of the template of a stack, as it was synthesized last."""
    folder = ECS / "cdk.out" / environment
    [found] = folder.glob(f"pixlake-*-{stack}.template.json")
    return found


class Standby:
    """Standby during a `with`, to which the first region's objects are copied."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stack = ExitStack()
        self.environments = stage.folder / "environments"
        self.tasks: dict[str, Task] = {}
        self.commands: list[Task] = []

    def __enter__(self) -> Self:
        try:
            write_environments(self.environments)
            self._servers()
            for host, kind in (("s-head", "head"), ("s-worker1", "worker"), ("s-ingest", "ingest")):
                self._start(host, kind)
            self.wait_healthy("s-worker1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in [*self.tasks]:
            self._end(host)
        self._stack.close()

    def _servers(self) -> None:
        stage, folder = self._stage, self._stage.folder
        roles = (*ROLES.values(), USER)
        self.store = servers.Store(
            folder / "s3-2",
            self._stack,
            port=servers.S3_PORT_2,
            region=servers.REGION_2,
            roles=roles,
        )
        self.allow()
        below = prefixes(template(FIRST, "data"))
        self.copier = self._stack.enter_context(Copier(stage.store, self.store, below))
        servers.copy_database(stage.master_password, _DATABASE)
        self.kafka = servers.kafka(
            folder / "kafka-2", self._stack, TOPICS, port=servers.KAFKA_PORT_2
        )
        workers = ("s-worker1", "s-worker2")
        self.balancer = Balancer(
            folder / "balancer-2",
            self._stack,
            template(SECOND, "platform"),
            {"a": {host: f"{PREFIX}.{PLACES[host]}" for host in workers}, "b": {}},
            API_PORT,
        )

    def allow(self) -> None:
        """Put the bucket's policy: the roles' rights, and what the replica's policy says."""
        policy = json.loads(bucket_policy(template(SECOND, "cell-a"), ROLES))
        policy["Statement"] += copies_policy(template(FIRST, "replica"))
        admin = self.store.client(self.store.admin)
        admin.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))

    def roll(self) -> None:
        """Deploy the cell anew: its tasks get the variables of the template that is there now."""
        self._end("s-head")
        self._start("s-head2", "head")
        self._start("s-worker2", "worker")
        self._start("s-ingest2", "ingest")
        self.wait_healthy("s-worker1", "s-worker2")
        for host in ("s-worker1", "s-ingest"):
            self.tasks[host].stop()
            self._end(host)
        self.wait_healthy("s-worker2")

    def run(self, kind: str, words: list[str]) -> Task:
        """Start a one-off task."""
        definition = replace(self._definition(kind), command=words)
        self._stage.network.add("s-command", PLACES["s-command"])
        task = Task(self._stage.network, "s-command", definition, self._stage.folder)
        task.log = self._stage.folder / f"standby-{len(self.commands)}.log"
        self.commands.append(task)
        task.start()
        return task

    def end_command(self) -> None:
        """Remove the network of a one-off task that has ended."""
        wait_for(lambda: not self.commands[-1].runs, "its end", seconds=_COMMAND_SECONDS)
        self._stage.network.remove("s-command")

    def wait_healthy(self, *hosts: str) -> float:
        """Wait until these workers get requests; return the seconds."""
        try:
            return wait_for(self._are_healthy({*hosts}), f"healthy {hosts}", seconds=START_SECONDS)
        except TimeoutError as error:
            tails = "\n".join(f"== {name}\n{one.tail()}" for name, one in self.tasks.items())
            raise TimeoutError(f"{error}; {self.balancer.healthy()}\n{tails}") from None

    def _are_healthy(self, hosts: set[str]) -> Callable[[], bool]:
        return lambda: self.balancer.healthy() == hosts

    def _start(self, host: str, kind: str) -> None:
        network = self._stage.network
        address = network.add(host, PLACES[host])
        if kind == "head":
            network.name(f"head-a.pixlake-{_STAGE}.internal", address)
        self.tasks[host] = Task(network, host, self._definition(kind), self._stage.folder)
        self.tasks[host].start()

    def _end(self, host: str) -> None:
        self.tasks.pop(host).kill()
        self._stage.network.remove(host)

    def _definition(self, kind: str) -> Definition:
        known = self._stage.known() | {"NODE_DATABASE_NAME": _DATABASE}
        definition = Definition.read(template(SECOND, "cell-a"), kind, known)
        definition.variables.update(aws(kind, self.store, servers.KAFKA_PORT_2))
        return definition
