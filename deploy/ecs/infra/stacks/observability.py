"""Observability: alarms of the service levels, a combined alarm that pages people, a dashboard."""

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra import alarms, contract, figures
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
        replica_bucket: str | None,
    ) -> None:
        super().__init__(scope, "observability", settings)
        self._topic = around.foundation.alarms.ref
        data = around.data
        self.alarms = alarms.alarms(
            alb=around.platform.balancer.alb.attr_load_balancer_full_name,
            cells=[cell.name for cell in settings.cluster.cells if cell.running],
            database=data.database.ref,
            cache=data.gcs.ref if data.gcs else None,
            kafka=around.streaming.cluster_name,
            topic=contract.TOPIC,
            group=contract.GROUP,
            bucket=data.bucket_name,
            replica=replica_bucket if settings.replicate != "nothing" else None,
            stage=settings.stage,
            cluster=settings.prefix,
        )
        made = {alarm.name: self._alarm(alarm) for alarm in self.alarms}
        self._page([made[alarm.name] for alarm in self.alarms if alarm.pages])
        self._dashboard()

    def _alarm(self, alarm: alarms.Alarm) -> cloudwatch.CfnAlarm:
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
            self,
            alarm.name.title().replace("-", ""),
            alarm_name=f"{self.settings.prefix}-{alarm.name}",
            alarm_description=f"{alarm.says}. {_RUNBOOK}/{page(alarm.name)}.md",
            metrics=[*queries, result],
            comparison_operator=_COMPARE[alarm.bad],
            threshold=alarm.threshold,
            evaluation_periods=alarm.times,
            datapoints_to_alarm=alarm.times,
            treat_missing_data=alarm.missing,
            alarm_actions=[self._topic],
            ok_actions=[self._topic],
        )

    def _page(self, parts: list[cloudwatch.CfnAlarm]) -> None:
        """Create the combined alarm for the pager, so that several alarms page once."""
        composite = cloudwatch.CfnCompositeAlarm(
            self,
            "Page",
            alarm_name=f"{self.settings.prefix}-page",
            alarm_description=f"An operator must act now. {_RUNBOOK}/README.md",
            alarm_rule=" OR ".join(f'ALARM("{part.alarm_name}")' for part in parts),
            alarm_actions=[self._topic],
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
    def _graph_of(alarm: alarms.Alarm) -> dict[str, object]:
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
        cells = [cell.name for cell in self.settings.cluster.cells if cell.running]
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


def page(alarm: str) -> str:
    """Return the name of an alarm's runbook page; all cells share a page."""
    return alarm.removesuffix("-a").removesuffix("-b")
