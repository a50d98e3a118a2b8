"""One test for each system of the architecture: it exists, with the required settings.

`tests/rules` has the rules for every combination of settings; this file has the list of systems.
"""

import json

from tests.assembly import Assembly, count, many
from tests.conftest import Switched


def _zones(assembly: Assembly, word: str) -> set[str]:
    return {
        subnet.props["AvailabilityZone"]
        for subnet in assembly.resources("AWS::EC2::Subnet")
        if word in subnet.id
    }


def test_vpc_has_three_kinds_of_subnets_in_every_zone(assembly: Assembly) -> None:
    assert _zones(assembly, "public") == _zones(assembly, "app") == _zones(assembly, "data")
    assert len(_zones(assembly, "data")) == 3


def test_nat_gateways_and_endpoints(assemblies: dict[str, Assembly]) -> None:
    assert count(assemblies["small"], "AWS::EC2::NatGateway") == 1
    assert count(assemblies["large"], "AWS::EC2::NatGateway") == 3
    endpoints = [
        assemblies["large"].text("network", one.props["ServiceName"])
        for one in assemblies["large"].resources("AWS::EC2::VPCEndpoint")
    ]
    for service in ("s3", "ecr.api", "ecr.dkr", "logs", "sts", "secretsmanager", "kms"):
        assert any(one.endswith(f".{service}") for one in endpoints), service


def test_load_balancer_speaks_https_to_cloudfront_only(assembly: Assembly) -> None:
    listeners = {
        one.props["Port"]: one.props["DefaultActions"][0]["Type"]
        for one in assembly.resources("AWS::ElasticLoadBalancingV2::Listener")
    }
    assert listeners == {443: "fixed-response"}
    https = assembly.one("platform", "Https").props
    assert https["SslPolicy"].startswith("ELBSecurityPolicy-TLS13")
    assert assembly.one("platform", "Alb").props["Scheme"] == "internet-facing"
    public = [
        assembly.text("platform", one) for one in assembly.one("platform", "Alb").props["Subnets"]
    ]
    assert all("public" in subnet for subnet in public)
    ingress = [
        one.props
        for one in assembly.resources("AWS::EC2::SecurityGroupIngress")
        if "Alb" in assembly.text("network", one.props["GroupId"])
    ]
    assert [(one["FromPort"], "SourcePrefixListId" in one) for one in ingress] == [(443, True)]
    attributes = {
        one["Key"]: one["Value"]
        for one in assembly.one("platform", "Alb").props["LoadBalancerAttributes"]
    }
    assert attributes["access_logs.s3.enabled"] == "true"
    # CloudFront has the web ACL, and nobody else reaches the balancer.
    assert count(assembly, "AWS::WAFv2::WebACL") == 1


def test_uploads_past_cloudfront_have_a_firewall_and_get_nothing_else(switched: Switched) -> None:
    assembly = switched("signed-renditions").assembly
    open_ = [
        group.props["GroupDescription"]
        for group in assembly.resources("AWS::EC2::SecurityGroup")
        for rule in group.props.get("SecurityGroupIngress", ())
        if rule.get("CidrIp") == "0.0.0.0/0"
    ]
    assert open_ == ["the load balancer"]
    rule = assembly.one("platform", "Uploads").props
    host, method, path = rule["Conditions"]
    assert host["HostHeaderConfig"]["Values"] == ["origin.images.example.com"]
    assert method["HttpRequestMethodConfig"]["Values"] == ["POST"]
    assert path["PathPatternConfig"]["Values"] == ["/v1/images"]
    first = assembly.one("platform", "FromCloudFront").props
    assert rule["Actions"] == first["Actions"]
    assert rule["Priority"] > first["Priority"]
    acl = assembly.first("AWS::WAFv2::WebACLAssociation").props
    assert assembly.text("platform", acl["ResourceArn"]) == "${platform/Alb}"


