"""The Grafana dashboard of ``deploy/prometheus``, and what its panels ask Prometheus."""

from __future__ import annotations

import json
from typing import Any

from tests.support.alerting import DEPLOY

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "wxcheck.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES: list[str] = [target["expr"] for panel in PANELS for target in panel["targets"]]
