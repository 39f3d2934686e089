-- Ali-CCP (Tianchi 408): a row per impression. `features` are `field \x02 id
-- \x03 value` with \x01 between them; those of a user's visit are in another
-- file, and impressions that share them are a session. Rows have no time and are
-- split by files. Impressions bought without a click are left out, as the
-- literature does. Of a field with one id per row the id is taken, of crossed
-- fields the value too, of lists the ids, of a visit the first 20.
WITH shown AS (
  SELECT
    row_id, split, common_feature_index, click, buy,
    list_transform(
      string_split(features, chr(1)),
      lambda part: {
        'field': split_part(part, chr(2), 1),
        'id': split_part(split_part(part, chr(2), 2), chr(3), 1),
        'value': split_part(part, chr(3), 2)
      }
    ) AS parts
  FROM log WHERE click >= buy
),
rows AS (
  SELECT
    * EXCLUDE (parts),
    list_filter(parts, lambda p: p.field = '205')[1].id AS item_id,
    list_filter(parts, lambda p: p.field = '206')[1].id AS category,
    list_filter(parts, lambda p: p.field = '207')[1].id AS shop,
    list_filter(parts, lambda p: p.field = '216')[1].id AS brand,
    list_filter(parts, lambda p: p.field = '301')[1].id AS position,
    list_filter(parts, lambda p: p.field = '508')[1].id AS category_match,
    list_filter(parts, lambda p: p.field = '509')[1].id AS shop_match,
    list_filter(parts, lambda p: p.field = '702')[1].id AS brand_match,
    list_transform(
      list_filter(parts, lambda p: p.field = '210'), lambda p: p.id
    ) AS intentions,
    list_transform(
      list_filter(parts, lambda p: p.field = '853'), lambda p: p.id
    ) AS intention_matches,
    TRY_CAST(list_filter(parts, lambda p: p.field = '508')[1].value AS DOUBLE)
      AS category_match_value,
    TRY_CAST(list_filter(parts, lambda p: p.field = '509')[1].value AS DOUBLE)
      AS shop_match_value,
    TRY_CAST(list_filter(parts, lambda p: p.field = '702')[1].value AS DOUBLE)
      AS brand_match_value
  FROM shown
),
visits AS (
  SELECT DISTINCT ON (split, common_feature_index)
    split, common_feature_index,
    list_transform(
      string_split(features, chr(1)),
      lambda part: {
        'field': split_part(part, chr(2), 1),
        'id': split_part(split_part(part, chr(2), 2), chr(3), 1),
        'value': split_part(part, chr(3), 2)
      }
    ) AS parts
  FROM common ORDER BY split, common_feature_index, row_id
),
users AS (
  SELECT
    split, common_feature_index,
    list_filter(parts, lambda p: p.field = '101')[1].id AS user_id,
    list_filter(parts, lambda p: p.field = '121')[1].id AS profile,
    list_filter(parts, lambda p: p.field = '122')[1].id AS profile_group,
    list_filter(parts, lambda p: p.field = '124')[1].id AS gender,
    list_filter(parts, lambda p: p.field = '125')[1].id AS age,
    list_filter(parts, lambda p: p.field = '126')[1].id AS consumption_1,
    list_filter(parts, lambda p: p.field = '127')[1].id AS consumption_2,
    list_filter(parts, lambda p: p.field = '128')[1].id AS occupation,
    list_filter(parts, lambda p: p.field = '129')[1].id AS geography,
    list_transform(
      list_filter(parts, lambda p: p.field = '109_14'), lambda p: p.id
    )[:20] AS past_categories,
    list_transform(
      list_filter(parts, lambda p: p.field = '110_14'), lambda p: p.id
    )[:20] AS past_shops,
    list_transform(
      list_filter(parts, lambda p: p.field = '127_14'), lambda p: p.id
    )[:20] AS past_brands,
    list_transform(
      list_filter(parts, lambda p: p.field = '150_14'), lambda p: p.id
    )[:20] AS past_intentions
  FROM visits
)
SELECT r.*, u.* EXCLUDE (split, common_feature_index)
FROM rows r JOIN users u ON r.common_feature_index = u.common_feature_index
  AND r.split IS NOT DISTINCT FROM u.split
