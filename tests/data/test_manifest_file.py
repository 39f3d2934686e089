"""DATA/manifest.json: written, read, and what is refused."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file

FULL = manifest_lib.Manifest(
  source='table',
  fields=(
    manifest_lib.Field('user', 'categorical', size=30, details={'kept': 2}),
    manifest_lib.Field('item', 'categorical', size=20),
    manifest_lib.Field('tags', 'multi_valued', size=8, width=3),
    manifest_lib.Field('price', 'numeric', details={'mean': 1.5}),
    manifest_lib.Field('seen', 'multi_valued', 20, 4, vocabulary_owner='item'),
  ),
  tasks=(
    manifest_lib.Task('click'),
    manifest_lib.Task('conversion', 'click'),
  ),
  splits={
    name: manifest_lib.Split(
      rows=rows,
      sessions=rows // 2,
      files=(f'{name}/part-00000.parquet', f'{name}/part-00001.parquet'),
      positives={'click': 3, 'conversion': 1},
      start_ms=1000,
      end_ms=None if name == 'test' else 2000,
    )
    for name, rows in (('train', 60), ('validation', 20), ('test', 20))
  },
  user_field='user',
  item_field='item',
  has_oracle=True,
  options={'split': [6, 2, 2]},
  source_files=({'name': 'log.csv', 'bytes': 10, 'sha256': 'ab'},),
  report={'dropped': {'exact duplicate': 4}},
)


def record():
  """FULL as json.load gives it."""
  return json.loads(json.dumps(manifest_file.to_dict(FULL)))


def at(tree, *path):
  """The container that holds the last step of a path."""
  for step in path[:-1]:
    tree = tree[step]
  return tree


def test_write_then_read(tmp_path):
  manifest_file.write(FULL, tmp_path)
  assert manifest_file.read(tmp_path) == FULL
  assert [path.name for path in tmp_path.iterdir()] == ['manifest.json']
  assert (tmp_path / 'manifest.json').read_text().endswith('}\n')


@pytest.mark.parametrize(
  'path, value, expected',
  [
    (('format_version',), 1, r'format_version is 1, this program reads 2'),
    (('options',), [], r'options is \[\], expected an object'),
    (('fields', 0, 'name'), None, r'fields: entry 1: name is None'),
    (
      ('fields', 1, 'name'),
      'user',
      r"entry 2: name is 'user', expected another",
    ),
    (('fields', 0, 'kind'), 'text', r"'user': kind is 'text', expected one of"),
    (('fields', 0, 'size'), 0, r"'user': size is 0, expected 1 to"),
    (('fields', 0, 'rows'), 3, r"fields: entry 1: no such entry: 'rows'"),
    (
      ('fields', 4, 'shares'),
      'tags',
      r"'seen': shares is 'tags', expected a cat",
    ),
    (('fields', 4, 'shares'), 'user', r'expected a categorical field of 20'),
    (('tasks',), [], r'tasks is \[\], expected at least one'),
    (
      ('tasks', 0, 'after'),
      'conversion',
      r"'click': after is 'conversion', expected",
    ),
    (('splits', 'test', 'rows'), '20', r"'test': rows is '20', expected a who"),
    (('splits', 'test', 'files'), ['../x'], r"file '../x' leaves the direc"),
    (
      ('splits', 'test', 'positives'),
      {'click': 1},
      r"positives: 'conversion' is None",
    ),
    (
      ('splits', 'test', 'start_ms'),
      10**17,
      r'start_ms is 10{17}, expected ms',
    ),
    (('user_field',), 'price', r"user_field is 'price', expected a categori"),
  ],
)
def test_malformed_entries_are_named(path, value, expected):
  broken = record()
  at(broken, *path)[path[-1]] = value
  with pytest.raises(types.InputError, match=expected) as error:
    manifest_file.parse(broken, 'DATA/manifest.json')
  assert str(error.value).startswith('DATA/manifest.json: ')
  assert '\n' not in str(error.value)


SCALARS = (
  st.none()
  | st.booleans()
  | st.integers(-3, 3)
  | st.sampled_from([2**31, 2**63, -(10**30)])
  | st.floats(allow_nan=False)
  | st.sampled_from(['', 'user', 'click', 'numeric', '../x', '\0', '\ud800'])
)
VALUES = st.recursive(
  SCALARS,
  lambda inner: (
    st.lists(inner, max_size=2)
    | st.dictionaries(
      st.sampled_from(['name', 'kind', 'rows', 'files', 'x']),
      inner,
      max_size=2,
    )
  ),
  max_leaves=4,
)


def paths(tree, prefix=()):
  """Every path into nested JSON."""
  items = ()
  if isinstance(tree, dict):
    items = tree.items()
  elif isinstance(tree, list):
    items = enumerate(tree)
  result = []
  for step, inner in items:
    result += [(*prefix, step), *paths(inner, (*prefix, step))]
  return result


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_mutated_manifests_parse_or_are_refused(data):
  """Nothing but InputError escapes; what passes is fit for use."""
  broken = copy.deepcopy(record())
  for _ in range(data.draw(st.integers(1, 3))):
    path = data.draw(st.sampled_from(paths(broken)))
    holder = at(broken, *path)
    how = data.draw(st.sampled_from(['replace', 'delete', 'repeat']))
    if how == 'delete':
      del holder[path[-1]]
    elif how == 'repeat' and isinstance(holder, list):
      holder.append(copy.deepcopy(holder[path[-1]]))
    else:
      holder[path[-1]] = data.draw(VALUES)
    if not paths(broken):
      break
  try:
    manifest = manifest_file.parse(broken)
  except types.InputError as error:
    assert '\n' not in str(error)
    return
  spec = manifest.feature_spec()
  assert spec.num_tasks == len(manifest.tasks) > 0
  assert all(type(size) is int and size > 0 for size in spec.categorical)
  assert all(size > 0 and width > 0 for size, width in spec.multi_valued)
  assert all(isinstance(field.column, str) for field in manifest.fields)
  again = json.loads(json.dumps(manifest_file.to_dict(manifest)))
  assert manifest_file.parse(again) == manifest
