-- MovieLens 1M, and 10M without users: a row per rating. Tasks: `like`, at least
-- four stars, the usual threshold, and `love`, five. A rating is known as it is
-- given; a session is a sitting of a user, in which many movies are rated.
SELECT g.*, m.year, m.genres, u.* EXCLUDE (row_id, user_id)
FROM log g
LEFT JOIN (
  SELECT DISTINCT ON (movie_id)
    movie_id,
    TRY_CAST(regexp_extract(title, '\((\d{4})\)\s*$', 1) AS DOUBLE) AS year,
    list_filter(
      string_split(genres, '|'), lambda genre: genre <> ''
    ) AS genres
  FROM movies ORDER BY movie_id, row_id
) m ON g.movie_id = m.movie_id
LEFT JOIN (
  SELECT DISTINCT ON (user_id) * FROM users ORDER BY user_id, row_id
) u ON g.user_id = u.user_id
