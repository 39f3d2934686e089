"""As-of features in prepared data: bins, manifest, leaks, errors."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

from rmtl_jax import cli, types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import columns, manifest_file
from tests import tiers
from tests.preparation import raw_files

MINUTE, DAY = 60_000, 86_400_000
HEADER = 'session,user,item,ts,clicked'
SCHEMA = {
  'session': 'session',
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item'],
  'tasks': [{'name': 'click', 'column': 'clicked'}],
}
# Without numbers there is no slate (test_slates.py), and without fields beside
# user and item there are no tastes (test_tastes.py).
ALL = [g for g in prepare_config.AS_OF if g not in ('slate', 'tastes')]
WITHOUT = {
  'user': {k: v for k, v in SCHEMA.items() if k != 'user'},
  'item': {k: v for k, v in SCHEMA.items() if k != 'item'},
}
NO_KEY = {k: v for k, v in WITHOUT['user'].items() if k != 'item'}


def known_after(seconds):
  return SCHEMA | {
    'tasks': [SCHEMA['tasks'][0] | {'known_after_seconds': seconds}]
  }


def run(tmp_path, rows, schema=SCHEMA, **options):
  """Prepares rows (session, user, item, ts, clicked)."""
  lines = [HEADER, *(','.join(map(str, row)) for row in rows)]
  path = raw_files.write_schema(tmp_path / 'schema.json', schema)
  return raw_files.run_table(tmp_path, lines, schema=path, **options)


def visits(rows=20):
  """One session a day with one row; users and items take turns."""
  return [(i, f'u{i % 3}', f'i{i % 4}', i * DAY, i % 2) for i in range(rows)]


def test_bins_of_train_are_in_the_manifest(tmp_path):
  # Sessions of a user with rows at 0, 1, 3, 6 and 10 s: gaps 1, 2, 3, 4 s.
  rows = [
    (s, f'u{s}', 'i', s * DAY + t * 1000, 0)
    for s in range(10)
    for t in (0, 1, 3, 6, 10)
  ]
  manifest = run(tmp_path, rows, as_of=('gap',))
  assert manifest.options['as_of'] == ['gap']
  field = manifest.fields[-1]
  assert (field.name, field.kind, field.size) == ('asof_gap', 'categorical', 5)
  # An edge between two neighbours each, and none around bins without rows.
  edges = np.array(field.details['edges'])
  assert np.all((edges > [1000, 2000, 3000]) & (edges <= [2000, 3000, 4000]))
  assert field.details['as_of'] == 'gap'
  table = tmp_path / 'out' / 'vocabulary' / 'asof_gap.parquet'
  values = pq.read_table(table)['value'].to_pylist()
  assert values[1:] == [str(bin_) for bin_ in field.details['order']]
  ids = [row['f_asof_gap'] for row in raw_files.read(tmp_path, 'test')]
  assert ids[::5] == [0, 0]
  assert len(set(ids[1:5])) == 4 and 0 not in ids[1:5]
  assert ids[1:5] == ids[6:]


def test_rates_in_the_manifest_can_be_made_again(tmp_path):
  manifest = run(tmp_path, visits(), as_of=('rates',), idle_minutes=5)
  assert [f.name for f in manifest.fields[2:]] == [
    'asof_user_click_rate',
    'asof_item_click_rate',
  ]
  details = manifest.fields[2].details
  assert {k: details[k] for k in ('as_of', 'key', 'task', 'weight')} == {
    'as_of': 'rates',
    'key': 'user',
    'task': 'click',
    'weight': 10,
  }
  assert details['train_rate'] == 0.5
  assert manifest.options['idle_minutes'] == 5


def test_feedback_in_the_manifest_can_be_made_again(tmp_path):
  rows = [
    (s, f'u{s}', 'i', s * DAY + t, s % 2) for s in range(10) for t in (0, 1)
  ]
  manifest = run(tmp_path, rows, known_after(0), as_of=('feedback',))
  number, rate, since = manifest.fields[2:]
  assert [number.name, rate.name, since.name] == [
    'asof_session_clicks',
    'asof_session_click_rate',
    'asof_since_click',
  ]
  of_task = {'as_of': 'feedback', 'key': 'session', 'task': 'click'}
  assert of_task.items() <= number.details.items()
  assert of_task.items() <= since.details.items()
  assert (of_task | {'train_rate': 0.5, 'weight': 5}).items() <= (
    rate.details.items()
  )
  # Only the second row of a session has an earlier one.
  # No train row tells 1 from 2.
  assert since.details['edges'] == []
  assert len(number.details['edges']) == len(rate.details['edges']) == 1
  assert 0 < number.details['edges'][0] <= 1
  assert 2.5 / 6 < rate.details['edges'][0] <= 3.5 / 6
  assert manifest.options['as_of'] == ['feedback']
  # As-of features are not the log's own fields.
  assert manifest.report['warnings'] == [
    "field 'item': one value over all train rows, which tells nothing"
  ]
  task = manifest.options['schema']['tasks'][0]
  assert task['known_after_seconds'] == 0


def test_feedback_is_made_of_the_tasks_that_tell(tmp_path):
  tasks = [
    {'name': 'click', 'column': 'clicked', 'known_after_seconds': 1.5},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ]
  manifest = raw_files.run_table(
    tmp_path,
    raw_files.table_lines(),
    schema=raw_files.write_schema(tmp_path / 'schema.json', tasks=tasks),
    as_of=('feedback',),
  )
  assert [f.name for f in manifest.fields if 'as_of' in f.details] == [
    'asof_session_clicks',
    'asof_session_click_rate',
    'asof_since_click',
  ]
  assert manifest.report['warnings'] == [
    "as_of: 'feedback' leaves out conversion: when such labels become known is"
    ' not told'
  ]


def test_groups_add_columns_and_change_no_other(tmp_path):
  for name in ('plain', 'all'):
    (tmp_path / name).mkdir()
  plain = run(tmp_path / 'plain', visits())
  full = run(tmp_path / 'all', visits(), as_of=('all',))
  assert 'as_of' not in plain.options
  assert full.options.pop('as_of') == [g for g in ALL if g != 'feedback']
  assert full.options.pop('history_items') == 20
  assert plain.report['warnings'] == []
  recency, tastes, feedback, slate = full.report['warnings']
  assert recency == (
    "as_of: 'recency' leaves out click: when such labels become known is not"
    ' told'
  )
  assert "as_of: 'tastes' is left out" in tastes
  assert "as_of: 'feedback' is left out" in feedback
  assert "as_of: 'slate' is left out" in slate
  assert full.options == plain.options
  assert [f.name for f in full.fields] == [
    'user',
    'item',
    'asof_history',
    'asof_gap',
    'asof_position',
    'asof_session_age',
    'asof_views',
    'asof_view_gap',
    'asof_user_rows',
    'asof_item_rows',
    'asof_user_click_rate',
    'asof_item_click_rate',
    'asof_user_gap',
  ]
  assert full.fields[:2] == plain.fields
  rows = [
    {k: v for k, v in row.items() if 'asof_' not in k}
    for row in raw_files.read(tmp_path / 'all')
  ]
  assert rows == raw_files.read(tmp_path / 'plain')


@pytest.mark.slow
def test_order_threads_and_memory_change_nothing(tmp_path):
  rng = np.random.default_rng(0)
  rows = [
    (s, f'u{s % 97}', f'i{i}', s * 20 * MINUTE + t * 1000, click)
    for s in range(3000)
    for t, i, click in zip(
      range(4), rng.integers(0, 50, 4), rng.integers(0, 2, 4), strict=True
    )
  ]
  found = []
  for name, lines, options in (
    ('a', rows, {'threads': 1}),
    ('b', rows[::-1], {'threads': 2}),
    ('c', rows, {'threads': 1, 'memory_limit': '96MB'}),
  ):
    (tmp_path / name).mkdir()
    schema = known_after(2)
    run(tmp_path / name, lines, schema, as_of=('all',), **options)
    found.append(raw_files.read(tmp_path / name, 'test'))
    for row in found[-1]:
      del row['row_id']
  assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_a_source_with_label_times_and_windows(tmp_path):
  """The simulated source: sessions of its own, lists, numbers, an oracle."""
  options = {'simulated_rows': 3000, 'as_of': ('all',)}
  manifest = raw_files.run(tmp_path, 'simulated', tmp_path, **options)
  made = [f for f in manifest.fields if f.name.startswith('asof_')]
  # Tastes by the device, the category, the brand and the tags.
  assert len(made) == 7 + 2 * 2 + 3 + 4 * 2 + 3 * 2 + 1
  assert all(2 <= f.size <= 33 for f in made if f.kind == 'categorical')
  train = columns.read_split(tmp_path / 'out', manifest, 'train')
  at = [f.name for f in manifest.of_kind('categorical')].index('asof_gap')
  # The rows without an earlier one are those that begin a session.
  assert set(train.starts[:-1]) <= set(
    np.flatnonzero(train.categorical[:, at] == 0)
  )


def tied(rng):
  """Two rows of one time and user have one label."""
  for v in range(2000):
    label = rng.integers(0, 2)
    for item in range(2):
      yield v, f'u{v % 500}', f'i{item}', v * 90 * MINUTE, label


def of_session(rng):
  """The rows of a session have one label."""
  for v in range(1200):
    label = rng.integers(0, 2)
    for t in range(4):
      yield v, f'u{v % 300}', f'i{t}', v * 90 * MINUTE + t * 1000, label


def of_user(rng):
  """A user's only row has the user's label."""
  for v in range(3000):
    yield v, f'u{v}', f'i{v % 50}', v * 90 * MINUTE, rng.integers(0, 2)


def overlapping(rng):
  """An item's two sessions at once, of two users, have one label."""
  for v in range(2000):
    label = rng.integers(0, 2)
    for k in range(2):
      at = v * 90 * MINUTE + k * 10 * MINUTE
      yield 2 * v + k, f'u{k}{v % 500}', f'i{v % 700}', at, label


