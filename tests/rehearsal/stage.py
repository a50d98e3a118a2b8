"""Setup of the rehearsal: servers, tasks of two cells, load balancer."""

import json
import secrets
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from serve_app.accounts import SCOPES, Accounts
from tests.rehearsal import servers
from tests.rehearsal.balancer import Balancer
from tests.rehearsal.network import DATABASE, GATEWAY, KAFKA, PREFIX, Network
from tests.rehearsal.rights import bucket_policy
from tests.rehearsal.servers import wait_for
from tests.rehearsal.task import ROOT, Definition, Task

TEMPLATES = ROOT / "deploy" / "ecs" / "cdk.out" / "large"
API_PORT = 8000
TOPIC, PARTITIONS = "images", 3
TOPICS = {TOPIC: PARTITIONS, f"{TOPIC}.dead-letters": 1}
ROLES = {role: role.removesuffix("Task").lower() for role in ("WorkerTask", "IngestTask")}
"""the S3 server's user for each role, given by its id in the template"""
# Ray's cold starts share two cores here; on a machine of its own a start takes a third of this.
START_SECONDS = 420.0
_COMMAND_SECONDS = 120
# Last part of each host's address. A replaced head has another address, as all tasks of ECS have.
PLACES = {
    "setup": 5,
    "command": 6,
    "a-head": 11,
    "a-worker1": 12,
    "a-worker2": 13,
    "a-ingest": 14,
    "a-worker3": 15,
    "a-head2": 16,
    "b-head": 21,
    "b-worker1": 22,
    "b-ingest": 23,
    # The second region.
    "s-head": 31,
    "s-worker1": 32,
    "s-ingest": 33,
    "s-head2": 34,
    "s-worker2": 35,
    "s-ingest2": 36,
    "s-command": 37,
}
# The only sizes that differ from the template, because this machine is smaller.
_SIZES = {
    "NODE_CPUS": "1",
    "NODE_MEMORY_BYTES": "1500000000",
    "NODE_OBJECT_STORE_BYTES": str(128 * 1024 * 1024),
}


