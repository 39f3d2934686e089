-- Criteo's attribution log (Diemert et al., AdKDD 2017): a row per shown banner.
-- Tasks: click; a conversion within 30 days, of a clicked banner; and its
-- attribution to that banner. Times are seconds since the log's first row, and
-- -1 is missing. conversion_id, click_pos, click_nb and cpo are known only
-- afterwards, so they are no features.
SELECT
  * REPLACE (
    click * conversion AS conversion,
    click * conversion * attribution AS attribution,
    CASE WHEN time_since_last_click >= 0 THEN time_since_last_click END
      AS time_since_last_click
  ),
  CASE WHEN click * conversion = 1
    THEN greatest(conversion_timestamp, timestamp) END AS converted,
  CASE WHEN click * conversion * attribution = 1
    THEN greatest(conversion_timestamp, timestamp) END AS attributed
FROM log
