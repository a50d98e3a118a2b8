"""QuickSight: data source, data set, analysis and dashboard on the workgroup."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_quicksight as quicksight

from infra import contract
from infra.settings import QuickSight
from infra.stack import Stack

_TYPES = {
    "varchar": "STRING",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "double": "DECIMAL",
    "timestamp(3)": "DATETIME",
    "boolean": "BOOLEAN",
}
_SEE = (
    "quicksight:DescribeDashboard",
    "quicksight:ListDashboardVersions",
    "quicksight:QueryDashboard",
)
# Without these nobody but the account sees data source, data set and analysis.
_USE_SOURCE = (
    "quicksight:DescribeDataSource",
    "quicksight:DescribeDataSourcePermissions",
    "quicksight:PassDataSource",
)
_USE_SET = (
    "quicksight:DescribeDataSet",
    "quicksight:DescribeDataSetPermissions",
    "quicksight:PassDataSet",
    "quicksight:DescribeIngestion",
    "quicksight:ListIngestions",
)
_USE_ANALYSIS = (
    "quicksight:DescribeAnalysis",
    "quicksight:DescribeAnalysisPermissions",
    "quicksight:QueryAnalysis",
)
_SET = "images"


def dashboard(
    stack: Stack, settings: QuickSight, database: str, workgroup: str, role_arn: str
) -> None:
    """Create a dashboard of images by hour and format; the settings name its readers."""
    account, prefix = cdk.Aws.ACCOUNT_ID, stack.settings.prefix
    source = quicksight.CfnDataSource(
        stack,
        "Source",
        aws_account_id=account,
        data_source_id=prefix,
        name=prefix,
        type="ATHENA",
        data_source_parameters=quicksight.CfnDataSource.DataSourceParametersProperty(
            athena_parameters=quicksight.CfnDataSource.AthenaParametersProperty(
                work_group=workgroup, role_arn=role_arn
            )
        ),
        permissions=[
            quicksight.CfnDataSource.ResourcePermissionProperty(
                principal=settings.principal_arn, actions=list(_USE_SOURCE)
            )
        ],
        ssl_properties=quicksight.CfnDataSource.SslPropertiesProperty(disable_ssl=False),
    )
    data = _data_set(stack, source.attr_arn, database, settings.principal_arn)
    definition = _definition(data.attr_arn)
    analysis = quicksight.CfnAnalysis(
        stack,
        "Analysis",
        aws_account_id=account,
        analysis_id=prefix,
        name=prefix,
        permissions=[
            quicksight.CfnAnalysis.ResourcePermissionProperty(
                principal=settings.principal_arn, actions=list(_USE_ANALYSIS)
            )
        ],
    )
    board = quicksight.CfnDashboard(
        stack,
        "QuickDashboard",
        aws_account_id=account,
        dashboard_id=prefix,
        name=prefix,
        permissions=[
            quicksight.CfnDashboard.ResourcePermissionProperty(
                principal=settings.principal_arn, actions=list(_SEE)
            )
        ],
    )
    # The definition is written in AWS's JSON form, because CDK's classes for it are nested six
    # levels deep and add nothing.
    for one in (analysis, board):
        one.add_property_override("Definition", definition)


def _data_set(
    stack: Stack, source_arn: str, database: str, principal_arn: str
) -> quicksight.CfnDataSet:
    of = quicksight.CfnDataSet
    table = next(one for one in contract.TABLES if one["name"] == _SET)
    columns = [
        of.InputColumnProperty(name=one["name"], type=_TYPES[one["presto"]])
        # QuickSight has no types for maps and lists.
        for one in [*table["columns"], {"name": "dt", "presto": "varchar"}]
        if one["presto"] in _TYPES
    ]
    return of(
        stack,
        "DataSet",
        aws_account_id=cdk.Aws.ACCOUNT_ID,
        data_set_id=f"{stack.settings.prefix}-{_SET}",
        name=_SET,
        permissions=[
            of.ResourcePermissionProperty(principal=principal_arn, actions=list(_USE_SET))
        ],
        # Direct queries, because copies in SPICE would be kept after the retention of the rows.
        import_mode="DIRECT_QUERY",
        physical_table_map={
            _SET: of.PhysicalTableProperty(
                relational_table=of.RelationalTableProperty(
                    data_source_arn=source_arn,
                    catalog="AwsDataCatalog",
                    schema=database,
                    name=_SET,
                    input_columns=columns,
                )
            )
        },
    )


def _definition(data_set_arn: str) -> dict[str, Any]:
    """Build the definition: one sheet with two charts."""
    return {
        "DataSetIdentifierDeclarations": [{"Identifier": _SET, "DataSetArn": data_set_arn}],
        "Sheets": [
            {
                "SheetId": "images",
                "Name": "Images",
                "Visuals": [
                    {"LineChartVisual": _chart("by-day", "dt", "format")},
                    {"LineChartVisual": _chart("by-source", "dt", "source")},
                ],
            }
        ],
    }


def _chart(id: str, category: str, colour: str) -> dict[str, Any]:
    def dimension(column: str) -> dict[str, Any]:
        field = {"DataSetIdentifier": _SET, "ColumnName": column}
        return {"CategoricalDimensionField": {"FieldId": f"{id}-{column}", "Column": field}}

    count = {
        "CategoricalMeasureField": {
            "FieldId": f"{id}-count",
            "Column": {"DataSetIdentifier": _SET, "ColumnName": "image_id"},
            "AggregationFunction": "COUNT",
        }
    }
    wells = {"Category": [dimension(category)], "Values": [count], "Colors": [dimension(colour)]}
    return {
        "VisualId": id,
        "ChartConfiguration": {
            "FieldWells": {"LineChartAggregatedFieldWells": wells},
            "Type": "LINE",
        },
    }
