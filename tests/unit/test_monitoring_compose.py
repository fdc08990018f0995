"""Prometheus and Grafana run beside the services of the compose file in the root.

Tests: deploy/prometheus/docker-compose.yml
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.alerting import DEPLOY
from tests.support.processes import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MAIN: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_of_one_version_restarted_checked_and_reachable_from_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", service["image"])
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_it_adds_services_and_changes_none() -> None:
    assert not set(SERVICES) & set(MAIN["services"])
    assert not set(COMPOSE["volumes"]) & set(MAIN["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists_and_is_read_only(name: str) -> None:
    for volume in SERVICES[name]["volumes"]:
        source, _, target = volume.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert target.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_prometheus_scrapes_the_endpoint_where_it_listens() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    port = MAIN["services"]["endpoint"]["environment"]["WXCHECK_CALLBACK_PORT"]
    assert job["static_configs"] == [{"targets": [f"endpoint:{port}"]}]
    assert job["job_name"].startswith("wxcheck")


def test_grafana_does_not_start_without_a_password() -> None:
    assert SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_PASSWORD:?")
