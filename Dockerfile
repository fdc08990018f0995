# One image for every process: workers, endpoint, Flower, sandbox, command line. It holds no secret and no .env.

FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS dependencies
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock /build/
RUN pip install --require-hashes -r /build/requirements.lock

FROM dependencies AS wheels
COPY requirements-dev.lock /build/
# the build tool, of the version and with the hashes of the lock file
RUN sed -n '/^setuptools==/,/# via/p' /build/requirements-dev.lock > /build/setuptools.lock \
    && pip install --require-hashes -r /build/setuptools.lock
COPY pyproject.toml README.md /build/
COPY client /build/client
COPY callbacks /build/callbacks
COPY config /build/config
COPY ops /build/ops
COPY sandbox /build/sandbox
COPY status /build/status
COPY store /build/store
COPY tasks /build/tasks
COPY wechat /build/wechat
COPY worker /build/worker
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /build/client /build

FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin wxcheck
# the dependencies are a layer of their own, which a change of the code leaves as it is
COPY --from=dependencies /venv /venv
COPY --from=wheels /wheels /wheels
RUN pip install --no-deps --no-index --no-cache-dir --disable-pip-version-check /wheels/*.whl
# empty: no .env is read here
WORKDIR /app
USER wxcheck
CMD ["wxcheck", "--help"]
