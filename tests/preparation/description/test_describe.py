"""Descriptions of rows that are counted by hand."""

import math

import numpy as np
import pytest

from rmtl_jax.preparation.description import overview
from tests.preparation.description import data


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  # A name that is a pattern and a folder `name=value`, which DuckDB knows.
  return data.small(tmp_path_factory.mktemp('d') / 'a=b [1]')


@pytest.fixture(scope='module')
def found(path):
  return overview.describe(path)


def test_unseen_values(found):
  colour, tags, price = found['fields']
  assert colour['unseen'] == {'train': 0, 'validation': 0, 'test': 0.6}
  # Of 14 values in lists one is row 0.
  assert tags['unseen']['train'] == pytest.approx(1 / 14)
  assert price['unseen'] == {}


def test_drift_of_a_category(found):
  colour = found['fields'][0]
  # Rows of test by row 0, red, green, blue and the (empty) rest, with 0.5 more
  # each: of train 0.5, 6.5, 2.5, 2.5, 0.5 of 12.5; of test 3.5, 1.5, 1.5, 0.5,
  # 0.5 of 7.5.
  p = np.array([0.5, 6.5, 2.5, 2.5, 0.5]) / 12.5
  q = np.array([3.5, 1.5, 1.5, 0.5, 0.5]) / 7.5
  expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
  assert colour['psi']['test'] == pytest.approx(expected)
  assert colour['chance']['test'] == pytest.approx(4 * (1 / 10 + 1 / 5))


def test_times_and_means_of_observed_labels(found):
  assert found['times']['train'][0] == 480_000 * data.HOUR
  assert found['label_means']['train'] == {
    'click': 0.4,
    'watch': pytest.approx(21 / 9),
  }


def test_labels_together(found):
  # Watch is observed in nine rows, clicks in ten.
  clicks = np.array([1, 0, 0, 0, 1, 0, 1, 1, 0])
  watch = np.array([4, 0, 0, 0, 8, 0, 6, 2, 1])
  both = np.corrcoef(clicks, watch)[0, 1]
  assert found['together']['correlation'][0][1] == pytest.approx(both)
  # Of the four clicks: 4, 8, 6 and 2. Of five rows that are watched four are
  # clicks.
  assert found['together']['given'] == [[1.0, 5.0], [0.8, 4.2]]


def test_lengths_of_sessions(found):
  # 1, 2, 3 and 4 rows.
  train = found['session_lengths']['train']
  assert train == {
    'mean': 2.5,
    'median': 2,
    'p90': 4,
    'p99': 4,
    'longest': 4,
  }
  assert found['session_lengths']['test']['longest'] == 1
