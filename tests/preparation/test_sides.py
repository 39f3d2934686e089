from __future__ import annotations

import duckdb

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sides

NAMES = ('user', 'item', 'kind', 'age', 'hour', 'gap')


def field(name, **details):
  return manifest_lib.Field(name, 'categorical', size=99, details=details)


FIELDS = (
  *(field(name) for name in NAMES[:-1]),
  manifest_lib.Field('tags', 'multi_valued', size=9, width=2),
  manifest_lib.Field('price', 'numeric'),
  field('gap', as_of='gap'),
)


def told(rows, *, item='item', user='user', has_user=True, hour=None):
  """Sides by field, of rows (split, session, user, item, kind, age, hour).

  Tags say the item's kind, the as-of feature too; a reader may have said the
  hour's side.
  """
  connection = duckdb.connect()
  connection.execute(
    'CREATE TABLE encoded (split INT, session_id BIGINT, user_id BIGINT, f_user'
    ' INT, f_item INT, f_kind INT, f_age INT, f_hour INT, f_gap INT, m_tags'
    ' INTEGER[], x_price DOUBLE)'
  )
  for split, session, who, *rest in rows:
    connection.execute(
      f'INSERT INTO encoded VALUES ({", ".join("?" * 11)})',
      [split, session, who, who or 0, *rest, rest[1], [rest[1], 3], 1.0],
    )
  given = {} if hour is None else {'side': hour}
  fields = [
    field('hour', **given) if one.name == 'hour' else one for one in FIELDS
  ]
  found = sides.infer_sides(connection, 'encoded', fields, item, user, has_user)
  assert [f.name for f in found] == [f.name for f in FIELDS]
  return {f.name: f.details['side'] for f in found if 'side' in f.details}


def log(users=6, items=6):
  """Every user sees every item in a session; kind and age are theirs."""
  return [
    (0, u, u, i, 10 + i // 2, 20 + u // 2, (u + i) % 24)
    for u in range(1, users + 1)
    for i in range(1, items + 1)
  ]


OF_ITEMS = {'item': 'item', 'kind': 'item', 'tags': 'item'}
ALL = OF_ITEMS | {'user': 'user', 'age': 'user'}


def test_the_sides_of_a_log():
  assert told(log()) == ALL


def test_only_train_rows_tell():
  wrong = [(1, 9, 1, i, 50 + i, 60 + i, 0) for i in range(1, 7)]
  assert told(log() + wrong) == ALL


def test_items_that_one_user_saw_do_not_count():
  """Else every field of a log in which items hardly return would be theirs."""
  lonely = [
    (0, u, u, 100 * u + i, 30 + i, 20 + u, i)
    for u in range(1, 4)
    for i in range(100)
  ]
  assert told(lonely) == {'item': 'item', 'user': 'user', 'age': 'user'}


def test_a_log_without_users_goes_by_sessions():
  rows = [(s, n, None, *rest) for s, n, _, *rest in log()]
  assert told(rows, user=None, has_user=False) == OF_ITEMS
