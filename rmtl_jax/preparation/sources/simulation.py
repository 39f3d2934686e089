"""The simulator's log as a source: no raw files, true probabilities kept."""

from __future__ import annotations

import pathlib

from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.simulator import log as simulated

# The simulator's user answers a row before it meets the next.
TASKS = (
  source.SourceTask('click', known_after_ms=0),
  source.SourceTask('conversion', 'click', known_after_ms=0),
)


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_settings.PrepareConfig,
) -> source.SourceTable:
  """Simulates a log; options `simulated_rows` and `seed`."""
  del raw_dir
  log = simulated.simulate(options.simulated_rows, options.seed)
  connection.register('simulated_log', log)
  table = sql.create_table(connection, 'FROM simulated_log')
  connection.unregister('simulated_log')
  fields = [
    *(source.field_of(f'f_{n}') for n in simulated.CATEGORICAL),
    *(source.field_of(f'm_{n}') for n in simulated.MULTI_VALUED),
    *(
      # Prices are lognormal; ages are days.
      source.field_of(f'x_{n}', 'log1p' if n == 'price' else 'standard')
      for n in simulated.NUMERIC
    ),
  ]
  columns = {
    'row_id': 'rowid',
    'session': 'session_id',
    'user': 'user_id',
    'timestamp': 'timestamp',
    **{f.source_column: sql.quote(f.name) for f in fields},
    'y_click': 'click',
    'y_conversion': 'conversion',
    'p_click': 'p_click',
    'p_conversion': 'p_conversion',
  }
  selected = ', '.join(f'{e} AS {sql.quote(n)}' for n, e in columns.items())
  file = raw.RawFile(pathlib.Path('simulated'), 0, log.num_rows)
  return source.SourceTable(
    view=sql.create_view(connection, f'SELECT {selected} FROM {table}'),
    fields=tuple(fields),
    tasks=TASKS,
    table=raw.RawTable(table, (file,)),
    has_session=True,
    user_field='user_id',
    item_field='item_id',
    has_oracle=True,
    options={
      'simulated_rows': options.simulated_rows,
      'seed': options.seed,
      'simulated_digest': simulated.parameters_digest(),
    },
  )
