"""Driver of the emulator: deploys, deploys again, checks rights, deletes; prints a JSON report.

Runs in the emulator's environment: `python drive.py <endpoint> <plan.json>`.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

Json = dict[str, Any]
_DONE_SECONDS = 120


class Driver:
    """Client of one emulator; refuses every endpoint that could be AWS."""

    def __init__(self, endpoint: str) -> None:
        if urlsplit(endpoint).hostname != "127.0.0.1":
            raise SystemExit(f"{endpoint} is not an emulator on this machine")
        self._endpoint = endpoint
        account = self.client("sts", "eu-west-1").get_caller_identity()["Account"]
        if account != "000000000000":
            raise SystemExit(f"{endpoint} is not an emulator")
        self._outputs: dict[tuple[str, str], dict[str, str]] = {}

    def client(self, service: str, region: str) -> Any:
        return Session().create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=60),
        )

    def zone(self, name: str) -> str:
        made = self.client("route53", "us-east-1").create_hosted_zone(
            Name=name, CallerReference="drive"
        )
        return str(made["HostedZone"]["Id"]).rsplit("/", 1)[-1]

    def deploy(self, stack: Json, zone: str) -> str:
        """Create a stack; returns CloudFormation's status."""
        cloudformation = self.client("cloudformation", stack["region"])
        with self._uploaded(stack, zone) as url:
            cloudformation.create_stack(
                StackName=stack["name"],
                TemplateURL=url,
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
                EnableTerminationProtection=stack["keeps"],
            )
        found = self._settle(cloudformation, stack["name"])
        self._outputs[stack["region"], stack["name"]] = {
            one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])
        }
        status = str(found["StackStatus"])
        if status != "CREATE_COMPLETE":
            return f"{status}: {self._reasons(cloudformation, stack['name'])}"
        return status

    def again(self, stack: Json, zone: str) -> str:
        """Update a stack with the same template; returns CloudFormation's message."""
        cloudformation = self.client("cloudformation", stack["region"])
        try:
            with self._uploaded(stack, zone) as url:
                cloudformation.update_stack(
                    StackName=stack["name"],
                    TemplateURL=url,
                    Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
                )
        except ClientError as error:
            return str(error.response["Error"]["Message"])
        return str(self._settle(cloudformation, stack["name"])["StackStatus"])

    def delete(self, stack: Json) -> str:
        cloudformation = self.client("cloudformation", stack["region"])
        refused = ""
        if stack["keeps"]:
            try:
                cloudformation.delete_stack(StackName=stack["name"])
            except ClientError as error:
                refused = str(error.response["Error"]["Message"])
            if "ermination" not in refused:
                return "was not protected"
            cloudformation.update_termination_protection(
                StackName=stack["name"], EnableTerminationProtection=False
            )
        cloudformation.delete_stack(StackName=stack["name"])
        try:
            return str(self._settle(cloudformation, stack["name"])["StackStatus"])
        except ClientError:
            return "DELETE_COMPLETE"

    def rights(self, questions: list[Json]) -> list[bool]:
        """Ask IAM's simulator for each question whether the deployed role may do the action."""
        iam = self.client("iam", "us-east-1")
        answers = []
        for one in questions:
            resources = self.client("cloudformation", one["region"]).describe_stack_resources(
                StackName=one["stack"]
            )["StackResources"]
            physical = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources}
            role = iam.get_role(RoleName=physical[one["role"]])["Role"]["Arn"]
            result = iam.simulate_principal_policy(
                PolicySourceArn=role,
                ActionNames=[one["action"]],
                ResourceArns=[self._named(one["resource"])],
            )
            answers.append(result["EvaluationResults"][0]["EvalDecision"] == "allowed")
        return answers

    def left(self, regions: list[str]) -> Json:
        """List the stacks and buckets that still exist."""
        found: Json = {}
        for region in regions:
            stacks = self.client("cloudformation", region).list_stacks()["StackSummaries"]
            found[f"stacks {region}"] = [
                one["StackName"] for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"
            ]
        home = regions[0]
        self._delete_kept_buckets(home)
        roles = self.client("iam", home).list_roles()["Roles"]
        found["roles"] = [r["RoleName"] for r in roles if r["RoleName"].startswith("pixlake")]
        found["clusters"] = self.client("ecs", home).list_clusters()["clusterArns"]
        found["balancers"] = self.client("elbv2", home).describe_load_balancers()["LoadBalancers"]
        found["databases"] = self.client("rds", home).describe_db_instances()["DBInstances"]
        found["secrets"] = [
            s["Name"] for s in self.client("secretsmanager", home).list_secrets()["SecretList"]
        ]
        found["buckets"] = [b["Name"] for b in self.client("s3", home).list_buckets()["Buckets"]]
        return found

    def _delete_kept_buckets(self, region: str) -> None:
        """Delete the buckets that stacks keep on purpose (docs/aws.md, "Take it down")."""
        s3 = self.client("s3", region)
        for one in s3.list_buckets()["Buckets"]:
            if any(f"-{kept}-" in one["Name"] for kept in ("lake", "accesslogs", "results")):
                s3.delete_bucket(Bucket=one["Name"])

    def _named(self, text: str) -> str:
        """Replace `<<region stack output>>` by the output's value."""
        while "<<" in text:
            before, _, rest = text.partition("<<")
            name, _, after = rest.partition(">>")
            region, stack, output = name.split()
            text = f"{before}{self._outputs[region, stack][output]}{after}"
        return text

    @contextmanager
    def _uploaded(self, stack: Json, zone: str) -> Iterator[str]:
        """Upload a template for one call, as `cdk deploy` does; some are too large for the call."""
        bucket = f"templates-{stack['name']}"
        where = {"Bucket": bucket, "Key": "template.json"}
        storage = self.client("s3", "us-east-1")
        storage.create_bucket(Bucket=bucket)
        storage.put_object(**where, Body=self._body(stack, zone).encode())
        try:
            yield f"{self._endpoint}/{bucket}/template.json"
        finally:
            storage.delete_object(**where)
            storage.delete_bucket(Bucket=bucket)

    def _body(self, stack: Json, zone: str) -> str:
        template = self._across(stack["template"], stack["region"])
        return json.dumps(template).replace(stack["zone"], zone)

    def _across(self, value: Any, region: str) -> Any:
        """Resolve outputs of other regions, because the emulator looks in one region only."""
        match value:
            case {"Fn::GetStackOutput": dict(of)} if of.get("Region", region) != region:
                return self._outputs[of["Region"], of["StackName"]][of["OutputName"]]
            case dict():
                return {name: self._across(one, region) for name, one in value.items()}
            case list():
                return [self._across(one, region) for one in value]
        return value

    @staticmethod
    def _settle(cloudformation: Any, name: str) -> Json:
        ends = time.monotonic() + _DONE_SECONDS
        while True:
            found: Json = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            if not found["StackStatus"].endswith("IN_PROGRESS"):
                return found
            if time.monotonic() > ends:
                raise SystemExit(f"{name}: {found['StackStatus']}")
            time.sleep(0.05)

    @staticmethod
    def _reasons(cloudformation: Any, name: str) -> str:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return "; ".join(
            f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason', '')}"
            for one in events
            if "FAILED" in one["ResourceStatus"]
        )


def main() -> None:
    """Run all steps of a plan, and print the report."""
    driver = Driver(sys.argv[1])
    with open(sys.argv[2]) as file:  # noqa: PTH123
        plan = json.load(file)
    stacks, zone = plan["stacks"], driver.zone(plan["zone_name"])
    report: Json = {"created": {}}
    for stack in stacks:
        report["created"][stack["name"]] = status = driver.deploy(stack, zone)
        if status != "CREATE_COMPLETE":
            break
    else:
        report["again"] = {stack["name"]: driver.again(stack, zone) for stack in stacks}
        report["rights"] = driver.rights(plan["questions"])
        report["deleted"] = {stack["name"]: driver.delete(stack) for stack in reversed(stacks)}
        report["left"] = driver.left(plan["regions"])
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
