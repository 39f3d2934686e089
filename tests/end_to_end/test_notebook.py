"""The quick-start notebook: its two files agree, and it runs on CPU."""

import ast
import json
import pathlib

import pytest

import rmtl_jax

jupytext = pytest.importorskip('jupytext')
nbclient = pytest.importorskip('nbclient')
nbformat = pytest.importorskip('nbformat')

_ROOT = pathlib.Path(rmtl_jax.__file__).parents[1]
_DIRECTORY = pathlib.Path(__file__).parents[2] / 'experiments' / 'notebooks'
_NOTEBOOK = _DIRECTORY / 'quick_start.ipynb'
_SCRIPT = _DIRECTORY / 'quick_start.py'


def test_notebook_and_script_agree():
  """Mended by `jupytext --sync experiments/notebooks/quick_start.py`."""
  notebook, script = nbformat.read(_NOTEBOOK, 4), jupytext.read(_SCRIPT)
  pairs = [
    [(cell.cell_type, cell.source) for cell in one.cells]
    for one in (notebook, script)
  ]
  assert pairs[0] == pairs[1]
  assert len(pairs[0]) > 5
  formats = notebook.metadata['jupytext']['formats']
  assert formats == script.metadata['jupytext']['formats'] == 'ipynb,py:percent'


def test_notebook_is_valid_and_holds_no_outputs():
  notebook = nbformat.read(_NOTEBOOK, 4)
  nbformat.validate(notebook)
  for cell in notebook.cells:
    if cell.cell_type == 'code':
      assert cell.outputs == []
      assert cell.execution_count is None
    assert set(cell.metadata) == set()


def test_badge_and_install_name_the_same_repository():
  notebook = nbformat.read(_NOTEBOOK, 4)
  badge, install = notebook.cells[0].source, notebook.cells[1].source
  opened = badge.split('colab.research.google.com/github/')[1]
  owner = opened.split('/blob/')[0]
  assert f'git+https://github.com/{owner}' in install
  path = opened.split('/blob/main/')[1].split(')')[0]
  assert path == 'experiments/notebooks/quick_start.ipynb'


def test_notebook_defines_nothing_of_its_own():
  tree = ast.parse(_SCRIPT.read_text(encoding='utf-8'))
  own = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
  assert not [node for node in ast.walk(tree) if isinstance(node, own)]


def test_notebook_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setenv('RMTL_QUICK', '1')
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.delenv('XLA_FLAGS', raising=False)  # compiled as users do
  monkeypatch.setenv('PYTHONPATH', str(_ROOT))
  # Compiling is most of it; few rows need no optimised programs.
  monkeypatch.setenv(
    'XLA_FLAGS',
    '--xla_backend_optimization_level=0'
    ' --xla_llvm_disable_expensive_passes=true',
  )
  for name in ('IPYTHONDIR', 'JUPYTER_CONFIG_DIR', 'JUPYTER_RUNTIME_DIR'):
    monkeypatch.setenv(name, str(tmp_path / name))
  place = tmp_path / 'place'
  place.mkdir()
  notebook = nbformat.read(_NOTEBOOK, 4)
  nbclient.NotebookClient(
    notebook,
    timeout=300,
    kernel_name='python3',
    resources={'metadata': {'path': str(place)}},
  ).execute()

  outputs = [o for c in notebook.cells for o in c.get('outputs', [])]
  shown = ''.join(
    o.get('text', '') + o.get('data', {}).get('text/plain', '') for o in outputs
  )
  assert '(cpu)' in shown
  for words in ('oracle: true probabilities', 'RMTL', 'click', 'conversion'):
    assert words in shown
  pictures = [o for o in outputs if 'image/png' in o.get('data', {})]
  assert len(pictures) == 1
  run = place / 'runs' / 'quick_start'
  record = json.loads((run / 'metrics.json').read_text(encoding='utf-8'))
  assert set(record['stages']) == {'pretrain', 'constant', 'finetune'}
  history = (run / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  losses = [
    entry['loss']
    for entry in map(json.loads, history)
    if entry['stage'] == 'pretrain'
  ]
  assert losses[-1] < 0.8 * losses[0]
  assert record['oracle']['click']['auc'] > 0.75
  # The working directory holds the run and nothing else.
  assert [p.name for p in place.iterdir()] == ['runs']
