"""Rules for network paths: CloudFront, load balancer, subnets, security groups."""

import re
from collections.abc import Iterator

from tests.assembly import Assembly, Json, Resource
from tests.rules.rule import Rule

GROUP = "AWS::EC2::SecurityGroup"
_INGRESS = "AWS::EC2::SecurityGroupIngress"
_ANYWHERE = {"0.0.0.0/0", "::/0"}
_WAYS = {
    ("CloudFront", "Alb", 443),
    ("Alb", "Node", 8000),
    ("Alb", "Node", 8001),
    ("Node", "Node", "all"),
    ("Node", "Database", 5433),
    ("Node", "Cache", 6380),
    ("Node", "Kafka", 9098),
    ("Node", "Endpoints", 443),
    ("sg-", "Kafka", 9098),
    # Engineers, by VPN or from the office.
    *(
        (source, target, port)
        for source in ("Vpn", "Office")
        for target, port in (("Node", 8265), ("Kafka", 9098), ("Database", 5433), ("Cache", 6380))
    ),
}
# AWS counts CloudFront's prefix list as 55 rules; a group may have 60 rules.
_LIST_WEIGHT, _MOST_RULES = 55, 60
# Seconds for which Serve keeps an idle connection.
_KEEP_ALIVE = 90
_BODY_RULES = {
    "SizeRestrictions_BODY",
    "CrossSiteScripting_BODY",
    "GenericLFI_BODY",
    "GenericRFI_BODY",
    "EC2MetaDataSSRF_BODY",
}


def ingress(assembly: Assembly) -> Iterator[tuple[str, Json]]:
    """Yield all ingress rules, each with the name of its group."""
    for group in assembly.resources(GROUP):
        for rule in group.props.get("SecurityGroupIngress", []):
            yield group.name, rule
    for one in assembly.resources(_INGRESS):
        yield assembly.text(one.stack, one.props["GroupId"]), one.props


def _direct(assembly: Assembly) -> bool:
    """True if the balancer serves uploads past CloudFront, with a web ACL that counts clients."""
    rules = assembly.resources("AWS::ElasticLoadBalancingV2::ListenerRule", stack="platform")
    counting = any(
        "RateBasedStatement" in rule["Statement"]
        for acl in assembly.resources("AWS::WAFv2::WebACL", stack="platform")
        for rule in acl.props["Rules"]
    )
    linked = any(assembly.resources("AWS::WAFv2::WebACLAssociation", stack="platform"))
    return counting and linked and any(rule.id == "Uploads" for rule in rules)


def nobody_comes_from_anywhere(assembly: Assembly) -> Iterator[str]:
    for group, rule in ingress(assembly):
        if {rule.get("CidrIp"), rule.get("CidrIpv6")} & _ANYWHERE:
            uploads = _short(group) == "Alb" and rule["FromPort"] == rule["ToPort"] == 443
            if not (uploads and _direct(assembly)):
                yield f"{group}: open to the internet"


def _open_group(assembly: Assembly) -> None:
    group = next(one for one in assembly.resources(GROUP) if one.id.startswith("Node"))
    group.props["SecurityGroupIngress"] = [{"CidrIp": "0.0.0.0/0", "FromPort": 8265}]


def ways_between_groups_are_these(assembly: Assembly) -> Iterator[str]:
    """Ray's ports run code for every client, so only Ray's nodes may connect to them."""
    for group, rule in ingress(assembly):
        if rule.get("CidrIp") in _ANYWHERE:
            continue  # nobody_comes_from_anywhere
        office = "Office" if "CidrIp" in rule else "list"
        source = assembly.text("network", rule.get("SourceSecurityGroupId", office))
        first, last = rule.get("FromPort"), rule.get("ToPort")
        way = (_short(source), _short(group), first if first == last else "all")
        if way not in _WAYS:
            yield f"a path that nobody needs: {way}"


def _short(group: str) -> str:
    """Return the short name of a group of the stacks, or `sg-` for any other group."""
    found = re.search(r"\b(Alb|Node|Database|Cache|Kafka|Vpn|Endpoints|Office|sg-)", group)
    return found[1] if found else "CloudFront"


