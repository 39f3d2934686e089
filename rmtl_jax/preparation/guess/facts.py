"""What the values of a column are: numbers, times, lists or text."""

from __future__ import annotations

import dataclasses
import os

import pyarrow as pa

from rmtl_jax.preparation import checks, sql
from rmtl_jax.preparation.guess import sample as sample_lib
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import written_numbers

# Texts that stand for nothing wherever they are, and those that do among
# numbers alone (`NA` may be a country).
_NOTHING = (*raw.NULL_TEXTS, '?', '<NA>', 'NaT', '#N/A')
_NOTHING_IN_NUMBERS = (*_NOTHING, 'NA', 'none', '-', '.')
# Texts of yes and no.
_TRUTHS = (
  ('true', 'false'),
  ('yes', 'no'),
  ('y', 'n'),
  ('t', 'f'),
  ('on', 'off'),
  ('ja', 'nein'),
  ('oui', 'non'),
  ('si', 'no'),
  ('sí', 'no'),
  ('sim', 'não'),
  ('ja', 'nee'),
  ('ja', 'nej'),
  ('tak', 'nie'),
  ('да', 'нет'),
)
# Most texts of yes, no and nothing, in several spellings.
_MOST_TRUTHS = 8
# Numbers that stand for nothing where no other is negative.
_SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0)
# Between the values of a list. The first two stand in hardly any other text.
_SEPARATORS = ('|', ';', ',', ' ')
# Numbers as people write them: with a decimal comma or commas of thousands, and
# what stands before or behind them.
_SIGN = rf'(%|{written_numbers.MONEY})'
_SPACES = written_numbers.SPACES
_WRITTEN = (
  rf"{_SIGN}?\s?-?(\d{{1,3}}([,'{_SPACES}]\d{{3}})+(\.\d+)?"
  rf'|\d{{1,3}}([.{_SPACES}]\d{{3}})*,\d{{2}}|\d+(\.\d+)?)'
  rf'\s?{_SIGN}?|{_SIGN}\s?-?\d+,\d+|-?\d+,\d+\s?{_SIGN}'
)
# Money of those who write decimals with a comma.
_MONEY_BEHIND = rf'€|R[$]|[0-9] ?{written_numbers.MONEY}$'
_NOT_WRITTEN = '', 0.0, 0.0, 0.0
# Least different ends of decimals that a comma begins.
_LEAST_TAILS = 30
# Least share of rows in which a separator parts the text, and of values with a
# digit, of lists of ids.
_LEAST_SPLIT, _IDS = 0.005, 0.95


