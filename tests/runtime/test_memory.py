from __future__ import annotations

import json

import pytest

from rmtl_jax import run, types
from tests import paper, tiny


def _manifest(data, **changes):
  """Prepared data with a manifest that says another first field."""
  manifest = tiny.write_prepared(data)
  record = json.loads((data / 'manifest.json').read_text())
  record['fields'][0] |= changes
  (data / 'manifest.json').write_text(json.dumps(record))
  return manifest


def test_a_vocabulary_that_no_machine_has_room_for_is_refused(tmp_path):
  data = tmp_path / 'data'
  field = _manifest(data, size=2**31 - 1).fields[0].name
  with pytest.raises(types.InputError) as error:
    run.train(paper.config(), tmp_path / 'run', data)
  line = str(error.value)
  assert line.startswith(f'{tmp_path}/data/manifest.json: embedding tables')
  assert f'of {field!r}, 2,147,483,647 rows' in line and '\n' not in line
