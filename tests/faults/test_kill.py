"""SIGKILL at any moment: what is started again ends as if nothing had been.

`pytest -m long tests/faults -n 0 -s` prints the figures. Moments are random
times since the start, in a save (Orbax's temporary directory has appeared) and
at a commit (a checkpoint has).
"""

from __future__ import annotations

import pathlib
import random
import signal
import time

import pytest

from tests.faults import runs

STAGES = (
  '--simulated_rows=600',
  '--config.batch.lanes=4',
  '--config.batch.lane_length=8',
  '--config.batch.steps_per_dispatch=4',
  '--config.pretrain.max_epochs=6',
  '--config.pretrain.patience=9',
  '--config.critic.max_passes=5',
  '--config.critic.min_passes=5',
  '--config.finetune.max_epochs=4',
  '--config.checkpoint_minutes=0',  # every pass is saved
  *runs.SMALL,
)
# Every dispatch is saved, of a split that is read from disk.
WITHIN = ('--config.batch.input=streaming',)
JOBS = {
  'three stages': (20, STAGES),
  'within passes': (15, (*STAGES, *WITHIN)),
  'ensemble': (15, (*STAGES, '--config.ensemble=2')),
}


def _kill_at_a_moment(process, path, rng, seconds):
  """Waits for a random moment and kills; returns what kind it was, or ''."""
  kind = rng.choice(('any', 'save', 'save', 'commit'))
  if kind == 'any':
    end = time.monotonic() + rng.uniform(0.0, seconds)
    reached = runs.wait_until(lambda: time.monotonic() > end, process)
  else:
    look = runs.partial if kind == 'save' else runs.saved
    seen, new, wanted = look(path), set(), rng.randint(1, 4)

    def happened():
      new.update(look(path) - seen)
      return len(new) >= wanted

    reached = runs.wait_until(happened, process, interval=0.0)
    time.sleep(rng.choice((0.0, 0.0, rng.uniform(0.0, 0.05))))
  if not reached or process.poll() is not None:
    return ''
  process.send_signal(signal.SIGKILL)
  return kind


@pytest.mark.long
@pytest.mark.parametrize('job', JOBS)
def test_killed_at_random_moments(tmp_path: pathlib.Path, job: str):
  kills, flags = JOBS[job]
  rng = random.Random(0)
  for name in ('compiles', 'reference'):
    begin = time.monotonic()
    process = runs.start(tmp_path / name, *flags)
    _, error = process.communicate()
    assert process.returncode == 0, error
    seconds = time.monotonic() - begin
  reference = runs.outcome(tmp_path / 'reference')
  assert reference == runs.outcome(tmp_path / 'compiles')

  counts = {'any': 0, 'save': 0, 'commit': 0}
  inside = finished = number = 0
  while True:
    path = tmp_path / f'run_{finished}'
    process = runs.start(path, *flags)
    kind = ''
    if number < kills:
      kind = _kill_at_a_moment(process, path, rng, seconds)
    _, error = process.communicate()
    if kind and process.returncode == -signal.SIGKILL:
      counts[kind] += 1
      number += 1
      inside += bool(runs.partial(path))
      continue
    assert process.returncode == 0, error
    assert runs.outcome(path) == reference
    assert not runs.partial(path)
    finished += 1
    if number == kills:
      break
  print(
    f'\n{job}: {number} kills ({counts}, {inside} of them inside a save),'
    f' {finished} runs finished, lost: 0'
  )
