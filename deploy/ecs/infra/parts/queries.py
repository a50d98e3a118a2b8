"""Saved queries of the workgroup, for analysts; a query with a range of days scans less."""

from typing import Final

QUERIES: Final = {
    "images-by-hour-and-format": """\
SELECT dt, hour, format, count(*) AS images, sum(bytes) / 1e9 AS gigabytes
FROM images
WHERE dt >= date_format(current_date - INTERVAL '1' DAY, '%Y-%m-%d')
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""",
    "slowest-images": """\
SELECT image_id, tenant, process_ms, width, height, format
FROM images
WHERE dt = date_format(current_date, '%Y-%m-%d')
ORDER BY process_ms DESC LIMIT 100
""",
    "equal-bytes": """\
SELECT sha256, count(*) AS copies, min(received_at) AS first, max(received_at) AS last
FROM images
GROUP BY 1 HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 1000
""",
    "why-kafka-was-refused": """\
SELECT dt, topic, code, count(*) AS messages, max(bytes) AS largest
FROM rejections
GROUP BY 1, 2, 3 ORDER BY 4 DESC
""",
}
