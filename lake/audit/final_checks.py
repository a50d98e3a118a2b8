"""Checks that need no second look, as SQL queries over the snapshot of an audit.

The order of reading makes their faults final: journal, footers of segments, records, audit log. A
record is written before its row is journaled. An erasure writes the entry of the audit log before
the tombstone, and the tombstone before the footer.
"""

# Sources that name erased images: entries of the audit log, and footers, which have only ids.
# An erasure whose tombstone row waits in the journal is still under way.
_ERASED = """
    WITH said AS (
      SELECT tenant, image_id, attempt, window_start, file FROM erasures
      WHERE erased_at < $settled
      UNION ALL
      SELECT NULL, image_id, NULL, window_start, min(file) FROM erased x
      WHERE NOT EXISTS (
        FROM erasures e WHERE e.image_id = x.image_id AND e.window_start = x.window_start)
      GROUP BY image_id, window_start)
    SELECT CASE WHEN EXISTS (
        FROM records r WHERE r.image_id = s.image_id AND r.window_start = s.window_start
          AND coalesce(s.tenant, r.tenant) = r.tenant AND NOT r.tombstone)
      THEN 'erased_image' ELSE 'missing_tombstone' END AS code,
      concat_ws('/', s.tenant, s.image_id) AS subject,
      concat('erased according to ', s.file) AS detail
    FROM said s
    WHERE s.window_start >= $row_floor AND s.window_start < $end
      AND NOT EXISTS (
        FROM records r WHERE r.tombstone
          AND r.image_id = s.image_id AND r.window_start = s.window_start
          AND coalesce(s.tenant, r.tenant) = r.tenant
          AND coalesce(s.attempt, r.attempt) = r.attempt)
      AND NOT EXISTS (
        FROM waiting q WHERE q.tombstone
          AND q.image_id = s.image_id AND q.window_start = s.window_start)
"""
_NOT_LOGGED = """
    SELECT 'missing_log' AS code, concat_ws('/', r.tenant, r.image_id) AS subject,
      'its record is a tombstone' AS detail
    FROM records r
    WHERE r.tombstone AND r.window_start >= $row_floor AND r.window_start < $end
      AND NOT EXISTS (
        FROM erasures e WHERE e.image_id = r.image_id AND e.tenant = r.tenant
          AND e.attempt = r.attempt AND e.window_start = r.window_start)
"""
# The sealer removes these rows while the erasure waits in the journal, so for an hour at least.
_IN_SHADOW = """
    SELECT 'erased_row' AS code, concat_ws('/', w.tenant, w.image_id) AS subject,
      concat('in the shadow lake: ', w.file) AS detail
    FROM shadow w
    WHERE w.window_start >= $row_floor AND w.window_start < $end
      AND EXISTS (
        FROM erasures e WHERE e.erased_at < $settled AND e.image_id = w.image_id
          AND e.tenant = w.tenant AND e.attempt = w.attempt)
      AND NOT EXISTS (
        FROM waiting q WHERE q.tombstone
          AND q.image_id = w.image_id AND q.tenant = w.tenant AND q.attempt = w.attempt)
"""
ERASURES = f"{_ERASED} UNION ALL {_NOT_LOGGED} UNION ALL {_IN_SHADOW} ORDER BY ALL"
"""Erasures of which a part is lost, or that left a row in a shadow lake."""

REFUSALS = """
    SELECT 'missing_rejection' AS code, f.name AS subject,
      concat('rejection ', f.rejection_id) AS detail
    FROM refusals f
    WHERE f.window_start >= $row_floor AND f.window_start < $settled
      AND NOT EXISTS (FROM records r WHERE r.image_id = f.rejection_id)
    ORDER BY ALL
"""
"""Refused messages without a rejection, which would be a record of the same snapshot."""

WAITING = """
    SELECT CASE WHEN r.image_id IS NULL THEN 'row_without_image' ELSE 'row_differs' END AS code,
      concat_ws('/', q.tenant, q.image_id) AS subject, 'the row waits in the journal' AS detail
    FROM waiting q LEFT JOIN records r
      ON r.image_id = q.image_id AND r.tenant = q.tenant AND r.attempt = q.attempt
    WHERE NOT q.tombstone AND q.window_start >= $row_floor AND q.window_start < $end
      AND (r.image_id IS NULL OR r.row_hash <> q.row_hash)
    ORDER BY ALL
"""
"""Rows of the journal that differ from their records."""
