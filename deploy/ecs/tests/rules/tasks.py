"""Rules for ECS tasks: needs of Ray, limits of Fargate, rights of containers."""

from collections.abc import Iterator

from tests.assembly import Assembly, Json, Resource
from tests.rules.rule import Rule

TASK, SERVICE = "AWS::ECS::TaskDefinition", "AWS::ECS::Service"
_KINDS = {"Head", "Worker", "Ingest"}
# Sizes that Fargate offers: CPU units (1,024 are one vCPU) → memory in MiB.
_FARGATE = {
    256: range(512, 2049, 512),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
    8192: range(16384, 61441, 4096),
    16384: range(32768, 122881, 8192),
}
_CEILING, _SPOT_NOTICE = 120, 120
_MIB = 1024 * 1024


def containers(assembly: Assembly) -> Iterator[tuple[Resource, Json]]:
    for task in assembly.resources(TASK):
        for container in task.props["ContainerDefinitions"]:
            yield task, container


def nodes(assembly: Assembly) -> Iterator[tuple[Resource, Json]]:
    """Yield the containers of cells; tasks of other stacks run once and serve nothing."""
    for task, container in containers(assembly):
        if task.stack.startswith("cell-"):
            yield task, container


def _variables(container: Json) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in container["Environment"]}


def _on_fargate(task: Resource) -> bool:
    return bool(task.props["RequiresCompatibilities"] == ["FARGATE"])


def fargate_gets_what_it_knows(assembly: Assembly) -> Iterator[str]:
    """AWS refuses shared memory on Fargate; CDK and cfn-lint accept it."""
    for task, container in containers(assembly):
        if not _on_fargate(task):
            continue
        linux = container["LinuxParameters"]
        if {"SharedMemorySize", "Tmpfs", "MaxSwap"} & linux.keys():
            yield f"{task.name}: Fargate has no shared memory of its own"
        if "DockerSecurityOptions" in container:
            yield f"{task.name}: Fargate supports no security options"
        if int(task.props["Memory"]) not in _FARGATE.get(int(task.props["Cpu"]), ()):
            yield f"{task.name}: Fargate has no such pair of CPU and memory"


def _shared_memory_on_fargate(assembly: Assembly) -> None:
    task = assembly.one("cell-a", "Worker")
    task.props["RequiresCompatibilities"] = ["FARGATE"]
    task.props["ContainerDefinitions"][0]["LinuxParameters"]["SharedMemorySize"] = 1024


def objects_fit_into_memory(assembly: Assembly) -> Iterator[str]:
    """Ray's object store is in /dev/shm, or on Fargate in a file, which must be small."""
    for task, container in containers(assembly):
        store = int(_variables(container)["NODE_OBJECT_STORE_BYTES"])
        shared = container["LinuxParameters"].get("SharedMemorySize", 128)
        if store > shared * _MIB:
            yield f"{task.name}: an object store of {store} bytes in {shared} MiB"


def _large_store(assembly: Assembly) -> None:
    container = assembly.one("cell-a", "Worker").props["ContainerDefinitions"][0]
    for one in container["Environment"]:
        if one["Name"] == "NODE_OBJECT_STORE_BYTES":
            one["Value"] = str(60_000 * _MIB)


def memory_is_limited(assembly: Assembly) -> Iterator[str]:
    """Ray reads the container's limit; without a limit it plans with the host's whole memory."""
    for task, container in containers(assembly):
        if not 0 < container.get("Memory", 0) <= int(task.props["Memory"]):
            yield f"{task.name}: no hard limit on the container"


def _no_limit(assembly: Assembly) -> None:
    del assembly.one("cell-a", "Worker").props["ContainerDefinitions"][0]["Memory"]


def never_two_heads(assembly: Assembly) -> Iterator[str]:
    for service in assembly.resources(SERVICE):
        if service.id == "HeadService":
            how = service.props["DeploymentConfiguration"]
            if (how["MinimumHealthyPercent"], how["MaximumPercent"]) != (0, 100):
                yield f"{service.name}: a new head would start before the old head ends"
            if service.props["DesiredCount"] > 1:
                yield f"{service.name}: more than one head"
            if service.props.get("AvailabilityZoneRebalancing") != "DISABLED":
                yield f"{service.name}: rebalancing starts a task before it stops one"


def _two_heads(assembly: Assembly) -> None:
    service = assembly.one("cell-a", "HeadService")
    service.props["DeploymentConfiguration"]["MaximumPercent"] = 200


