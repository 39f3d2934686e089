"""Recipes of clusters: sound files, whose flags and numbers agree.

None was run where it belongs: srun, scontrol, gcloud and rmtl are stand-ins.
"""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest
from absl import flags

from rmtl_jax import cli
from rmtl_jax.commands import distributed
from rmtl_jax.config import flags as config_flags
from rmtl_jax.runtime import mesh

LAUNCH = pathlib.Path(__file__).parents[2] / 'experiments' / 'launch'
SHELL = ('slurm.sbatch', 'tpu_pod_slice.sh')
JOBSET = 'kubernetes_jobset.yaml'

# What it is started with is a line in `starts`; CODES says how it ends.
RMTL = """#!{python}
import json, os, pathlib, signal, sys, time
place = pathlib.Path({place!r})
with (place / 'starts').open('a') as file:
  print(json.dumps(sys.argv[1:]), file=file)
number = len((place / 'starts').read_text().splitlines())
code = {codes!r}[number - 1]
if code != 'wait':
  sys.exit(code)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
(place / 'group.part').write_text(str(os.getpgid(0)))
(place / 'group.part').rename(place / 'group')
time.sleep(60)
"""
SRUN = '#!/usr/bin/env bash\nshift\nexec setsid --wait "$@"\n'
NOTES = '#!/usr/bin/env bash\nprintf "%s\\n" "$*" >> {place}/{name}\n'


def stand_in(place: pathlib.Path, name: str, text: str) -> None:
  path = place / 'bin' / name
  path.parent.mkdir(exist_ok=True)
  path.write_text(text)
  path.chmod(0o755)


def start(place: pathlib.Path, *command: str, **more: str) -> subprocess.Popen:
  path = f'{place / "bin"}:{os.environ["PATH"]}'
  environment = {**os.environ, **more, 'PATH': path}
  return subprocess.Popen(['bash', *command], env=environment)


def sbatch(place: pathlib.Path, codes: list[int | str]) -> subprocess.Popen:
  """The job's script on a machine of its own, with 32 tasks that are one."""
  text = RMTL.format(python=sys.executable, place=str(place), codes=codes)
  stand_in(place, 'rmtl', text)
  stand_in(place, 'srun', SRUN)
  notes = NOTES.format(place=place, name='scontrol')
  stand_in(place, 'scontrol', notes)
  return start(
    place,
    str(LAUNCH / 'slurm.sbatch'),
    SLURM_NTASKS='32',
    SLURM_JOB_ID='7',
    RESTARTS='2',
    PAUSE='0',
  )


def starts(place: pathlib.Path) -> list[list[str]]:
  return [json.loads(x) for x in (place / 'starts').read_text().splitlines()]


def jobset() -> dict:
  yaml = pytest.importorskip('yaml')
  return yaml.safe_load((LAUNCH / JOBSET).read_text(encoding='utf-8'))


def pod() -> dict:
  workers = jobset()['spec']['replicatedJobs'][0]['template']['spec']
  return workers['template']['spec']


def command_line(name: str, place: pathlib.Path) -> list[str]:
  """What each recipe starts rmtl with, after its name."""
  if name == 'slurm.sbatch':
    assert sbatch(place, [0]).wait() == 0
    return starts(place)[0]
  if name == JOBSET:
    line = pod()['containers'][0]['args'][0]
    words = shlex.split(line.replace('$JOB_COMPLETION_INDEX', '3'))
  else:
    notes = NOTES.format(place=place, name='gcloud')
    stand_in(place, 'gcloud', notes)
    assert start(place, str(LAUNCH / name), 'train').wait() == 0
    text = (place / 'gcloud').read_text()
    assert '--worker=all --command=' in text
    words = shlex.split(text.split('--command=')[1])
  return words[words.index('train') :]


def test_these_are_all():
  assert {path.name for path in LAUNCH.iterdir()} == {*SHELL, JOBSET}


@pytest.mark.parametrize('name', SHELL)
def test_shell_is_sound(name):
  subprocess.run(['bash', '-n', LAUNCH / name], check=True)