def test_ecs_runs_head_workers_and_ingest_from_one_image(assembly: Assembly) -> None:
    cell = list(assembly.resources("AWS::ECS::TaskDefinition", stack="cell-a"))
    images = {
        assembly.text(task.stack, task.props["ContainerDefinitions"][0]["Image"]) for task in cell
    }
    # The operators' task has the same image with more programs.
    images = {one.removesuffix("-tools") for one in images}
    assert {task.id for task in cell} == {"Head", "Worker", "Ingest", "Setup", "Tools"}
    assert len(images) == 1
    services = {one.id: one for one in assembly.resources("AWS::ECS::Service", stack="cell-a")}
    assert set(services) == {"HeadService", "WorkerService", "IngestService"}
    for service in services.values():
        subnets = service.props["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
        assert all("app" in assembly.text(service.stack, one) for one in subnets)
    assert "LoadBalancers" in services["WorkerService"].props
    assert "ServiceRegistries" in services["HeadService"].props


def test_large_runs_on_instances_with_shared_memory_and_two_cells(
    assemblies: dict[str, Assembly],
) -> None:
    large = assemblies["large"]
    assert {"cell-a", "cell-b"} <= large.templates.keys()
    container = large.one("cell-a", "Worker").props["ContainerDefinitions"][0]
    assert container["LinuxParameters"]["SharedMemorySize"] >= 1024
    assert count(large, "AWS::ECS::CapacityProvider") == 2
    for group in large.resources("AWS::EC2::LaunchTemplate"):
        data = group.props["LaunchTemplateData"]
        assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True


def test_services_scale_by_backlog_and_cpu(assembly: Assembly) -> None:
    policies = [
        one.props["TargetTrackingScalingPolicyConfiguration"]
        for one in assembly.resources("AWS::ApplicationAutoScaling::ScalingPolicy", stack="cell-a")
    ]
    own = [
        one["CustomizedMetricSpecification"]
        for one in policies
        if "CustomizedMetricSpecification" in one
    ]
    assert {one["MetricName"] for one in own} == {"BacklogPerWorker"}
    assert len(policies) == 4


def test_route_53_knows_the_api_and_the_origin(assembly: Assembly) -> None:
    records = {
        (one.props["Name"], one.props["Type"]): one.props
        for one in assembly.resources("AWS::Route53::RecordSet")
    }
    assert {("images.example.com", "A"), ("images.example.com", "AAAA")} <= records.keys()
    origin = records["origin.images.example.com", "A"]
    assert origin["Failover"] == "PRIMARY"
    assert origin["AliasTarget"]["EvaluateTargetHealth"] is False
    check = assembly.one("platform", "OriginHealth").props["HealthCheckConfig"]
    assert (check["Type"], check["HealthThreshold"]) == ("CALCULATED", 1)
    cells = [name[-1] for name in assembly.templates if name.startswith("cell-")]
    assert len(check["ChildHealthChecks"]) == len(cells)


def test_cloudfront_has_a_firewall_headers_and_current_tls(assembly: Assembly) -> None:
    config = assembly.one("cdn", "Distribution").props["DistributionConfig"]
    assert "WebACLId" in config
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert config["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "https-only"
    headers = assembly.one("cdn", "Headers").props["ResponseHeadersPolicyConfig"]
    assert headers["SecurityHeadersConfig"]["ContentTypeOptions"] == {"Override": True}
    acl = assembly.one("edge", "Acl").props
    assert acl["Scope"] == "CLOUDFRONT"
    assert any("RateBasedStatement" in rule["Statement"] for rule in acl["Rules"])


def test_certificates_are_proved_by_dns(assembly: Assembly) -> None:
    names = {
        one.props["DomainName"]: one.props["ValidationMethod"]
        for one in assembly.resources("AWS::CertificateManager::Certificate")
    }
    assert names == {"images.example.com": "DNS", "origin.images.example.com": "DNS"}


def test_every_service_has_a_role_of_its_own(assembly: Assembly) -> None:
    tasks = list(assembly.resources("AWS::ECS::TaskDefinition"))
    roles = [assembly.text(task.stack, task.props["TaskRoleArn"]) for task in tasks]
    starters = [assembly.text(task.stack, task.props["ExecutionRoleArn"]) for task in tasks]
    assert len(set(roles + starters)) == 2 * len(tasks)


def test_secrets_are_generated_and_encrypted(assembly: Assembly) -> None:
    secrets = list(assembly.resources("AWS::SecretsManager::Secret"))
    cached = count(assembly, "AWS::ElastiCache::ReplicationGroup")
    names = {"DatabaseUser", "RayToken", "OriginSecret", "ApiKey"}
    assert {one.id for one in secrets} == names | (
        {"CacheToken", "LimitsToken"} if cached else set()
    )
    for secret in secrets:
        assert "GenerateSecretString" in secret.props
        assert "KmsKeyId" in secret.props
        assert "SecretString" not in secret.props


def test_logs_metrics_alarms_and_a_dashboard(assembly: Assembly) -> None:
    assert count(assembly, "AWS::CloudWatch::Alarm") >= 15
    assert count(assembly, "AWS::CloudWatch::CompositeAlarm") == 1
    body = json.loads(assembly.text_of_dashboard())
    assert len(body["widgets"]) >= 15
    insights = assembly.one("platform", "Cluster").props["ClusterSettings"]
    assert insights == [{"Name": "containerInsights", "Value": "enhanced"}]


def test_what_prometheus_has_of_nodes_is_on_the_dashboard(assembly: Assembly) -> None:
    """Nodes export these metrics themselves: tests/deploy/test_metrics_export.py."""
    body = json.loads(assembly.text_of_dashboard())
    series = [one for widget in body["widgets"] for one in widget["properties"]["metrics"]]
    # The metrics of an alarm end with an object of options.
    told = [one for one in series if "Kind" in one and isinstance(one[-1], str)]
    shown = {(one[1], one[-1]) for one in told}
    assert {("Requests", "worker"), ("LoopLag", "ingest"), ("KilledForMemory", "head")} <= shown
    running = {one[5] for one in told}
    assert running == {name[-1] for name in assembly.templates if name.startswith("cell-")}


def test_budget_tells_before_it_is_spent(assembly: Assembly) -> None:
    budget = assembly.first("AWS::Budgets::Budget").props
    kinds = {
        one["Notification"]["NotificationType"] for one in budget["NotificationsWithSubscribers"]
    }
    assert kinds == {"ACTUAL", "FORECASTED"}


def test_engineers_come_by_vpn_or_by_a_line_of_their_own(
    assembly: Assembly, switched: Switched
) -> None:
    assert "access" not in assembly.templates
    access = switched("engineers").assembly
    vpn = access.one("access", "Vpn").props
    assert [one["Type"] for one in vpn["AuthenticationOptions"]] == ["federated-authentication"]
    assert vpn["ConnectionLogOptions"]["Enabled"] is True
    assert vpn["SplitTunnel"] is True
    rule = access.first("AWS::EC2::ClientVpnAuthorizationRule").props
    assert rule["TargetNetworkCidr"] == access.first("AWS::EC2::VPC").props["CidrBlock"]
    assert vpn["DnsServers"] == ["10.40.0.2"]
    # Kafka, PostgreSQL and Valkey are in the subnets "data", so these need a way back, too.
    [propagated] = access.resources("AWS::EC2::VPNGatewayRoutePropagation")
    tables = {access.text("network", one) for one in propagated.props["RouteTableIds"]}
    assert sum("app" in one for one in tables) == sum("data" in one for one in tables) == 3
    doors = {
        (rule.get("CidrIp"), rule["FromPort"])
        for group in access.resources("AWS::EC2::SecurityGroup")
        for rule in group.props.get("SecurityGroupIngress", ())
        if rule.get("CidrIp")
    }
    assert doors == {("10.60.0.0/16", port) for port in (8265, 9098, 5433, 6380)}
    line = access.first("AWS::DirectConnect::DirectConnectGatewayAssociation").props
    gateway = access.first("AWS::EC2::VPNGateway")
    assert access.text("access", line["AssociatedGatewayId"]) == f"${{network/{gateway.id}}}"
    assert line["AllowedPrefixesToDirectConnectGateway"] == ["10.40.0.0/16"]


def test_a_shell_in_a_task_is_under_the_key_and_on_record(
    assembly: Assembly, switched: Switched
) -> None:
    def rights(one: Assembly) -> set[str]:
        role = one.one("cell-a", "HeadTask")
        return {action for found in one.statements(role) for action in many(found["Action"])}

    assert rights(assembly) == set()
    found = rights(switched("engineers").assembly)
    # If the cluster has a key and a log, a session without these rights ends at once.
    assert {"ssmmessages:OpenDataChannel", "kms:Decrypt", "logs:PutLogEvents"} <= found
    assert {"logs:DescribeLogGroups", "logs:CreateLogStream"} <= found
    container = switched("engineers").assembly.one("cell-a", "Head").props["ContainerDefinitions"]
    written = {one["ContainerPath"] for one in container[0]["MountPoints"]}
    assert written == {"/scratch", "/var/lib/amazon", "/var/log/amazon"}


def test_a_network_and_a_domain_of_yours_are_lived_in(switched: Switched) -> None:
    network = switched("your-own-network").assembly
    for kind in ("VPC", "Subnet", "NatGateway", "RouteTable", "FlowLog"):
        assert count(network, f"AWS::EC2::{kind}") == 0
    service = network.one("cell-a", "WorkerService").props["NetworkConfiguration"]
    assert service["AwsvpcConfiguration"]["Subnets"] == ["subnet-2222222a", "subnet-2222222b"]
    domain = switched("other-region").assembly
    names = {one.props["Name"] for one in domain.resources("AWS::Route53::RecordSet")}
    assert names == {"pixels.example.org", "origin.pixels.example.org"}
    zones = {one.props["HostedZoneId"] for one in domain.resources("AWS::Route53::RecordSet")}
    assert zones == {"Z111"}


def test_disks_of_hosts_have_the_tags_of_the_budget(assemblies: dict[str, Assembly]) -> None:
    templates = [one.props for one in assemblies["large"].resources("AWS::EC2::LaunchTemplate")]
    assert templates
    for template in templates:
        [tagged] = template["LaunchTemplateData"]["TagSpecifications"]
        assert tagged["ResourceType"] == "volume"
        tags = {tag["Key"]: tag["Value"] for tag in tagged["Tags"]}
        assert tags == {"application": "pixlake", "stage": "large"}
