-- MovieLens 100K: a row per rating. Tasks: `like`, at least
-- four stars, the usual threshold, and `love`, five. A rating is known as it is
-- given; a session is a sitting of a user, in which many movies are rated.
SELECT g.*, m.year, m.genres, u.* EXCLUDE (row_id, user_id)
FROM log g
LEFT JOIN (
  SELECT DISTINCT ON (movie_id)
    movie_id,
    TRY_CAST(regexp_extract(title, '\((\d{4})\)\s*$', 1) AS DOUBLE) AS year,
    list_filter([
      CASE WHEN "unknown" = 1 THEN 'unknown' END,
      CASE WHEN "Action" = 1 THEN 'Action' END,
      CASE WHEN "Adventure" = 1 THEN 'Adventure' END,
      CASE WHEN "Animation" = 1 THEN 'Animation' END,
      CASE WHEN "Children's" = 1 THEN 'Children''s' END,
      CASE WHEN "Comedy" = 1 THEN 'Comedy' END,
      CASE WHEN "Crime" = 1 THEN 'Crime' END,
      CASE WHEN "Documentary" = 1 THEN 'Documentary' END,
      CASE WHEN "Drama" = 1 THEN 'Drama' END,
      CASE WHEN "Fantasy" = 1 THEN 'Fantasy' END,
      CASE WHEN "Film-Noir" = 1 THEN 'Film-Noir' END,
      CASE WHEN "Horror" = 1 THEN 'Horror' END,
      CASE WHEN "Musical" = 1 THEN 'Musical' END,
      CASE WHEN "Mystery" = 1 THEN 'Mystery' END,
      CASE WHEN "Romance" = 1 THEN 'Romance' END,
      CASE WHEN "Sci-Fi" = 1 THEN 'Sci-Fi' END,
      CASE WHEN "Thriller" = 1 THEN 'Thriller' END,
      CASE WHEN "War" = 1 THEN 'War' END,
      CASE WHEN "Western" = 1 THEN 'Western' END
    ], lambda genre: genre IS NOT NULL) AS genres
  FROM movies ORDER BY movie_id, row_id
) m ON g.movie_id = m.movie_id
LEFT JOIN (
  SELECT DISTINCT ON (user_id) * FROM users ORDER BY user_id, row_id
) u ON g.user_id = u.user_id
