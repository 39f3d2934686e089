-- Census-Income (KDD) of UCI: a row per person, no time and no sessions. A space
-- follows each comma, and ? is missing. The marital status is a label, so it is
-- no feature; nor is the instance weight.
SELECT
  row_id, split, age, wage_per_hour, capital_gains, capital_losses, dividends,
  employer_size, weeks_worked,
  nullif(nullif(trim(COLUMNS(* EXCLUDE (
    row_id, split, age, wage_per_hour, capital_gains, capital_losses, dividends,
    employer_size, weeks_worked
  ))), '?'), '')
FROM log
