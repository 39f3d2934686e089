"""Statistics of a column: its kind, range and distinct values."""

from __future__ import annotations

import dataclasses

from rmtl_jax.preparation import sql
from rmtl_jax.preparation.guess import sample as sample_lib

# Texts that mean missing among numbers and times.
NOTHING = ('NULL', 'null', 'NA', 'N/A', 'n/a', 'NaN', 'nan', 'None', 'none')
# Texts of 1 and of 0.
_TRUTHS = (('true', 'false'), ('yes', 'no'), ('y', 'n'), ('t', 'f'))
_SEPARATORS = ('|', ';', ',')
# Least share of rows in which a separator parts the text.
_LEAST_SPLIT = 0.02
# Seconds since 1970 of 1990 and of 2100.
_FIRST, _LAST = 631_152_000, 4_102_444_800
DATE = '%Y%m%d'
UNITS = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}


@dataclasses.dataclass(frozen=True)
class Facts:
  """A column of a sample.

  Attributes:
    sample: the rows.
    name: of the column.
    kind: `number`, `bool`, `time`, `list`, `text` or `other`.
    filled: rows with a value.
    distinct: different values.
    whole: whether all numbers are whole.
    least: number, as the next two; 0 of other kinds.
    largest: number.
    median: number.
    words: mean number of words of a text.
    separator: of a list in a text.
    nothing: texts that mean a missing value.
    truth: the texts of 1 and of 0, of two values that are not these numbers.
    unit: of a time: `iso`, `s`, `ms`, ... or `%Y%m%d`; '' of no time.
  """

  sample: sample_lib.Sample
  name: str
  kind: str
  filled: int
  distinct: int
  whole: bool = False
  least: float = 0.0
  largest: float = 0.0
  median: float = 0.0
  words: float = 1.0
  separator: str = ''
  nothing: tuple[str, ...] = ()
  truth: tuple[str, str] | None = None
  unit: str = ''

  @property
  def text(self) -> str:
    """SQL of the values as text, NULL where there is none."""
    return sql.null_if_in(self.sample.text(self.name), self.nothing)

  @property
  def number(self) -> str:
    """SQL of the values as numbers (1 and 0 of a label), NULL for none."""
    if self.kind == 'bool':
      return f'CAST({sql.quote(self.name)} AS DOUBLE)'
    if self.truth is None:
      return f'TRY_CAST({self.text} AS DOUBLE)'
    one, zero = (sql.literal(text) for text in self.truth)
    return (
      f'CASE lower({self.text}) WHEN {one} THEN 1.0 WHEN {zero} THEN 0.0 END'
    )

  @property
  def missing(self) -> float:
    """Share of rows without a value."""
    return 1 - self.filled / self.sample.rows

  @property
  def is_key(self) -> bool:
    """Whether values can identify something."""
    return self.kind == 'text' or (self.kind == 'number' and self.whole)

  @property
  def is_binary(self) -> bool:
    """Whether values are 0 and 1, or names of them, and both occur."""
    if self.truth is not None:
      return True
    span = self.kind == 'number' and (self.least, self.largest) == (0, 1)
    return self.distinct == 2 and (self.kind == 'bool' or (span and self.whole))


def of_column(sample: sample_lib.Sample, name: str, kind: str) -> Facts:
  """Facts of a column of a kind of `Sample.kinds`."""
  column = sql.quote(name)
  if kind in ('list', 'other'):
    filled, distinct = sample.fetch(
      f'count({column}), count(DISTINCT CAST({column} AS VARCHAR))'
    )[0]
    return Facts(sample, name, kind, filled, distinct)
  listed = ', '.join(map(sql.literal, NOTHING))
  given = sample.text(name)
  found = sample.fetch(f'DISTINCT {given}', f'WHERE {given} IN ({listed})')
  nothing = tuple(sorted(text for (text,) in found))
  value = sql.null_if_in(given, nothing)
  number = f'TRY_CAST({value} AS DOUBLE)'
  filled, distinct, numbers, whole, coded, times, words, *spread = sample.fetch(
    f'count({value}), count(DISTINCT {value}),'
    f' count({number}) FILTER (isfinite({number})),'
    f' count(*) FILTER ({number} = round({number})),'
    f" count(*) FILTER (regexp_matches({value}, '^-?0[0-9]')),"
    f' count(*) FILTER (TRY_CAST({value} AS TIMESTAMPTZ) IS NOT NULL'
    f"  AND regexp_matches({value}, '^[0-9]{{4}}-')),"
    f" avg(len(string_split({value}, ' '))),"
    f' min({number}), max({number}), median({number})'
  )[0]
  facts = Facts(sample, name, kind, filled, distinct, nothing=nothing)
  if not filled:
    return dataclasses.replace(facts, kind='text')
  if kind == 'time' or (kind == 'text' and times == filled):
    return dataclasses.replace(facts, kind='time', unit='iso')
  if kind == 'bool':
    return facts
  if numbers == filled and not coded:
    least, largest, median = spread
    return dataclasses.replace(
      facts,
      kind='number',
      whole=whole == filled,
      least=least,
      largest=largest,
      median=median,
      unit=_unit(facts, whole == filled, least, largest),
    )
  return _of_text(facts, words)


def _unit(facts: Facts, whole: bool, least: float, largest: float) -> str:
  """The unit of numbers that are plausible times, or their format."""
  if whole and 19000101 <= least <= largest <= 21001231:
    value = facts.text
    (wrong,) = facts.sample.fetch(
      f"count(*) FILTER (try_strptime({value}, '{DATE}') IS NULL AND"
      f' {value} IS NOT NULL)'
    )[0]
    return '' if wrong else DATE
  for unit, per_second in UNITS.items():
    if _FIRST <= least / per_second <= largest / per_second < _LAST:
      return unit
  return ''


def _of_text(facts: Facts, words: float) -> Facts:
  sample, value = facts.sample, facts.text
  if facts.distinct <= 2:
    rows = sample.fetch(
      f'DISTINCT lower({value}) AS v', f'WHERE {value} IS NOT NULL'
    )
    texts = {text for (text,) in rows}
    for truth in _TRUTHS:
      if texts == {*truth}:
        return dataclasses.replace(facts, truth=truth)
  counts = ', '.join(
    f'count(*) FILTER (contains({value}, {sql.literal(sign)}))'
    for sign in _SEPARATORS
  )
  for sign, count in zip(_SEPARATORS, sample.fetch(counts)[0], strict=True):
    if count <= _LEAST_SPLIT * facts.filled:
      continue
    tokens = sample.fetch(
      'count(DISTINCT trim(v))',
      f', unnest(string_split({value}, {sql.literal(sign)})) AS of_text(v)',
    )[0][0]
    if tokens < facts.distinct:
      return dataclasses.replace(facts, kind='list', separator=sign)
  return dataclasses.replace(facts, words=words)
