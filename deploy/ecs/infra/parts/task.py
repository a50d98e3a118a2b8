"""Task definitions of a Ray node: head, worker or ingest, on Fargate or on EC2 hosts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam

from infra import grants, ports
from infra.settings import Nodes
from infra.stack import Stack

# Stop time-out in seconds: the maximum on Fargate, and enough for the drain below.
STOP_SECONDS = 120
# Seconds from the health check's first 503 to Ray's drain: two checks, 5 s apart, and a reserve.
LEAVE_SECONDS = 15
# `ray start --block` marks its node as draining, waits this long for its replicas, and stops.
DRAIN_SECONDS = 85
# The same where AWS may end the node on short notice. The balancer's drain, in which the node's
# requests end, and LEAVE_SECONDS come out of the notice, too; ten seconds are left for the end of
# the processes. The rehearsal's drains took 17 s.
SPOT_NOTICE_SECONDS = 120
SPOT_DRAIN_SECONDS = 35
# Life of a task in which people work.
SHELL_SECONDS = 14_400
# User and group that the image creates.
USER = "10001:10001"
_SCRATCH = "/scratch"
# Share of memory for Ray's object store; Ray's default is 0.3. The store holds only Kafka's batches
# on their way to a worker, 64 MB for each consumer. Decoders need the rest;
# tests/deploy/test_node_memory.py computes the sum.
SHARED_MEMORY_SHARE = 0.1
_OPEN_FILES = 65_536
# Limit of processes and threads of a task. All parts of Pixlake on one node of 2 vCPU have 550 when
# idle; a worker has fewer parts, and more threads with more vCPU. A decoder of HEIC that was taken
# over may use up to half of this limit (processors/sandbox/decoder_main.py).
PROCESSES = 4096
_MIB = 1024 * 1024
# Smallest object store that Ray accepts. Without /dev/shm the store is a file, so it must be small.
SMALLEST_STORE_MIB = 128


@dataclass(frozen=True, slots=True)
class Access:
    """Rights of a task: its IAM statements, and the secrets that ECS reads for the task."""

    statements: list[iam.PolicyStatement]
    secrets: Mapping[str, str]
    """environment variable → ARN, or ARN and key within the secret"""
    secret_arns: Sequence[str]
    key_arns: Sequence[str] = ()
    """keys of the secrets, in addition to that of the environment"""
    interactive: bool = False
    """True: people work in the task by ECS Exec, and it ends by itself"""


@dataclass(frozen=True, slots=True)
class Shared:
    """Log group of a cell and the role that starts its tasks, in a compact environment.

    ECS alone uses that role, before a task runs; containers cannot (ECS Developer Guide, "Task
    execution role"). So one role for all kinds gives no task the secrets of another.
    """

    log_group: str
    starter_arn: str | None
    """None: the task has a role of its own"""


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a task: image, key, and the cell in its log group's name."""

    image: str
    repository_arn: str
    key_arn: str
    cell: str
    shared: Shared | None = None


def definition(
    stack: Stack,
    kind: str,
    nodes: Nodes,
    place: Place,
    access: Access,
    environment: Mapping[str, str],
) -> ecs.CfnTaskDefinition:
    """Create a task definition and its two roles."""
    settings, shared = stack.settings, place.shared
    group = shared.log_group if shared else f"/{settings.prefix}/{place.cell}/{kind}"
    log = None if shared else stack.log_group(f"{kind.title()}Log", group, place.key_arn)
    statements = list(access.statements)
    if settings.cluster.ecs_exec or access.interactive:
        shells = group if shared else f"/{settings.prefix}/exec"
        statements += grants.shell(place.key_arn, _log_arn(stack, shells))
    # Without rights a task needs no role, and then has no credentials.
    own = None
    if statements or not settings.compact:
        own = stack.role(f"{kind.title()}Task", runner(stack), statements).attr_arn
    starter = shared.starter_arn if shared else None
    if starter is None:
        starter = execution_role(stack, f"{kind.title()}Execution", place, group, [access]).attr_arn
    task = ecs.CfnTaskDefinition(
        stack,
        kind.title(),
        family=f"{settings.prefix}-{place.cell}-{kind}",
        requires_compatibilities=["EC2" if settings.on_ec2 else "FARGATE"],
        network_mode="awsvpc",
        cpu=str(nodes.cpu),
        memory=str(nodes.memory),
        task_role_arn=own,
        execution_role_arn=starter,
        runtime_platform=ecs.CfnTaskDefinition.RuntimePlatformProperty(
            operating_system_family="LINUX",
            cpu_architecture="ARM64" if settings.cluster.architecture == "arm64" else "X86_64",
        ),
        volumes=[
            ecs.CfnTaskDefinition.VolumeProperty(name=name) for name in _mounts(stack, access)
        ],
        container_definitions=[
            _container(stack, kind, nodes, place, access, environment, group),
        ],
    )
    if log is not None:
        task.add_resource_dependency(log)
    return task


def runner(stack: Stack) -> iam.ServicePrincipal:
    """Principal of the tasks of this account and region."""
    return grants.service("ecs-tasks.amazonaws.com", arn_like=_tasks(stack))


def execution_role(
    stack: Stack, id: str, place: Place, group: str, accesses: Sequence[Access]
) -> iam.CfnRole:
    """Create the role by which ECS starts tasks with these secrets."""
    secrets = [arn for access in accesses for arn in access.secret_arns]
    keys = [arn for access in accesses for arn in access.key_arns]
    statements = grants.execution(
        place.repository_arn,
        _log_arn(stack, group),
        list(dict.fromkeys(secrets)),
        list(dict.fromkeys([place.key_arn, *keys])),
    )
    return stack.role(id, runner(stack), statements)


def _container(
    stack: Stack,
    kind: str,
    nodes: Nodes,
    place: Place,
    access: Access,
    environment: Mapping[str, str],
    group: str,
) -> ecs.CfnTaskDefinition.ContainerDefinitionProperty:
    of = ecs.CfnTaskDefinition
    on_ec2 = stack.settings.on_ec2
    sizes = _sizes(nodes, on_ec2=on_ec2)
    values = {**environment, **sizes, "NODE_KIND": kind}
    return of.ContainerDefinitionProperty(
        name=kind,
        image=place.image,
        essential=True,
        command=["sleep", str(SHELL_SECONDS)] if access.interactive else [kind],
        user=USER,
        # Ray reads the limit of the container, not that of the task.
        cpu=nodes.cpu,
        memory=nodes.memory,
        readonly_root_filesystem=True,
        mount_points=[
            of.MountPointProperty(source_volume=name, container_path=path, read_only=False)
            for name, path in _mounts(stack, access).items()
        ],
        # Fargate supports neither security options nor shared memory.
        docker_security_options=["no-new-privileges"] if on_ec2 else None,
        linux_parameters=of.LinuxParametersProperty(
            init_process_enabled=True,
            capabilities=of.KernelCapabilitiesProperty(drop=["ALL"]),
            shared_memory_size=_shared_memory(nodes) if on_ec2 else None,
        ),
        # The kernel counts `nproc` by user. On Fargate the user has one task, and an EC2 host has
        # one node. On EC2 hosts the ECS agent sets the same limit for each task (hosts.py).
        ulimits=[
            of.UlimitProperty(name=name, soft_limit=most, hard_limit=most)
            for name, most in (("nofile", _OPEN_FILES), ("nproc", PROCESSES))
        ],
        stop_timeout=STOP_SECONDS,
        start_timeout=STOP_SECONDS,
        port_mappings=[of.PortMappingProperty(container_port=ports.API, protocol="tcp")]
        if kind == "worker"
        else None,
        health_check=None
        if access.interactive
        else of.HealthCheckProperty(
            command=["CMD", "python", "-m", "node.health"],
            interval=10,
            timeout=5,
            retries=3,
            # Before it is healthy, a node finds its head (240 s at most), starts Ray and warms up
            # its decoders. ECS accepts no longer period (API Reference, HealthCheck).
            start_period=300,
        ),
        environment=[
            of.KeyValuePairProperty(name=name, value=value)
            for name, value in sorted(values.items())
        ],
        secrets=[
            of.SecretProperty(name=name, value_from=arn)
            for name, arn in sorted(access.secrets.items())
        ],
        log_configuration=of.LogConfigurationProperty(
            log_driver="awslogs",
            options={
                "awslogs-group": group,
                "awslogs-region": stack.region,
                "awslogs-stream-prefix": kind,
                # A log that can't be written must not block an upload.
                "mode": "non-blocking",
                "max-buffer-size": "8m",
            },
        ),
    )


def _sizes(nodes: Nodes, *, on_ec2: bool) -> dict[str, str]:
    store = _shared_memory(nodes) * 9 // 10 if on_ec2 else SMALLEST_STORE_MIB
    return {
        # One vCPU is left for Ray itself and HAProxy.
        "NODE_CPUS": str(max(1, nodes.cpu // 1024 - 1)),
        "NODE_MEMORY_BYTES": str((nodes.memory * 7 // 10) * _MIB),
        "NODE_OBJECT_STORE_BYTES": str(store * _MIB),
    }


def _shared_memory(nodes: Nodes) -> int:
    return int(nodes.memory * SHARED_MEMORY_SHARE)


def _mounts(stack: Stack, access: Access) -> dict[str, str]:
    """Return the writable volumes and their folders; ECS Exec's agent needs two of its own."""
    agent = {"ssm-state": "/var/lib/amazon", "ssm-log": "/var/log/amazon"}
    return {
        "scratch": _SCRATCH,
        **(agent if stack.settings.cluster.ecs_exec or access.interactive else {}),
    }


def _log_arn(stack: Stack, group: str) -> str:
    return stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name=group,
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )


def _tasks(stack: Stack) -> str:
    return f"arn:{cdk.Aws.PARTITION}:ecs:{stack.region}:{cdk.Aws.ACCOUNT_ID}:*"
