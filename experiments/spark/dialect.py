"""Preparation's SQL, which is DuckDB's, as Spark's.

sqlglot translates most of it. It drops without a word what it does not know, so
every rule here stands for a construct that a statement of preparation has, and
tests/experiments/test_spark.py compares the results.
"""

from __future__ import annotations

import re
from typing import ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects import spark

# From here on Spark writes a whole float with an exponent, and DuckDB does not.
_EXACT = 10**15


def parse(text: str) -> exp.Expression:
  """A statement of preparation."""
  return sqlglot.parse_one(text, read='duckdb')


def spark_sql(tree: exp.Expression) -> str:
  """The statement in Spark's SQL."""
  return tree.sql(dialect=_Spark)


def quote(name: str) -> str:
  """A name in Spark's SQL."""
  return '`' + name.replace('`', '``') + '`'


def _cast(self: spark.Spark.Generator, tree: exp.Cast) -> str:
  """Text of floats as DuckDB has it: 10000000.0 and nan, not 1.0E7 and NaN."""
  plain = self.cast_sql(tree)
  if not tree.to.is_type('text', 'varchar') or tree.this.is_string:
    return plain
  value = self.sql(tree, 'this')
  number = f'TRY_CAST({value} AS DOUBLE)'
  whole = f'abs({number}) < {_EXACT} AND {number} = floor({number})'
  return (
    f"CASE WHEN typeof({value}) NOT IN ('double', 'float') THEN {plain}"
    f" WHEN isnan({number}) THEN 'nan'"
    f" WHEN {whole} THEN concat(CAST(CAST({number} AS BIGINT) AS STRING), '.0')"
    f' ELSE {plain} END'
  )


def _try_cast(self: spark.Spark.Generator, tree: exp.TryCast) -> str:
  """Numbers as DuckDB reads text: 1.5 rounds to a whole number, 7f is none."""
  if tree.to.is_type('varchar', 'text'):
    return _cast(self, tree)
  value = self.sql(tree, 'this')
  if isinstance(tree.this, exp.Cast):  # of text that is no text of the log
    return self.trycast_sql(tree)
  if tree.to.is_type('bigint'):
    number = f'round(TRY_CAST({value} AS DECIMAL(38, 6)))'
    return f'TRY_CAST({number} AS BIGINT)'
  if tree.to.is_type('double'):
    wrong = f"CAST({value} AS STRING) RLIKE '[0-9.][dDfF] *$'"
    return f'CASE WHEN NOT {wrong} THEN TRY_CAST({value} AS DOUBLE) END'
  return self.trycast_sql(tree)


def _list(self: spark.Spark.Generator, tree: exp.ArrayAgg) -> str:
  """`list(x ORDER BY y)`, of which sqlglot leaves out the order."""
  order = tree.this
  if not isinstance(order, exp.Order):
    return f'collect_list({self.sql(order)})'
  (key,) = order.expressions
  pair = f'struct({self.sql(key, "this")} AS k, {self.sql(order, "this")} AS v)'
  return f'transform(array_sort(collect_list({pair})), x -> x.v)'


def _bracket(self: spark.Spark.Generator, tree: exp.Bracket) -> str:
  """`x[i]` from 1 (sqlglot moves literals alone), `x[:n]` and `x[-n:]`."""
  value, (part,) = self.sql(tree, 'this'), tree.expressions
  if not isinstance(part, exp.Slice):
    return f'element_at({value}, {self.sql(part)})'
  if part.this is None:
    return f'slice({value}, 1, {self.sql(part, "expression")})'
  most = self.sql(part.this.this)
  least = f'least({most}, size({value}))'
  return f'slice({value}, size({value}) - {least} + 1, {least})'


def _hash(self: spark.Spark.Generator, values: list[exp.Expression]) -> str:
  """A hash that tells NULL from nothing; it is compared and never written."""
  each = [self.sql(value) for value in values]
  parts = [part for one in each for part in (one, f'isnull({one})')]
  return f'xxhash64({", ".join(parts)})'


def _replace(self: spark.Spark.Generator, tree: exp.RegexpReplace) -> str:
  r"""A group of the replacement is $1, not \1."""
  text = re.sub(r'\\(\d)', r'$\1', tree.args['replacement'].name)
  value, pattern = self.sql(tree, 'this'), self.sql(tree, 'expression')
  return f"regexp_replace({value}, {pattern}, '{text}')"


def _anonymous(self: spark.Spark.Generator, tree: exp.Anonymous) -> str:
  name = tree.name.lower()
  values = [self.sql(value) for value in tree.expressions]
  if name == 'suffix':
    return f'endswith({", ".join(values)})'
  if name == 'favg':
    return f'avg({values[0]})'
  if name == 'isfinite':
    return f'(abs({values[0]}) < double("infinity"))'
  if name == 'epoch_us':
    return f'unix_micros({values[0]})'
  if name == 'hash':
    return _hash(self, tree.expressions)
  return self.anonymous_sql(tree)


def _least(self: spark.Spark.Generator, tree: exp.Expression) -> str:
  """`least` and `greatest`, in DuckDB also of one value."""
  if tree.expressions:
    name = type(tree).__name__
    return self.func(name, tree.this, *tree.expressions)
  return self.sql(tree, 'this')


def _star(self: spark.Spark.Generator, tree: exp.Star) -> str:
  """`* REPLACE (e AS a)`, which Spark writes `* EXCEPT (a), e AS a`."""
  made = [self.sql(one) for one in tree.args.get('replace') or []]
  left = [one.alias_or_name for one in tree.args.get('replace') or []]
  left += [one.name for one in tree.args.get('except_') or []]
  names = ', '.join(map(quote, left))
  return ', '.join([f'* EXCEPT ({names})' if left else '*', *made])


def _table(self: spark.Spark.Generator, tree: exp.Join) -> str:
  text = self.join_sql(tree)
  return re.sub(r'^ ?SEMI JOIN', ' LEFT SEMI JOIN', text)


class _Spark(spark.Spark):
  class Generator(spark.Spark.Generator):
    TRANSFORMS: ClassVar = {
      **spark.Spark.Generator.TRANSFORMS,
      exp.Anonymous: _anonymous,
      exp.ArrayAgg: _list,
      exp.Bracket: _bracket,
      exp.Cast: _cast,
      exp.Greatest: _least,
      exp.IsInf: lambda self, e: (
        f'(abs({self.sql(e, "this")}) = double("infinity"))'
      ),
      exp.Join: _table,
      exp.Least: _least,
      exp.RegexpReplace: _replace,
      exp.Star: _star,
      exp.TryCast: _try_cast,
      exp.Typeof: lambda self, e: f'upper(typeof({self.sql(e, "this")}))',
    }
