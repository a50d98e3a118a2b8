"""Observability: alarms of the service levels, a combined alarm that pages people, a dashboard."""

import re

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra import alarms, compact, contract, figures, kafka_alarms
from infra.alarm import Alarm
from infra.parts import scaling
from infra.parts.surroundings import Surroundings
from infra.settings import Settings
from infra.stack import Stack

_RUNBOOK = "docs/runbook"
_COMPARE = {"above": "GreaterThanThreshold", "below": "LessThanThreshold"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 6, 3


class ObservabilityStack(Stack):
    """Observability: alarms and a dashboard for the service levels."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        around: Surroundings,
    ) -> None:
        super().__init__(scope, "observability", settings)
        self._pages, self._tickets = around.foundation.pages.ref, around.foundation.alarms.ref
        data, balancer = around.data, around.platform.balancer
        found = alarms.alarms(
            alb=balancer.alb.attr_load_balancer_full_name,
            targets={
                cell.name: balancer.targets[cell.name].attr_target_group_full_name
                for cell in settings.cells
                if cell.weight
            },
            cells=[cell.name for cell in settings.cells if cell.running],
            database=data.database.ref,
            # ElastiCache names the nodes of a group so.
            caches=[
                f"{data.gcs.ref}-{number:03}" for number in range(1, settings.cache.replicas + 2)
            ]
            if data.gcs
            else [],
            kafka=self._kafka(around),
            bucket=data.bucket_name,
            vault=settings.prefix,
            stage=settings.stage,
            cluster=settings.prefix,
            leads=settings.leads,
            insights=settings.cluster.container_insights,
        )
        first = next((f"-{cell.name}" for cell in settings.cells), "")
        self.alarms = compact.merge(found, first) if settings.compact else found
        made = {alarm.name: make_alarm(self, alarm, self._tickets) for alarm in self.alarms}
        self._page([made[alarm.name] for alarm in self.alarms if alarm.pages])
        self._dashboard()

    def _kafka(self, around: Surroundings) -> list[Alarm]:
        settings = self.settings
        if around.streaming is not None:
            brokers = settings.kafka.brokers_per_zone * len(settings.zones)
            cluster = around.streaming.cluster_name
            return kafka_alarms.msk_alarms(cluster, brokers, contract.TOPIC, contract.GROUP)
        if not settings.kafka.enabled:
            return []
        running = [cell.name for cell in settings.cells if cell.running and settings.leads]
        rate = settings.kafka.images_per_second
        return kafka_alarms.backlog_alarms(settings.stage, running, rate)

    def _page(self, parts: list[cloudwatch.CfnAlarm]) -> None:
        """Create the combined alarm for the pager, so that several alarms page once."""
        composite = cloudwatch.CfnCompositeAlarm(
            self,
            "Page",
            alarm_name=f"{self.settings.prefix}-page",
            alarm_description=f"An operator must act now. {_RUNBOOK}/README.md",
            alarm_rule=" OR ".join(f'ALARM("{part.alarm_name}")' for part in parts),
            alarm_actions=[self._pages],
        )
        for part in parts:
            composite.add_resource_dependency(part)

    def _dashboard(self) -> None:
        """Create the dashboard: each alarm with its limit, then the metrics of nodes."""
        graphs = [self._graph_of(alarm) for alarm in self.alarms]
        graphs += [self._graph_of_nodes(figure) for figure in figures.FIGURES]
        widgets = [
            {
                "type": "metric",
                "x": number % _COLUMNS * _WIDTH,
                "y": number // _COLUMNS * _HEIGHT,
                "width": _WIDTH,
                "height": _HEIGHT,
                "properties": {"region": self.region, **graph},
            }
            for number, graph in enumerate(graphs)
        ]
        cloudwatch.CfnDashboard(
            self,
            "Dashboard",
            dashboard_name=self.settings.prefix,
            dashboard_body=self.to_json_string({"widgets": widgets}),
        )

    @staticmethod
    def _graph_of(alarm: Alarm) -> dict[str, object]:
        series: list[object] = [
            [{"expression": alarm.formula, "id": "result", "label": alarm.name}]
        ]
        for key, metric in alarm.metrics.items():
            names = [part for pair in metric.dimensions.items() for part in pair]
            options = {"id": key, "stat": metric.stat, "visible": False}
            series.append([metric.namespace, metric.name, *names, options])
        return {
            "title": alarm.says,
            "period": alarm.minutes * 60,
            "metrics": series,
            "annotations": {"horizontal": [{"label": "alarm", "value": alarm.threshold}]},
        }

    def _graph_of_nodes(self, figure: figures.Figure) -> dict[str, object]:
        cells = [cell.name for cell in self.settings.cells if cell.running]
        return {
            "title": figure.says,
            "period": 60,
            "stat": figure.stat,
            "metrics": [
                [
                    *(scaling.NAMESPACE, figure.name),
                    *("Stage", self.settings.stage, "Cell", cell, "Kind", kind),
                ]
                for cell in cells
                for kind in figure.kinds
            ],
        }


def make_alarm(stack: Stack, alarm: Alarm, topic: str) -> cloudwatch.CfnAlarm:
    """Create an alarm that notifies a topic of its region."""
    of = cloudwatch.CfnAlarm
    queries = [
        of.MetricDataQueryProperty(
            id=key,
            return_data=False,
            metric_stat=of.MetricStatProperty(
                stat=metric.stat,
                period=alarm.minutes * 60,
                metric=of.MetricProperty(
                    namespace=metric.namespace,
                    metric_name=metric.name,
                    dimensions=[
                        of.DimensionProperty(name=name, value=value)
                        for name, value in metric.dimensions.items()
                    ],
                ),
            ),
        )
        for key, metric in alarm.metrics.items()
    ]
    result = of.MetricDataQueryProperty(id="result", expression=alarm.formula, return_data=True)
    return of(
        stack,
        alarm.name.title().replace("-", ""),
        alarm_name=f"{stack.settings.prefix}-{alarm.name}",
        alarm_description=f"{alarm.says}. {_pages(alarm)}",
        metrics=[*queries, result],
        comparison_operator=_COMPARE[alarm.bad],
        threshold=alarm.threshold,
        evaluation_periods=alarm.times,
        datapoints_to_alarm=alarm.times,
        treat_missing_data=alarm.missing,
        alarm_actions=[topic],
        ok_actions=[topic],
    )


def _pages(alarm: Alarm) -> str:
    names = alarm.runbook or (page(alarm.name),)
    return ", ".join(f"{_RUNBOOK}/{name}.md" for name in names)


def page(alarm: str) -> str:
    """Return the name of an alarm's runbook page; all cells, brokers and nodes share a page."""
    return re.sub(r"-(a|b|\d+)$", "", alarm)
