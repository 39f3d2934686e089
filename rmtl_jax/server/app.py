"""The routes of a server, and what they answer."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pyarrow as pa
from starlette import applications, exceptions, requests, responses, routing

from rmtl_jax import types
from rmtl_jax.server import bodies, counters
from rmtl_jax.server import worker as worker_lib
from rmtl_jax.serving import predict_file

_LOG = logging.getLogger('rmtl_jax.server')
_OPEN = ('/health', '/ready')
# Bytes of a body that is read while everybody waits, in about a ms.
_QUICK = 16_384
_MOST_BYTES = 8_000_000
# Of errors, by status.
_HEADERS = {401: {'www-authenticate': 'Bearer'}, 503: {'retry-after': '1'}}
_Endpoint = Callable[[requests.Request], Awaitable[responses.Response]]


class _Json(responses.Response):
  """JSON on one line."""

  media_type = bodies.JSON

  def render(self, content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b'\n'


def make(worker: worker_lib.Worker) -> applications.Starlette:
  """The application of a worker."""
  routes = _Routes(worker)

  @contextlib.asynccontextmanager
  async def lifespan(app: applications.Starlette) -> AsyncIterator[None]:
    del app
    worker.start()
    yield
    await worker.stop()

  app = applications.Starlette(
    routes=[
      routing.Route(path, routes.guarded(path, endpoint), methods=[method])
      for method, path, endpoint in (
        ('GET', '/health', routes.health),
        ('GET', '/ready', routes.ready),
        ('GET', '/metrics', routes.metrics),
        ('GET', '/v1/model', routes.model),
        ('POST', '/v1/predict', routes.predict),
        ('POST', '/v1/events', routes.events),
      )
    ],
    exception_handlers={exceptions.HTTPException: _refused},
    lifespan=lifespan,
  )
  # They would lead to whatever host the request names.
  app.router.redirect_slashes = False
  return app


async def _refused(
  request: requests.Request, error: Exception
) -> responses.Response:
  """No such path, or not with this method."""
  assert isinstance(error, exceptions.HTTPException)
  answer = _error(
    error.status_code, f'{request.method} {request.url.path}: {error.detail}'
  )
  answer.headers.update(error.headers or {})  # `allow`
  return answer


def _error(status: int, message: str) -> responses.Response:
  content = {'error': types.one_line(message)[:1000]}
  return _Json(content, status, _HEADERS.get(status))


class _Routes:
  """The endpoints of one worker."""

  def __init__(self, worker: worker_lib.Worker):
    self._worker, self._metrics = worker, worker.metrics
    self._settings = worker.settings
    self._reading = asyncio.Lock()

  def guarded(self, path: str, endpoint: _Endpoint) -> _Endpoint:
    """An endpoint with counters and one-line errors."""

    async def answer(request: requests.Request) -> responses.Response:
      started = time.perf_counter()
      try:
        self._check_token(path, request)
        response = await endpoint(request)
      except bodies.Refused as error:
        response = _error(error.status, str(error))
      except types.InputError as error:
        response = _error(422, str(error))
      except requests.ClientDisconnect:
        response = _error(400, 'request: ended early')
      except asyncio.CancelledError:
        # It was still coming, or waited, when the time to stop was over.
        response = _error(503, 'server: has stopped')
      except Exception:
        # What happened is for the log alone.
        _LOG.exception('%s', path)
        response = _error(500, 'server: failed; see its log')
      self._metrics.requests.labels(path, response.status_code).inc()
      self._metrics.seconds.labels(path).observe(time.perf_counter() - started)
      return response

    return answer

  def _check_token(self, path: str, request: requests.Request) -> None:
    token = self._settings.token
    if not token or path in _OPEN:
      return
    given = request.headers.get('authorization', '')
    expected = f'Bearer {token}'
    # Bytes: of text it takes ASCII alone.
    if not hmac.compare_digest(given.encode(), expected.encode()):
      raise bodies.Refused('request: no valid token', 401)

  async def health(self, request: requests.Request) -> responses.Response:
    """Whether the process lives."""
    del request
    return _Json({'status': 'ok'})

  async def ready(self, request: requests.Request) -> responses.Response:
    """Whether it can predict."""
    del request
    served = self._worker.require_model()
    return _Json({'status': 'ready', 'version': served.version})

  async def metrics(self, request: requests.Request) -> responses.Response:
    """Prometheus's text."""
    del request
    found = await asyncio.to_thread(self._metrics.text)
    return responses.Response(
      found, headers={'content-type': counters.CONTENT_TYPE}
    )

  async def model(self, request: requests.Request) -> responses.Response:
    """Versions, tasks, columns."""
    del request
    described = self._worker.require_model().described()
    state = await asyncio.to_thread(self._worker.describe_state)
    return _Json(described | {'state': state})

  async def predict(self, request: requests.Request) -> responses.Response:
    """Predictions for rows."""
    self._worker.require_model()
    table = await self._rows(request)
    answer = await self._worker.predictions.run(table, table.num_rows)
    self._metrics.rows.labels('/v1/predict').inc(table.num_rows)
    tasks = answer.model.scorer.tasks
    headers = {'x-model-version': answer.model.version}
    if bodies.ARROW in request.headers.get('accept', ''):
      names = [predict_file.PREFIX + task for task in tasks]
      found = pa.table([pa.array(c) for c in answer.values.T], names)
      return responses.Response(
        bodies.of_predictions(found), headers=headers, media_type=bodies.ARROW
      )
    rows = [
      # JSON has no other numbers.
      {
        task: value if math.isfinite(value) else None
        for task, value in zip(tasks, row, strict=True)
      }
      for row in answer.values.tolist()
    ]
    content = {'predictions': rows, 'version': answer.model.version}
    return _Json(content, headers=headers)

  async def events(self, request: requests.Request) -> responses.Response:
    """Rows that were shown, and what came of them."""
    events = self._worker.require_events()
    table = await self._rows(request)
    kept = await events.run(table, table.num_rows)
    self._metrics.rows.labels('/v1/events').inc(table.num_rows)
    return _Json({'rows': table.num_rows, **kept})

  async def _rows(self, request: requests.Request) -> pa.Table:
    """The rows of a request, of a body that is no larger than allowed."""
    coding = request.headers.get('content-encoding', 'identity')
    if coding.lower() != 'identity':
      raise bodies.Refused(
        f'request: content-encoding is {coding!r:.80}; send it as it is', 415
      )
    most = _MOST_BYTES
    too_large = bodies.Refused(f'request: more than {most:,} bytes', 413)
    length = request.headers.get('content-length', '')
    if length.isdigit() and int(length) > most:
      raise too_large
    parts, size = [], 0
    async for part in request.stream():
      size += len(part)
      if size > most:
        raise too_large
      parts.append(part)
    body = b''.join(parts)
    kind = request.headers.get('content-type', '')
    if size <= _QUICK:
      return bodies.read(body, kind, self._settings.max_rows)
    # One at a time: what is read takes many times the memory of the body.
    async with self._reading:
      return await asyncio.to_thread(
        bodies.read, body, kind, self._settings.max_rows
      )
