"""Multi-task recommendation in JAX, its losses weighed by session critics.

What stands in `__all__` is public: it is imported when it is first used, so
that `import rmtl_jax` itself starts neither JAX nor anything else.

From sessions to predictions, here with a network that is far too small:

>>> import pathlib, tempfile
>>> import rmtl_jax
>>> path = pathlib.Path(tempfile.mkdtemp())
>>> manifest = rmtl_jax.prepare(
...   rmtl_jax.PrepareConfig(
...     source='simulated', data_dir=str(path / 'data'), simulated_rows=400
...   )
... )
>>> manifest.task_names
('click', 'conversion')
>>> config = rmtl_jax.Config(
...   backbone='shared_bottom',
...   network=rmtl_jax.NetworkConfig(
...     embedding_dim=2, bottom_units=(4,), tower_units=(2,)
...   ),
...   pretrain=rmtl_jax.StageConfig(max_epochs=1),
... )
>>> live = rmtl_jax.Progress(quiet=True)
>>> record = rmtl_jax.train(
...   config, path / 'run', path / 'data', stages=['pretrain'], live=live
... )
>>> again = rmtl_jax.evaluate(path / 'run')
>>> again['stages'] == record['stages']
True
>>> record['stages']['pretrain']['click']['logloss'] < 1.0
True
>>> model = rmtl_jax.load(path / 'run')
>>> fields = [field.name for field in manifest.fields]
>>> scores = model.predict({name: [None] * 3 for name in fields})
>>> {task: values.shape for task, values in scores.items()}
{'click': (3,), 'conversion': (3,)}
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from rmtl_jax.config import (
    BatchConfig,
    Config,
    CriticConfig,
    EvaluationConfig,
    NetworkConfig,
    StageConfig,
    WeightingConfig,
    preset,
  )
  from rmtl_jax.contrib.weightings.mean_one import scale_by_mean_one
  from rmtl_jax.contrib.weightings.uncertainty import scale_by_uncertainty
  from rmtl_jax.evaluation import metrics
  from rmtl_jax.evaluation.metrics import register_metric
  from rmtl_jax.networks.functional import (
    Network,
    apply,
    make_actor,
    make_critic,
    register_backbone,
  )
  from rmtl_jax.preparation.prepare import prepare
  from rmtl_jax.preparation.source import SourceField, SourceTable, SourceTask
  from rmtl_jax.preparation.sources import register_source
  from rmtl_jax.prepare_config import PrepareConfig
  from rmtl_jax.results.evaluate import evaluate
  from rmtl_jax.run import train
  from rmtl_jax.runtime.progress import Progress
  from rmtl_jax.serving.scorer import Scorer
  from rmtl_jax.types import Batch, FeatureSpec, InputError, Inputs
  from rmtl_jax.updates.critic import make_critic_step
  from rmtl_jax.updates.finetune import init_finetune, make_finetune_step
  from rmtl_jax.updates.forward import mean_cotangent
  from rmtl_jax.updates.pretrain import make_pretrain_step
  from rmtl_jax.updates.state import (
    ActorState,
    CriticState,
    FinetuneState,
    init_actor,
    init_critic,
    make_optimizer,
  )
  from rmtl_jax.updates.weighted_grad import value_and_weighted_grad
  from rmtl_jax.weighting.critic import (
    clip_weights,
    critic_weights,
    scale_by_critic,
    scale_by_label_times_q,
    scale_by_negative_q,
    scale_by_task,
    shuffle_weights,
    stateless,
  )
  from rmtl_jax.weighting.factory import make_weighting, register_weighting
  from rmtl_jax.weighting.relative import scale_by_advantage

__version__ = '0.1.0'

__all__ = [
  'load',
  # Settings.
  'BatchConfig',
  'Config',
  'CriticConfig',
  'EvaluationConfig',
  'NetworkConfig',
  'PrepareConfig',
  'StageConfig',
  'WeightingConfig',
  'preset',
  # From raw logs to metrics.
  'InputError',
  'Progress',
  'Scorer',
  'evaluate',
  'metrics',
  'prepare',
  'train',
  # Networks.
  'Batch',
  'FeatureSpec',
  'Inputs',
  'Network',
  'apply',
  'make_actor',
  'make_critic',
  # Steps and their states.
  'ActorState',
  'CriticState',
  'FinetuneState',
  'init_actor',
  'init_critic',
  'init_finetune',
  'make_critic_step',
  'make_finetune_step',
  'make_optimizer',
  'make_pretrain_step',
  # Weightings: Optax transformations of the cotangent of row losses.
  'clip_weights',
  'critic_weights',
  'make_weighting',
  'mean_cotangent',
  'scale_by_advantage',
  'scale_by_critic',
  'scale_by_label_times_q',
  'scale_by_mean_one',
  'scale_by_negative_q',
  'scale_by_task',
  'scale_by_uncertainty',
  'shuffle_weights',
  'stateless',
  'value_and_weighted_grad',
  # Parts of one's own.
  'SourceField',
  'SourceTable',
  'SourceTask',
  'register_backbone',
  'register_metric',
  'register_source',
  'register_weighting',
]

# Where each public name comes from; the imports above say it to type checkers.
_MODULES = {
  'config': (
    'BatchConfig',
    'Config',
    'CriticConfig',
    'EvaluationConfig',
    'NetworkConfig',
    'StageConfig',
    'WeightingConfig',
    'preset',
  ),
  'preparation.prepare': ('prepare',),
  'preparation.source': ('SourceField', 'SourceTable', 'SourceTask'),
  'preparation.sources': ('register_source',),
  'evaluation': ('metrics',),
  'evaluation.metrics': ('register_metric',),
  'networks.functional': (
    'Network',
    'apply',
    'make_actor',
    'make_critic',
    'register_backbone',
  ),
  'prepare_config': ('PrepareConfig',),
  'serving.scorer': ('Scorer',),
  'runtime.progress': ('Progress',),
  'results.evaluate': ('evaluate',),
  'run': ('train',),
  'types': ('Batch', 'FeatureSpec', 'InputError', 'Inputs'),
  'updates.critic': ('make_critic_step',),
  'updates.finetune': ('init_finetune', 'make_finetune_step'),
  'updates.forward': ('mean_cotangent',),
  'updates.pretrain': ('make_pretrain_step',),
  'updates.state': (
    'ActorState',
    'CriticState',
    'FinetuneState',
    'init_actor',
    'init_critic',
    'make_optimizer',
  ),
  'updates.weighted_grad': ('value_and_weighted_grad',),
  'weighting.critic': (
    'clip_weights',
    'critic_weights',
    'scale_by_critic',
    'scale_by_label_times_q',
    'scale_by_negative_q',
    'scale_by_task',
    'shuffle_weights',
    'stateless',
  ),
  'weighting.factory': ('make_weighting', 'register_weighting'),
  'contrib.weightings.mean_one': ('scale_by_mean_one',),
  'contrib.weightings.uncertainty': ('scale_by_uncertainty',),
  'weighting.relative': ('scale_by_advantage',),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # who would take any name for one of the module's

  def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for (PEP 562)."""
    if name not in _WHERE:
      raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(f'{__name__}.{_WHERE[name]}')
    if name == 'metrics':  # a module itself
      found = importlib.import_module(f'{module.__name__}.metrics')
    else:
      found = getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
  """The public names, whether or not they have been used."""
  return sorted({*globals(), *__all__})


def load(
  workdir: str | os.PathLike[str], stage: str = '', calibrated: bool = False
) -> Scorer:
  """Restores a trained model; its `predict(table, history)` scores raw rows.

  Args:
    workdir: RUN, the run's directory, or what `rmtl export` wrote.
    stage: of a run, whose parameters: `finetune`, `constant` (the control) or
      `pretrain`; if empty `finetune`, or `pretrain` where that is all there is.
    calibrated: of a run, apply the calibration that was fitted on validation.

  Returns:
    What predicts (rmtl_jax.serving.scorer has its methods).

  Raises:
    types.InputError: neither of the two, or one that can't predict.
  """
  # Imported here, so that `import rmtl_jax` does not start JAX.
  if os.path.isfile(os.path.join(workdir, 'export.json')):
    from rmtl_jax import types
    from rmtl_jax.serving import exported

    if stage or calibrated:
      raise types.InputError(
        f'{workdir}: was exported with its stage and calibration; leave them'
        ' out'
      )
    return exported.load(workdir)
  from rmtl_jax.serving import predictor

  return predictor.load(workdir, stage, calibrated)


# Last: these parts register themselves with the core above.
from rmtl_jax import contrib as contrib  # noqa: E402
