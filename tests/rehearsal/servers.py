"""Servers in place of AWS services, on the bridge's address: S3, Kafka, PostgreSQL, Valkey.

Debian 12 has no Valkey, so its redis-server is used, which speaks the same protocol. It has TLS and
a password, as in ElastiCache. PostgreSQL has a password; Kafka has none.
"""

import json
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import psycopg
from botocore.config import Config
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from psycopg import sql

from pixlake_server.embedded.child import spawn, terminate
from pixlake_server.embedded.kraft import KraftNode
from pixlake_server.embedded.ports import free_ports
from tests.rehearsal.network import DATABASE, GATEWAY, KAFKA, STORE
from tests.servers.kafka import java_and_jars
from tests.servers.s3 import s3_binary

S3_PORT, KAFKA_PORT, DATABASE_PORT, CACHE_PORT = 9700, 9792, 9733, 9780
# Store and brokers of the second region.
S3_PORT_2, KAFKA_PORT_2 = 9702, 9794
REGION, REGION_2 = "eu-west-1", "eu-central-1"
BUCKET = "pixlake-rehearsal"
_READY_SECONDS = 60


class Store:
    """S3 server with one user for each role."""

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        *,
        port: int = S3_PORT,
        region: str = REGION,
        roles: tuple[str, ...] = ("worker", "ingest"),
    ) -> None:
        self._region = region
        self.endpoint = f"http://{STORE}:{port}"
        self.admin = ("admin", secrets.token_hex(16))
        self.users = {role: (role, secrets.token_hex(16)) for role in roles}
        buckets, accounts = folder / "buckets", folder / "accounts"
        buckets.mkdir(parents=True)
        accounts.mkdir()
        listed = {
            access: {"access": access, "secret": secret, "role": "user"}
            for access, secret in self.users.values()
        }
        (accounts / "users.json").write_text(json.dumps({"accessAccounts": listed}))
        self._log = folder / "s3.log"
        self._command: list[str | Path] = [
            s3_binary(),
            *("--port", f"{STORE}:{port}", "--health", "/healthz", "--quiet"),
            *("--region", region, "--iam-dir", accounts, "posix", buckets),
        ]
        self.start()
        stack.callback(lambda: terminate(self.process, grace_seconds=2))
        client = self.client(self.admin)
        wait_for(lambda: bool(client.list_buckets()), "the S3 server", (Exception,))
        client.create_bucket(Bucket=BUCKET)

    def start(self) -> None:
        """Start the server, also after its process was killed."""
        self.process = spawn(
            self._command,
            log=self._log,
            environment={"ROOT_ACCESS_KEY": self.admin[0], "ROOT_SECRET_KEY": self.admin[1]},
        )

    def pause(self) -> None:
        """Stop the process; connections stay open and are not answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process; the data stay for `start`."""
        self.process.kill()
        self.process.wait()

    def client(self, user: tuple[str, str]) -> Any:
        """S3 client with the credentials of this user."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=user[0],
            aws_secret_access_key=user[1],
            region_name=self._region,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )


def kafka(
    folder: Path, stack: ExitStack, topics: dict[str, int], *, port: int = KAFKA_PORT
) -> KraftNode:
    """Start Kafka with topics, given with their number of partitions.

    It listens on a loopback port for the tests, and on the bridge for the hosts.
    """
    java, jars = java_and_jars()
    own, controller = free_ports(2)
    node = KraftNode(
        java=java,
        jars=jars,
        data_dir=folder,
        port=own,
        settings={
            "listeners": f"OWN://127.0.0.1:{own},VPC://{KAFKA}:{port},"
            f"CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"OWN://127.0.0.1:{own},VPC://{KAFKA}:{port}",
            "listener.security.protocol.map": "OWN:PLAINTEXT,VPC:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "OWN",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        },
    )
    stack.callback(node.kill)
    node.start()
    node.wait_ready(_READY_SECONDS)
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    wanted = [NewTopic(name, partitions, 1) for name, partitions in topics.items()]
    for done in admin.create_topics(wanted).values():
        done.result()
    return node


def postgres(folder: Path, stack: ExitStack) -> str:
    """Start PostgreSQL with a self-signed certificate; return the password of the user `master`."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    password = secrets.token_hex(16)
    folder.mkdir()
    shutil.chown(folder, "postgres")
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o644)
    _key_pair(folder, "db.pixlake.internal")
    for name in ("key.pem", "cert.pem"):
        shutil.chown(folder / name, "postgres")
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), "-D", str(data), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            user="postgres",
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )

    run("initdb", "-U", "master", "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8")
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("hostssl all all 10.77.41.0/24 scram-sha-256\n")
    options = (
        f"-c listen_addresses={DATABASE} -c port={DATABASE_PORT} -c fsync=off -c ssl=on "
        f"-c ssl_cert_file={folder}/cert.pem -c ssl_key_file={folder}/key.pem "
        f"-c unix_socket_directories={folder}"
    )
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    stack.callback(run, "pg_ctl", "-m", "immediate", "stop")
    with psycopg.connect(
        f"postgresql://master:{password}@{DATABASE}:{DATABASE_PORT}/postgres", autocommit=True
    ) as connection:
        connection.execute("CREATE DATABASE pixlake")
    return password


def copy_database(password: str, name: str) -> None:
    """Copy the database `pixlake` under another name, as a restored backup has it."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    server = f"postgresql://master:{password}@{DATABASE}:{DATABASE_PORT}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    dump = subprocess.run(
        [programs / "pg_dump", f"{server}/pixlake"], capture_output=True, check=True
    ).stdout
    subprocess.run(
        [programs / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", f"{server}/{name}"],
        input=dump,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def valkey(folder: Path, stack: ExitStack, limits: str) -> tuple[str, Path]:
    """Start Valkey or Redis; return its password and a folder with its authority's certificate.

    The user `pixlake`, by whom workers count limits, has the same password and the rights `limits`.
    """
    folder.mkdir()
    _key_pair(folder, "gcs.pixlake.internal")
    password = secrets.token_hex(16)
    (folder / "redis.conf").write_text(
        f"bind {GATEWAY}\nport 0\ntls-port {CACHE_PORT}\nrequirepass {password}\n"
        f"user pixlake {limits} >{password}\n"
        f"tls-cert-file {folder}/cert.pem\ntls-key-file {folder}/key.pem\n"
        f"tls-ca-cert-file {folder}/cert.pem\ntls-auth-clients no\nsave ''\ndir {folder}\n"
    )
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    assert server, "neither valkey-server nor redis-server is installed"
    process = spawn([server, folder / "redis.conf"], log=folder / "log", environment={})
    stack.callback(terminate, process, grace_seconds=2)
    # Files named by hash, as in a system's folder of authorities.
    authorities = folder / "authorities"
    authorities.mkdir()
    shutil.copy(folder / "cert.pem", authorities)
    subprocess.run(["openssl", "rehash", str(authorities)], check=True)
    return password, authorities


def wait_for(
    condition: Callable[[], bool],
    what: str,
    errors: tuple[type[Exception], ...] = (),
    seconds: float = _READY_SECONDS,
) -> float:
    """Wait for a condition; return the seconds. Raises TimeoutError with `what` in its text."""
    began = time.monotonic()
    while True:
        try:
            if condition():
                return time.monotonic() - began
        except errors:
            pass
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.2)


def _key_pair(folder: Path, name: str) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:{GATEWAY}"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "key.pem").chmod(0o600)