@dataclasses.dataclass(frozen=True)
class Facts:
  """A column of a sample.

  Attributes:
    sample: the rows.
    name: of the column.
    kind: `number`, `bool`, `time` (iso text or a type of its own), `list`,
      `structs`, `text` or `other`.
    filled: rows with a value.
    distinct: different values.
    whole: whether all numbers are whole.
    codes: whether numbers have leading zeros, so are codes.
    least: number, also of text with a `decimal`; 0 of other kinds.
    largest: number.
    median: number.
    words: mean words of a text.
    separator: of a list in a text.
    tokens: different values of a list.
    listed: values of all lists.
    nothing: texts that stand for a missing value.
    truth: the texts of 1 and of 0, of two values that are not these; the empty
      text for a missing value.
    spellings: further texts of these, in other cases.
    unseen: texts beside these that say of a label that nobody knows it.
    sentinel: the only negative number, if it is one that stands for nothing.
    decimal: the decimal sign of text that is numbers as people write them, such
      as `$1.50`, `1,50` and `1,500`; else ''.
    timed: whether it is a label that is 1 where there is a time.
  """

  sample: sample_lib.Sample
  name: str
  kind: str
  filled: int
  distinct: int
  whole: bool = False
  codes: bool = False
  least: float = 0.0
  largest: float = 0.0
  median: float = 0.0
  words: float = 1.0
  separator: str = ''
  tokens: int = 0
  listed: int = 0
  nothing: tuple[str, ...] = ()
  truth: tuple[str, str] | None = None
  spellings: tuple[str, ...] = ()
  unseen: tuple[str, ...] = ()
  sentinel: float | None = None
  decimal: str = ''
  timed: bool = False

  @property
  def rows(self) -> int:
    """Rows of the sample."""
    return self.sample.rows

  @property
  def text(self) -> str:
    """SQL of the values as text, NULL where there is none."""
    return sql.null_if_in(self.sample.given(self.name), self.nothing)

  @property
  def number(self) -> str:
    """SQL of the values as numbers, NULL where there is none."""
    if self.kind == 'bool':
      return f'CAST({self.sample.column(self.name)} AS DOUBLE)'
    given = self.text
    value = written_numbers.number(given, pa.string(), self.decimal)
    if self.timed:
      if self.sentinel is not None:
        given = f'nullif({value}, {self.sentinel:g})'
      return f'CAST({given} IS NOT NULL AS DOUBLE)'
    if self.truth is None:
      return value
    one, zero = self.truth
    if self.kind == 'number':  # 1 may be written as 1.0
      rest = f'{value} = {zero}' if zero else f'{value} IS NULL'
      return f'CASE WHEN {value} = {one} THEN 1.0 WHEN {rest} THEN 0.0 END'
    value = f"coalesce({given}, '')"
    if self.spellings:
      value, one, zero = f'lower({value})', one.lower(), zero.lower()
    return (
      f'CASE {value} WHEN {sql.literal(one)} THEN 1.0'
      f' WHEN {sql.literal(zero)} THEN 0.0 END'
    )

  @property
  def missing(self) -> float:
    """Share of rows without a value."""
    return 1 - self.filled / self.rows

  @property
  def is_key(self) -> bool:
    """Whether values can identify something: whole numbers or text."""
    return self.kind == 'text' or (self.kind == 'number' and self.whole)

  @property
  def is_too_large(self) -> bool:
    """Whether it has numbers that `rmtl prepare` refuses, as inf."""
    return self.kind == 'number' and not (
      -checks.LARGEST < self.least <= self.largest < checks.LARGEST
    )

  @property
  def is_binary(self) -> bool:
    """Whether values are 0 and 1, or stand for them, both."""
    if self.truth is not None or self.timed:
      return True
    numbers = self.kind == 'number' and self.whole
    span = (self.least, self.largest) == (0.0, 1.0)
    return self.distinct == 2 and (self.kind == 'bool' or (numbers and span))

  @property
  def is_mark(self) -> bool:
    """Whether some rows have one word and the others nothing."""
    return self.kind == 'text' and self.truth is not None and not self.truth[1]


def find(
  sample: sample_lib.Sample, log: str | os.PathLike[str] = 'log'
) -> list[Facts]:
  """Facts of every column, in order.

  Args:
    log: its path, for errors.

  Raises:
    types.InputError: values that DuckDB can't read, as times too far away.
  """
  found = []
  for name, kind in zip(sample.names, sample.kinds, strict=True):
    with sql.name_errors(f'{os.fspath(log)}: column {name!r}', 'not readable'):
      found.append(_of_column(sample, name, kind))
  return found


def _of_column(sample: sample_lib.Sample, name: str, kind: str) -> Facts:
  if kind in ('list', 'structs', 'other'):
    return _nested(sample, name, kind)
  found = _nothing(sample, name)
  sure = tuple(one for one in found if one in _NOTHING or not one.strip())
  for nothing in dict.fromkeys((sure, found)):
    facts = _of_numbers(sample, name, kind, nothing)
    if facts is not None:
      return facts
  as_text = _of_text(sample, name, sure)
  if found != sure and not as_text.decimal:
    written = _of_text(sample, name, found)
    return written if written.decimal else as_text
  return as_text


def _of_numbers(
  sample: sample_lib.Sample, name: str, kind: str, nothing: tuple[str, ...]
) -> Facts | None:
  """Facts of a column that is no text; None where it is."""
  value = sql.null_if_in(sample.given(name), nothing)
  number = f'TRY_CAST({value} AS DOUBLE)'
  filled, distinct, numbers, whole, codes, below, *spread = sample.fetch(
    f'count({value}), count(DISTINCT {value}), count({number}),'
    f' count(*) FILTER (isfinite({number}) AND {number} = round({number})),'
    f" count(*) FILTER (regexp_matches({value}, '^-?0[0-9]')),"
    f' count(DISTINCT {number}) FILTER ({number} < 0),'
    f' min({number}) FILTER ({number} >= 0),'
    f' median({number}) FILTER ({number} >= 0),'
    f' min({number}), max({number}), median({number})'
  )[0]
  if kind in ('bool', 'time') or not filled:
    return Facts(sample, name, kind, filled, distinct)
  if numbers < filled:
    return None
  above, median_above, least, largest, median = spread
  truth = None
  if (distinct, least, largest) == (2, -1, 1):
    truth = '1', '-1'
  elif (distinct, least) == (1, 1) and filled < sample.rows:
    truth = '1', ''
  sentinel = None
  # -1, 0 and 1 are lower, equal and higher.
  is_sign = (distinct, least, above, largest) == (3, -1, 0, 1)
  if below == 1 and least in _SENTINELS and above is not None and not is_sign:
    sentinel, least, median = least, above, median_above
  return Facts(
    sample,
    name,
    'number',
    filled,
    distinct,
    whole=whole == filled,
    codes=bool(codes),
    least=least,
    largest=largest,
    median=median,
    nothing=nothing,
    truth=truth,
    sentinel=sentinel,
  )