def _dashboard_for_the_balancer(assembly: Assembly) -> None:
    for one in assembly.resources(_INGRESS):
        if one.props.get("FromPort") == 8001:
            one.props["FromPort"] = one.props["ToPort"] = 8265


def rules_fit_into_a_group(assembly: Assembly) -> Iterator[str]:
    counts: dict[str, int] = {}
    for group, rule in ingress(assembly):
        weight = _LIST_WEIGHT if "SourcePrefixListId" in rule else 1
        counts[group] = counts.get(group, 0) + weight
    for group, count in counts.items():
        if count > _MOST_RULES:
            yield f"{group}: {count} rules, AWS allows {_MOST_RULES}"


def _two_lists(assembly: Assembly) -> None:
    rules = assembly.templates["network"]["Resources"]
    rules["Second"] = next(
        one.raw for one in assembly.resources(_INGRESS) if "SourcePrefixListId" in one.props
    )


def _isolated(assembly: Assembly) -> set[str]:
    """Return the subnets whose route table has only routes within the VPC.

    A subnet without an association uses the VPC's main table, which has no other route.
    """
    ways_out = {
        assembly.text("network", route.props["RouteTableId"])
        for route in assembly.resources("AWS::EC2::Route", stack="network")
        if "GatewayId" in route.props or "NatGatewayId" in route.props
    }
    leave = {
        assembly.text("network", one.props["SubnetId"])
        for one in assembly.resources("AWS::EC2::SubnetRouteTableAssociation", stack="network")
        if assembly.text("network", one.props["RouteTableId"]) in ways_out
    }
    subnets = assembly.resources("AWS::EC2::Subnet", stack="network")
    return {f"${{network/{one.id}}}" for one in subnets} - leave


def _data_subnets(assembly: Assembly) -> Iterator[tuple[str, list[str]]]:
    kinds = ("AWS::MSK::Cluster", "AWS::RDS::DBSubnetGroup", "AWS::ElastiCache::SubnetGroup")
    for kind in kinds:
        for one in assembly.resources(kind):
            nodes = one.props.get("BrokerNodeGroupInfo")
            subnets = nodes["ClientSubnets"] if nodes else one.props["SubnetIds"]
            yield one.name, [assembly.text(one.stack, subnet) for subnet in subnets]


def data_has_no_way_out(assembly: Assembly) -> Iterator[str]:
    if not any(assembly.resources("AWS::EC2::VPC")):
        return  # an existing network, whose routes are not in the templates
    isolated = _isolated(assembly)
    for name, subnets in _data_subnets(assembly):
        if not set(subnets) <= isolated:
            yield f"{name}: in a subnet with a route to the internet"


def _way_out(assembly: Assembly) -> None:
    for one in assembly.resources("AWS::EC2::RouteTable", stack="network"):
        if "data" in one.id:
            assembly.templates["network"]["Resources"]["Leak"] = {
                "Type": "AWS::EC2::Route",
                "Properties": {
                    "RouteTableId": {"Ref": one.id},
                    "NatGatewayId": "nat-1",
                    "DestinationCidrBlock": "0.0.0.0/0",
                },
            }
            return


def zones_are_real(assembly: Assembly) -> Iterator[str]:
    """Without an account CDK writes dummy zones, and would deploy them."""
    if assembly.manifest.get("missing"):
        yield "the manifest misses context"
    for subnet in assembly.resources("AWS::EC2::Subnet"):
        zone = subnet.props["AvailabilityZone"]
        if not isinstance(zone, str) or "dummy" in zone:
            yield f"{subnet.name}: zone {zone}"


def _dummy_zone(assembly: Assembly) -> None:
    assembly.first("AWS::EC2::Subnet").props["AvailabilityZone"] = "dummy1a"


def data_spans_zones(assembly: Assembly) -> Iterator[str]:
    for name, subnets in _data_subnets(assembly):
        if len(set(subnets)) < 2:
            yield f"{name}: in one zone"


def _one_zone(assembly: Assembly) -> None:
    group = assembly.first("AWS::RDS::DBSubnetGroup")
    group.props["SubnetIds"] = group.props["SubnetIds"][:1]


