# syntax=docker/dockerfile:1
ARG PYTHON=3.11

# The build: everything that the service needs, in one virtual environment.
FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /src
COPY requirements/build.lock requirements/run.lock requirements/
RUN python -m venv /opt/komek \
    && /opt/komek/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/run.lock
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/build.lock
COPY pyproject.toml README.md ./
COPY app app
COPY migrations migrations
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /opt/build/wheels . \
    && /opt/komek/bin/python -m pip install --quiet --no-deps --no-index /opt/build/wheels/*.whl \
    && /opt/komek/bin/python -m compileall -q -j 0 /opt/komek/lib

# The image: the environment, an account without rights, and one folder that it may write to.
FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="Kömek" \
      org.opencontainers.image.description="The exchange through which Red Crescent societies share stock and volunteers"
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin komek \
    && install --directory --owner=komek --group=komek --mode=0750 /data
COPY --from=build /opt/komek /opt/komek
ENV PATH=/opt/komek/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    KOMEK_HOST=0.0.0.0 \
    KOMEK_PORT=8000 \
    KOMEK_DATA_DIR=/data
WORKDIR /data
VOLUME /data
EXPOSE 8000
USER komek
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['KOMEK_PORT'] + '/readyz', timeout=4)"]
CMD ["komek", "serve"]
