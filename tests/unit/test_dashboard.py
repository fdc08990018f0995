"""The Grafana dashboard asks for metrics that exist, and every panel says what it shows, and in which unit.

Tests: deploy/prometheus
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from callbacks.metrics import Metrics
from status.prometheus import families
from tests.support.alerting import DEPLOY, RULES, healthy
from tests.support.dashboard import DASHBOARD, PANELS, QUERIES


def names() -> set[str]:
    """The name of every series that an endpoint tells, but for those that only Grafana's own functions read."""
    numbers = healthy() | {"troubles": [{"key": "a", "level": "bad"}]}
    numbers["lanes"][0]["opens_at"] = 1764158460.0
    text = Metrics().exposition(list(families(numbers, {}))).decode()
    return {re.split(r"[ {]", line)[0] for line in text.splitlines() if not line.startswith("#")} | {"up"}


def test_every_query_and_every_rule_asks_for_what_exists() -> None:
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    variables = [one["definition"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    for expr in (*QUERIES, *rules, *variables):
        asked = set(re.findall(r"\b(?:wxcheck_\w+|up(?=\{))", expr))
        assert asked, expr
        assert asked <= names(), expr


def test_what_every_endpoint_tells_alike_is_never_added_up_over_endpoints() -> None:
    # only these are an endpoint's own
    own = r"wxcheck_(?:pushes_total|publish_seconds\w*)|up"
    for expr in QUERIES:
        selectors = re.findall(r"(\w+)\{", expr)
        if not all(re.fullmatch(own, name) for name in selectors):
            for name in selectors:
                before = expr[: expr.index(f"{name}{{")]
                # the innermost aggregation around it is a maximum
                assert re.findall(r"\b(sum|max|avg|count|topk)\b", before)[-1] == "max", expr


def test_the_rows_are_in_the_order_of_the_board() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Is it working?", "Inside the quota?", "What is stuck?", "What fails?"]


def test_every_panel_has_a_title_a_description_a_unit_and_asks_the_chosen_datasource() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == chosen
        assert panel["targets"]
        assert all(target["datasource"] == chosen for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_two_panels_overlap_and_each_has_an_id_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        box = panel["gridPos"]
        cells = {(box["x"] + x, box["y"] + y) for x in range(box["w"]) for y in range(box["h"])}
        assert not cells & taken, panel["title"]
        assert box["x"] + box["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_it_can_be_imported_anywhere() -> None:
    variables: dict[str, dict[str, Any]] = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "appid"]
    assert variables["datasource"] | {"type": "datasource", "query": "prometheus"} == variables["datasource"]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == set(variables)
    # an id of the database that it was exported from, or inputs, would be in the way of provisioning
    assert "id" not in DASHBOARD
    assert "__inputs" not in DASHBOARD


def test_grafana_finds_datasource_and_dashboard_by_itself() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    (datasource,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (datasource["type"], datasource["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((folder / "dashboards" / "wxcheck.yml").read_text())["providers"]
    compose = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
    mounted = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"] if "/" in volume[:2])
    assert mounted["./deploy/prometheus/grafana/wxcheck.json"].startswith(provider["options"]["path"])
    assert mounted["./deploy/prometheus/grafana/provisioning"] == "/etc/grafana/provisioning"