def balancer(assembly: Assembly) -> Resource:
    return assembly.one("platform", "Alb")


def balancer_closes_first(assembly: Assembly) -> Iterator[str]:
    """If Serve closed a connection first, requests on that connection would get 502."""
    for one in balancer(assembly).props["LoadBalancerAttributes"]:
        if one["Key"] == "idle_timeout.timeout_seconds" and int(one["Value"]) >= _KEEP_ALIVE:
            yield f"the balancer closes after {one['Value']} s, Serve closes after {_KEEP_ALIVE}"


def _long_idle(assembly: Assembly) -> None:
    for one in balancer(assembly).props["LoadBalancerAttributes"]:
        if one["Key"] == "idle_timeout.timeout_seconds":
            one["Value"] = "4000"


def route_53_can_read_its_alarms(assembly: Assembly) -> Iterator[str]:
    """Route 53 accepts one metric of standard resolution with a plain statistic, no formula."""
    alarms = {one.id: one for one in assembly.resources("AWS::CloudWatch::Alarm", stack="platform")}
    for check in assembly.resources("AWS::Route53::HealthCheck"):
        config = check.props["HealthCheckConfig"]
        if config["Type"] != "CLOUDWATCH_METRIC":
            continue
        props = alarms[config["AlarmIdentifier"]["Name"]["Ref"]].props
        plain = {"Average", "Minimum", "Maximum", "Sum", "SampleCount"}
        if "Metrics" in props or props.get("Statistic") not in plain or props["Period"] < 60:
            yield f"{check.name}: Route 53 refuses its alarm"


def _formula(assembly: Assembly) -> None:
    assembly.one("platform", "NoHealthyNodeA").props["Metrics"] = [{"Expression": "a + b"}]


def only_cloudfront_is_served(assembly: Assembly) -> Iterator[str]:
    """A client that knows the balancer's address, but not the secret header, gets 403."""
    for listener in assembly.resources("AWS::ElasticLoadBalancingV2::Listener"):
        kind = listener.props["DefaultActions"][0]["Type"]
        if kind not in ("fixed-response", "redirect"):
            yield f"{listener.name}: serves every client"
    for rule in assembly.resources("AWS::ElasticLoadBalancingV2::ListenerRule"):
        values = [
            assembly.text(rule.stack, value)
            for condition in rule.props["Conditions"]
            for value in condition.get("HttpHeaderConfig", {}).get("Values", [])
        ]
        if rule.id == "Uploads" and _only_uploads(rule):
            continue
        if not values or not all("resolve:secretsmanager" in value for value in values):
            yield f"{rule.name}: requires no secret header"


def _only_uploads(rule: Resource) -> bool:
    asked = {one["Field"]: one for one in rule.props["Conditions"]}
    return (
        asked["http-request-method"]["HttpRequestMethodConfig"] == {"Values": ["POST"]}
        and asked["path-pattern"]["PathPatternConfig"] == {"Values": ["/v1/images"]}
        and "host-header" in asked
    )


def _constant_header(assembly: Assembly) -> None:
    rule = assembly.one("platform", "FromCloudFront")
    rule.props["Conditions"][0]["HttpHeaderConfig"]["Values"] = ["CloudFrontOrigin"]


def photos_pass_the_firewall(assembly: Assembly) -> Iterator[str]:
    """The core rule set blocks bodies over 8 KB, and reports scripts in JPEGs."""
    for acl in assembly.resources("AWS::WAFv2::WebACL"):
        for rule in acl.props["Rules"]:
            group = rule["Statement"].get("ManagedRuleGroupStatement", {})
            if group.get("Name") == "AWSManagedRulesCommonRuleSet":
                counted = {
                    one["Name"]
                    for one in group.get("RuleActionOverrides", [])
                    if "Count" in one["ActionToUse"]
                }
                if not counted >= _BODY_RULES:
                    yield f"{acl.name}: blocks uploads by {sorted(_BODY_RULES - counted)}"


