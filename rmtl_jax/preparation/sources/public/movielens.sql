-- MovieLens 20M, 25M, 32M and the small ones: a row per rating. Tasks: `like`, at least
-- four stars, the usual threshold, and `love`, five. A rating is known as it is
-- given; a session is a sitting of a user, in which many movies are rated.
SELECT g.*, m.year, m.genres
FROM log g
LEFT JOIN (
  SELECT DISTINCT ON (movieId)
    movieId,
    TRY_CAST(regexp_extract(title, '\((\d{4})\)\s*$', 1) AS DOUBLE) AS year,
    list_filter(
      string_split(nullif(genres, '(no genres listed)'), '|'), lambda genre: genre <> ''
    ) AS genres
  FROM movies ORDER BY movieId, row_id
) m ON g.movieId = m.movieId
