-- KuaiRand (Pure, 1K, 27K): a row per shown video, in the order of time_ms; date
-- and hourmin can run ahead of it and are not used. A conversion is a click with
-- a long view. The age of a video is in days; a row can seem older than its
-- video, because the upload's time of day is unknown.
SELECT
  g.*,
  g.is_click * g.long_view AS converted,
  u.* EXCLUDE (row_id, user_id),
  v.* EXCLUDE (row_id, video_id, uploaded),
  CASE WHEN v.uploaded IS NOT NULL
    THEN greatest((g.time_ms + 8 * 3600000 - v.uploaded) / 86400000, 0)
  END AS video_age
FROM log g
LEFT JOIN (SELECT DISTINCT ON (user_id) * FROM users ORDER BY user_id, row_id) u
  ON g.user_id = u.user_id
LEFT JOIN (
  SELECT DISTINCT ON (video_id)
    * EXCLUDE (upload_dt),
    epoch_ms(CAST(TRY_CAST(upload_dt AS DATE) AS TIMESTAMP)) AS uploaded
  FROM videos ORDER BY video_id, row_id
) v ON g.video_id = v.video_id
