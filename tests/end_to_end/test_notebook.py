"""The notebooks: their two files agree, and they run on CPU."""

import json
import pathlib
from typing import Any

import pytest

import rmtl_jax
from tests import walks

pytestmark = pytest.mark.slow

jupytext = pytest.importorskip('jupytext')
nbclient = pytest.importorskip('nbclient')
nbformat = pytest.importorskip('nbformat')

_ROOT = pathlib.Path(rmtl_jax.__file__).parents[1]
_DIRECTORY = pathlib.Path(__file__).parents[2] / 'experiments' / 'notebooks'
_NAMES = ('quick_start', 'inside_rmtl')
EVERY = pytest.mark.parametrize('name', _NAMES)


def _notebook(name: str) -> Any:
  return nbformat.read(_DIRECTORY / f'{name}.ipynb', 4)


@EVERY
def test_notebook_and_script_agree(name):
  """Mended by `jupytext --sync experiments/notebooks/NAME.py`."""
  notebook = _notebook(name)
  script = jupytext.read(_DIRECTORY / f'{name}.py')
  pairs = [
    [(cell.cell_type, cell.source) for cell in one.cells]
    for one in (notebook, script)
  ]
  assert pairs[0] == pairs[1]
  assert len(pairs[0]) > 5
  formats = notebook.metadata['jupytext']['formats']
  assert formats == script.metadata['jupytext']['formats'] == 'ipynb,py:percent'


@pytest.fixture
def execute(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
  """name -> (its cells with outputs, text that they show, runs/name)."""
  monkeypatch.setenv('RMTL_QUICK', '1')
  monkeypatch.setenv('XLA_FLAGS', '')  # as for walks
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.setenv('PYTHONPATH', str(_ROOT))
  for name in ('IPYTHONDIR', 'JUPYTER_CONFIG_DIR', 'JUPYTER_RUNTIME_DIR'):
    monkeypatch.setenv(name, str(tmp_path / name))
  place = tmp_path / 'place'
  place.mkdir()

  def run(name: str) -> tuple[list[Any], str, pathlib.Path]:
    notebook = _notebook(name)
    nbclient.NotebookClient(
      notebook,
      timeout=300,
      kernel_name='python3',
      resources={'metadata': {'path': str(place)}},
    ).execute()
    outputs = [o for c in notebook.cells for o in c.get('outputs', [])]
    shown = ''.join(
      o.get('text', '') + o.get('data', {}).get('text/plain', '')
      for o in outputs
    )
    assert 'Runs on [CpuDevice(id=0)]' in shown
    # The working directory holds the run and nothing else.
    assert [p.name for p in place.iterdir()] == ['runs']
    return outputs, shown, place / 'runs' / name

  return run


def _pictures(outputs: list[Any]) -> int:
  return len([o for o in outputs if 'image/png' in o.get('data', {})])


def test_quick_start_runs(execute):
  outputs, shown, run = execute('quick_start')
  for words in ('user rate x item rate', 'click', 'conversion', 'runs/model'):
    assert words in shown
  assert _pictures(outputs) == 1
  record = json.loads((run / 'metrics.json').read_text(encoding='utf-8'))
  assert set(record['stages']) == {'pretrain', 'constant', 'finetune'}
  walks.assert_beats_rates(record, 'pretrain')


def test_inside_rmtl_runs(execute):
  outputs, shown, run = execute('inside_rmtl')
  assert _pictures(outputs) == 3  # lanes, Q along a session, weights
  for words in ('hold a row', 'R2 of Q', 'RMTL'):
    assert words in shown
  record = json.loads((run / 'run' / 'metrics.json').read_text('utf-8'))
  assert record['weighting'] == 'critic'
  walks.assert_beats_rates(record, 'finetune')