@pytest.mark.parametrize('name', (*SHELL, JOBSET))
def test_says_that_it_was_not_run_and_what_it_assumes(name):
  text = (LAUNCH / name).read_text(encoding='utf-8')
  head = text.split('set -', 1)[0].split('apiVersion', 1)[0]
  assert '# NOT RUN' in head
  assert '# Assumptions\n# - ' in head


@pytest.mark.parametrize('name', (*SHELL, JOBSET))
def test_flags_exist_and_fit_together(name, tmp_path):
  command, *words = command_line(name, tmp_path)
  values = flags.FlagValues()
  line = [f'rmtl {command}', *words]
  cli.COMMANDS[command].define(values, line)
  assert values(line)[1:] == []
  assert distributed.is_asked(values)
  config = config_flags.parse(values)
  shape = mesh.parse(str(values['mesh'].value))
  assert shape.data * shape.model == 32
  assert config.batch.input == 'streaming'
  assert config.network.embedding_adam == 'rows'
  assert config.batch.lanes % shape.data == 0
  assert config.batch.lanes % config.batch.readers == 0
  # Each process reads its own rows: see mesh.Layout.advice.
  processes = {'slurm.sbatch': 32, 'tpu_pod_slice.sh': 8, JOBSET: 4}[name]
  assert config.batch.readers % processes == 0


def test_a_misspelt_flag_would_be_found():
  line = ['rmtl train', '--config.batch.reader=2']
  with pytest.raises(Exception, match='reader'):
    values = flags.FlagValues()
    cli.COMMANDS['train'].define(values, line)
    values(line)


def test_jobset_agrees_with_itself():
  spec = jobset()['spec']
  workers = spec['replicatedJobs'][0]
  job, container = workers['template']['spec'], pod()['containers'][0]
  words = shlex.split(container['args'][0])
  given = dict(word[2:].split('=', 1) for word in words if word[:2] == '--')
  processes = int(given['num_processes'])
  assert job['completionMode'] == 'Indexed'
  assert job['parallelism'] == job['completions'] == processes
  assert given['process_id'] == '$JOB_COMPLETION_INDEX'
  host, port = given['coordinator_address'].split(':')
  name = jobset()['metadata']['name']
  assert host == f'{name}-{workers["name"]}-0-0.{name}'
  assert int(port) == container['ports'][0]['containerPort']
  devices = processes * container['resources']['limits']['nvidia.com/gpu']
  assert given['mesh'] == f'data:{devices}'
  assert words[:3] == ['exec', 'rmtl', 'train']  # so that it gets the signals
  assert pod()['restartPolicy'] == 'Never'
  on = job['podFailurePolicy']['rules'][0]['onExitCodes']
  assert on['containerName'] == container['name'] and on['values'] == [2]
  mounted = {volume['name'] for volume in pod()['volumes']}
  assert {m['name'] for m in container['volumeMounts']} == mounted


@pytest.mark.parametrize(
  'codes, ends, started',
  [
    ([0], 0, 1),
    ([1, 0], 0, 2),  # a peer was lost
    ([137, 1, 0], 0, 3),
    ([2], 2, 1),  # bad input
    ([1, 1, 1], 1, 3),
  ],
)
def test_slurm_starts_again_what_can_go_on(tmp_path, codes, ends, started):
  assert sbatch(tmp_path, codes).wait() == ends
  assert len(starts(tmp_path)) == started
  assert not (tmp_path / 'scontrol').exists()


def test_slurm_saves_and_queues_again_before_the_time_limit(tmp_path):
  """All processes of a step hear SIGTERM, and rmtl ends with 143."""
  job = sbatch(tmp_path, ['wait'])
  group = tmp_path / 'group'
  for _ in range(600):
    if group.exists():
      break
    time.sleep(0.05)
  os.killpg(int(group.read_text()), signal.SIGTERM)
  assert job.wait(timeout=30) == 0
  assert (tmp_path / 'scontrol').read_text() == 'requeue 7\n'
  assert len(starts(tmp_path)) == 1


def test_tpu_script_names_its_steps(tmp_path):
  wrong = start(tmp_path, str(LAUNCH / 'tpu_pod_slice.sh'), 'begin')
  assert wrong.wait() == 2
