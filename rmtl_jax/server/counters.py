"""Metrics of a server for Prometheus."""

from __future__ import annotations

import functools
import os

import prometheus_client as prometheus
from prometheus_client import multiprocess

from rmtl_jax.server import options as options_lib

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

_SECONDS = (
  *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
  *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
  """Counters of one process."""

  def __init__(self):
    self._registry = prometheus.CollectorRegistry()
    counter = functools.partial(prometheus.Counter, registry=self._registry)
    histogram = functools.partial(prometheus.Histogram, registry=self._registry)
    self.requests = counter('rmtl_requests', 'Requests.', ('path', 'status'))
    self.seconds = histogram(
      'rmtl_request_seconds',
      'From the head of a request to its response.',
      ('path',),
      buckets=_SECONDS,
    )
    self.rows = counter(
      'rmtl_rows', 'Rows of requests that were answered.', ('path',)
    )
    self.batch_rows = histogram(
      'rmtl_batch_rows', 'Rows of a batch.', buckets=_ROWS
    )
    self.batch_wait = histogram(
      'rmtl_batch_wait_seconds',
      'How long the first request of a batch waited.',
      buckets=_SECONDS,
    )
    self.compilations = counter(
      'rmtl_compilations',
      'Programs that were compiled: at start or reload, or while requests wait'
      ' (which never happens).',
      ('when',),
    )
    for when in ('start', 'request'):
      self.compilations.labels(when)
    self.unseen = counter(
      'rmtl_unseen_values',
      "Values that the model's vocabulary lacks.",
      ('field',),
    )
    self.values = counter(
      'rmtl_values', 'Values of fields with a vocabulary.', ('field',)
    )
    self.reloads = counter('rmtl_reloads', 'Newer models.', ('result',))
    self.ready = prometheus.Gauge(
      'rmtl_ready',
      'Workers with a model that is ready.',
      registry=self._registry,
      multiprocess_mode='livesum',
    )

  def text(self) -> bytes:
    """All of them, of all processes."""
    if os.environ.get(options_lib.SHARED_METRICS):
      shared = prometheus.CollectorRegistry()
      multiprocess.MultiProcessCollector(shared)
      return prometheus.generate_latest(shared)
    return prometheus.generate_latest(self._registry)
