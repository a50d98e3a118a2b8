"""Ids of AWS's prefix lists with CloudFront's addresses; each region has its own id."""

# Copied from the VPC console, name com.amazonaws.global.cloudfront.origin-facing. A template can't
# look up the ids without an account.
_LISTS = {
    "ap-northeast-1": "pl-58a04531",
    "ap-southeast-1": "pl-31a34658",
    "ap-southeast-2": "pl-b8a742d1",
    "eu-central-1": "pl-a3a144ca",
    "eu-north-1": "pl-fab65393",
    "eu-west-1": "pl-4fa04526",
    "eu-west-2": "pl-93a247fa",
    "eu-west-3": "pl-75b1541c",
    "us-east-1": "pl-3b927c52",
    "us-east-2": "pl-b6a144df",
    "us-west-1": "pl-4ea04527",
    "us-west-2": "pl-82a045eb",
}


def cloudfront_prefix_list(region: str) -> str:
    """Return the id of a region's list; raises KeyError for an unknown region."""
    if region not in _LISTS:
        raise KeyError(f"{region} is unknown: set network.cloudfront_prefix_list to the list's id")
    return _LISTS[region]
