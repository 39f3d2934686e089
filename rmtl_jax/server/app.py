"""The HTTP routes of the server."""

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

from starlette import applications, exceptions, requests, responses, routing

from rmtl_jax import types
from rmtl_jax.server import bodies, counters
from rmtl_jax.server import worker as worker_lib

_LOG = logging.getLogger('rmtl_jax.server')
_HEALTH = '/health'
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
    yield
    worker.close()

  app = applications.Starlette(
    routes=[
      routing.Route(path, routes.guarded(path, endpoint), methods=[method])
      for method, path, endpoint in (
        ('GET', _HEALTH, routes.health),
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
    token = self._worker.settings.token
    if not token or path == _HEALTH:
      return
    given = request.headers.get('authorization', '')
    expected = f'Bearer {token}'
    # Bytes: of text it takes ASCII alone.
    if not hmac.compare_digest(given.encode(), expected.encode()):
      raise bodies.Refused('request: no valid token', 401)

  async def health(self, request: requests.Request) -> responses.Response:
    """Whether it can predict; until then nobody listens."""
    del request
    return _Json({'status': 'ok', 'version': self._worker.version})

  async def metrics(self, request: requests.Request) -> responses.Response:
    """Prometheus's text."""
    del request
    found = await asyncio.to_thread(self._metrics.text)
    return responses.Response(
      found, headers={'content-type': counters.CONTENT_TYPE}
    )

  async def model(self, request: requests.Request) -> responses.Response:
    """Version, tasks, columns, rows in the state."""
    del request
    return _Json(await asyncio.to_thread(self._worker.described))

  async def predict(self, request: requests.Request) -> responses.Response:
    """Predictions for rows."""
    values = await self._worker.predict(*await _body(request))
    rows = [
      # JSON has no other numbers.
      {
        task: value if math.isfinite(value) else None
        for task, value in zip(self._worker.scorer.tasks, row, strict=True)
      }
      for row in values.tolist()
    ]
    return _Json({'predictions': rows, 'version': self._worker.version})

  async def events(self, request: requests.Request) -> responses.Response:
    """Rows that were shown, and what came of them."""
    return _Json(await self._worker.append(*await _body(request)))


async def _body(request: requests.Request) -> tuple[bytes, str]:
  """The body of a request, no larger than allowed, and its type."""
  coding = request.headers.get('content-encoding', 'identity')
  if coding.lower() != 'identity':
    raise bodies.Refused(
      f'request: content-encoding is {coding!r:.80}; send it as it is', 415
    )
  parts, size = [], 0
  length = request.headers.get('content-length', '')
  if length.isdigit():
    size = int(length)
  if size <= _MOST_BYTES:
    size = 0
    async for part in request.stream():
      size += len(part)
      if size > _MOST_BYTES:
        break
      parts.append(part)
  if size > _MOST_BYTES:
    raise bodies.Refused(f'request: more than {_MOST_BYTES:,} bytes', 413)
  return b''.join(parts), request.headers.get('content-type', '')
