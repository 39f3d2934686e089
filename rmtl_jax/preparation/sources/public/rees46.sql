-- REES46's shop log, a file per month. Other events than views, carts and
-- purchases are ignored. Categories are whole paths, because `accessories` of
-- two parents are two categories. Some prices are below zero: missing values.
SELECT
  * REPLACE (CASE WHEN price >= 0 THEN price END AS price),
  split_part(category_code, '.', 1) AS category_level_1,
  array_to_string(string_split(category_code, '.')[:2], '.')
    AS category_level_2
FROM log
