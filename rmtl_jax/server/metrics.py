"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

import os

import prometheus_client as prometheus
from prometheus_client import multiprocess

# Of several processes; Prometheus's library keeps their counts in files there.
SHARED = 'PROMETHEUS_MULTIPROC_DIR'
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

_SECONDS = (
  *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
  *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
  """Counters of one process."""

  def __init__(self):
    """All are zero."""
    self._registry = registry = prometheus.CollectorRegistry()
    self.requests = prometheus.Counter(
      'rmtl_requests', 'Requests.', ('path', 'status'), registry=registry
    )
    self.seconds = prometheus.Histogram(
      'rmtl_request_seconds',
      'From the whole body to the response.',
      ('path',),
      buckets=_SECONDS,
      registry=registry,
    )
    self.rows = prometheus.Counter(
      'rmtl_rows',
      'Rows of requests that were answered.',
      ('path',),
      registry=registry,
    )
    self.batch_rows = prometheus.Histogram(
      'rmtl_batch_rows', 'Rows of a batch.', buckets=_ROWS, registry=registry
    )
    self.batch_wait = prometheus.Histogram(
      'rmtl_batch_wait_seconds',
      'How long the first request of a batch waited.',
      buckets=_SECONDS,
      registry=registry,
    )
    self.compilations = prometheus.Counter(
      'rmtl_compilations',
      'Programs that were compiled: at start or reload, or while requests wait'
      ' (which never happens).',
      ('when',),
      registry=registry,
    )
    for when in ('start', 'request'):
      self.compilations.labels(when)
    self.unseen = prometheus.Counter(
      'rmtl_unseen_values',
      "Values that the model's vocabulary lacks.",
      ('field',),
      registry=registry,
    )
    self.values = prometheus.Counter(
      'rmtl_values',
      'Values of fields with a vocabulary.',
      ('field',),
      registry=registry,
    )
    self.reloads = prometheus.Counter(
      'rmtl_reloads', 'Newer models.', ('result',), registry=registry
    )
    self.ready = prometheus.Gauge(
      'rmtl_ready',
      'Workers with a model that is ready.',
      registry=registry,
      multiprocess_mode='livesum',
    )

  def text(self) -> bytes:
    """All of them, of all processes."""
    if os.environ.get(SHARED):
      shared = prometheus.CollectorRegistry()
      multiprocess.MultiProcessCollector(shared)
      return prometheus.generate_latest(shared)
    return prometheus.generate_latest(self._registry)
