"""Lifecycle rules by which S3 deletes expired objects, as data.

S3 adds the days of a rule to the time of an object's last write, and rounds up to the next midnight
UTC (https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html). An object
that was written just before midnight is therefore deleted after exactly these days. The clocks of
two processes may differ: one may have dated the image of that object two minutes later, and another
may still show it at that midnight. So the rules have a day more than the retention; the sweeper
deletes an hour after it.
"""

from typing import Any

from lake import layout

Rule = dict[str, Any]

MARGIN_DAYS = 1
"""Days from the end of the retention to the deletion by rules."""

_OURS = "pixlake-"
_EXPIRING = (layout.IMAGES, "lake", layout.JOURNAL, layout.REJECTIONS)


def rules(days: int, prefix: str = "") -> list[Rule]:
    """Build the rules for a retention; `prefix` is that of the store in its bucket."""
    # Ids have the prefix of the store, because several lakes may share a bucket.
    ids = f"{_OURS}{prefix.replace('/', '-')}"
    expiring = {folder.replace("/", "-"): (folder, days + MARGIN_DAYS) for folder in _EXPIRING}
    expiring["probe"] = (layout.PROBE, 1)
    rest: Rule = {
        "ID": f"{ids}rest",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        # Without this rule, a versioned bucket would keep deleted and erased objects for ever.
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    }
    return [
        *(
            {
                "ID": f"{ids}{name}",
                "Status": "Enabled",
                "Filter": {"Prefix": f"{prefix}{folder}/"},
                "Expiration": {"Days": number},
            }
            for name, (folder, number) in expiring.items()
        ),
        rest,
    ]
