"""Numbers as people write them, such as `1.250,50 €` and `$1,250.50`."""

from __future__ import annotations

import pyarrow as pa

from rmtl_jax.data import parquet
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import files as raw

# By the decimal sign: what parts thousands, and a number so written, with signs
# of money or %. RE2, which DuckDB has, and Python read the patterns alike.
SPACES = ' \u00a0\u202f'
_THOUSANDS = {',': f"[.{SPACES}']", '.': f"[,{SPACES}']"}
_SPACE = f'[{SPACES}]?'
MONEY = (
  '(R?[$]|[€£¥₹₽₺]|zł|kr|Kč|Ft|AUD|CAD|CHF|DKK|EUR|GBP|INR|JPY|NOK|PLN|SEK|USD)'
)
_WRITTEN = {
  sign: (
    rf'([+-]?{_SPACE}{MONEY}?|{MONEY}{_SPACE}[+-]){_SPACE}'
    rf'(([1-9][0-9]{{0,2}}({parts}[0-9]{{3}})+|[0-9]+)([{sign}][0-9]*)?'
    rf'|[{sign}][0-9]+)([eE][+-]?[0-9]+)?{_SPACE}({MONEY}|%)?'
  )
  for sign, parts in _THOUSANDS.items()
}
DECIMALS = tuple(_THOUSANDS)
LIKE = {',': '1.200,50', '.': '1,200.50'}
# What is no part of a number.
_NO_NUMBER = {sign: f'EUR|SEK|[^0-9eE+{sign}-]' for sign in DECIMALS}


def number(value: str, found: pa.DataType, decimal: str = '') -> str:
  """SQL of a number, DOUBLE; NULL where it is none.

  Args:
    value: SQL of what is given.
    decimal: one of DECIMALS, for text that people wrote, such as `$1,200.50`;
      '' for text as programs write it.
  """
  if not (decimal and parquet.is_text(found)):
    return f'TRY_CAST({value} AS DOUBLE)'
  nothing = sql.literal(_NO_NUMBER[decimal])
  plain = f"regexp_replace({value}, {nothing}, '', 'g')"
  return (
    f'CASE WHEN regexp_full_match({value}, {sql.literal(_WRITTEN[decimal])})'
    f" THEN TRY_CAST(replace({plain}, '{decimal}', '.') AS DOUBLE) END"
  )


def expected(decimal: str) -> str:
  """What a number should have been, for errors."""
  like = f' written like {LIKE[decimal]}' if decimal else ''
  return raw.EXPECTED['DOUBLE'] + like
