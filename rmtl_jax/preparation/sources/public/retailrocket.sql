-- RetailRocket's shop log of Kaggle. The snapshots of properties are weekly, and
-- each is valid from its time on. An event gets the newest values of its item's
-- properties at or before its time, because later ones would leak. A property
-- can have two values at one time; the greater one is taken, so that the result
-- does not depend on the order of rows.
WITH changes AS (
  SELECT
    itemid, timestamp,
    max(value) FILTER (WHERE property = 'categoryid') AS category,
    max(value) FILTER (WHERE property = 'available') AS available,
    max(value) FILTER (WHERE property = '364') AS property_364,
    max(value) FILTER (WHERE property = '591') AS property_591,
    max(value) FILTER (WHERE property = '776') AS property_776,
    max(value) FILTER (WHERE property = '785') AS property_785,
    max(value) FILTER (WHERE property = '814') AS property_814
  FROM properties
  WHERE itemid IN (SELECT itemid FROM log)
    AND property IN (
      'categoryid', 'available', '364', '591', '776', '785', '814'
    )
  GROUP BY itemid, timestamp
),
versions AS (
  SELECT
    itemid, timestamp,
    last_value(COLUMNS(* EXCLUDE (itemid, timestamp)) IGNORE NULLS) OVER past
  FROM changes
  WINDOW past AS (
    PARTITION BY itemid ORDER BY timestamp ROWS UNBOUNDED PRECEDING
  )
),
parents AS (
  SELECT categoryid, max(parentid) AS category_parent
  FROM tree GROUP BY categoryid
)
SELECT g.*, v.* EXCLUDE (itemid, timestamp), p.category_parent
FROM log g
ASOF LEFT JOIN versions v
  ON g.itemid = v.itemid AND g.timestamp >= v.timestamp
LEFT JOIN parents p ON v.category = p.categoryid
