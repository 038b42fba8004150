FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv /opt/proxy && /opt/proxy/bin/pip install --no-cache-dir -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
COPY esci_loader esci_loader
COPY onnx_models onnx_models
RUN /opt/proxy/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
RUN useradd --system --no-create-home proxy
COPY --from=build /opt/proxy /opt/proxy
ENV PATH=/opt/proxy/bin:$PATH PYTHONUNBUFFERED=1 RERANK_PROXY_LISTEN=0.0.0.0:9700
USER proxy
EXPOSE 9700
ENTRYPOINT ["rerank-proxy"]
CMD ["serve"]
