-- Tenrec's video logs (Yuan et al., NeurIPS 2022): a row per shown video, no
-- time and no sessions. watching_times answers the exposure, so it is no
-- feature. In hist_1 to hist_10, 0 stands for no video.
SELECT
  * EXCLUDE (hist_1, hist_2, hist_3, hist_4, hist_5, hist_6, hist_7, hist_8,
             hist_9, hist_10),
  list_filter(
    [hist_1, hist_2, hist_3, hist_4, hist_5, hist_6, hist_7, hist_8, hist_9,
     hist_10],
    lambda item: item <> 0
  ) AS hist
FROM log
