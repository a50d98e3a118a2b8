"""Cdn: CloudFront in front of the API and, only for signed URLs, of the renditions."""

import hashlib
from pathlib import Path
from typing import Any

from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_route53 as route53
from constructs import Construct

from infra import contract, ports
from infra.parts import secret
from infra.parts.balancer import IDLE_SECONDS, ORIGIN_HEADER, protect
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.data import DataStack
from infra.stacks.edge import EdgeStack
from infra.stacks.platform import PlatformStack
from infra.stacks.replica import ReplicaStack

_API, _BUCKET, _REPLICA, _BUCKETS = "api", "bucket", "replica", "buckets"
# Ids of CloudFront's managed policies, equal in all accounts; see "managed policies" in its guide.
_NO_CACHE = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
_ALL_BUT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
_ALIAS_ZONE = "Z2FDTNDATAQYW2"
_YEAR = 31_536_000
CACHED_SECONDS = 3600
"""Time for which renditions are cached. The service has the same (lake/commit/invalidations.py),
and gives up invalidations after it."""
_FUNCTIONS = Path(__file__).parents[1] / "functions"


class CdnStack(Stack):
    """Cdn: CloudFront, the only public entry."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        edge: EdgeStack,
        data: DataStack,
        platform: PlatformStack,
        replica: ReplicaStack | None,
        logs_bucket: str,
    ) -> None:
        super().__init__(scope, "cdn", settings)
        self._data, self._platform, self._replica = data, platform, replica
        self._control: cloudfront.CfnOriginAccessControl | None = None
        self._headers = (
            cloudfront.ResponseHeadersPolicy.SECURITY_HEADERS.response_headers_policy_id
            if settings.compact
            else self._response_headers().ref
        )
        self.distribution = cloudfront.CfnDistribution(
            self,
            "Distribution",
            distribution_config=cloudfront.CfnDistribution.DistributionConfigProperty(
                enabled=True,
                # CloudFormation reads the origin's secret again only for a resource that changes.
                comment=f"{settings.prefix} {settings.origin_rotation}",
                aliases=[settings.domain.name],
                http_version="http2and3",
                ipv6_enabled=True,
                price_class="PriceClass_All",
                web_acl_id=edge.acl.attr_arn,
                viewer_certificate=cloudfront.CfnDistribution.ViewerCertificateProperty(
                    acm_certificate_arn=edge.certificate.ref,
                    minimum_protocol_version="TLSv1.2_2021",
                    ssl_support_method="sni-only",
                ),
                logging=cloudfront.CfnDistribution.LoggingProperty(
                    bucket=f"{logs_bucket}.s3.amazonaws.com",
                    prefix="cloudfront/",
                    include_cookies=False,
                ),
                **self._routes(),
            ),
        )
        protect(
            self,
            "Cdn",
            self.format_arn(
                service="cloudfront",
                region="",
                resource="distribution",
                resource_name=self.distribution.ref,
            ),
        )
        for kind in ("A", "AAAA"):
            route53.CfnRecordSet(
                self,
                f"Name{kind}",
                hosted_zone_id=settings.domain.zone_id,
                name=settings.domain.name,
                type=kind,
                alias_target=route53.CfnRecordSet.AliasTargetProperty(
                    dns_name=self.distribution.attr_domain_name, hosted_zone_id=_ALIAS_ZONE
                ),
            )
        self.export("Url", f"https://{settings.domain.name}")
        self.export("Distribution", self.distribution.ref)

    @property
    def caching(self) -> str | None:
        """Id of the distribution if it caches anything; None without a signer's key."""
        return self.distribution.ref if self.settings.image_public_key else None

    def _routes(self) -> dict[str, Any]:
        """Build origins and behaviours; renditions only if the settings have a signer's key."""
        of = cloudfront.CfnDistribution
        api = of.DefaultCacheBehaviorProperty(
            target_origin_id=_API,
            # A redirect would come too late: a client has sent its key in clear text by then.
            viewer_protocol_policy="https-only",
            allowed_methods=["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"],
            cache_policy_id=_NO_CACHE,
            origin_request_policy_id=_ALL_BUT_HOST,
            response_headers_policy_id=self._headers,
            compress=True,
            function_associations=[self._function("ApiRequest", "api_request.js")],
        )
        origins: list[Any] = [self._api_origin()]
        routes: dict[str, Any] = {"default_cache_behavior": api, "origins": origins}
        if self.settings.image_public_key:
            self._control = self._origin_access()
            origins.append(self._bucket_origin(_BUCKET, self._data.bucket_name, self.region))
            target = _BUCKET
            if self._replica is not None and self._replica.bucket is not None:
                target = _BUCKETS
                region = self.settings.replica_region
                origins.append(self._bucket_origin(_REPLICA, self._replica.bucket.ref, region))
                routes["origin_groups"] = self._either_bucket()
            routes["cache_behaviors"] = [self._renditions(target, self.settings.image_public_key)]
        return routes

    def _api_origin(self) -> cloudfront.CfnDistribution.OriginProperty:
        of = cloudfront.CfnDistribution
        return of.OriginProperty(
            id=_API,
            # A name with failover in Route 53, because CloudFront's origin groups do not fail over
            # POST requests.
            domain_name=self.settings.domain.origin,
            custom_origin_config=of.CustomOriginConfigProperty(
                origin_protocol_policy="https-only",
                origin_ssl_protocols=["TLSv1.2"],
                https_port=ports.HTTPS,
                origin_read_timeout=IDLE_SECONDS,
                origin_keepalive_timeout=30,
            ),
            origin_custom_headers=[
                of.OriginCustomHeaderProperty(
                    header_name=ORIGIN_HEADER,
                    header_value=secret.resolved(self._platform.balancer.origin_secret_arn),
                )
            ],
        )

    def _bucket_origin(
        self, id: str, name: str, region: str
    ) -> cloudfront.CfnDistribution.OriginProperty:
        of = cloudfront.CfnDistribution
        return of.OriginProperty(
            id=id,
            domain_name=f"{name}.s3.{region}.amazonaws.com",
            origin_access_control_id=self._control.attr_id if self._control else None,
            # Empty, because origin access control replaces the older access identity.
            s3_origin_config=of.S3OriginConfigProperty(origin_access_identity=""),
        )

    def _either_bucket(self) -> cloudfront.CfnDistribution.OriginGroupsProperty:
        of = cloudfront.CfnDistribution
        members = [of.OriginGroupMemberProperty(origin_id=one) for one in (_BUCKET, _REPLICA)]
        codes = [500, 502, 503, 504]
        group = of.OriginGroupProperty(
            id=_BUCKETS,
            members=of.OriginGroupMembersProperty(items=members, quantity=len(members)),
            failover_criteria=of.OriginGroupFailoverCriteriaProperty(
                status_codes=of.StatusCodesProperty(items=codes, quantity=len(codes))
            ),
        )
        return of.OriginGroupsProperty(items=[group], quantity=1)

    def _renditions(
        self, target: str, public_key: str
    ) -> cloudfront.CfnDistribution.CacheBehaviorProperty:
        key = cloudfront.CfnPublicKey(
            self,
            "SigningKey",
            public_key_config=cloudfront.CfnPublicKey.PublicKeyConfigProperty(
                # The name contains the key's hash, because CloudFront can't change a key: another
                # key is a new resource.
                caller_reference=f"{self.settings.prefix}-{_hash_of(public_key)}",
                name=f"{self.settings.prefix}-{_hash_of(public_key)}",
                encoded_key=public_key,
            ),
        )
        group = cloudfront.CfnKeyGroup(
            self,
            "Signers",
            key_group_config=cloudfront.CfnKeyGroup.KeyGroupConfigProperty(
                name=self.settings.prefix, items=[key.ref]
            ),
        )
        return cloudfront.CfnDistribution.CacheBehaviorProperty(
            path_pattern=f"/{contract.IMAGES}/*",
            target_origin_id=target,
            viewer_protocol_policy="https-only",
            allowed_methods=["GET", "HEAD"],
            cache_policy_id=self._cache_policy().ref,
            response_headers_policy_id=self._headers,
            trusted_key_groups=[group.ref],
            function_associations=[self._function("RenditionRequest", "rendition_request.js")],
        )

    def _cache_policy(self) -> cloudfront.CfnCachePolicy:
        """Create the cache policy; a URL never changes, and erased images are invalidated.

        The key is the path alone: a signature must not make another copy. There is no Origin
        Shield: each of its requests costs more than the GET of S3 that it saves, and bytes from S3
        to CloudFront are free.
        """
        of = cloudfront.CfnCachePolicy
        return of(
            self,
            "RenditionCache",
            cache_policy_config=of.CachePolicyConfigProperty(
                name=f"{self.settings.prefix}-renditions",
                min_ttl=0,
                default_ttl=CACHED_SECONDS,
                max_ttl=CACHED_SECONDS,
                parameters_in_cache_key_and_forwarded_to_origin=of.ParametersInCacheKeyAndForwardedToOriginProperty(
                    enable_accept_encoding_gzip=False,
                    cookies_config=of.CookiesConfigProperty(cookie_behavior="none"),
                    headers_config=of.HeadersConfigProperty(header_behavior="none"),
                    query_strings_config=of.QueryStringsConfigProperty(
                        query_string_behavior="none"
                    ),
                ),
            ),
        )

    def _origin_access(self) -> cloudfront.CfnOriginAccessControl:
        of = cloudfront.CfnOriginAccessControl
        return of(
            self,
            "OriginAccess",
            origin_access_control_config=of.OriginAccessControlConfigProperty(
                name=self.settings.prefix,
                origin_access_control_origin_type="s3",
                signing_behavior="always",
                signing_protocol="sigv4",
            ),
        )

    def _response_headers(self) -> cloudfront.CfnResponseHeadersPolicy:
        of = cloudfront.CfnResponseHeadersPolicy
        return of(
            self,
            "Headers",
            response_headers_policy_config=of.ResponseHeadersPolicyConfigProperty(
                name=self.settings.prefix,
                security_headers_config=of.SecurityHeadersConfigProperty(
                    strict_transport_security=of.StrictTransportSecurityProperty(
                        access_control_max_age_sec=_YEAR, include_subdomains=True, override=True
                    ),
                    # A browser must not read a picture as HTML.
                    content_type_options=of.ContentTypeOptionsProperty(override=True),
                    frame_options=of.FrameOptionsProperty(frame_option="DENY", override=False),
                    referrer_policy=of.ReferrerPolicyProperty(
                        referrer_policy="no-referrer", override=False
                    ),
                ),
            ),
        )

    def _function(
        self, id: str, file: str
    ) -> cloudfront.CfnDistribution.FunctionAssociationProperty:
        of = cloudfront.CfnFunction
        function = of(
            self,
            id,
            name=f"{self.settings.prefix}-{Path(file).stem}",
            auto_publish=True,
            function_code=(_FUNCTIONS / file).read_text(),
            function_config=of.FunctionConfigProperty(comment=id, runtime="cloudfront-js-2.0"),
        )
        return cloudfront.CfnDistribution.FunctionAssociationProperty(
            event_type="viewer-request", function_arn=function.attr_function_arn
        )


def _hash_of(text: str) -> str:
    """Return eight hex digits of the text's hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