def stops_outlast_drains(assembly: Assembly) -> Iterator[str]:
    for task, container in nodes(assembly):
        variables = _variables(container)
        drain = int(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        drain += int(variables["NODE_LEAVE_SECONDS"])
        if not drain + 10 <= container.get("StopTimeout", 30) <= _CEILING:
            yield f"{task.name}: is killed before its replicas are drained"


def _early_kill(assembly: Assembly) -> None:
    del assembly.one("cell-a", "Worker").props["ContainerDefinitions"][0]["StopTimeout"]


def _spot(assembly: Assembly, service: Resource) -> bool:
    """True if the service's tasks may run on Fargate Spot, or on Spot instances."""
    for item in service.props["CapacityProviderStrategy"]:
        if item["CapacityProvider"] == "FARGATE_SPOT":
            return True
    for group in assembly.resources("AWS::AutoScaling::AutoScalingGroup"):
        mixed = group.props.get("MixedInstancesPolicy", {}).get("InstancesDistribution", {})
        if service.id != "HeadService" and mixed.get("OnDemandPercentageAboveBaseCapacity") != 100:
            return True
    return False


def _drain_of_requests(assembly: Assembly, service: Resource) -> int:
    """Longest time that ECS leaves to the balancer before it stops a task."""
    asked = {
        assembly.text(service.stack, one["TargetGroupArn"])
        for one in service.props.get("LoadBalancers", ())
    }
    return max(
        (
            int(attribute["Value"])
            for group in assembly.resources("AWS::ElasticLoadBalancingV2::TargetGroup")
            for attribute in group.props["TargetGroupAttributes"]
            if attribute["Key"] == "deregistration_delay.timeout_seconds"
            and f"${{{group.name}}}" in asked
        ),
        default=0,
    )


def spot_nodes_end_within_the_notice(assembly: Assembly) -> Iterator[str]:
    """AWS ends a Spot task or instance 120 s after the notice ("fargate-spot" in tests/aws)."""
    for service in assembly.resources(SERVICE):
        if not service.stack.startswith("cell-") or not _spot(assembly, service):
            continue
        task = assembly.one(service.stack, service.props["TaskDefinition"]["Ref"])
        variables = _variables(task.props["ContainerDefinitions"][0])
        seconds = _drain_of_requests(assembly, service)
        seconds += int(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        # Only a worker waits for the balancer (node/node_process.py).
        seconds += int(variables["NODE_LEAVE_SECONDS"]) if task.id == "Worker" else 0
        if seconds + 10 > _SPOT_NOTICE:
            yield f"{service.name}: leaves in {seconds} s, Spot's notice is {_SPOT_NOTICE} s"


def _drain_of_a_node_that_stays(assembly: Assembly) -> None:
    container = assembly.one("cell-a", "Worker").props["ContainerDefinitions"][0]
    for one in container["Environment"]:
        if one["Name"] == "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S":
            one["Value"] = "85"


def containers_may_little(assembly: Assembly) -> Iterator[str]:
    for task, container in containers(assembly):
        linux = container["LinuxParameters"]
        ok = (
            container["ReadonlyRootFilesystem"] is True
            and container["User"].split(":")[0] not in ("0", "root")
            and linux["Capabilities"] == {"Drop": ["ALL"]}
            and linux["InitProcessEnabled"] is True
            and not container.get("Privileged")
        )
        if not ok:
            yield f"{task.name}: runs as root, has a writable root or a capability"
        if not _on_fargate(task) and container.get("DockerSecurityOptions") != [
            "no-new-privileges"
        ]:
            yield f"{task.name}: may gain privileges"


def _writable_root(assembly: Assembly) -> None:
    container = assembly.one("cell-a", "Worker").props["ContainerDefinitions"][0]
    container["ReadonlyRootFilesystem"] = False


def secrets_come_by_name(assembly: Assembly) -> Iterator[str]:
    for task, container in containers(assembly):
        for name in _variables(container):
            if any(word in name for word in ("TOKEN", "PASSWORD", "SECRET", "API_KEY")):
                yield f"{task.name}: {name} is in clear text in the task definition"


def _plain_secret(assembly: Assembly) -> None:
    container = assembly.one("cell-a", "Worker").props["ContainerDefinitions"][0]
    container["Environment"].append({"Name": "DB_PASSWORD", "Value": "hunter2"})


def ray_asks_for_its_token(assembly: Assembly) -> Iterator[str]:
    """Ray 2.60 without a token accepts every client, and only warns."""
    for task, container in containers(assembly):
        names = {one["Name"] for one in container["Secrets"]}
        open_ = _variables(container).get("RAY_AUTH_MODE") != "token"
        if task.id in _KINDS and (open_ or "RAY_AUTH_TOKEN" not in names):
            yield f"{task.name}: Ray accepts clients without a token"


def _open_ray(assembly: Assembly) -> None:
    container = assembly.one("cell-a", "Head").props["ContainerDefinitions"][0]
    container["Secrets"] = []


def tasks_have_no_public_address(assembly: Assembly) -> Iterator[str]:
    for service in assembly.resources(SERVICE):
        network = service.props["NetworkConfiguration"]["AwsvpcConfiguration"]
        subnets = [assembly.text(service.stack, one) for one in network["Subnets"]]
        if network["AssignPublicIp"] != "DISABLED" or any("public" in one for one in subnets):
            yield f"{service.name}: has a public address"


def _public_task(assembly: Assembly) -> None:
    network = assembly.one("cell-a", "WorkerService").props["NetworkConfiguration"]
    network["AwsvpcConfiguration"]["AssignPublicIp"] = "ENABLED"


def bad_images_roll_back(assembly: Assembly) -> Iterator[str]:
    """Without a circuit breaker, the first deployment of a broken image hangs for three hours."""
    for service in assembly.resources(SERVICE):
        breaker = service.props["DeploymentConfiguration"].get("DeploymentCircuitBreaker")
        if breaker != {"Enable": True, "Rollback": True}:
            yield f"{service.name}: hangs if its image can't start"


def _no_breaker(assembly: Assembly) -> None:
    service = assembly.one("cell-a", "IngestService")
    del service.props["DeploymentConfiguration"]["DeploymentCircuitBreaker"]


def a_new_task_finds_room(assembly: Assembly) -> Iterator[str]:
    """ECS rounds the limits of tasks; without room for one more task a deployment never ends."""
    for service in assembly.resources(SERVICE):
        how = service.props["DeploymentConfiguration"]
        tasks = service.props.get("DesiredCount")
        tasks = _least(assembly, service) if tasks is None else tasks
        most = tasks * how["MaximumPercent"] // 100
        least = -(-tasks * how["MinimumHealthyPercent"] // 100)
        if tasks and most <= least:
            yield f"{service.name}: no task can start before one ends, and none may end"


def _least(assembly: Assembly, service: Resource) -> int:
    """Return the smallest number of tasks of a service that is scaled."""
    [least] = [
        one.props["MinCapacity"]
        for one in assembly.resources(
            "AWS::ApplicationAutoScaling::ScalableTarget", stack=service.stack
        )
        if f"{service.id}.Name" in assembly.text(one.stack, one.props["ResourceId"])
    ]
    return int(least)


def _half_a_task_more(assembly: Assembly) -> None:
    service = assembly.one("cell-a", "IngestService").props
    service["DesiredCount"] = 1
    service["DeploymentConfiguration"]["MaximumPercent"] = 150


def logs_never_block(assembly: Assembly) -> Iterator[str]:
    for task, container in containers(assembly):
        options = container["LogConfiguration"]["Options"]
        if options.get("mode") != "non-blocking":
            yield f"{task.name}: an upload waits for its log line"


def _blocking(assembly: Assembly) -> None:
    container = assembly.one("cell-a", "Worker").props["ContainerDefinitions"][0]
    del container["LogConfiguration"]["Options"]["mode"]


def joining_nodes_are_spared(assembly: Assembly) -> Iterator[str]:
    """A new node fails the health check until it has replicas, so ECS must not kill it earlier."""
    for service in assembly.resources(SERVICE):
        if "LoadBalancers" in service.props:
            grace = service.props.get("HealthCheckGracePeriodSeconds", 0)
            if grace < _CEILING:
                yield f"{service.name}: has only {grace} s to join the cluster"


def _no_grace(assembly: Assembly) -> None:
    assembly.one("cell-a", "WorkerService").props.pop("HealthCheckGracePeriodSeconds")


def nodes_leave_before_they_stop(assembly: Assembly) -> Iterator[str]:
    """The load balancer asks the entrypoint, which answers 503 before anything stops."""
    leave = min(int(_variables(one)["NODE_LEAVE_SECONDS"]) for _, one in nodes(assembly))
    for target in assembly.resources("AWS::ElasticLoadBalancingV2::TargetGroup"):
        checks = (
            target.props["HealthCheckIntervalSeconds"] * target.props["UnhealthyThresholdCount"]
        )
        if checks + target.props["HealthCheckTimeoutSeconds"] > leave:
            yield f"{target.name}: sends requests to a node that stops"
        if target.props.get("HealthCheckPort") != "8001":
            yield f"{target.name}: asks Serve, which does not know that the task is to stop"


def _asks_serve(assembly: Assembly) -> None:
    del assembly.one("platform", "TargetsA").props["HealthCheckPort"]


RULES = (
    Rule(nodes_leave_before_they_stop, _asks_serve),
    Rule(fargate_gets_what_it_knows, _shared_memory_on_fargate),
    Rule(objects_fit_into_memory, _large_store),
    Rule(memory_is_limited, _no_limit),
    Rule(never_two_heads, _two_heads),
    Rule(stops_outlast_drains, _early_kill),
    Rule(spot_nodes_end_within_the_notice, _drain_of_a_node_that_stays),
    Rule(containers_may_little, _writable_root),
    Rule(secrets_come_by_name, _plain_secret),
    Rule(ray_asks_for_its_token, _open_ray),
    Rule(tasks_have_no_public_address, _public_task),
    Rule(bad_images_roll_back, _no_breaker),
    Rule(a_new_task_finds_room, _half_a_task_more),
    Rule(logs_never_block, _blocking),
    Rule(joining_nodes_are_spared, _no_grace),
)
