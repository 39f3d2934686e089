"""An agent of Stable-Baselines3 in the session MDP of simulated sessions.

pip install stable-baselines3 'rmtl-jax[environment]'
python experiments/examples/off_the_shelf_agent.py [STEPS]
"""

import pathlib
import sys
import tempfile

import gymnasium
import jax
import numpy as np
import stable_baselines3

import rmtl_jax

steps = int(sys.argv[1]) if sys.argv[1:] else 100_000
path = pathlib.Path(tempfile.mkdtemp(), 'data')
manifest = rmtl_jax.prepare(
  rmtl_jax.PrepareConfig(
    source='simulated', data_dir=str(path), simulated_rows=60_000
  )
)
encode = rmtl_jax.environment.one_hot(manifest.feature_spec())
space = gymnasium.spaces.Box(-8.0, 8.0, (len(manifest.tasks),))
# The agent's actions are logits: a Gaussian around a probability of 0.01 would
# mostly be clipped.
env = gymnasium.wrappers.TransformAction(
  rmtl_jax.environment.make_gymnasium(path, 'train', encode=encode),
  lambda logits: 1.0 / (1.0 + np.exp(-logits)),
  space,
)
# What an action says changes nothing that follows, so gamma = 0 loses nothing.
agent = stable_baselines3.PPO(
  'MlpPolicy',
  env,
  learning_rate=1e-3,
  batch_size=256,
  gamma=0.0,
  gae_lambda=0.0,
  policy_kwargs={'log_std_init': -0.5},
  seed=0,
  device='cpu',
)
test = rmtl_jax.environment.make(path, 'test').data
features = np.asarray(jax.jit(jax.vmap(encode))(test.inputs))
for learnt in (0, steps):
  if learnt:
    agent.learn(learnt)
  logits, _ = agent.predict(features, deterministic=True)
  for k, task in enumerate(manifest.task_names):
    labels, p = np.asarray(test.labels)[:, k], 1 / (1 + np.exp(-logits[:, k]))
    auc = rmtl_jax.metrics.auc(labels, p)
    logloss = rmtl_jax.metrics.logloss(labels, p)
    print(f'{learnt:,} steps, {task}: AUC {auc:.3f}, logloss {logloss:.4f}')
