"""A log stamped by the day: the order of rows of one time says nothing.

Three files hold the same rows: as they come, shuffled within a day, and sorted
by their labels within a day. All of them give every row the same prediction.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

import rmtl_jax
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.serving.export import export_writer
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import split_data
from tests.serving import past_run

pytestmark = pytest.mark.slow

ROWS = 900
DAY = 86_400
# Sums over the rows of a day are in another order.
ROUNDING = 2e-6
SETTINGS = {
  'mean': {'network.session_encoder': 'mean'},
  'target_attention': {'network.session_encoder': 'target_attention'},
}


def log():
  """Sessions of some days and about 15 rows; a lane has 5 slots."""
  rng = np.random.default_rng(4)
  visit = np.sort(rng.integers(0, ROWS // 15, ROWS))
  # Days of one row to more rows than a lane has slots.
  day = rng.choice(10, ROWS, p=[0.5, *[0.05] * 8, 0.1])
  order = np.lexsort((day, visit))
  visit, day = visit[order], visit[order] + day[order]
  item = rng.integers(0, 12, ROWS)
  click = (rng.random(ROWS) < 0.1 + 0.06 * item).astype(int)
  return pa.table(
    {
      'visit': [f'v{n}' for n in visit],
      'time': day * DAY,
      'who': [f'u{n % 17}' for n in visit],
      'item': [f'i{n}' for n in item],
      'tags': ['|'.join(map(str, range(n))) or None for n in item % 3],
      'price': np.arange(ROWS) / ROWS,
      'clicked': click,
      'bought': click * rng.integers(0, 2, ROWS),
    }
  )


def orders():
  """Ways to write the rows of a day."""
  raw = log()
  rows = np.arange(ROWS)
  shuffled = np.random.default_rng(0).permutation(ROWS)
  labels = raw['clicked'].to_numpy() + raw['bought'].to_numpy()
  day = raw['time'].to_numpy()
  return {
    'as it comes': rows,
    'shuffled': shuffled[np.argsort(day[shuffled], kind='stable')],
    'positives first': np.lexsort((-labels, day)),
    'positives last': np.lexsort((labels, day)),
  }


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """{order: (rows in that order, RUN)}."""
  return {
    name: (
      order,
      past_run.prepare_run(
        tmp_path_factory.mktemp('ties'), raw=log().take(pa.array(order))
      ),
    )
    for name, order in orders().items()
  }


@pytest.mark.parametrize(
  ('how', 'reads'),
  [*(('resident', reads) for reads in SETTINGS), ('streaming', 'mean')],
)
def test_of_prepared_data(runs, how, reads):
  found, models = {}, None
  for name, (order, run_dir) in runs.items():
    scorer = past_run.untrained(run_dir, **SETTINGS[reads])
    config = scorer.run.config
    batch = dataclasses.replace(config.batch, input=how)
    split = split_data.read(
      scorer.run.data_dir, scorer.run.manifest, 'train', batch
    )
    resident = isinstance(split.host, columns_lib.SplitColumns)
    assert resident == (how == 'resident')
    assert len(split.cuts) > 40
    models = models or models_lib.Models(scorer.manifest.feature_spec())
    assert models.spec == scorer.manifest.feature_spec()
    found[name] = np.full((ROWS, 2), np.nan, np.float32)
    found[name][order[split.host.row_id]] = models.predict(
      config, scorer.params, split
    )
  first, *others = found.values()
  assert np.isfinite(first).all(axis=1).sum() > 400
  assert np.nanstd(first) > 0.05
  for other in others:
    np.testing.assert_allclose(other, first, rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize('reads', ['target_attention'])
def test_of_raw_rows(runs, tmp_path, reads):
  pytest.importorskip('flatbuffers')
  order, run_dir = runs['as it comes']
  scorer = past_run.untrained(run_dir, **SETTINGS[reads])
  export_writer.export(scorer, tmp_path / 'out')
  row_id, expected = past_run.evaluated(scorer)
  wanted = np.full((ROWS, 2), np.nan)
  wanted[order[row_id]] = expected
  asked = np.isin(np.arange(ROWS), order[row_id])
  raw = log()
  for name, model in (
    ('as it comes', scorer),
    ('positives first', scorer),
    ('positives last', rmtl_jax.load(tmp_path / 'out')),
  ):
    order, _ = runs[name]
    rows, earlier = order[asked[order]], order[~asked[order]]
    found = model.predict(raw.take(pa.array(rows)), raw.take(pa.array(earlier)))
    for k, values in enumerate(found.values()):
      np.testing.assert_allclose(
        values, wanted[rows, k], rtol=0.0, atol=ROUNDING
      )
