"""WAF for an API that takes binary uploads."""

from typing import Any

from aws_cdk import aws_wafv2 as waf

from infra.stack import Stack

_UPLOADS = "/v1/images"
# Rules of the core set that inspect the body. Photos would often match such a rule, and WAF reads
# only the first KiB of a body. So these rules only count and label; `_block_bodies` then blocks
# labelled requests that are no uploads.
_BODY_RULES = {
    "SizeRestrictions_BODY": "SizeRestrictions_Body",
    "CrossSiteScripting_BODY": "CrossSiteScripting_Body",
    "GenericLFI_BODY": "GenericLFI_Body",
    "GenericRFI_BODY": "GenericRFI_Body",
    "EC2MetaDataSSRF_BODY": "EC2MetaDataSSRF_Body",
}
_LABEL = "awswaf:managed:aws:core-rule-set:"


def web_acl(stack: Stack, id: str, *, scope: str, rate: int | None) -> waf.CfnWebACL:
    """Create a web ACL for `scope` (CLOUDFRONT, REGIONAL); `rate`: requests by address in 5 min."""
    rules = [
        _managed(10, "AWSManagedRulesAmazonIpReputationList"),
        _managed(20, "AWSManagedRulesKnownBadInputsRuleSet"),
        _managed(30, "AWSManagedRulesCommonRuleSet", counted=list(_BODY_RULES)),
        _block_bodies(40),
    ]
    if rate is not None:
        rules.insert(0, _rate(0, rate))
    return waf.CfnWebACL(
        stack,
        id,
        scope=scope,
        default_action=waf.CfnWebACL.DefaultActionProperty(
            allow=waf.CfnWebACL.AllowActionProperty()
        ),
        visibility_config=_visible(id),
        rules=rules,
    )


def _rate(priority: int, limit: int) -> waf.CfnWebACL.RuleProperty:
    return waf.CfnWebACL.RuleProperty(
        name="rate",
        priority=priority,
        action=waf.CfnWebACL.RuleActionProperty(block=waf.CfnWebACL.BlockActionProperty()),
        statement=waf.CfnWebACL.StatementProperty(
            rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                limit=limit, aggregate_key_type="IP"
            )
        ),
        visibility_config=_visible("rate"),
    )


def _managed(
    priority: int, name: str, counted: list[str] | None = None
) -> waf.CfnWebACL.RuleProperty:
    overrides = [
        waf.CfnWebACL.RuleActionOverrideProperty(
            name=rule,
            action_to_use=waf.CfnWebACL.RuleActionProperty(
                count=waf.CfnWebACL.CountActionProperty()
            ),
        )
        for rule in counted or []
    ]
    return waf.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
        statement=waf.CfnWebACL.StatementProperty(
            managed_rule_group_statement=waf.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS", name=name, rule_action_overrides=overrides or None
            )
        ),
        visibility_config=_visible(name),
    )


def _block_bodies(priority: int) -> waf.CfnWebACL.RuleProperty:
    """Build the rule that blocks requests labelled by the body rules, except uploads."""
    labelled = [
        _statement(
            label_match_statement=waf.CfnWebACL.LabelMatchStatementProperty(
                scope="LABEL", key=f"{_LABEL}{label}"
            )
        )
        for label in _BODY_RULES.values()
    ]
    upload = _statement(
        and_statement=waf.CfnWebACL.AndStatementProperty(
            statements=[
                _matches({"method": {}}, "EXACTLY", "POST"),
                _matches({"uriPath": {}}, "STARTS_WITH", _UPLOADS),
            ]
        )
    )
    return waf.CfnWebACL.RuleProperty(
        name="bodies",
        priority=priority,
        action=waf.CfnWebACL.RuleActionProperty(block=waf.CfnWebACL.BlockActionProperty()),
        statement=_statement(
            and_statement=waf.CfnWebACL.AndStatementProperty(
                statements=[
                    _statement(or_statement=waf.CfnWebACL.OrStatementProperty(statements=labelled)),
                    _statement(not_statement=waf.CfnWebACL.NotStatementProperty(statement=upload)),
                ]
            )
        ),
        visibility_config=_visible("bodies"),
    )


def _matches(field: dict[str, Any], how: str, what: str) -> waf.CfnWebACL.StatementProperty:
    return _statement(
        byte_match_statement=waf.CfnWebACL.ByteMatchStatementProperty(
            field_to_match=waf.CfnWebACL.FieldToMatchProperty(
                method=field.get("method"), uri_path=field.get("uriPath")
            ),
            positional_constraint=how,
            search_string=what,
            text_transformations=[
                waf.CfnWebACL.TextTransformationProperty(priority=0, type="NONE")
            ],
        )
    )


def _statement(**of: Any) -> waf.CfnWebACL.StatementProperty:
    return waf.CfnWebACL.StatementProperty(**of)


def _visible(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
