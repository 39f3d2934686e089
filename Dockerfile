# A server of a trained model: docs/serving.md#the-server.
#
#   docker build -t rmtl .
#   docker build -t rmtl:cuda --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 \
#     --build-arg EXTRAS=serve,gpu .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
# CUDA's images have no Python; that of Ubuntu 24.04 is 3.12. Versions are the
# base image's: pin that by its digest.
# hadolint ignore=DL3008
RUN command -v python3 >/dev/null || { apt-get update \
  && apt-get install -y --no-install-recommends python3 python3-venv \
  && rm -rf /var/lib/apt/lists/*; }

FROM base AS build
ARG EXTRAS=serve
WORKDIR /source
COPY . .
# The versions that the tests ran with.
RUN python3 -m venv /opt/rmtl \
  && /opt/rmtl/bin/pip install --no-cache-dir -c requirements.lock ".[${EXTRAS}]"

FROM base
COPY --from=build /opt/rmtl /opt/rmtl
# Nothing is written but below /tmp and /state, so the root can be read-only:
# compiled programs, what DuckDB spills, the state of users and sessions.
ENV PATH=/opt/rmtl/bin:$PATH \
  PYTHONDONTWRITEBYTECODE=1 \
  PYTHONUNBUFFERED=1 \
  HOME=/tmp \
  XDG_CACHE_HOME=/tmp/cache \
  MPLCONFIGDIR=/tmp/matplotlib
RUN install -d -o 10001 -g 10001 /state /model
USER 10001:10001
VOLUME ["/state"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
  CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
ENTRYPOINT ["rmtl"]
# A container has an address of its own; publish the port on the loopback, or
# give --token_file.
CMD ["serve", "--workdir=/model", "--state=/state", "--host=0.0.0.0", "--port=8000"]
