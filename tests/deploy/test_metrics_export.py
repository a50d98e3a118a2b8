"""Export of a node's Prometheus metrics to CloudWatch."""

import re
from pathlib import Path

import pytest
from node.metrics_export import ALARMED_KIND, FIGURES, Reader, passed_on
from node.settings import NodeSettings

from processors.metrics import INCIDENTS
from tests.reference import METRICS, exported_name

_FIRST = """\
# HELP ray_serve_num_http_requests_total Requests.
# TYPE ray_serve_num_http_requests_total counter
ray_serve_num_http_requests_total{route="/",status_code="201"} 100.0
ray_serve_num_http_requests_total{route="/",status_code="503"} 7.0
# TYPE ray_serve_event_loop_scheduling_latency_ms histogram
ray_serve_event_loop_scheduling_latency_ms_bucket{le="5.0"} 8.0
ray_serve_event_loop_scheduling_latency_ms_bucket{le="+Inf"} 10.0
ray_serve_event_loop_scheduling_latency_ms_sum 40.0
ray_serve_event_loop_scheduling_latency_ms_count 10.0
# TYPE ray_object_store_used_memory gauge
ray_object_store_used_memory 5000.0
# TYPE ray_tasks gauge
ray_tasks{State="RUNNING"} 3.0
"""


def test_a_minute_is_told_not_a_life() -> None:
    reader = Reader("head")
    assert reader.figures(_FIRST) == {"ObjectStoreUsed": 5000.0}
    later = (
        _FIRST.replace("} 100.0", "} 130.0")
        .replace("_sum 40.0", "_sum 100.0")
        .replace("_count 10.0", "_count 14.0")
    )
    assert reader.figures(later) == {
        "Requests": 30.0,
        "LoopLag": 15.0,
        "ObjectStoreUsed": 5000.0,
    }


def test_a_counter_that_begins_anew_does_not_count_backwards() -> None:
    reader = Reader("head")
    reader.figures(_FIRST)
    again = _FIRST.replace("} 100.0", "} 4.0").replace("} 7.0", "} 0.0")
    assert reader.figures(again)["Requests"] == 4.0


def test_an_error_counts_though_nobody_counted_errors_before() -> None:
    reader = Reader("head")
    reader.figures(_FIRST)
    later = _FIRST + 'ray_serve_num_http_error_requests_total{route="/"} 2.0\n'
    assert reader.figures(later)["RequestErrors"] == 2.0


def test_an_intrusion_counts_from_the_first_text_on_and_none_is_told_too() -> None:
    reader = Reader("worker")
    one = _FIRST + 'ray_pixlake_intrusions_total{WorkerId="a"} 1.0\n'
    two = one + 'ray_pixlake_intrusions_total{WorkerId="b"} 1.0\n'
    told = [reader.figures(text)["Intrusions"] for text in (one, one, two, two)]
    assert told == [1.0, 0.0, 1.0, 0.0]
    assert reader.figures(two)["RefusalsOverturned"] == 0.0


def test_only_nodes_with_decoders_tell_of_them() -> None:
    reader = Reader("ingest")
    assert {"Intrusions", "RefusalsOverturned"}.isdisjoint(reader.figures(_FIRST))


def test_nodes_look_for_metrics_that_replicas_export() -> None:
    exported = {exported_name(each) for metrics in METRICS.values() for each in metrics}
    series = {one.series for one in FIGURES.values()}
    assert {name for name in series if name.startswith("ray_pixlake_")} <= exported
    alarmed = {one.series for one in FIGURES.values() if one.how == "alarmed"}
    assert alarmed == {exported_name(each) for each in INCIDENTS.values()}


def test_of_ages_the_highest_counts() -> None:
    lag = 'ray_pixlake_seal_lag{table="%s"} %s\n'
    text = lag % ("images", 90.0) + lag % ("rejections", 1200.0)
    assert Reader("ingest").figures(text) == {"SealLag": 1200.0}


def test_what_is_broken_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        Reader("head").figures("ray_object_store_used_memory {")


def test_cloudwatch_finds_the_figures_in_the_log(tmp_path: Path) -> None:
    settings = NodeSettings(stage="s", cell="a", head="head", scratch=tmp_path)
    said = passed_on(settings, "worker", {"LoopLag": 15.0})
    assert (said["Stage"], said["Cell"], said["Kind"]) == ("s", "a", "worker")
    assert said["LoopLag"] == 15.0
    [declared] = said["_aws"]["CloudWatchMetrics"]
    assert declared["Metrics"] == [{"Name": "LoopLag", "Unit": "Milliseconds"}]


def test_the_dashboard_shows_what_nodes_say() -> None:
    infra = Path(__file__).parents[2] / "deploy" / "ecs" / "infra"
    shown = re.findall(r'Figure\("(\w+)"', (infra / "figures.py").read_text())
    assert set(shown) == set(FIGURES)
    for name, figure in FIGURES.items():
        if figure.how == "alarmed":
            assert f'"{name}", "Sum", ("{ALARMED_KIND}",)' in (infra / "figures.py").read_text()
