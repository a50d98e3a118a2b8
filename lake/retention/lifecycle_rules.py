"""Lifecycle rules by which S3 deletes expired objects, as data.

S3 adds the days of a rule to the time of an object's last write, and rounds up to the next midnight
UTC (https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html). So an object
is never deleted before its own age is the retention. An image is as old as its window, which begins
after its first object was written: an upload that was under way at midnight may lose its bytes as
many minutes before its expiry as the upload took, half an hour at most (`attempt_over`). A day more
would keep every other image longer than the retention, so the rules have the days of the retention.
"""

from typing import Any

from lake import layout

Rule = dict[str, Any]

_OURS = "pixlake-"
_EXPIRING = (layout.IMAGES, "lake", layout.JOURNAL, layout.REJECTIONS)


def rules(days: int, prefix: str = "") -> list[Rule]:
    """Build the rules for a retention; `prefix` is that of the store in its bucket."""
    # Ids have the prefix of the store, because several lakes may share a bucket.
    ids = f"{_OURS}{prefix.replace('/', '-')}"
    expiring = {folder.replace("/", "-"): (folder, days) for folder in _EXPIRING}
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
