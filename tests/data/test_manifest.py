"""What networks and reports are told of prepared data."""

import dataclasses

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from tests.data import test_manifest_file

FULL = test_manifest_file.FULL


def test_feature_spec_and_columns():
  names = ('user', 'item', 'tags', 'seen')
  rest = {
    'numeric_names': ('price',),
    'groups': tuple((g, ()) for g in prepare_settings.AS_OF),
    'tasks': ('click', 'conversion'),
  }
  assert FULL.feature_spec() == types.FeatureSpec(
    (30, 20),
    ((8, 3), (20, 4)),
    1,
    2,
    names,
    vocabulary_owners=(None, 1),
    **rest,
  )
  without = dataclasses.replace(
    FULL, item_field=None, user_field=None, fields=FULL.fields[:4]
  )
  assert without.feature_spec() == types.FeatureSpec(
    (30, 20), ((8, 3),), 1, 2, names[:3], **rest
  )
  columns = [field.column for field in FULL.fields]
  assert columns == ['f_user', 'f_item', 'm_tags', 'x_price', 'm_seen']
  assert FULL.task_names == ('click', 'conversion')
  assert [f.name for f in FULL.of_kind('categorical')] == ['user', 'item']