class Stage:
    """Servers, tasks and balancer of a rehearsal, which run during a `with`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network()
        self.tasks: dict[str, Task] = {}
        self.produced = 0
        self._commands = 0
        self._stack = ExitStack()
        self._ray_token = secrets.token_hex(32)
        self._user_password = secrets.token_hex(16)

    def __enter__(self) -> Self:
        self._stack.enter_context(self.network)
        try:
            self._servers()
            self._setup()
            self._cells()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for task in self.tasks.values():
            task.kill()
        self._stack.close()
        # The logs stay. The data of servers and tasks take gigabytes and are removed.
        for one in self.folder.iterdir():
            if one.is_dir():
                shutil.rmtree(one, ignore_errors=True)

    def _servers(self) -> None:
        self.store = servers.Store(self.folder / "s3", self._stack)
        self.store.client(self.store.admin).put_bucket_policy(
            Bucket=servers.BUCKET,
            Policy=bucket_policy(template("cell-a"), ROLES),
        )
        self.master_password = servers.postgres(self.folder / "postgres", self._stack)
        self._cache_password, self._cache_ca = servers.valkey(
            self.folder / "cache", self._stack, _limits_rights(template("data"))
        )
        self.kafka = servers.kafka(self.folder / "kafka", self._stack, TOPICS)
        self.network.name("gcs.pixlake.internal", GATEWAY)
        self.network.name("db.pixlake.internal", DATABASE)

    def _setup(self) -> None:
        """Run the one-off task that creates the service's database user; create a first key."""
        self.network.add("setup", PLACES["setup"])
        task = Task(self.network, "setup", self._definition("a", "setup"), self.folder)
        task.start()
        wait_for(lambda: not task.runs, "the setup task")
        if task.code != 0:
            raise RuntimeError(f"the setup task failed:\n{task.tail()}")
        accounts = Accounts.open(self._database_url())
        self.key = accounts.create_key("default", SCOPES, "rehearsal").text
        accounts.close()

    def _cells(self) -> None:
        targets: dict[str, dict[str, str]] = {"a": {}, "b": {}}
        for host, place in PLACES.items():
            if "worker" in host and host[0] in targets:
                targets[host[0]][host] = f"{PREFIX}.{place}"
        self.balancer = Balancer(
            self.folder / "balancer", self._stack, template("platform"), targets, API_PORT
        )
        for host, kind in (
            ("a-head", "head"),
            ("a-worker1", "worker"),
            ("a-worker2", "worker"),
            ("a-ingest", "ingest"),
        ):
            self.start(host, kind)

    def start(self, host: str, kind: str) -> Task:
        """Start a new task; if it is a head, the head's name then leads to its address."""
        cell = host[0]
        address = self.network.add(host, PLACES[host])
        task = Task(self.network, host, self._definition(cell, kind), self.folder)
        if kind == "head":
            self.network.name(f"head-{cell}.pixlake-large.internal", address)
        task.start()
        self.tasks[host] = task
        return task

    def run(self, kind: str, *words: str) -> Task:
        """Run a command of `pixlake` in a one-off task, with the rights of a kind of node."""
        self.network.add("command", PLACES["command"])
        definition = replace(self._definition("a", kind), command=list(words))
        task = Task(self.network, "command", definition, self.folder)
        self._commands += 1
        task.log = self.folder / f"command-{self._commands}.log"
        task.start()
        wait_for(lambda: not task.runs, f"the end of {words[0]}", seconds=_COMMAND_SECONDS)
        self.network.remove("command")
        return task

    def address(self, host: str) -> str:
        """Address of a host."""
        return f"{PREFIX}.{PLACES[host]}"

    def replace(self, host: str, kind: str) -> Task:
        """Start a new task in place of one that has ended or is killed now."""
        self.end(host)
        return self.start(host, kind)

    def end(self, host: str) -> None:
        """Kill a task and remove its network."""
        self.tasks.pop(host).kill()
        self.network.remove(host)

    def wait_healthy(self, *targets: str, seconds: float = START_SECONDS) -> float:
        """Wait until the balancer sends requests to exactly these targets; return the seconds."""
        try:
            return wait_for(
                lambda: self.balancer.healthy() == set(targets),
                f"healthy targets {sorted(targets)}",
                seconds=seconds,
            )
        except TimeoutError as error:
            tails = "\n".join(f"== {name}\n{one.tail()}" for name, one in self.tasks.items())
            raise TimeoutError(f"{error}; they are {self.balancer.healthy()}\n{tails}") from None

    def _definition(self, cell: str, kind: str) -> Definition:
        definition = Definition.read(template(f"cell-{cell}"), kind, self.known())
        definition.variables.update(aws(kind, self.store, servers.KAFKA_PORT))
        return definition

    def known(self) -> dict[str, str]:
        """Variables that CloudFormation would fill in, or ECS from Secrets Manager."""
        return {
            **_SIZES,
            "NODE_CACHE_HOST": "gcs.pixlake.internal",
            "NODE_CACHE_PORT": str(servers.CACHE_PORT),
            "NODE_CACHE_PASSWORD": self._cache_password,
            "NODE_DATABASE_HOST": "db.pixlake.internal",
            "NODE_DATABASE_PORT": str(servers.DATABASE_PORT),
            "NODE_DATABASE_USER": "pixlake",
            "NODE_DATABASE_PASSWORD": self._user_password,
            "NODE_KAFKA_CLUSTER_ARN": "",
            "PIXLAKE_STORE_URL": f"s3://{servers.BUCKET}",
            "RAY_AUTH_TOKEN": self._ray_token,
            "RAY_REDIS_ADDRESS": f"rediss://gcs.pixlake.internal:{servers.CACHE_PORT}",
            "RAY_REDIS_PASSWORD": self._cache_password,
            "RAY_REDIS_CA_PATH": str(self._cache_ca),
            "SETUP_MASTER_USER": "master",
            "SETUP_MASTER_PASSWORD": self.master_password,
            "SETUP_PASSWORD": self._user_password,
        }

    def _database_url(self) -> str:
        return (
            f"postgresql://pixlake:{self._user_password}@{DATABASE}:{servers.DATABASE_PORT}/pixlake"
            "?sslmode=require"
        )


def aws(kind: str, store: servers.Store, kafka_port: int) -> dict[str, str]:
    """Variables that replace AWS: addresses of its services, and the role's credentials."""
    found = {
        "PIXLAKE_S3_ENDPOINT": store.endpoint,
        "KAFKA_BOOTSTRAP_SERVERS": f"{KAFKA}:{kafka_port}",
    }
    if kind in store.users:
        access, secret = store.users[kind]
        found |= {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}
    return found


def _limits_rights(data: Path) -> str:
    """Rights of the user by whom workers count limits, from the template of the stack `data`."""
    resources: dict[str, Any] = json.loads(data.read_text())["Resources"]
    [rights] = [
        one["Properties"]["AccessString"]
        for one in resources.values()
        if one["Type"] == "AWS::ElastiCache::User" and one["Properties"]["UserName"] == "pixlake"
    ]
    return str(rights)


def template(stack: str) -> Path:
    """Path of a stack's template, which is synthesized before the rehearsal starts."""
    return TEMPLATES / f"pixlake-large-{stack}.template.json"
