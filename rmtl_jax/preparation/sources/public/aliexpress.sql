-- AliExpress' search log of one country (Tianchi 74690): a row per item that a
-- search has shown. Rows have no time, but the test files are later. item_1 and
-- user_1 are the search; item_49 is 0, 1 or 2: nothing, a click, a purchase.
-- Which columns are categorical is MTReclib's choice.
SELECT
  i.* EXCLUDE (item_49),
  s.* EXCLUDE (row_id, split, user_1),
  CASE WHEN item_49 = 0 THEN 0 WHEN item_49 IN (1, 2) THEN 1 END AS click,
  CASE WHEN item_49 IN (0, 1) THEN 0 WHEN item_49 = 2 THEN 1 END AS conversion
FROM log i
JOIN (
  SELECT DISTINCT ON (split, user_1) * FROM searches
  ORDER BY split, user_1, row_id
) s ON i.item_1 = s.user_1 AND i.split IS NOT DISTINCT FROM s.split