def _strict_firewall(assembly: Assembly) -> None:
    for acl in assembly.resources("AWS::WAFv2::WebACL"):
        for rule in acl.props["Rules"]:
            rule["Statement"].get("ManagedRuleGroupStatement", {}).pop("RuleActionOverrides", None)


def clients_are_counted_by_address(assembly: Assembly) -> Iterator[str]:
    """WAF must count clients: HAProxy sees only connections of the load balancer."""
    for acl in assembly.resources("AWS::WAFv2::WebACL"):
        rates = [
            rule["Statement"]["RateBasedStatement"]
            for rule in acl.props["Rules"]
            if "RateBasedStatement" in rule["Statement"] and "Block" in rule.get("Action", {})
        ]
        first = acl.props["Scope"] == "CLOUDFRONT"
        if first and not any(rate["AggregateKeyType"] == "IP" for rate in rates):
            yield f"{acl.name}: counts no client by its address"


def _uncounted_clients(assembly: Assembly) -> None:
    for acl in assembly.resources("AWS::WAFv2::WebACL"):
        rules = acl.props["Rules"]
        rules[:] = [rule for rule in rules if "RateBasedStatement" not in rule["Statement"]]


def renditions_are_signed_for(assembly: Assembly) -> Iterator[str]:
    """Originals and records have the prefix of renditions; an open path would publish them."""
    for one in assembly.resources("AWS::CloudFront::Distribution"):
        config = one.props["DistributionConfig"]
        buckets = {origin["Id"] for origin in config["Origins"] if "S3OriginConfig" in origin} | {
            group["Id"] for group in config.get("OriginGroups", {}).get("Items", [])
        }
        routes = [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", [])]
        for route in routes:
            if route["TargetOriginId"] in buckets and not route.get("TrustedKeyGroups"):
                yield f"{one.name}: {route.get('PathPattern', '*')} needs no signature"


def _open_bucket(assembly: Assembly) -> None:
    config = assembly.first("AWS::CloudFront::Distribution").props["DistributionConfig"]
    config["Origins"].append({"Id": "open", "S3OriginConfig": {}})
    config["DefaultCacheBehavior"]["TargetOriginId"] = "open"


def the_api_is_never_cached(assembly: Assembly) -> Iterator[str]:
    for one in assembly.resources("AWS::CloudFront::Distribution"):
        config = one.props["DistributionConfig"]
        api = config["DefaultCacheBehavior"]
        # CloudFront's managed policy "CachingDisabled".
        if api["CachePolicyId"] != "4135ea2d-6df8-44a3-9df3-4b5a84be39ad":
            yield f"{one.name}: one tenant could read another's answer"
        for origin in config["Origins"]:
            how = origin.get("CustomOriginConfig", {}).get("OriginProtocolPolicy", "https-only")
            if how != "https-only":
                yield f"{one.name}: connects to the balancer without TLS"


def _cached(assembly: Assembly) -> None:
    config = assembly.first("AWS::CloudFront::Distribution").props["DistributionConfig"]
    config["DefaultCacheBehavior"]["CachePolicyId"] = "658327ea-f89d-4fab-a63d-7e88639e58f6"


RULES = (
    Rule(nobody_comes_from_anywhere, _open_group),
    Rule(ways_between_groups_are_these, _dashboard_for_the_balancer),
    Rule(rules_fit_into_a_group, _two_lists),
    Rule(data_has_no_way_out, _way_out, needs="AWS::EC2::RouteTable"),
    Rule(zones_are_real, _dummy_zone, needs="AWS::EC2::Subnet"),
    Rule(data_spans_zones, _one_zone),
    Rule(balancer_closes_first, _long_idle),
    Rule(route_53_can_read_its_alarms, _formula),
    Rule(only_cloudfront_is_served, _constant_header),
    Rule(photos_pass_the_firewall, _strict_firewall, needs="AWS::WAFv2::WebACL"),
    Rule(clients_are_counted_by_address, _uncounted_clients),
    Rule(renditions_are_signed_for, _open_bucket, needs="AWS::CloudFront::Distribution"),
    Rule(the_api_is_never_cached, _cached, needs="AWS::CloudFront::Distribution"),
)