def _of_text(
  sample: sample_lib.Sample, name: str, nothing: tuple[str, ...]
) -> Facts:
  value = sql.null_if_in(sample.given(name), nothing)
  filled, distinct, times, words, is_written = sample.fetch(
    f'count({value}), count(DISTINCT {value}),'
    f' count(*) FILTER ({_is_iso(value)}),'
    f" avg(len(string_split({value}, ' '))), {_is_written(value)}"
  )[0]
  truth, spellings, unseen = _truth(sample, value, filled, distinct)
  written = _decimal(sample, value) if is_written else _NOT_WRITTEN
  decimal, least, largest, median = written
  kind, separator, tokens, listed = 'text', '', 0, 0
  if times == filled:
    kind = 'time'
  elif not is_written:
    separator, tokens, listed = _separator(sample, value, filled, distinct)
    kind = 'list' if separator else 'text'
  return Facts(
    sample,
    name,
    kind,
    filled,
    distinct,
    words=words,
    separator=separator,
    tokens=tokens,
    listed=listed,
    nothing=nothing,
    truth=truth,
    spellings=spellings,
    unseen=unseen,
    decimal=decimal,
    least=least,
    largest=largest,
    median=median,
  )


def _is_iso(value: str) -> str:
  """SQL of whether a text is a time as ISO has it, with a year of four digits.

  DuckDB reads `01/03/24` as of the year 1.
  """
  time = f'TRY_CAST({value} AS TIMESTAMPTZ)'
  has_year = f"regexp_matches({value}, '^[0-9]{{4}}-|infinity$')"
  return f"{time} >= '1000-01-01' OR {time} IS NOT NULL AND {has_year}"


def _decimal(
  sample: sample_lib.Sample, value: str
) -> tuple[str, float, float, float]:
  """The decimal sign of numbers that people wrote, least, largest, median.

  Of `1.250 €` and `850 €` the point parts thousands.
  """
  in_thousands = sample.fetch(
    f"bool_and(NOT contains({value}, ',') AND"
    f" (NOT contains({value}, '.') OR"
    f" regexp_matches({value}, '[.][0-9]{{3}}([^0-9]|$)')))"
    f" AND bool_or(contains({value}, '.'))"
    f' AND bool_or(regexp_matches({value}, {sql.literal(_MONEY_BEHIND)}))'
  )[0][0]
  for decimal in (',', '.') if in_thousands else ('.', ','):
    number = written_numbers.number(value, pa.string(), decimal)
    unread, least, largest, median = sample.fetch(
      f'count(*) FILTER ({value} IS NOT NULL AND {number} IS NULL),'
      f' min({number}), max({number}), median({number})'
    )[0]
    if not unread:
      return decimal, least, largest, median
  return _NOT_WRITTEN


def _is_written(value: str) -> str:
  """SQL of whether all texts are numbers as people write them.

  Without a sign of money or the like, `123,456` may be two ids: only of numbers
  has what stands before the first comma now one digit, now several, or what
  stands behind it begin with a 0. So may `12,5` and `3,25`: but no number is
  written as `3,250` beside these, and whole ones as `12,0` beside `7,5`; ids
  are not negative, nor 0 before as many digits each.
  """
  head = f"regexp_extract({value}, '[0-9]+')"
  tail = f"regexp_extract({value}, ',([0-9]+)$', 1)"
  signed = f'bool_or(regexp_matches({value}, {sql.literal(f"[.]|{_SIGN}")}))'
  varies = (
    f"(count(DISTINCT len({head})) > 1 OR bool_or({tail} LIKE '0%'))"
    f" AND NOT bool_or({head} LIKE '0_%')"
    f" AND max(len({value}) - len(replace({value}, ',', ''))) <= 3"
    f" AND bool_or(regexp_matches({value}, '[,'']'))"
  )
  is_decimal = (
    f"bool_and(regexp_full_match({value}, '-?[0-9]+,[0-9]+')) AND ("
    f' count(DISTINCT {tail}) >= {_LEAST_TAILS}'
    f' AND count(DISTINCT len({tail})) > 1'
    f" AND NOT bool_or({tail} LIKE '_%0')"
    f" OR max(len({tail})) = 1 AND bool_or({tail} = '0')"
    f' AND max(len({head})) > 1'
    f" OR bool_or({value} LIKE '-%') AND max(len({tail})) > 1"
    f' OR min(len({tail})) = max(len({tail})) AND min(len({tail})) > 3'
    f" AND bool_or({head} = '0'))"
  )
  return (
    f'(bool_and(regexp_full_match({value}, {sql.literal(_WRITTEN)}))'
    f' AND ({signed} OR ({varies}))) OR ({is_decimal})'
  )


