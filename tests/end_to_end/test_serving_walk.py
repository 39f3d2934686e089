"""The walk of docs/serving.md as it stands: from a log to predictions."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests import walks

pytestmark = pytest.mark.slow

pytest.importorskip('flatbuffers')
_PAGE = 'docs/serving.md'
_SERVE = 'python serve.py'


@pytest.fixture(scope='module')
def walk(tmp_path_factory):
  """The directory after all of the page's commands."""
  directory = tmp_path_factory.mktemp('walk')
  code = walks.blocks(_PAGE, 'python')[0]
  (directory / 'make_log.py').write_text(code)
  for line in (*walks.lines(_PAGE, 'python'), *walks.lines(_PAGE)):
    if not line.startswith('rmtl serve'):  # docs/every_day.md has it
      walks.run(directory, line, {'train': walks.SHORT})
  return directory


def test_all_ways_of_serving_agree(walk):
  _, loaded, kept, exported = walks.blocks(_PAGE, 'python')
  checks = """
import json
found = {'loaded': loaded, 'kept': kept, 'exported': found}
json.dump(
  {k: {t: v.tolist() for t, v in p.items()} for k, p in found.items()},
  open('served.json', 'w'),
)
"""
  parts = [loaded, 'loaded = found', kept, 'kept = found', exported]
  text = '\n'.join([*parts, checks])
  (walk / 'serve.py').write_text(text)
  walks.run(walk, _SERVE, {})
  served = json.loads((walk / 'served.json').read_text())
  scored = pq.read_table(walk / 'scored.parquet')
  assert scored.num_rows == pq.read_metadata(walk / 'today.parquet').num_rows
  for task in walks.TASKS:
    values = scored[f'p_{task}'].to_numpy()
    assert np.ptp(values) > 0.0
    for way in served.values():
      np.testing.assert_allclose(way[task], values, rtol=0.0, atol=1e-6)


def test_the_model_beats_the_table_of_rates(walk):
  record = json.loads((walk / 'runs/mine/metrics.json').read_text())
  walks.assert_beats_rates(record, 'pretrain')
