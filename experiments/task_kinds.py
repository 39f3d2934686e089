"""Tasks of several kinds together, on a real log.

    PYTHONPATH=. python experiments/task_kinds.py kuairand \
      --raw=RAW/kuairand/sequence.csv.gz --workdir=runs/kinds_kuairand

Makes rows and a schema of the log, prepares and trains with the defaults (stop
and start it again: it goes on), and prints the lines of the table in
results/task_kinds.md. Logs: `retailrocket` (events.csv), `rees46`
(2019-Oct.csv), `criteo` (sample.tsv.gz), `kuairand` (sequence.csv.gz); what
they are stands there. Two idle CPU cores, 2 to 5 minutes a log.
"""

import argparse
import gzip
import pathlib

import duckdb

import rmtl_jax

_EVENTS = [
  {'name': 'cart', 'column': 'cart'},
  {'name': 'buy', 'column': 'buy'},
  {
    'name': 'buy_of_carts',
    'column': 'buy',
    'after': 'cart',
    'only_after': True,
  },
  {'name': 'dwell', 'column': 'dwell', 'kind': 'regression'}
  | {'loss': 'log_normal', 'null': 'not_observed'},
]
_ZILN = {'kind': 'regression', 'loss': 'zero_inflated_log_normal'}
SCHEMAS = {
  'retailrocket': {
    'user': 'user',
    'item': 'item',
    'time': {'column': 'ts'},
    'categorical': ['user', 'item'],
    'from_time': ['hour', 'weekday'],
    'tasks': _EVENTS,
  },
  'rees46': {
    'user': 'user',
    'item': 'item',
    'time': {'column': 'ts'},
    'categorical': ['user', 'item', 'category', 'brand'],
    'numeric': [{'column': 'price', 'transform': 'log1p'}],
    'tasks': _EVENTS,
  },
  'criteo': {
    'user': 'uid',
    'item': 'campaign',
    'time': {'column': 'timestamp', 'unit': 's'},
    'categorical': ['uid', 'campaign', *(f'cat{i}' for i in range(1, 10))],
    'tasks': [
      {'name': 'click', 'column': 'click'},
      {'name': 'conversion', 'column': 'conversion', 'after': 'click'},
      {'name': 'conversion_of_clicks', 'column': 'conversion'}
      | {'after': 'click', 'only_after': True},
      {'name': 'cost', 'column': 'cost', **_ZILN},
    ],
  },
  'kuairand': {
    'user': 'user_id',
    'time': {'column': 'time_ms'},
    'categorical': [
      *('user_id', 'hour', 'duration_class', 'user_active_degree'),
      *(f'onehot_feat{i}' for i in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)),
    ],
    'tasks': [
      {'name': 'click', 'column': 'is_click'},
      {'name': 'long_view', 'column': 'long_view'},
      {'name': 'play_time', 'column': 'play_time', **_ZILN},
      {'name': 'play_time_of_clicks', 'column': 'play_time', **_ZILN}
      | {'after': 'click', 'only_after': True},
    ],
  },
}
# Events by user, item and half hour.
_ROWS = """
COPY (SELECT *, CASE WHEN next - ts <= 1800000 THEN (next - ts) / 1000 + 1 END
  AS dwell FROM (SELECT *, lead(ts) OVER (PARTITION BY "user" ORDER BY ts)
  AS next FROM (SELECT "user", item, min(ts) AS ts,
  CAST(bool_or(event = {cart}) AS INT) AS cart,
  CAST(bool_or(event = {buy}) AS INT) AS buy{more}
  FROM ({events}) GROUP BY "user", item, ts // 1800000)) ORDER BY ts)
TO {path} (FORMAT parquet)
"""
_READ = {
  'retailrocket': (
    'SELECT visitorid AS "user", itemid AS item, timestamp AS ts, event FROM'
    ' read_csv({raw})',
    ("'addtocart'", "'transaction'", ''),
  ),
  # The last record is cut off.
  'rees46': (
    'SELECT user_id AS "user", product_id AS item, epoch_ms(strptime('
    "event_time, '%Y-%m-%d %H:%M:%S UTC')) AS ts, event_type AS event,"
    ' category_id AS category, brand, price FROM'
    ' read_csv({raw}, ignore_errors = true, types = {{"event_time":'
    " 'VARCHAR'}})",
    (
      *("'cart'", "'purchase'"),
      ', any_value(category) AS category, any_value(brand) AS brand,'
      ' any_value(price) AS price',
    ),
  ),
}


def make_rows(log: str, raw: pathlib.Path, workdir: pathlib.Path) -> str:
  """The log's rows as a file that `prepare` reads."""
  if log == 'criteo':
    path = workdir / 'rows.tsv'
    with gzip.open(raw, 'rt') as file:
      path.write_text(file.read())
    return str(path)
  if log not in _READ:
    return str(raw)
  path, (read, (cart, buy, more)) = workdir / 'rows.parquet', _READ[log]
  events = read.format(raw=f"'{raw}'")
  duckdb.execute(
    _ROWS.format(cart=cart, buy=buy, more=more, events=events, path=f"'{path}'")
  )
  return str(path)


def figure(values: dict) -> str:
  """AUC / logloss of a binary task; XAUC, its interval / RMSE of numbers."""
  if 'auc' in values:
    return f'{values["auc"]:.3f} / {values["logloss"]:.3g}'
  text = f'{values["xauc"]:.3f}'
  if values.get('xauc_interval'):
    low, high = values['xauc_interval']
    text += f' ({low:.3f} to {high:.3f})'
  return f'{text} / {values["rmse"]:.3g}'


def main() -> None:
  """Prepares, trains and prints."""
  parser = argparse.ArgumentParser()
  parser.add_argument('log', choices=SCHEMAS)
  parser.add_argument('--raw', type=pathlib.Path, required=True)
  parser.add_argument('--workdir', type=pathlib.Path, required=True)
  given = parser.parse_args()
  given.workdir.mkdir(parents=True, exist_ok=True)
  data, run = given.workdir / 'data', given.workdir / 'run'
  if not (data / 'manifest.json').exists():
    rmtl_jax.prepare(
      rmtl_jax.PrepareConfig(
        source='table',
        raw_dir=make_rows(given.log, given.raw, given.workdir),
        data_dir=str(data),
        any_dates=True,
      ),
      schema=SCHEMAS[given.log],
    )
  record = rmtl_jax.train(None, run, data)
  stages = record.get('calibrated', record['stages'])
  for task in record['tasks']:
    rates, *trained = (
      of[task]
      for of in (record['baseline'], stages['pretrain'], stages['finetune'])
    )
    rows = f'{rates["rows"]:,} ({rates["positives"]:,})'
    cells = [task, rows, *map(figure, (rates, *trained))]
    print(f'| {given.log} | {" | ".join(cells)} |')


if __name__ == '__main__':
  main()
