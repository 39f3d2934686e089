"""The text of a description."""

import copy

import pytest

from rmtl_jax.preparation.description import describe
from rmtl_jax.report import description_text as tables
from tests.preparation.description import data


@pytest.fixture(scope='module')
def record(tmp_path_factory):
  return describe.describe(data.small(tmp_path_factory.mktemp('d') / 'mine'))


def test_rates_and_means_of_labels(record):
  # 4 of 10; the nine observed times sum to 21.
  assert tables.labels(record).rows == [
    ('click', 'rate', '40.00%', '40.00%', '80.00%'),
    ('watch', 'mean', '2.333', '1', '5'),
  ]


def test_what_stands_out_is_said(record):
  said = ' '.join(tables.findings(record))
  assert 'Values of test that train has not: colour 60.0%' in said
  assert 'The rate of click goes from 40.00% in train to 80.00% in test' in said
  assert 'The mean of watch goes from 2.333 in train to 5 in test' in said


def test_as_of_fields_are_told_apart(record):
  with_as_of = copy.deepcopy(record)
  field = with_as_of['fields'][1]
  field |= {'as_of': 'counts', 'psi': {'validation': 9.0, 'test': 9.0}}
  said = ' '.join(tables.findings(with_as_of))
  assert 'As-of fields that do: tags.' in said
  assert tables.fields(with_as_of['fields']).rows[0][0] == 'tags'
