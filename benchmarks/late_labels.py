r"""Labels that come late: every `config.delayed` compared with final labels.

    python -m benchmarks.late_labels --log=retailrocket \
      --raw=retailrocket/events.csv --days=14 --output=late.json

A row's label is whether its user buys (RetailRocket) or clicks (the
other logs) again within so many days. For each cut, stage 1 of the
recommended settings without an ensemble is trained, and then again with the
validation rows (`rmtl refit`), so that the youngest rows are a day old at most,
as when a model is trained every day. `final` has the final labels of the same
rows, which nobody has at that time. All test labels are final.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import numpy as np
from absl import app, flags
from scipy import stats

from benchmarks import machine
from rmtl_jax import config as config_lib
from rmtl_jax import prepare, run
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import comparison
from rmtl_jax.runtime import programs, progress
from rmtl_jax.training import delay_methods

_EVENTS = {
  'retailrocket': """
    SELECT timestamp AS t, visitorid AS who, itemid AS what, event AS kind,
      event = 'transaction' AS hit, event = 'addtocart' AS step
    FROM read_csv('{raw}')""",
  'criteo': """
    SELECT 1000 * CAST(timestamp AS BIGINT) + 1420070400000 AS t, uid AS who,
      campaign AS what, concat_ws('-', cat1, cat8) AS kind, click = 1 AS hit,
      conversion = 1 AS step
    FROM read_csv('{raw}', delim = '\t')""",
  'kuairand': """
    SELECT time_ms AS t, user_id AS who, duration_class AS what,
      user_active_degree AS kind, is_click = 1 AS hit, long_view = 1 AS step
    FROM read_csv('{raw}')""",
  'simulated': """
    SELECT timestamp AS t, user_id AS who, item_category AS what,
      user_segment AS kind, click = 1 AS hit, conversion = 1 AS step
    FROM read_parquet('{raw}')""",
}
_LOG = flags.DEFINE_enum('log', 'retailrocket', list(_EVENTS), 'Which log.')
_RAW = flags.DEFINE_string('raw', None, 'Its file.', required=True)
_DAYS = flags.DEFINE_float('days', 14.0, 'H, days after a row.')
_CUTS = flags.DEFINE_integer('cuts', 5, 'Ends of the test period.')
_SEEDS = flags.DEFINE_integer('seeds', 4, 'Seeds of every method.')
_METHODS = flags.DEFINE_list('methods', list(delay_methods.RECORDS), 'Of them.')
_BACKBONE = flags.DEFINE_string('backbone', 'ple', 'Of the models.')
_OUTPUT = flags.DEFINE_string('output', '', 'JSON file for the figures.')

_DAY = 86_400_000
_FINAL = 'final'
# What the user did so far, and when the next hit comes.
_STATE = """
  SELECT *, row_number() OVER w AS n,
    (t - lag(t) OVER w) / 1e3 AS gap,
    count(*) FILTER (hit) OVER w AS hits,
    count(*) FILTER (step) OVER w AS steps,
    (t - max(CASE WHEN hit THEN t END) OVER w) / 1e3 AS since_hit,
    (t - max(CASE WHEN step THEN t END) OVER w) / 1e3 AS since_step,
    (t - min(t) OVER w) / 1e3 AS user_age,
    min(CASE WHEN hit THEN t END) OVER (PARTITION BY who ORDER BY t
      RANGE BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS hit_at
  FROM events WINDOW w AS (PARTITION BY who ORDER BY t)"""
_FIGURES = ('auc', 'logloss', 'predicted_over_actual')
_NUMBERS = ('n', 'gap', 'hits', 'steps', 'since_hit', 'since_step', 'user_age')


class Log(NamedTuple):
  """A log in DuckDB, H, and the length of a test period, ms."""

  connection: duckdb.DuckDBPyConnection
  horizon: int
  period: int


def schema(horizon: int, final: bool) -> dict[str, Any]:
  """What the columns mean, with labels as seen or final ones."""
  seen = {
    'time_column': {'column': 'hit_at', 'unit': 'ms'},
    'within_seconds': horizon / 1000,
  }
  task = {'column': 'y', 'null': 'not_observed'} if final else seen
  return {
    'user': 'who',
    'item': 'what',
    'time': {'column': 't', 'unit': 'ms'},
    'categorical': ['kind'],
    'from_time': ['hour', 'weekday'],
    'numeric': [{'column': name, 'transform': 'log1p'} for name in _NUMBERS],
    'tasks': [{'name': 'again', **task}],
  }


def cut(log: Log, place: pathlib.Path, test: int) -> Iterator[dict[str, Any]]:
  """The runs of a cut: method, seed and figures of test rows.

  Args:
    test: where the test rows begin, ms.
  """
  validation, until = test - log.horizon - log.period, test + log.period
  # Test has final labels alone; the labels of `final` are from the future.
  rows = log.connection.sql(
    f'SELECT *, CASE WHEN t < {until} THEN CAST(coalesce('
    f' hit_at - t <= {log.horizon}, false) AS INT) END AS y FROM log'
    f' WHERE t < {until + log.horizon}'
  ).to_arrow_table()
  for final in (False, True):
    data = place / f'data_{final}'
    settings = prepare_settings.PrepareConfig(
      source='table',
      data_dir=str(data),
      split_dates=tuple(map(_date, (validation, test))),
      until=_date(until + log.horizon),
      as_of=('none',),
    )
    prepare(settings, table=rows, schema=schema(log.horizon, final))
    start = config_lib.resolve(
      config_lib.Config(), manifest_file.read(data), one_model=True
    )
    for method in [_FINAL] if final else _METHODS.value:
      for seed in range(_SEEDS.value):
        config = dataclasses.replace(
          start,
          backbone=_BACKBONE.value,
          seed=seed,
          delayed='drop' if final else method,
          evaluation=dataclasses.replace(start.evaluation, bootstrap=0),
        )
        first, again = (place / f'{method}-{seed}-{n}' for n in range(2))
        quiet = progress.Progress(quiet=True)
        options = run.RunOptions(trackers=())
        run.train(config, first, data, 'pretrain', quiet, options=options)
        record = run.refit(first, again, data, quiet, options)
        figures = record['stages']['pretrain']['again']
        yield {
          'method': method,
          'seed': seed,
          'test': _date(test),
          **{name: figures[name] for name in _FIGURES},
        }


def _date(ms: int) -> str:
  return str(np.datetime64(int(ms), 'ms'))


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
  """Means by method, and differences from the better of drop and zero."""
  names = list(dict.fromkeys(run['method'] for run in runs))
  tables: dict[str, Any] = {}
  for figure, better in (('auc', max), ('logloss', min)):
    cells = {
      name: np.array([r[figure] for r in runs if r['method'] == name]).reshape(
        -1, _SEEDS.value
      )
      for name in names
    }
    known = [name for name in ('drop', 'zero') if name in cells]
    simple = better(known, key=lambda name: cells[name].mean())
    gap = cells[_FINAL].mean() - cells[simple].mean()
    tables[figure] = {'simple': simple}
    p_values = {}
    for name in names:
      mean = comparison.crossed_mean(cells[name] - cells[simple])
      of_cuts = (cells[name] - cells[simple]).mean(axis=1)
      if name not in (simple, _FINAL) and len(of_cuts) > 1:
        p_values[name] = float(stats.ttest_1samp(of_cuts, 0.0).pvalue)
      tables[figure][name] = {
        'mean': float(cells[name].mean()),
        'difference': [mean.mean, mean.low, mean.high],
        'closed': float((cells[name].mean() - cells[simple].mean()) / gap),
      }
    adjusted = comparison.holm(list(p_values.values()))
    for name, p in zip(p_values, adjusted, strict=True):
      tables[figure][name]['p_holm'] = float(p)
  tables['predicted_over_actual'] = {
    name: float(
      np.mean([r['predicted_over_actual'] for r in runs if r['method'] == name])
    )
    for name in names
  }
  return tables


def main(_: list[str]) -> None:
  """Prepares, trains and prints one table per figure."""
  programs.keep()
  connection = duckdb.connect()
  query = _EVENTS[_LOG.value].format(raw=_RAW.value)
  connection.execute(f'CREATE TABLE events AS {query}')
  connection.execute(f'CREATE TABLE log AS {_STATE}')
  ((first, last),) = connection.sql('SELECT min(t), max(t) FROM log').fetchall()
  horizon = round(_DAYS.value * _DAY)
  period = min(7 * _DAY, (last - first) // 10)
  log = Log(connection, horizon, period)
  # From the middle of the log to the last period with final labels.
  earliest = max((first + last) // 2, first + horizon + 3 * period)
  tests = np.linspace(earliest, last - horizon - period, _CUTS.value)
  runs: list[dict[str, Any]] = []
  with tempfile.TemporaryDirectory() as place:
    for number, test in enumerate(tests):
      runs += cut(log, pathlib.Path(place) / str(number), int(test))
      print(f'cut {number + 1} of {len(tests)}', flush=True)
  found = {
    'log': _LOG.value,
    'backbone': _BACKBONE.value,
    'days': _DAYS.value,
    'seeds': _SEEDS.value,
  }
  found |= {'cuts': _CUTS.value, 'summary': summary(runs), 'runs': runs}
  found |= machine.described()
  if _OUTPUT.value:
    pathlib.Path(_OUTPUT.value).write_text(json.dumps(found, indent=1) + '\n')
  print(json.dumps(found['summary'], indent=1))


if __name__ == '__main__':
  app.run(main)