def _truth(
  sample: sample_lib.Sample, value: str, filled: int, distinct: int
) -> tuple[tuple[str, str] | None, tuple[str, ...], tuple[str, ...]]:
  """`truth`, `spellings` and `unseen` of a text.

  A column that says yes or nothing says no in its empty rows.
  """
  if not 0 < distinct <= _MOST_TRUTHS:
    return None, (), ()
  rows = sample.fetch(
    f'{value} AS v', f'WHERE {value} IS NOT NULL GROUP BY v ORDER BY v DESC'
  )
  unseen = tuple(text for (text,) in rows if text in _NOTHING_IN_NUMBERS)
  texts = [text for (text,) in rows if text not in unseen]
  found = {text.lower(): text for text in texts}
  spellings = tuple(text for text in texts if text not in found.values())
  for one, zero in _TRUTHS:
    if {*found} == {one, zero}:
      return (found[one], found[zero]), spellings, unseen
    if {*found} == {one} and filled < sample.rows and not unseen:
      return (found[one], ''), spellings, ()
  return None, (), ()


def _nested(sample: sample_lib.Sample, name: str, kind: str) -> Facts:
  """Facts of a column of lists, or of a type that no field can have."""
  column = sample.column(name)
  if kind != 'list':  # see sample.py
    filled = sample.fetch(f'coalesce(sum({column}), 0)::BIGINT')[0][0]
    return Facts(sample, name, kind, filled, filled)
  filled, distinct = sample.fetch(
    f'count({column}), count(DISTINCT CAST({column} AS VARCHAR))'
  )[0]
  tokens, listed = sample.fetch(
    'count(DISTINCT v), count(v)', f', unnest({column}) AS of_list(v)'
  )[0]
  return Facts(
    sample, name, kind, filled, distinct, tokens=tokens, listed=listed
  )


def _nothing(sample: sample_lib.Sample, name: str) -> tuple[str, ...]:
  """Texts of a column that may stand for nothing."""
  value = sample.given(name)
  listed = ', '.join(map(sql.literal, _NOTHING_IN_NUMBERS))
  rows = sample.fetch(f'DISTINCT {value}', f'WHERE {value} IN ({listed})')
  # Blanks, which `rmtl prepare` takes for a text.
  given = f'CAST({sample.column(name)} AS VARCHAR)'
  rows += sample.fetch(
    f'DISTINCT {given}', f"WHERE trim({given}) = '' AND {given} <> ''"
  )
  return tuple(sorted(row[0] for row in rows))


def _separator(
  sample: sample_lib.Sample, value: str, filled: int, distinct: int
) -> tuple[str, int, int]:
  """What parts the lists of a text, their different and all values; or ''."""
  counts = ', '.join(
    f'count(*) FILTER (contains({value}, {sql.literal(sign)}))'
    for sign in _SEPARATORS
  )
  brackets = f"count(*) FILTER (regexp_matches({value}, '[\\[({{]'))"
  *parted, bracketed = sample.fetch(f'{counts}, {brackets}')[0]
  if bracketed > _LEAST_SPLIT * filled:
    return '', 0, 0
  for sign, count in zip(_SEPARATORS, parted, strict=True):
    if count <= _LEAST_SPLIT * filled:
      continue
    tokens, listed, with_digits = sample.fetch(
      'count(DISTINCT v), count(v),'
      " avg(CAST(regexp_matches(v, '[0-9]') AS INT))",
      f', unnest(string_split({value}, {sql.literal(sign)})) AS of_text(v)',
    )[0]
    # Words of sentences and of names are no lists; ids and hashed tokens are.
    are_ids = with_digits >= _IDS
    if sign == ' ' and not are_ids:
      continue
    # Few long lists have more values than they are, which come back.
    come_back = are_ids and 2 * tokens <= listed / filled * distinct
    if sign in '|;' or tokens < distinct or come_back:
      return sign, tokens, listed
  return '', 0, 0
