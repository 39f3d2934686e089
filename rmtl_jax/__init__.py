"""Multi-task recommendation in JAX with critic-weighted losses.

The names below are public: each is imported when it is first used, so that
`import rmtl_jax` itself starts neither JAX nor anything else.

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
...   pretrain=rmtl_jax.PretrainConfig(max_epochs=1),
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

import ast
import importlib
import os
import pathlib
from typing import TYPE_CHECKING, Any

# The one list of public names. Type checkers read it as imports; `_public`
# reads it too, for everything that is known of them when the program runs.
if TYPE_CHECKING:  # isort: off
  # Settings.
  from rmtl_jax.config import BalancingConfig as BalancingConfig
  from rmtl_jax.config import BatchConfig as BatchConfig
  from rmtl_jax.config import CompareConfig as CompareConfig
  from rmtl_jax.config import Config as Config
  from rmtl_jax.config import CriticConfig as CriticConfig
  from rmtl_jax.config import EvaluationConfig as EvaluationConfig
  from rmtl_jax.config import FinetuneConfig as FinetuneConfig
  from rmtl_jax.config import NetworkConfig as NetworkConfig
  from rmtl_jax.config import PrepareConfig as PrepareConfig
  from rmtl_jax.config import PretrainConfig as PretrainConfig
  from rmtl_jax.config import WeightingConfig as WeightingConfig
  from rmtl_jax.config import preset as preset
  from rmtl_jax.config import resolve as resolve

  # A table in, a model out; studies and reports.
  from rmtl_jax.library.field_importance import importance as importance
  from rmtl_jax.library.ranker import Ranker as Ranker
  from rmtl_jax.library.critic_rows import row_values as row_values
  from rmtl_jax.library.critic_rows import RowValues as RowValues
  from rmtl_jax.studies.comparing import compare as compare
  from rmtl_jax.studies.tuning import tune as tune
  from rmtl_jax.report.write_report import write_report as write_report
  from rmtl_jax.simulator.log import simulate as simulate
  from rmtl_jax.preparation.summary import summary as summary
  from rmtl_jax.report.run_report import metrics_table as metrics_table
  from rmtl_jax.report.run_report import sentences as sentences

  # From raw logs to metrics.
  from rmtl_jax.data.batches import pack_lanes as pack_lanes
  from rmtl_jax.preparation.description.overview import describe as describe
  from rmtl_jax.preparation.guess.guess import guess_schema as guess_schema
  from rmtl_jax.preparation.prepare_log import prepare as prepare
  from rmtl_jax.evaluation import metrics as metrics
  from rmtl_jax.serving.scorer import Scorer as Scorer
  from rmtl_jax.runtime.progress import Progress as Progress
  from rmtl_jax.library.restored import restore as restore
  from rmtl_jax.results.run_record import evaluate as evaluate
  from rmtl_jax.run import refit as refit
  from rmtl_jax.run import RunOptions as RunOptions
  from rmtl_jax.run import train as train
  from rmtl_jax.types import InputError as InputError

  # The session MDP for any agent.
  from rmtl_jax import environment as environment

  # Networks.
  from rmtl_jax.networks.functional import Network as Network
  from rmtl_jax.networks.functional import apply as apply
  from rmtl_jax.networks.from_settings import make_actor as make_actor
  from rmtl_jax.networks.from_settings import make_critic as make_critic
  from rmtl_jax.types import Batch as Batch
  from rmtl_jax.types import FeatureSpec as FeatureSpec
  from rmtl_jax.types import Inputs as Inputs

  # Steps and their states.
  from rmtl_jax.updates.actor import make_actor_step as make_actor_step
  from rmtl_jax.updates.critic import make_critic_step as make_critic_step
  from rmtl_jax.updates.finetune import init_finetune as init_finetune
  from rmtl_jax.updates.finetune import make_finetune_step as make_finetune_step
  from rmtl_jax.updates.state import ActorState as ActorState
  from rmtl_jax.updates.state import CriticState as CriticState
  from rmtl_jax.updates.state import FinetuneState as FinetuneState
  from rmtl_jax.updates.state import init_actor as init_actor
  from rmtl_jax.updates.state import init_critic as init_critic
  from rmtl_jax.updates.state import make_optimizer as make_optimizer

  # Weightings: Optax transformations of the cotangent of row losses.
  from rmtl_jax.updates.weighted_grad import mean_cotangent as mean_cotangent
  from rmtl_jax.updates.weighted_grad import (
    value_and_weighted_grad as value_and_weighted_grad,
  )
  from rmtl_jax.weighting.scale_by_q import critic_weights as critic_weights
  from rmtl_jax.weighting.scale_by_q import scale_by_critic as scale_by_critic
  from rmtl_jax.weighting.scale_by_q import (
    scale_by_label_times_q as scale_by_label_times_q,
  )
  from rmtl_jax.weighting.scale_by_q import (
    scale_by_negative_q as scale_by_negative_q,
  )
  from rmtl_jax.weighting.scale_by_q import scale_by_task as scale_by_task
  from rmtl_jax.weighting.scale_by_q import shuffle_weights as shuffle_weights
  from rmtl_jax.weighting.scale_by_q import stateless as stateless
  from rmtl_jax.weighting.chain import (
    make_weighting as make_weighting,
  )
  from rmtl_jax.weighting.relative import (
    scale_by_advantage as scale_by_advantage,
  )

  # Balancers: Optax transformations of task losses or task gradients.
  from rmtl_jax.balancing.balancer_registry import (
    make_balancer as make_balancer,
  )
  from rmtl_jax.balancing.balancer_registry import Balancer as Balancer
  from rmtl_jax.balancing.balancer_registry import (
    register_balancer as register_balancer,
  )

  # Registration of user-defined parts.
  from rmtl_jax.evaluation.metric_registry import (
    register_metric as register_metric,
  )
  from rmtl_jax.networks.from_settings import (
    register_backbone as register_backbone,
  )
  from rmtl_jax.runtime.tracking.trackers import Tracker as Tracker
  from rmtl_jax.runtime.tracking.trackers import (
    register_tracker as register_tracker,
  )
  from rmtl_jax.weighting.weighting_registry import (
    register_weighting as register_weighting,
  )
  # isort: on

__version__ = '0.1.0'


def load(
  workdir: str | os.PathLike[str],
  stage: str = '',
  warm_up: int = 128,
) -> Scorer | Ranker:
  """Restores a trained model; its `predict(table, history)` scores raw rows.

  Args:
    workdir: RUN, the run's directory, or what `rmtl export` or `Ranker.save`
      wrote.
    stage: of a run, whose parameters: `finetune`, `constant` (the control) or
      `pretrain`; if empty `finetune`, or `pretrain` where that is all there is.
    warm_up: compile the programs of requests of up to so many rows now, and
      keep them on disk for the next process unless JAX has its own cache;
      0: at the first request.

  Returns:
    A scorer (see rmtl_jax.serving.scorer). A Ranker where one
    wrote the directory and no stage is asked for.

  Raises:
    types.InputError: neither of the two, or one that can't predict.
  """
  # Imported here, so that `import rmtl_jax` does not start JAX.
  from rmtl_jax.runtime import programs

  if warm_up:
    programs.keep_unless_set()
  if os.path.isfile(os.path.join(workdir, 'export.json')):
    from rmtl_jax import types
    from rmtl_jax.serving import exported

    if stage:
      raise types.InputError(
        f'{workdir}: was exported with its stage; leave it out'
      )
    return exported.load(workdir, warm_up)
  is_ranker = os.path.isfile(os.path.join(workdir, 'ranker.json'))
  if is_ranker and not stage:
    # Named as a text, because rooms below the library import this package.
    library = importlib.import_module('rmtl_jax.library.ranker')
    return library.load(workdir, warm_up)
  from rmtl_jax.serving import predictor

  return predictor.load(workdir, stage, warm_up)


def _public() -> dict[str, tuple[str, str]]:
  """{public name: (module, name there)}: the imports for type checkers."""
  tree = ast.parse(pathlib.Path(__file__).read_text(encoding='utf-8'))
  block = next(node for node in tree.body if isinstance(node, ast.If))
  return {
    alias.asname or alias.name: (str(node.module), alias.name)
    for node in block.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
  }


if not TYPE_CHECKING:  # who would take any name for one of the module's
  _PUBLIC = _public()
  __all__ = ['load', *_PUBLIC]

  def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for (PEP 562)."""
    if name not in _PUBLIC:
      raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module, there = _PUBLIC[name]
    if module == __name__:  # one of its rooms
      return importlib.import_module(f'{module}.{there}')
    try:
      found = getattr(importlib.import_module(module), there)
    except AttributeError:  # a module itself
      found = importlib.import_module(f'{module}.{there}')
    globals()[name] = found
    return found


def __dir__() -> list[str]:
  """The public names, whether or not they have been used."""
  return sorted({*globals(), *_public()})


# Last: these parts register themselves with the core above.
from rmtl_jax import contrib as contrib  # noqa: E402