def resumed(rng):
  """A session goes on after half a day, with the same label."""
  for v in range(2000):
    label = rng.integers(0, 2)
    for k in range(2):
      yield v, f'u{v % 500}', f'i{k}', v * 2 * DAY + k * DAY // 2, label


LEAKS = {
  # Log: what gives its labels away, as columns of the rows.
  tied: lambda session, user, item, ts: (user, ts),
  of_session: lambda session, user, item, ts: session,
  of_user: lambda session, user, item, ts: user,
  overlapping: lambda session, user, item, ts: (item, ts // (90 * MINUTE)),
  resumed: lambda session, user, item, ts: session,
}


@pytest.mark.parametrize(
  'log',
  tiers.some(LEAKS, (tied, of_session, resumed)),
  ids=lambda log: log.__name__,
)
def test_a_log_on_which_a_leak_would_tell_all(tmp_path, log):
  rows = list(log(np.random.default_rng(0)))
  labels = np.array([row[-1] for row in rows])
  groups: dict[object, list[int]] = {}
  for row in rows:
    groups.setdefault(LEAKS[log](*row[:-1]), []).append(row[-1])
  leak = [np.mean(groups[LEAKS[log](*row[:-1])]) for row in rows]
  assert metrics.roc_auc_score(labels, leak) == 1.0
  manifest = run(tmp_path, rows, as_of=('all',))
  for name, auc in learned_aucs(tmp_path, manifest).items():
    assert 0.42 < auc < 0.58, (name, auc)


def learned_aucs(tmp_path, manifest):
  """Test AUC of the first task by each as-of feature alone."""
  train, test = (
    columns.read_split(tmp_path / 'out', manifest, name)
    for name in ('train', 'test')
  )
  found = {}
  for i, field in enumerate(manifest.of_kind('categorical')):
    if field.name.startswith('asof_'):
      # The rate of each bin over train, as a model would learn it.
      bins, y = train.categorical[:, i], train.labels[:, 0]
      counts = np.bincount(bins, minlength=field.size) + 1
      rates = (np.bincount(bins, y, minlength=field.size) + 0.5) / counts
      score = rates[test.categorical[:, i]]
      found[field.name] = metrics.roc_auc_score(test.labels[:, 0], score)
  return found


def tied_in_session(rng):
  """Two rows of one time of a session have one label."""
  for v in range(600):
    for t in range(4):
      label = rng.integers(0, 2)
      for item in range(2):
        yield v, f'u{v}', f'i{item}', v * 90 * MINUTE + t * 1000, label


@pytest.mark.parametrize(
  ('log', 'seconds'),
  [
    (tied_in_session, 0),
    # All labels of a session are one, and known when the session is over.
    (of_session, 3),
  ],
)
def test_feedback_on_a_log_on_which_a_leak_would_tell_all(
  tmp_path, log, seconds
):
  rows = list(log(np.random.default_rng(0)))
  manifest = run(
    tmp_path,
    rows,
    known_after(seconds),
    as_of=('position', 'recency', 'feedback'),
  )
  for name, auc in learned_aucs(tmp_path, manifest).items():
    assert 0.42 < auc < 0.58, (name, auc)


def test_feedback_tells_what_is_known_at_once(tmp_path):
  rows = list(of_session(np.random.default_rng(0)))
  manifest = run(tmp_path, rows, known_after(0), as_of=('feedback',))
  aucs = learned_aucs(tmp_path, manifest)
  # All but the first of a session's four rows are told.
  assert aucs['asof_session_click_rate'] > 0.9
  assert aucs['asof_session_clicks'] > 0.9


def test_feedback_does_not_see_a_purchase_that_ends_the_session(tmp_path):
  rng = np.random.default_rng(0)
  lines = ['timestamp,visitorid,event,itemid,transactionid']
  for v in range(800):
    bought = rng.integers(0, 2)
    for i in range(4):
      at = v * 90 * MINUTE + i * 1000
      lines.append(f'{at},{v},view,{i},')
      if bought:  # when the last item is seen, and later
        lines.append(f'{v * 90 * MINUTE + 3000 + i},{v},transaction,{i},{v}')
  raw_files.write(tmp_path / 'raw' / 'events.csv', lines)
  manifest = raw_files.run(
    tmp_path, 'retailrocket', tmp_path / 'raw', as_of=('feedback',)
  )
  aucs = learned_aucs(tmp_path, manifest)
  assert len(aucs) == 6
  for name, auc in aucs.items():
    assert 0.42 < auc < 0.58, (name, auc)


@pytest.mark.parametrize(
  ('schema', 'options', 'words'),
  [
    (SCHEMA, {'as_of': ('gaps',)}, ("as_of: 'gaps' is not one of gap, pos",)),
    (
      WITHOUT['user'],
      {'as_of': ('gap', 'views')},
      ("as_of: 'views' needs a user, and the log has no column of users",),
    ),
    (
      NO_KEY,
      {'as_of': ('counts',)},
      (
        "as_of: 'counts' needs a user or an item, and the log has no column of"
        ' users, and the log has no column of items',
      ),
    ),
    (WITHOUT['item'], {'as_of': ('views',)}, ("as_of: 'views' needs an item",)),
    (
      WITHOUT['item'],
      {'as_of': ('all', 'history')},
      ("as_of: 'history' needs an item",),
    ),
    (
      SCHEMA,
      {'as_of': ('feedback',)},
      (
        "as_of: 'feedback' needs a task that tells when its labels become",
        '"known_after_seconds"',
      ),
    ),
    (
      SCHEMA | {'categorical': [{'column': 'user', 'name': 'ASOF_gap'}]},
      {'as_of': ('gap',)},
      ("as_of: 'gap' makes a field 'asof_gap', and the log has one",),
    ),
  ],
)
def test_bad_groups(tmp_path, schema, options, words):
  lines = [HEADER, *(','.join(map(str, row)) for row in visits())]
  raw_files.write(tmp_path / 'raw' / 'log.csv', lines)
  path = raw_files.write_schema(tmp_path / 'schema.json', schema)
  raw_files.fails(
    tmp_path,
    lambda: raw_files.run_table(tmp_path, lines, schema=path, **options),
    *words,
  )


@pytest.mark.parametrize(
  ('lack', 'other', 'why'),
  [
    ('user', 'item', 'the log has no column of users'),
    ('item', 'user', 'the log has no column of items'),
  ],
)
def test_all_leaves_out_what_the_log_cannot_support(tmp_path, lack, other, why):
  manifest = run(tmp_path, visits(), WITHOUT[lack], as_of=('all',))
  # A field of items is one of the user's tastes where no item is told.
  recency = ['recency', 'tastes'] if other == 'user' else []
  assert manifest.options['as_of'] == [
    *('gap', 'position', 'counts', 'rates'),
    *recency,
  ]
  made = [f.name for f in manifest.fields if 'as_of' in f.details]
  assert made[3:] == [
    f'asof_{other}_rows',
    f'asof_{other}_click_rate',
    *(['asof_user_gap', 'asof_user_click_rate_by_item'] if recency else []),
  ]
  warnings = list(manifest.report['warnings'])
  if not recency:
    tastes = f"as_of: 'tastes' is left out: it needs a user, and {why}"
    assert warnings.pop(4) == tastes
  views, counts, rates, recent, feedback, history, slate = warnings
  needed = f'needs a{"n" if lack == "item" else ""} {lack}'
  assert views == f"as_of: 'views' is left out: it {needed}, and {why}"
  assert counts == f"as_of: 'counts' leaves out the {lack}'s: {why}"
  assert rates == f"as_of: 'rates' leaves out the {lack}'s: {why}"
  assert recent == (
    "as_of: 'recency' leaves out click: when such labels become known is not"
    ' told'
    if recency
    else f"as_of: 'recency' is left out: it {needed}, and {why}"
  )
  assert feedback.startswith("as_of: 'feedback' is left out: it needs a task")
  assert history == f"as_of: 'history' is left out: it {needed}, and {why}"
  assert slate == (
    "as_of: 'slate' is left out: it compares numbers, and the log has none"
  )


@pytest.mark.parametrize(
  ('lack', 'other'), [('user', 'item'), ('item', 'user')]
)
def test_the_part_of_one_key_is_as_with_both(tmp_path, lack, other):
  """Sessions are given, so what a log lacks changes nothing else."""
  found = []
  for name, schema in (('both', SCHEMA), ('one', WITHOUT[lack])):
    (tmp_path / name).mkdir()
    run(tmp_path / name, visits(60), schema, as_of=('counts', 'rates'))
    columns_of = (f'f_asof_{other}_rows', f'f_asof_{other}_click_rate')
    rows = raw_files.read(tmp_path / name)
    found.append([[row[column] for column in columns_of] for row in rows])
  assert found[0] == found[1]
  assert any(map(all, found[0]))


def test_an_item_need_not_be_a_field(tmp_path):
  """Only histories read the item's embeddings."""
  found = []
  without = SCHEMA | {'categorical': ['user']}
  for name, schema in (('both', SCHEMA), ('key', without)):
    (tmp_path / name).mkdir()
    groups = ('views', 'counts', 'rates')
    manifest = run(tmp_path / name, visits(60), schema, as_of=groups)
    names = as_of_fields(manifest)
    rows = raw_files.read(tmp_path / name)
    found.append([[row[f'f_{name}'] for name in names] for row in rows])
  assert found[0] == found[1] and manifest.item_field is None
  assert {'asof_views', 'asof_item_rows'} <= {*names}
  manifest = run(tmp_path, visits(), without, as_of=('auto',))
  assert manifest.report['as_of_left_out']['history'] == 'no item field'


def test_session_groups_need_no_user_and_no_item(tmp_path):
  manifest = run(tmp_path, visits(), NO_KEY, as_of=('position', 'gap'))
  assert manifest.options['as_of'] == ['gap', 'position']
  # Sessions of one row: nothing is earlier, in train or elsewhere.
  assert [f.size for f in manifest.fields[-3:]] == [1, 1, 1]
  assert {row['f_asof_gap'] for row in raw_files.read(tmp_path)} == {0}


def as_of_fields(manifest):
  return [f.name for f in manifest.fields if 'as_of' in f.details]


def test_auto_makes_what_the_log_supports_and_what_varies(tmp_path):
  # Twelve train rows: no session has two, nobody sees an item again.
  manifest = run(tmp_path, visits(), as_of=('auto',))
  assert manifest.options['as_of'] == SUPPORTED
  assert manifest.options['history_items'] == 20
  assert as_of_fields(manifest) == [
    'asof_history',
    'asof_user_rows',
    'asof_item_rows',
    'asof_user_click_rate',
    'asof_item_click_rate',
    'asof_user_gap',
  ]
  assert manifest.report['warnings'] == []
  assert manifest.report['as_of_left_out'] == {
    'recency of click': 'no label times',
    'tastes': 'no field differs within users',
    'feedback': 'no label times',
    'slate': 'no number',
    **dict.fromkeys(('gap', 'position', 'views'), 'one value in train'),
  }
  words = {path.stem for path in (tmp_path / 'out' / 'vocabulary').iterdir()}
  assert words == {f.name for f in manifest.fields if not f.vocabulary_owner}


def test_auto_is_all_but_for_what_is_left_out(tmp_path):
  found = {}
  for name in ('auto', 'all'):
    (tmp_path / name).mkdir()
    manifest = run(tmp_path / name, visits(), as_of=(name,))
    columns_of = {f.column for f in manifest.fields if f.kind != 'numeric'}
    found[name] = columns_of, raw_files.read(tmp_path / name)
  kept, rows = found['auto']
  assert kept < found['all'][0]
  dropped = found['all'][0] - kept
  assert rows == [
    {k: v for k, v in row.items() if k not in dropped}
    for row in found['all'][1]
  ]


def test_auto_leaves_out_single_fields_of_a_group(tmp_path):
  """No user comes back, items do."""
  rows = [(i, f'u{i}', f'i{i % 4}', i * DAY, i % 2) for i in range(20)]
  manifest = run(tmp_path, rows, known_after(0), as_of=('auto',))
  assert manifest.options['as_of'] == ['counts', 'rates']
  assert 'history_items' not in manifest.options
  assert as_of_fields(manifest) == ['asof_item_rows', 'asof_item_click_rate']
  assert set(manifest.report['as_of_left_out']) == {
    *('gap', 'position', 'views', 'recency', 'tastes', 'feedback', 'history'),
    *('slate', 'asof_user_rows', 'asof_user_click_rate'),
  }


@pytest.mark.parametrize(
  ('lack', 'made', 'lacks'),
  [
    (
      'user',
      ['item_rows', 'item_click_rate'],
      ['recency', 'tastes', 'history'],
    ),
    ('item', ['user_rows', 'user_click_rate', 'user_gap'], ['history']),
  ],
)
def test_auto_says_quietly_what_the_log_lacks(tmp_path, lack, made, lacks):
  manifest = run(tmp_path, visits(), WITHOUT[lack], as_of=('auto',))
  assert as_of_fields(manifest) == [f'asof_{name}' for name in made]
  assert manifest.report['warnings'] == []
  left_out = manifest.report['as_of_left_out']
  lacks = ['views', f'counts of {lack}s', f'rates of {lack}s', *lacks]
  assert [k for k, why in left_out.items() if why == f'no {lack}'] == lacks


def test_auto_names_tasks_without_label_times(tmp_path):
  tasks = [
    {'name': 'click', 'column': 'clicked', 'known_after_seconds': 1.5},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ]
  lines = [raw_files.HEADER]
  for i in range(40):
    lines.append(f'u{i // 2 % 3},i{i % 4},{i // 2 * DAY + i % 2},1,{i % 2},0')
  manifest = raw_files.run_table(
    tmp_path,
    lines,
    schema=raw_files.write_schema(tmp_path / 'schema.json', tasks=tasks),
    as_of=('auto',),
  )
  left_out = manifest.report['as_of_left_out']
  assert left_out['feedback of conversion'] == 'no label times'


def test_auto_with_a_named_group_keeps_that(tmp_path):
  manifest = run(tmp_path, visits(), as_of=('auto', 'gap'))
  assert manifest.options['as_of'] == ['gap', *SUPPORTED]
  with pytest.raises(types.InputError, match="'feedback' needs a task"):
    run(tmp_path, visits(), as_of=('auto', 'feedback'), overwrite=True)


def test_auto_keeps_a_field_of_the_log_with_the_name_of_a_feature(tmp_path):
  own = {'column': 'user', 'name': 'ASOF_item_rows'}
  schema = SCHEMA | {'categorical': [*SCHEMA['categorical'], own]}
  manifest = run(tmp_path, visits(), schema, as_of=('auto',))
  assert manifest.options['as_of'] == ['rates', 'recency', 'history']
  assert manifest.report['as_of_left_out']['counts'] == (
    "the log has a field 'asof_item_rows'"
  )


def test_auto_of_a_log_that_supports_nothing(tmp_path):
  manifest = run(tmp_path, visits(), NO_KEY, as_of=('auto',))
  assert as_of_fields(manifest) == []
  assert 'as_of' not in manifest.options
  assert manifest.report['as_of_left_out']['rates'] == 'no user or item'


SUPPORTED = ['counts', 'rates', 'recency', 'history']


@pytest.mark.parametrize(
  ('flag', 'expected'),
  tiers.some(
    [
      ('--as_of=views,gap', ['gap', 'views']),
      ('--as_of=all', ALL),
      ('--as_of=auto', SUPPORTED),
      ('--any_dates', SUPPORTED),
      ('--as_of=none', None),
      ('--as_of=', None),
    ],
    [('--as_of=views,gap', ['gap', 'views']), ('--as_of=none', None)],
  ),
)
def test_the_flag(tmp_path, flag, expected):
  lines = [HEADER, *(','.join(map(str, row)) for row in visits())]
  raw_files.write(tmp_path / 'log.csv', lines)
  schema = raw_files.write_schema(tmp_path / 'schema.json', known_after(0))
  argv = ['rmtl', 'prepare', f'--raw_dir={tmp_path / "log.csv"}', flag]
  argv += [
    f'--schema={schema}',
    f'--data_dir={tmp_path / "out"}',
    '--any_dates',
  ]
  assert cli.main(argv) == 0
  assert manifest_file.read(tmp_path / 'out').options.get('as_of') == expected
